"""What the tools refuse that go on from results: comparison of studies, export, and the report."""

import pytest
from bad_input_faults import file_in_place, forbidden, no_space
from bad_input_spoil import (
    DEEP_JSON,
    binary,
    edited,
    field,
    folder_for,
    huge_png,
    remove,
    text,
    truncate,
    without,
)
from bad_input_table import Case, Tool, of_options, of_tool, table

NAN, INF = float('nan'), float('inf')
COMPARE = Tool(
    'compare_studies.py',
    'studies',
    '{data}/earlier {data}/later --volumes {data}/earlier.nii {data}/later.nii --out {out}',
)
EXPORT = Tool('export_lesions.py', 'studies', '{data}/earlier --formats slicer --out {out}')
DICOM = EXPORT._replace(arguments='{data}/earlier --out {out}')
REPORT = Tool(
    'analysis_tools/report.py',
    'drawn',
    '--gt {data}/train.json --images {data}/Images_png --pred {data}/results.json '
    '--draws 10 --out {out}.html',
)
FOUND, LATER = 'earlier/lesions.json', 'later/lesions.json'


def test_valid_data_are_taken(valid_data, run_tool, tmp_path):
    for number, tool in enumerate((COMPARE, EXPORT, REPORT)):
        data, out = valid_data(tool.data), tmp_path / str(number)
        run_tool(tool.script, *tool.arguments.format(data=data, out=out).split())
    assert len(list(tmp_path.iterdir())) == 3


def results(tool):
    """What both refuse of the results of infer.py; tests/test_io/test_results.py has the fields."""
    rows = [
        ('no results', 'earlier', remove(FOUND)),
        ('a folder for them', 'lesions.json', folder_for(FOUND)),
        ('truncated results', 'lesions.json', truncate(FOUND)),
        ('no score', 'score', without(FOUND, 'score', 'lesions')),
    ]
    return of_tool(tool, *rows)


@table(
    *results(COMPARE),
    *of_tool(
        COMPARE,
        ('no later results', 'later', remove(LATER)),
        ('no scan', 'earlier.nii', remove('earlier.nii')),
        ('a truncated scan', 'later.nii', truncate('later.nii')),
        ('a binary scan', 'later.nii', binary('later.nii')),
        ('a folder for a scan', 'later.nii', folder_for('later.nii')),
    ),
    *of_options(
        COMPARE,
        ('--max-distance 0', '--max-distance'),
        ('--max-distance nan', '--max-distance'),
        ('--score-thr nan', '--score-thr'),
    ),
    *of_options(COMPARE, ('--score-thr high', 'invalid float'), status=2),
    Case(COMPARE, 'a file in place', 'out', fault=file_in_place),
    Case(COMPARE, 'read-only', 'out', fault=forbidden),
    Case(COMPARE, 'a full disk', 'cannot be written', fault=no_space),
)
def test_compare_studies(case, refuses):
    refuses(case)


@table(
    *results(EXPORT),
    *of_tool(
        EXPORT,
        ('no box', 'bbox_voxel', without(FOUND, 'bbox_voxel', 'lesions')),
    ),
    *of_options(
        EXPORT,
        ('--score-thr 0.95', '0.95'),
        ('--score-thr nan', '--score-thr'),
        ('--dicom {data}/nowhere', 'nowhere'),
        ('--dicom {data}/later', 'later'),
    ),
    *of_options(EXPORT, ('--formats word', 'invalid choice'), status=2),
    Case(EXPORT, 'a file in place', 'out', fault=file_in_place),
    Case(EXPORT, 'read-only', 'out', fault=forbidden),
    Case(EXPORT, 'a full disk', 'cannot be written', fault=no_space),
)
def test_export_lesions(case, refuses):
    refuses(case)


@table(
    Case(DICOM, 'no DICOM', '--dicom'),
    Case(DICOM, 'another folder', 'DICOM', options='--dicom {data}/later'),
)
def test_export_dicom(case, refuses):
    pytest.importorskip('highdicom', reason='DICOM output needs the extra "dicom"')
    refuses(case)


GT, PRED = 'train.json', 'results.json'
SLICE = 'Images_png/000001_01_02/006.png'


@table(
    *of_tool(
        REPORT,
        ('no annotations', 'train.json', remove(GT)),
        ('truncated annotations', 'train.json', truncate(GT)),
        ('binary annotations', 'train.json', binary(GT)),
        ('deep annotations', 'train.json', text(GT, DEEP_JSON)),
        ('a list', 'train.json', text(GT, '[1]')),
        ('no lesions', 'no lesions', edited(GT, lambda c: c.update(annotations=[]))),
        ('a box of 10^400', 'train.json', field(GT, 'bbox', [1, 2, 3, 10**400])),
        ('a name outside', 'outside', field(GT, 'file_name', '../a.png', 'images')),
        ('a number as name', 'name', field(GT, 'file_name', 7, 'images')),
        ('windows as text', 'windows', field(GT, 'windows', 'x', 'images')),
        ('NaN spacing', 'spacing', field(GT, 'spacing', [NAN, 1, 1], 'images')),
        ('no results', 'results.json', remove(PRED)),
        ('truncated results', 'results.json', truncate(PRED)),
        ('binary results', 'results.json', binary(PRED)),
        ('a NaN score', 'results.json', edited(PRED, lambda c: c[0].update(score=NAN))),
        ('a score as text', 'results.json', edited(PRED, lambda c: c[0].update(score='x'))),
        ('a box of three', 'results.json', edited(PRED, lambda c: c[0].update(bbox=[1, 2, 3]))),
        ('an unknown image', 'results.json', edited(PRED, lambda c: c[0].update(image_id=999))),
        ('no slice', '006.png', remove(SLICE)),
        ('a truncated slice', '006.png', truncate(SLICE)),
        ('a slice of 60,000 px', '006.png', huge_png(SLICE)),
        ('a folder for a slice', '006.png', folder_for(SLICE)),
    ),
    *of_options(
        REPORT,
        ('--num 0', '--num'),
        ('--draws 0', '--draws'),
        ('--draws 1000000000000', '--draws'),
        ('--threshold nan', 'threshold'),
        ('--threshold 7', 'threshold'),
        ('--groups organ', 'organ'),
        ('--out {out}.pdf', '.html'),
        ('--pred A={data}/results.json A={data}/results.json', 'two runs'),
        ('--images {data}/nowhere', 'nowhere'),
    ),
    *of_options(REPORT, ('--overlap most', 'invalid choice'), status=2),
    Case(REPORT, 'a full disk', 'cannot be written', fault=no_space),
    Case(REPORT, 'a file for the folder', 'out', options='--out {out}/r.html', fault=file_in_place),
)
def test_report(case, refuses):
    refuses(case)
