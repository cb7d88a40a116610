"""Train and test the rows of a table, each with several seeds, and write the table.

ROWS is a YAML file (docs/rows.md):

    seeds: [0, 1, 2]
    reference: FPN                      # the row that the others are compared with
    options: {train_cfg.max_epochs: 6}  # --cfg-options of all rows
    test_options: {}                    # --cfg-options of their tests alone
    rows:
      FPN: configs/baselines/faster-rcnn_r18_fpn_lidc2d.py
      three slices:
        config: configs/baselines/faster-rcnn_r18_fpn_lidc2d.py
        options: {model.rpn_head.num_convs: 2}
      other window:
        of: FPN                         # tests the checkpoints of that row
        test_options: {...}
      trained on:
        config: configs/...
        load_from: FPN                  # begins with that row's checkpoint of the same seed

A run that is finished is kept, one that was broken off goes on from its last checkpoint.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
import os
import platform
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from mmlesion.evaluation.comparison_files import comparison_table, write_comparison
from mmlesion.evaluation.row_files import Row, are_seeds, folder_name, read_rows
from mmlesion.froc import compare_rows
from mmlesion.io.atomic import atomic_write
from mmlesion.io.cases import check_same_cases, read_cases
from mmlesion.io.json_files import read_json, to_json
from mmlesion.io.resume import Record
from mmlesion.utils import UserError, check_draws, check_range, cli
from mmlesion.utils.configs import load_config
from mmlesion.utils.processes import FOLLOW

TOOLS = Path(__file__).parent


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('rows', help='YAML file of rows and seeds')
    parser.add_argument('--work-dir', required=True, help='folder: <row>/seed<k> for each run')
    parser.add_argument('--jobs', type=int, default=1, help='parallel runs (default: 1)')
    parser.add_argument('--only', nargs='+', metavar='ROW', help='run only these rows')
    parser.add_argument('--seeds', nargs='+', type=int, help='run only these seeds')
    parser.add_argument(
        '--table',
        help='Markdown file in which the table between <!-- rows: NAME --> and '
        '<!-- /rows --> is replaced; NAME is that of the YAML file',
    )
    parser.add_argument(
        '--draws', type=int, default=2000, help='bootstrap samples of patients (default: 2000)'
    )
    return parser.parse_args(argv)


@dataclass(frozen=True)
class Run:
    """A row with one seed.

    Args:
        row (Row): The row.
        source (Run | None): The run whose checkpoint is tested, or that the training begins with.
        seed (int): Of the training.
        work_dir (Path): Folder of all runs.
    """

    row: Row
    source: Run | None
    seed: int
    work_dir: Path

    @property
    def folder(self) -> Path:
        return self.work_dir / folder_name(self.row.name) / f'seed{self.seed}'

    @property
    def training(self) -> Run:
        """The run that trains the checkpoint: itself, but for a row "of" another."""
        return self if self.row.trained_as == self.row.name else self.source

    @property
    def stage(self) -> int:
        """How many runs must be finished before this one, one after the other."""
        return 0 if self.source is None else 1 + self.source.stage


def run_of(rows: dict, name: str, seed: int, work_dir: Path) -> Run:
    """Return a row's run, with those that it needs.

    Args:
        rows (dict[str, Row]): All rows of the file.
        name (str): Of one of them.
        seed (int): Of the training.
        work_dir (Path): Folder of all runs.
    """
    row = rows[name]
    source = run_of(rows, row.needs, seed, work_dir) if row.needs else None
    return Run(row, source, seed, work_dir)


class Runner:
    """Run commands for a run, with its log; all end when this process is told to.

    Args:
        threads (int): Of each process.
    """

    def __init__(self, threads: int):
        # the user's own OMP_NUM_THREADS comes after it and wins; FOLLOW last, as it must hold
        self.environment = {'OMP_NUM_THREADS': str(threads), **os.environ, FOLLOW: '1'}
        self.processes = set()
        self.stopped = False

    def stop(self):
        self.stopped = True
        for process in list(self.processes):
            process.terminate()

    def call(self, command: list, log: Path) -> dict:
        """Run a command; return its wall and processor time in s."""
        if self.stopped:
            raise UserError('it was not begun')
        start = time.perf_counter()
        with open(log, 'a', encoding='utf-8') as file:
            process = subprocess.Popen(
                [sys.executable, *command], stdout=file, stderr=file, env=self.environment
            )
            self.processes.add(process)
            # in place of Popen.wait(), which does not tell the processor time
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            self.processes.discard(process)
        if process.returncode:
            last = log.read_text(encoding='utf-8', errors='replace').strip().splitlines()[-1:]
            raise UserError(f'{" ".join(last)} (status {process.returncode}; log: {log})')
        wall = time.perf_counter() - start
        return {'wall_s': round(wall, 1), 'cpu_s': round(usage.ru_utime + usage.ru_stime, 1)}


def options_of(config: str, options: dict) -> list:
    """Return --cfg-options of a dictionary, for a config.

    What has a ``type`` in a list may be named by it: ``custom_hooks.EMAHook.momentum``.
    """
    cfg = load_config(config)
    settings = {numbered(cfg, key): value for key, value in options.items()}
    return ['--cfg-options', *(f'{key}={_plain(value)}' for key, value in settings.items())]


def numbered(part: Any, key: str) -> str:
    """Return an option's path with positions in lists in place of types.

    Raises:
        UserError: If a list has no part of that type, or several.
    """
    names = key.split('.')
    for index, name in enumerate(names):
        if isinstance(part, (list, tuple)) and not name.isdigit():
            found = [i for i, one in enumerate(part) if one.get('type') == name]
            if len(found) != 1:
                raise UserError(f'the option {key}: the list has {len(found)} parts of that type')
            names[index] = name = str(found[0])
        part = part[int(name)] if isinstance(part, (list, tuple)) else (part or {}).get(name)
        if not isinstance(part, (dict, list, tuple)):
            break
    return '.'.join(names)


def _plain(value) -> str:
    """A value as mmengine's DictAction reads it: without spaces in a list."""
    return f'[{",".join(map(_plain, value))}]' if isinstance(value, list) else str(value)


