"""What the tools refuse that run others, convert checkpoints, report, and measure times."""

import pytest
from bad_input_faults import file_in_place
from bad_input_spoil import (
    DEEP_JSON,
    binary,
    edited,
    field,
    folder_for,
    remove,
    replaced,
    text,
    truncate,
)
from bad_input_table import Case, Tool, of_options, of_tool, table

ROWS = Tool('run_rows.py', 'rows', '{data}/rows.yml --work-dir {out}')
CHECKPOINT = Tool('model_converters/convert_checkpoint.py', 'rows', '{data}/old.pth {out} --trust')
REPORT = Tool(
    'analysis_tools/report.py',
    'drawn',
    '--gt {data}/train.json --pred A={data}/results.json --images {data}/Images_png '
    '--draws 20 --out {out}.html',
)
WITHHOLD = Tool('analysis_tools/withhold_annotations.py', 'drawn', '{data}/train.json --out {out}')
HALF = WITHHOLD._replace(arguments=WITHHOLD.arguments + ' --lesions 0.5')
SLICES = WITHHOLD._replace(arguments=WITHHOLD.arguments + ' --key-slices')
FOUND = WITHHOLD._replace(arguments=WITHHOLD.arguments + ' --found-in {data}/train.json')


def test_valid_data_are_taken(valid_data, run_tool, tmp_path):
    for number, tool in enumerate((CHECKPOINT, REPORT, HALF, SLICES, FOUND)):
        data, out = valid_data(tool.data), tmp_path / str(number)
        run_tool(tool.script, *tool.arguments.format(data=data, out=out).split())
    assert len(list(tmp_path.iterdir())) == 5


def rows(content):
    return text('rows.yml', content)


@pytest.fixture
def no_runs(monkeypatch):
    """Let no training begin."""

    def refuse(*_, **__):
        raise AssertionError('a training has begun')

    monkeypatch.setattr('subprocess.Popen', refuse)


@table(
    *of_tool(
        ROWS,
        ('no file', 'rows.yml', remove('rows.yml')),
        ('a folder for the file', 'rows.yml', folder_for('rows.yml')),
        ('empty file', 'rows.yml', truncate('rows.yml', 0)),
        ('binary file', 'rows.yml', binary('rows.yml')),
        ('no YAML', 'rows.yml', rows('rows: [')),
        ('a list', 'must have keys', rows('[1]')),
        ('no rows', 'rows.yml', rows('rows: {}')),
        ('rows as a list', 'no row under', rows('rows: [1]')),
        ('an unknown key', 'unknown row', rows('row: {}\nrows: {A: config.py}')),
        ('a row as a number', 'must have keys', rows('rows: {A: 1}')),
        ('a row without config', 'needs one of', rows('rows: {A: {options: {}}}')),
        ('a missing config', 'there is no config', rows('rows: {A: none.py}')),
        ('a number as config', 'config', rows('rows: {A: {config: 3}}')),
        ('a folder as config', 'there is no config', rows('rows: {A: /}')),
        ('an unknown reference', 'is none of the rows', replaced('rows.yml', 'FPN', 'X')),
        (
            'a list as reference',
            'reference',
            replaced('rows.yml', 'reference: FPN', 'reference: [1]'),
        ),
        ('seeds as text', 'seeds must be', replaced('rows.yml', '[0]', 'none')),
        ('a number as seeds', 'seeds must be', replaced('rows.yml', '[0]', '3')),
        ('negative seeds', 'seeds must be', replaced('rows.yml', '[0]', '[-1]')),
        ('options as text', 'options', replaced('rows.yml', 'options: {}', 'options: many')),
        ('options as a list', 'options', replaced('rows.yml', 'options: {}', 'options: [1]')),
        ('a row of none', 'row before it', rows('rows: {A: {of: B}}')),
        ('a list as of', 'row', rows('rows: {A: {of: [1]}}')),
        ('a row named ..', 'becomes a folder', rows('rows: {"..": config.py}')),
        (
            'another record',
            'holds a run of another',
            text('../out/FPN/seed0/run.json', '{"made_of": "x"}'),
        ),
    ),
    *of_options(
        ROWS,
        ('--jobs 0', '--jobs'),
        ('--draws 0', '--draws'),
        ('--draws 1000000000000', '--draws'),
        ('--only none', '--only none'),
        ('--seeds -1', 'seeds'),
    ),
    Case(ROWS, 'a file for the folder', 'out', fault=file_in_place),
    *of_options(ROWS, ('--seeds one', 'invalid int value'), status=2),
)
def test_run_rows(case, refuses, no_runs):
    refuses(case)


@table(
    *of_tool(
        CHECKPOINT,
        ('no file', 'old.pth', remove('old.pth')),
        ('a folder', 'old.pth', folder_for('old.pth')),
        ('truncated file', 'old.pth', truncate('old.pth')),
        ('empty file', 'old.pth', truncate('old.pth', 0)),
        ('text', 'old.pth', text('old.pth', 'no weights')),
        ('binary', 'old.pth', binary('old.pth')),
    ),
    Case(CHECKPOINT, 'a file in its place', 'exists', fault=file_in_place),
    Case(
        CHECKPOINT._replace(arguments='{data}/old.pth {out}/below --trust'),
        'a file for its folder',
        'out',
        fault=file_in_place,
    ),
    *of_tool(
        CHECKPOINT._replace(arguments='{data}/old.pth {out}'),
        ('no trust', '--trust', binary('old.pth')),
    ),
    Case(CHECKPOINT._replace(arguments='{data}/list.pth {out} --trust'), 'a list', 'list'),
)
def test_convert_checkpoint(case, refuses):
    refuses(case)


