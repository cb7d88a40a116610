"""Break the long commands off at random moments, run them again, and compare what they wrote.

    python tests/faults/run.py --kills 20 --faults kill --out work_dirs/faults

Each command first runs to its end. It then runs again and again from an empty folder, each time
broken off by a fault at a moment that the seed chooses, and given once more: what is then in the
folder must have the same values. See docs/development.md.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
# the benchmarks' tables
sys.path.append(str(Path(__file__).parents[2] / 'tools/benchmarks'))

from commands import (
    COMMANDS,
    ROOT,
    Command,
    input_commands,
    link_nifti,
    write_rows,
    write_weights,
)
from harness.benchmark import format_table
from processes import Ended, Program
from snapshots import snapshot
from tqdm import tqdm

from mmlesion.io.json_files import write_json
from mmlesion.utils import UserError, cli

LIMIT = 900  # seconds of a command


def kill(program: Program, _: random.Random) -> None:
    """Kill the first process, which has no time to do anything."""
    program.process.kill()


def terminate(program: Program, _: random.Random) -> None:
    """Ask the first process to end, as a scheduler does."""
    program.process.terminate()


def interrupt(program: Program, _: random.Random) -> None:
    """Send what Ctrl-C sends: SIGINT to all processes of the terminal."""
    os.killpg(program.process.pid, signal.SIGINT)


def kill_worker(program: Program, generator: random.Random) -> None:
    """Kill one of the processes that the first one started, if it has any."""
    if children := program.children():
        os.kill(generator.choice(sorted(children)), signal.SIGKILL)


@dataclass(frozen=True)
class Fault:
    """A way to break a command off.

    Args:
        apply (Callable): Does it to a :class:`Program`.
        status (tuple[int]): With which it may end; 0 is a fault that came too late.
    """

    apply: Callable
    status: tuple


FAULTS = {
    'kill': Fault(kill, (-9,)),
    'term': Fault(terminate, (143,)),
    'int': Fault(interrupt, (130,)),
    'worker': Fault(kill_worker, (1,)),
}


@dataclass
class Outcome:
    """What a fault did to a command.

    Args:
        command (str): Its name.
        fault (str): That of the fault.
        tried (int): How often it was broken off.
        told (int): How often it ended within a minute, with the status and one line as it should.
        identical (int): How often the second run gave the same values, and no file beside them.
        orphans (int): Processes that stayed.
        slowest (float): Most seconds that it took to end.
        partial (int): Hidden files that were left; they are never read.
        problems (list[str]): What went wrong.
    """

    command: str
    fault: str
    tried: int = 0
    told: int = 0
    identical: int = 0
    orphans: int = 0
    slowest: float = 0
    partial: int = 0
    problems: list = field(default_factory=list)

    def is_good(self) -> bool:
        """Return whether every try ended as it should."""
        return self.tried == self.told == self.identical and not self.orphans


class Trial:
    """A command and its folder.

    Args:
        command (Command): What is broken off.
        folder (Path): The folder that it runs in, and that has the inputs.
        generator (random.Random): Chooses the moments.
    """

    def __init__(self, command: Command, folder: Path, generator: random.Random) -> None:
        self.command, self.generator = command, generator
        self.folder, self.out = folder, folder / 'out'
        self.line = command.line(folder / 'inputs')
        self.first_file = self.total = 0.0
        self.laid_out: set = set()

    def start(self) -> Program:
        self.out.mkdir(exist_ok=True)
        if self.command.lay_out is not None and not any(self.out.iterdir()):
            self.command.lay_out(self.out)
            self.laid_out = set(self.out.rglob('*'))
        return Program(self.line, self.folder, self.folder / 'log')

    def run_whole(self) -> dict:
        """Run it to its end; return what it wrote, and keep how long it took."""
        shutil.rmtree(self.out, ignore_errors=True)
        program = self.start()
        self.wait_for_a_file(program)
        self.first_file = time.monotonic() - program.begun
        ended = program.wait(LIMIT)
        if ended.status:
            raise UserError(f'{self.command.name} fails without a fault: {ended.stderr[-500:]}')
        self.total = time.monotonic() - program.begun
        return snapshot(self.out)

    def wait_for_a_file(self, program: Program) -> None:
        while program.is_running() and not self.has_a_file():
            time.sleep(0.005)

    def has_a_file(self) -> bool:
        found = set(self.out.rglob('*')) - self.laid_out
        return any(path.is_file() for path in found)

    def wait_for_the_moment(self, program: Program) -> None:
        """Wait for a random moment after the first file, or of a run that writes at its end."""
        if self.first_file < 0.6 * self.total:
            self.wait_for_a_file(program)
            time.sleep(self.generator.random() * (self.total - self.first_file))
        else:
            time.sleep(self.generator.uniform(0.4, 1) * self.total)

    def break_off(self, fault: Fault) -> Ended | None:
        """Run it from the beginning up to a fault; None if it ended before."""
        shutil.rmtree(self.out, ignore_errors=True)
        program = self.start()
        self.wait_for_the_moment(program)
        if not program.is_running():
            program.wait()
            return None
        fault.apply(program, self.generator)
        ended = program.wait()
        # the worker that was chosen may have had nothing left to do
        return None if ended.status == 0 else ended

    def run_again(self) -> Ended:
        return self.start().wait(LIMIT)


def try_fault(trial: Trial, outcome: Outcome, kills: int, whole: dict) -> Iterator[None]:
    """Break a command off some times; yield whenever the outcome has changed."""
    name = outcome.fault
    for _ in tqdm(range(3 * kills), f'{trial.command.name}, {name}', leave=False):
        if outcome.tried == kills:
            break
        ended = trial.break_off(FAULTS[name])
        if ended is None or (ended.status < 0 and snapshot(trial.out) == whole):
            continue  # it was done
        outcome.tried += 1
        outcome.orphans += ended.orphans
        outcome.slowest = max(outcome.slowest, ended.seconds)
        problem = check_end(ended, FAULTS[name])
        outcome.told += problem is None
        difference = check_again(trial, whole, outcome)
        outcome.identical += difference is None
        outcome.problems += [text for text in (problem, difference) if text is not None]
        yield


def check_end(ended: Ended, fault: Fault) -> str | None:
    """Return what is wrong with the way in which a command ended."""
    lines = ended.stderr.strip().splitlines()
    if ended.orphans or ended.seconds > 60:
        return f'{ended.orphans} processes stayed, {ended.seconds:.0f} s'
    if ended.status not in fault.status:
        return f'status {ended.status}: {" / ".join(lines[-3:])}'
    if fault.status == (-9,):
        return None
    if 'Traceback' in ended.stderr or not any(line.startswith('error: ') for line in lines):
        return f'no line: {" / ".join(lines[-8:])}'
    return None


def check_again(trial: Trial, whole: dict, outcome: Outcome) -> str | None:
    """Run it again; return what differs from the run that was not broken off."""
    again = trial.run_again()
    if again.status:
        return f'the second run: {" / ".join(again.stderr.strip().splitlines()[-3:])}'
    found = snapshot(trial.out)
    partial = [name for name in found if is_hidden(name) and name not in whole]
    outcome.partial += len(partial)
    differing = sorted(set(whole.items()) ^ set(found.items()))
    names = sorted({name for name, _ in differing} - set(partial))
    return f'{len(names)} files differ: {", ".join(names[:5])}' if names else None


def is_hidden(name: str) -> bool:
    """Return whether a file is one that was being written, or in such a folder."""
    return any(part.startswith('.') for part in Path(name).parts)


WRITTEN = {'weights': write_weights, 'rows': write_rows, 'nifti': link_nifti}


def prepare(commands: list, folder: Path) -> None:
    """Make the inputs of commands that are not there yet."""
    inputs = folder / 'inputs'
    inputs.mkdir(parents=True, exist_ok=True)
    for name in sorted({name for command in commands for name in command.needs}):
        if (inputs / name).exists():
            continue
        if name in WRITTEN:
            WRITTEN[name](inputs / name)
            continue
        for tool, *arguments in input_commands(name, inputs):
            line = [sys.executable, ROOT / 'tools' / tool, *arguments]
            ended = Program(line, folder, folder / 'log').wait(LIMIT)
            if ended.status:
                raise UserError(f'the input {name} cannot be made: {ended.stderr[-500:]}')


COLUMNS = {
    'command': lambda row: row['command'],
    'fault': lambda row: row['fault'],
    'tried': lambda row: str(row['tried']),
    'told': lambda row: str(row['told']),
    'identical': lambda row: str(row['identical']),
    'orphans': lambda row: str(row['orphans']),
    'partial files': lambda row: str(row['partial']),
    'ends within s': lambda row: f'{row["slowest"]:.1f}',
}


def parse_args() -> argparse.Namespace:
    names = [command.name for command in COMMANDS]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--kills', type=int, default=20, help='of each command and fault (20)')
    parser.add_argument(
        '--faults', nargs='+', choices=FAULTS, default=['kill'], help='how to break off (kill)'
    )
    parser.add_argument(
        '--only', nargs='+', metavar='NAME', help=f'of: {", ".join(names)} (default: all)'
    )
    parser.add_argument('--seed', type=int, default=0, help='of the moments (0)')
    parser.add_argument('--out', required=True, help='folder for inputs, runs and faults.json')
    args = parser.parse_args()
    if unknown := set(args.only or names) - set(names):
        parser.error(f'--only {", ".join(sorted(unknown))}: choose of {", ".join(names)}')
    return args


@cli
def main() -> None:
    args = parse_args()
    commands = [one for one in COMMANDS if args.only is None or one.name in args.only]
    folder = Path(args.out).resolve()
    os.environ['PYTHONPATH'] = f'{ROOT}:{os.environ.get("PYTHONPATH", "")}'
    os.environ.setdefault('OMP_NUM_THREADS', '1')
    # the scripts start what is called python
    os.environ['PATH'] = f'{Path(sys.executable).parent}:{os.environ["PATH"]}'
    # in the background a shell has it ignored, which the commands would inherit
    signal.signal(signal.SIGINT, signal.default_int_handler)
    prepare(commands, folder)
    rows = []
    for command in commands:
        trial = Trial(command, folder, random.Random(f'{args.seed} {command.name}'))
        whole = trial.run_whole()
        for name in args.faults:
            outcome = Outcome(command.name, name)
            rows.append({})
            for _ in try_fault(trial, outcome, args.kills, whole):
                # also where this is broken off itself
                rows[-1] = asdict(outcome)
                write_json({'seed': args.seed, 'outcomes': rows}, folder / 'faults.json')
            rows[-1] = asdict(outcome)
            for problem in outcome.problems:
                print(f'{command.name}, {name}: {problem}', file=sys.stderr)
            write_json({'seed': args.seed, 'outcomes': rows}, folder / 'faults.json')
    print(format_table(rows, COLUMNS))
    if bad := [row['command'] for row in rows if not Outcome(**row).is_good()]:
        raise UserError(f'not every fault was survived: {", ".join(dict.fromkeys(bad))}')


if __name__ == '__main__':
    main()
