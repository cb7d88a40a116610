"""run_rows.py with stand-ins for train.py and test.py that take no time."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# A training: leaves a checkpoint's name and counts how often it was called.
TRAIN = """
import sys, time
from pathlib import Path
work_dir = Path(sys.argv[sys.argv.index('--work-dir') + 1])
options = dict(option.split('=') for option in sys.argv[sys.argv.index('--cfg-options') + 1:])
time.sleep(float(options.get('sleep', 0)))
if options.get('fail') == options['randomness.seed']:
    sys.exit('error: no such luck')
# mmengine writes the config beside the checkpoints
config = Path(sys.argv[1])
(work_dir / config.name).write_text(config.read_text())
(work_dir / 'calls').open('a').write(f'{options}\\n')
(work_dir / 'last_checkpoint').write_text(f'{work_dir}/{options["randomness.seed"]}.pth')
"""
# A test: finds `found` of ten lesions, one more by the seed of the checkpoint.
TEST = """
import json, sys
from pathlib import Path
options = dict(option.split('=') for option in sys.argv[sys.argv.index('--cfg-options') + 1:])
found = int(options.get('found', 4)) + int(Path(sys.argv[2]).stem)
ten = list(range(10))
cases = dict(items=ten, patient=[n // 2 for n in ten], fp_levels=[1.0, 2.0], fp_item=[],
             fp_point=[], lesion_item=ten, lesion_point=[0 if n < found else -1 for n in ten],
             as_roc=False)
prefix = options['test_evaluator.outfile_prefix']
Path(prefix + '.cases.json').write_text(json.dumps(cases))
Path(prefix + '.json').write_text(json.dumps({'mean': found / 10}))
"""


def config_of(channels):
    """Return a config of a network with 10,000 parameters for each channel."""
    conv = f"type='Conv2d', in_channels={channels}, out_channels=10000, kernel_size=1, bias=False"
    return f"default_scope = 'mmdet'\nmodel = dict({conv})\n"


@pytest.fixture
def rows(load_tool, monkeypatch, tmp_path):
    """Write a file of rows; run the tool on it with the stand-ins."""
    module = load_tool('run_rows.py')
    files = {'train.py': TRAIN, 'test.py': TEST, 'a.py': config_of(1), 'b.py': config_of(2)}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(module, 'TOOLS', tmp_path)
    monkeypatch.chdir(tmp_path)

    def run(content, *arguments):
        Path('rows.yml').write_text(json.dumps(content))
        module.main(['rows.yml', '--work-dir', 'work', '--draws', '20', *map(str, arguments)])

    return run


CONTENT = {
    'seeds': [0, 1],
    'reference': 'plain',
    'options': {'lr': 0.1, 'size': [1, 2]},
    'rows': {
        'plain': 'a.py',
        'better': {'config': 'b.py', 'options': {'lr': 0.2}, 'test_options': {'found': 7}},
        'better, tested so': {'of': 'better', 'test_options': {'found': 8}},
    },
}


def test_a_table_is_made_once(rows, tmp_path, capsys):
    readme = tmp_path / 'README.md'
    readme.write_text('before\n<!-- rows: rows -->\nold\n<!-- /rows -->\nafter\n')
    rows(CONTENT, '--jobs', 2, '--table', 'README.md')
    table = capsys.readouterr().out
    cells = {line.split(' | ')[0]: line for line in table.splitlines() if line.startswith('|')}
    assert '| plain | 2 | 0.450 | 0.450 | **0.450** ± 0.050' in cells['| plain']
    assert '**0.750**' in cells['| better'] and '+0.300' in cells['| better']
    parameters = {row: line.split(' | ')[-3] for row, line in cells.items()}
    assert parameters['| row'] == 'parameters, M'
    assert (parameters['| plain'], parameters['| better']) == ('0.01', '0.02')
    assert parameters['| better, tested so'] == '0.02'
    assert '**0.850**' in cells['| better, tested so']
    assert readme.read_text(encoding='utf-8') == (
        f'before\n<!-- rows: rows -->\n{table}<!-- /rows -->\nafter\n'
    )
    calls = Path('work/better/seed1/calls').read_text()
    assert "'lr': '0.2', 'size': '[1,2]'" in calls and "'randomness.seed': '1'" in calls
    assert not Path('work/better-tested-so/seed1/calls').exists()
    for name in ('comparison.md', 'comparison.json', 'comparison.png'):
        assert Path('work', name).stat().st_size
    rows(CONTENT)
    assert Path('work/better/seed1/calls').read_text() == calls
    assert capsys.readouterr().out == table


def test_a_row_begins_with_the_checkpoints_of_another(rows):
    on = {'config': 'b.py', 'load_from': 'plain', 'options': {'lr': 0.2}}
    content = {**CONTENT, 'rows': {'plain': 'a.py', 'on': on, 'on, again': {'of': 'on'}}}
    with pytest.raises(SystemExit, match="work/plain/seed0 is not finished: run row 'plain'"):
        rows(content, '--only', 'on', '--seeds', 0)
    rows(content, '--jobs', 2)
    for seed in (0, 1):
        calls = Path(f'work/on/seed{seed}/calls').read_text()
        assert f"'load_from': 'work/plain/seed{seed}/{seed}.pth'" in calls
        assert 'load_from' not in Path(f'work/plain/seed{seed}/calls').read_text()
        assert Path(f'work/on-again/seed{seed}/run.json').exists()
    # of another beginning it is another run
    content['rows']['other'] = {'config': 'a.py', 'options': {'lr': 0.3}}
    content['rows'] = {name: content['rows'][name] for name in ('plain', 'other', 'on')}
    content['rows']['on'] = {**on, 'load_from': 'other'}
    with pytest.raises(SystemExit, match='work/on/seed0 holds a run of another config'):
        rows(content)


def test_another_config_is_not_taken_for_the_same(rows):
    rows(CONTENT)
    Path('b.py').write_text(config_of(3))
    import_cache = sys.modules['tool_run_rows'].config_text
    import_cache.cache_clear()  # as in another process
    with pytest.raises(SystemExit, match='work/better/seed0 holds a run of another config'):
        rows(CONTENT)


@pytest.mark.parametrize('record', ['', '{"made_of": "', '[]', '{}', '{"made_of"}'])
def test_a_run_whose_record_is_damaged_is_run_again(rows, capsys, record):
    rows(CONTENT)
    table = capsys.readouterr().out
    path = Path('work/better/seed1/run.json')
    whole = json.loads(path.read_text())
    path.write_text(record)
    rows(CONTENT)
    assert len(Path('work/better/seed1/calls').read_text().splitlines()) == 2
    assert len(Path('work/better/seed0/calls').read_text().splitlines()) == 1
    assert json.loads(path.read_text())['made_of'] == whole['made_of']
    # but for the processor time, which a training that goes on has not in full
    first, second = (text.splitlines()[2:] for text in (table, capsys.readouterr().out))
    for one, other in zip(first, second):
        assert one.rsplit('|', 2)[0] == other.rsplit('|', 2)[0]


def test_a_run_that_fails_leaves_the_others(rows):
    content = {**CONTENT, 'rows': {**CONTENT['rows']}}
    content['rows']['plain'] = {'config': 'a.py', 'options': {'fail': 1}}
    with pytest.raises(SystemExit, match='1 of 6 runs failed: work/plain/seed1: error: no such'):
        rows(content)
    assert Path('work/better/seed1/run.json').exists()
    assert not Path('work/plain/seed1/run.json').exists()
    assert not Path('work/comparison.md').exists()


def test_checkpoints_of_a_training_that_is_not_finished_are_not_tested(rows):
    rows(CONTENT)
    record = Path('work/better/seed1/run.json')
    shutil.rmtree('work/better-tested-so')
    record.unlink()  # last_checkpoint is there, as after an interruption
    with pytest.raises(SystemExit, match="work/better/seed1 is not finished: run row 'better'"):
        rows(CONTENT, '--only', 'better, tested so')
    assert Path('work/better-tested-so/seed0/run.json').exists()
    assert not Path('work/better-tested-so/seed1/run.json').exists()
    rows(CONTENT)
    assert Path('work/better-tested-so/seed1/run.json').exists()


def test_what_was_begun_with_other_options_is_not_resumed(rows):
    content = {**CONTENT, 'rows': {**CONTENT['rows']}}
    content['rows']['plain'] = {'config': 'a.py', 'options': {'fail': 1}}
    with pytest.raises(SystemExit, match='1 of 6 runs failed'):
        rows(content)
    with pytest.raises(SystemExit, match='work/plain/seed1 holds a run of another config'):
        rows(CONTENT, '--seeds', 1)
    assert not Path('work/plain/seed1/calls').exists()


@pytest.mark.parametrize('seeds', ['-1', '1 1'])
def test_bad_seeds(rows, seeds):
    with pytest.raises(SystemExit, match=f'--seeds {seeds}: give different numbers from 0 on'):
        rows(CONTENT, '--seeds', *seeds.split())
    assert not Path('work').exists()


@pytest.mark.parametrize(
    'change, message',
    [
        ({'rows': {}}, 'rows.yml has no row'),
        ({'row': {}}, 'unknown row; known: options, reference'),
        ({'reference': 'x'}, "reference 'x' is none of the rows"),
        ({'seeds': ['a']}, 'seeds must be a list of different numbers'),
        ({'seeds': [0, 0]}, 'seeds must be a list of different numbers'),
        ({'seeds': [True]}, 'seeds must be a list of different numbers'),
        ({'rows': {'a': 'none.py'}}, 'row a: there is no config none.py'),
        ({'rows': {'a': {'of': 'b'}}}, 'row a is "of" \'b\': that must be a row before it'),
        ({'rows': {'a': {'config': 'a.py', 'load_from': 'b'}}}, "row a has load_from 'b'"),
        ({'rows': {'a': {}}}, 'row a must have keys'),
        ({'rows': {'a': 'a.py', 'a ': 'a.py'}}, "row 'a ' becomes a folder"),
    ],
)
def test_bad_files(rows, change, message):
    with pytest.raises(SystemExit, match=message):
        rows({**CONTENT, **change})
    assert not Path('work').exists()


@pytest.mark.parametrize('name', ['on', '1', 'null'])
def test_names_that_are_no_text_to_yaml(rows, name):
    module = sys.modules['tool_run_rows']
    Path('names.yml').write_text(f'rows:\n  {name}: a.py\n')
    with pytest.raises(SystemExit, match='is no text to YAML: put its name in quotes'):
        module.main(['names.yml', '--work-dir', 'work'])


def test_it_ends_when_it_is_told_to(rows, tmp_path):
    content = {'options': {'sleep': 60}, 'rows': {'plain': 'a.py'}}
    Path('rows.yml').write_text(json.dumps(content))
    # The stand-ins lie beside a copy of the tool.
    shutil.copy(ROOT / 'tools' / 'run_rows.py', tmp_path)
    command = [sys.executable, 'run_rows.py', 'rows.yml', '--work-dir', 'work']
    with subprocess.Popen(command, stderr=subprocess.PIPE, encoding='utf-8') as process:
        while not Path('work/plain/seed0/run.log').exists():
            time.sleep(0.05)
            assert process.poll() is None
        begun = time.monotonic()
        os.kill(process.pid, signal.SIGTERM)
        process.communicate(timeout=30)
    assert time.monotonic() - begun < 20 and process.returncode == 143