@functools.cache
def config_text(path: str) -> str:
    """Return a config with all that it inherits."""
    return load_config(path).pretty_text


def made_of(run: Run) -> str:
    """Return what a run's score depends on, as a hash: its whole config and its options."""
    # the text with all bases, so that a change in one of them makes another run
    text = config_text(run.row.config)
    options = to_json([run.row.options, run.row.test_options, run.seed], sort_keys=True)
    begun_with = f'\n{made_of(run.source)}' if run.row.load_from else ''
    return hashlib.sha256(f'{text}\n{options}{begun_with}'.encode()).hexdigest()


def record_of(run: Run) -> Record:
    """Return the record ``run.json``, which says that a run is finished."""
    return Record(run.folder / 'run.json', made_of(run))


def record_of_begin(run: Run) -> Record:
    """Return the record ``begun.json``: what is resumed was begun with the same options."""
    return Record(run.folder / 'begun.json', made_of(run))


def is_finished(run: Run) -> bool:
    """Say whether a run's score is there; one whose record is damaged is run again.

    Raises:
        UserError: If it is, or was begun, of another config or other options.
    """
    refusal = (
        f'{run.folder} holds a run of another config or other options: delete the folder to run '
        'it again, or name another --work-dir'
    )
    record_of_begin(run).resume_from(refusal)
    return record_of(run).resume_from(refusal) is not None


def carry_out(run: Run, runner: Runner) -> float | None:
    """Train and test a run, write its record, and return its mean sensitivity."""
    run.folder.mkdir(parents=True, exist_ok=True)
    record_of_begin(run).save()
    log = run.folder / 'run.log'
    times = {}
    begin = None if run.source is None else checkpoint_of(run.source)
    # a row that is "of" another only tests that row's checkpoint
    if run == run.training:
        options = {'default_hooks.checkpoint.max_keep_ckpts': 1, **run.row.options}
        options['randomness.seed'] = run.seed
        work = ['--work-dir', run.folder]
        times['resumed'] = (run.folder / 'last_checkpoint').is_file()
        if times['resumed']:
            work.append('--resume')
        elif begin is not None:
            options['load_from'] = begin
        command = [TOOLS / 'train.py', run.row.config, *work, *options_of(run.row.config, options)]
        times['train'] = runner.call(list(map(str, command)), log)
    checkpoint = last_checkpoint(run.training)
    options = {**run.row.options, **run.row.test_options}
    options['test_evaluator.outfile_prefix'] = run.folder / 'froc'
    command = [TOOLS / 'test.py', run.row.config, checkpoint]
    command += ['--work-dir', run.folder / 'test', *options_of(run.row.config, options)]
    times['test'] = runner.call(list(map(str, command)), log)
    result = read_json(run.folder / 'froc.json')
    record_of(run).save(config=run.row.config, seed=run.seed, **times, machine=machine())
    return result['mean']


def checkpoint_of(run: Run) -> Path:
    """Return the last checkpoint of a run that others need.

    Raises:
        UserError: If the run is not finished.
    """
    if not is_finished(run):
        raise UserError(f'{run.folder} is not finished: run row {run.row.name!r} first')
    return last_checkpoint(run)


def last_checkpoint(run: Run) -> Path:
    """Return the file that a training's ``last_checkpoint`` names."""
    # a path from where it was trained, while the work folder may have been moved since
    named = (run.folder / 'last_checkpoint').read_text(encoding='utf-8').strip()
    return run.folder / Path(named).name


@functools.cache
def machine() -> str:
    """Return the number of cores, the processor and the GPUs that NVIDIA's driver sees."""
    parts = [f'{os.cpu_count()} cores', platform.processor() or platform.machine()]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        query = ['nvidia-smi', '--query-gpu=name', '--format=csv,noheader']
        parts += subprocess.check_output(query, text=True, timeout=30).splitlines()
    return ', '.join(parts)