@table(
    *of_tool(
        REPORT,
        ('no truth', 'train.json', remove('train.json')),
        ('deep truth', 'is not valid JSON', text('train.json', DEEP_JSON)),
        ('no results', 'results.json', remove('results.json')),
        ('results as a dictionary', 'must be a list', text('results.json', '{}')),
        (
            'unknown images',
            'does not list',
            replaced('results.json', '"image_id": 1', '"image_id": 9'),
        ),
        ('ignored lesions alone', 'no lesions', field('train.json', 'ignore', 1)),
        ('no slice', '006.png', remove('Images_png/000001_01_02/006.png')),
        ('truncated slice', 'truncated', truncate('Images_png/000001_01_02/006.png')),
        ('a name outside', 'leads outside', field('train.json', 'file_name', '../a.png', 'images')),
        ('zero spacing', 'spacing', field('train.json', 'spacing', [0, 0], 'images')),
        ('windows as text', 'windows', field('train.json', 'windows', 'wide', 'images')),
    ),
    *of_options(
        REPORT,
        ('--num 0', '--num'),
        ('--draws 1000000000000', '--draws'),
        ('--threshold nan', 'threshold'),
        ('--groups organ', 'organ'),
        ('--pred A={data}/results.json A={data}/results.json', 'two runs are called A'),
        ('--out {out}.txt', '--out'),
        ('--out {data}/train.json/a.html', 'train.json'),
    ),
)
def test_report(case, refuses):
    refuses(case)


@table(
    *of_tool(
        HALF,
        ('no file', 'train.json', remove('train.json')),
        ('deep file', 'is not valid JSON', text('train.json', DEEP_JSON)),
        (
            'no lesion',
            'no lesion is annotated',
            edited('train.json', lambda c: c.update(annotations=[])),
        ),
        (
            'no annotation id',
            'id',
            edited('train.json', lambda c: c['annotations'][0].pop('id') and None),
        ),
    ),
    *of_options(
        HALF,
        ('--lesions 0', 'between 0 and 1'),
        ('--lesions nan', 'between 0 and 1'),
        ('--seed -1', 'seed'),
    ),
    *of_options(HALF, ('--key-slices', 'not allowed with'), status=2),
)
def test_withhold_annotations(case, refuses):
    refuses(case)


def benchmark(name, words, says, status=1):
    tool = Tool(f'benchmarks/{name}.py', 'drawn', words)
    return Case(tool, f'{words}', says, status=status)


@table(
    benchmark('elixirnet', '--size 3', '--size'),
    benchmark('elixirnet', '--proposals 0', '--proposals'),
    benchmark('froc', '--repeats 0', '--repeats'),
    benchmark('froc', '--seed -1', '--seed'),
    benchmark('froc', '--repeats x', 'invalid int', status=2),
    benchmark('grabcut', '{data}/none.json --images {data}/Images_png', 'none.json'),
    benchmark('grabcut', '{data}/train.json --images {data}/none', 'none'),
    benchmark('grabcut', '{data}/train.json --images {data}/Images_png --num 0', '--num'),
    benchmark('grabcut', '{data}/train.json --images {data}/Images_png --workers 0', '--workers'),
    benchmark('improved_retinanet', '{data}/none.py', 'none.py'),
    benchmark('improved_retinanet', '--size 3', '--size'),
    benchmark('lens', '--size 3', '--size'),
    benchmark('lens', '--proposals 0', '--proposals'),
    benchmark('nms_roi_align_3d', '--boxes 0', '--boxes'),
    benchmark('nms_roi_align_3d', '--size 1', '--size'),
    benchmark('nms_roi_align_3d', '--iou nan', '--iou'),
    benchmark('nms_roi_align_3d', '--seed -1', '--seed'),
    benchmark('scan_3d', '{data}/none.py', 'none.py'),
    benchmark('scan_3d', '--doublings -1', '--doublings'),
    benchmark('scan_3d', '--checkpoint {data}/none.pth', 'none.pth'),
    benchmark('train_step_3d', '{data}/none.py', 'none.py'),
    benchmark('train_step_3d', '--batch 0', '--batch'),
    benchmark('train_step_3d', '--size 3', '--size'),
    benchmark('trpn', '--size 3', '--size'),
    benchmark('trpn', '--channels 0', '--channels'),
    benchmark('trpn', '--device nowhere', 'device'),
)
def test_benchmarks(case, refuses):
    refuses(case)


@pytest.mark.parametrize('name', ['none.py', 'train.json'])
def test_a_config_that_is_none(name, refuses):
    refuses(benchmark('lens', f'{{data}}/{name}', name))