def carry_out_all(runs: list, jobs: int) -> dict:
    """Run what is not finished, and return what went wrong by the run's folder.

    Rows that test, or begin with, the checkpoints of others come after these.
    """
    runner = Runner(max(1, (os.cpu_count() or 1) // jobs))
    failures = {}

    def attempt(run):
        print(f'{run.folder}: begun', file=sys.stderr, flush=True)
        try:
            mean = carry_out(run, runner)
        except (UserError, OSError) as error:
            failures[run.folder] = str(error)
            return
        told = 'undefined' if mean is None else f'{mean:.4f}'
        print(f'{run.folder}: mean sensitivity {told}', file=sys.stderr, flush=True)

    left = [run for run in runs if not is_finished(run)]
    for stage in sorted({run.stage for run in left}):
        with ThreadPoolExecutor(jobs) as pool:
            try:
                list(pool.map(attempt, [run for run in left if run.stage == stage]))
            except BaseException:
                runner.stop()  # inside of the block, which waits for the commands
                raise
    return failures


def write_table(runs_by_row, seeds, reference, args) -> str:
    """Compare the rows; write comparison.md, .json and .png into the work folder."""
    runs, parameters, wall, processor = {}, {}, {}, {}
    for name, of_row in runs_by_row.items():
        runs[name] = [read_cases(run.folder / 'froc.cases.json') for run in of_row]
        parameters[name] = parameters_of(of_row[0])
        wall[name] = minutes_of(of_row, 'wall_s')
        processor[name] = minutes_of(of_row, 'cpu_s')
    named = {}
    for name, of_row in runs.items():
        for number, run in enumerate(of_row):
            named[f'{name}, run {number}'] = run
    check_same_cases(named)
    cases = runs[reference][0]
    comparison = compare_rows(runs, reference, args.draws)
    extra = {
        'parameters, M': parameters,
        'training, min': wall,
        'its processor time, min': processor,
    }
    table = comparison_table(comparison, cases.fp_rates, len(cases.lesion_case), extra)
    settings = {'draws': args.draws, 'num_lesions': len(cases.lesion_case), 'seeds': seeds}
    write_comparison(comparison, cases.fp_rates, table, settings, Path(args.work_dir))
    return table


def parameters_of(run: Run) -> str:
    """Return the number of parameters of a run's network in millions."""
    from mmengine.registry import MODELS, init_default_scope  # with torch, only for the table

    # as it was trained: the config that mmengine writes beside the checkpoints
    cfg = load_config(run.training.folder / Path(run.row.config).name, needed=['model'])
    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model)
    return f'{sum(parameter.numel() for parameter in model.parameters()) / 1e6:.2f}'


def minutes_of(runs: list, time_key: str) -> str:
    """Return the mean of a time of training in min; a dash where none is known in full."""
    seconds = []
    for run in runs:
        record = record_of(run).content() or {}
        times = record.get('train')
        # a resumed training's time is that of its last part alone
        if isinstance(times, dict) and time_key in times and not record.get('resumed'):
            seconds.append(times[time_key])
    return f'{sum(seconds) / len(seconds) / 60:.1f}' if seconds else '–'


def replace_table(path, name: str, table: str) -> None:
    """Put a table between its two marks in a Markdown file.

    Raises:
        UserError: If the file has no such marks.
    """
    begin, end = f'<!-- rows: {name} -->', '<!-- /rows -->'
    text = Path(path).read_text(encoding='utf-8')
    before, found, after = text.partition(begin)
    _, closed, rest = after.partition(end)
    if not found or not closed:
        raise UserError(f'{path} has no {begin} followed by {end}: add both where the table goes')
    with atomic_write(path) as temporary:
        temporary.write_text(f'{before}{begin}\n{table}{end}{rest}', encoding='utf-8')


@cli
def main(argv=None):
    args = parse_args(argv)
    check_range('--jobs', args.jobs, 1)
    check_draws('--draws', args.draws, 1)
    rows, seeds, reference = read_rows(args.rows)
    chosen = rows if args.only is None else {name: rows[name] for name in _known(args, rows)}
    seeds = seeds if args.seeds is None else args.seeds
    if not are_seeds(seeds):
        raise UserError(f'--seeds {" ".join(map(str, seeds))}: give different numbers from 0 on')
    work_dir = Path(args.work_dir)
    by_row = {name: [run_of(rows, name, seed, work_dir) for seed in seeds] for name in chosen}
    # seed by seed, so that the rows can be compared before all seeds are done
    runs = list(chain.from_iterable(zip(*by_row.values())))
    failures = carry_out_all(runs, args.jobs)
    if failures:
        told = '; '.join(f'{folder}: {why}' for folder, why in failures.items())
        raise UserError(f'{len(failures)} of {len(runs)} runs failed: {told}')
    complete = reference in chosen and len(chosen) > 1
    if not complete:
        print('no table: it needs the reference and another row')
        return
    table = write_table(by_row, seeds, reference, args)
    print(table, end='')
    if args.table is not None:
        replace_table(args.table, Path(args.rows).stem, table)


def _known(args, rows):
    if unknown := [name for name in args.only if name not in rows]:
        raise UserError(f'--only {", ".join(unknown)}: {args.rows} has {", ".join(rows)}')
    return args.only


if __name__ == '__main__':
    main()
