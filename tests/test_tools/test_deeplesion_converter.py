import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from phantom import PatientOptions, make_deeplesion_phantom

from mmlesion.converters import deeplesion
from mmlesion.converters.base import Run
from mmlesion.io.deeplesion import DL_INFO_HEADER, read_lines
from mmlesion.io.json_files import write_json_text
from mmlesion.utils import UserError

ROOT = Path(__file__).parents[2]
TOOL = ROOT / 'tools' / 'dataset_converters' / 'deeplesion.py'
OFFICIAL_FILES = ROOT.parent / 'shared' / 'data' / 'deeplesion'
SAMPLE = OFFICIAL_FILES / 'DL_info_sample.csv'
OFFICIAL = OFFICIAL_FILES / 'DL_info_val.csv'
PUBLISHED = OFFICIAL_FILES / 'deeplesion_val_coco.json'

HEADER = ','.join(DL_INFO_HEADER)
# A training slice of 5 mm with one lesion, two lesions on a test slice of 2 mm.
ROWS = [
    '000089_01_01_037.png,89,1,1,37,"154.273, 176.808, 143.903, 209.029, 160.939, 200.511, '
    '137.977, 191.252","132.977, 171.808, 165.939, 214.029","33.8477, 24.7578","0.282373, '
    '0.333694, 0.546692",-1,0,"31, 43","0.859375, 0.859375, 5","512, 512","-175, 275",F,71,1',
    '000091_03_01_093.png,91,3,1,93,"251.32, 234.106, 242.344, 232.262, 246.401, 236.319, '
    '247.877, 229.926","237.344, 224.926, 256.32, 241.319","9.16315, 6.56165","0.467705, '
    '0.45989, 0.675277",2,0,"78, 108","0.929688, 0.929688, 2","512, 512","-175, 275",M,26,3',
    '000091_03_01_093.png,91,3,1,93,"260.168, 242.046, 240.948, 240.948, 254.402, 236.555, '
    '253.853, 248.91","235.948, 231.555, 265.168, 253.91","19.2514, 12.3679","0.47642, '
    '0.483725, 0.675277",2,0,"78, 108","0.929688, 0.929688, 2","512, 512","-175, 275",M,26,3',
]


@pytest.fixture
def convert(run_tool, tmp_path):
    """Run the tool on rows, with a picture for each name in ``slices``."""

    def run(rows, *flags, slices=('000089_01_01/037', '000091_03_01/093'), header=HEADER):
        table = tmp_path / 'DL_info.csv'
        table.write_text('\n'.join([header, *rows]) + '\n')
        for name in slices:
            path = tmp_path / 'Images_png' / f'{name}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), np.full((4, 4), 32768, np.uint16))
        out = tmp_path / 'out'
        arguments = [table, '--images', tmp_path / 'Images_png', '--out', out, *flags]
        run_tool(TOOL, *arguments)
        return {s: json.loads((out / f'{s}.json').read_text()) for s in ('train', 'val', 'test')}

    return run


def edit(row, column, value):
    """A row with another cell."""
    import csv
    import io

    cells = next(csv.reader([row]))
    cells[DL_INFO_HEADER.index(column)] = value
    text = io.StringIO()
    csv.writer(text, lineterminator='').writerow(cells)
    return text.getvalue()


def test_known_row(convert):
    train = convert(ROWS)['train']
    assert train['categories'] == [{'id': 1, 'name': 'lesion', 'supercategory': 'lesion'}]
    assert train['images'] == [
        {
            'id': 1,
            'file_name': '000089_01_01/037.png',
            'height': 512,
            'width': 512,
            'spacing': [0.859375, 0.859375],
            'slice_interval': 5.0,
            'slice_index': 37,
            'slice_range': [31, 43],
            'patient_id': 89,
            'study_id': 1,
            'series_id': 1,
            'windows': [[-175.0, 275.0]],
            'pixel_center': 0.0,
        }
    ]
    (annotation,) = train['annotations']
    assert annotation['bbox'] == [131.977, 170.808, 32.962, 42.221]
    assert annotation['area'] == pytest.approx(32.962 * 42.221)
    assert annotation['diameters_mm'] == pytest.approx([29.0879, 21.2763], abs=1e-3)
    assert annotation['recist'][:4] == [153.273, 175.808, 142.903, 208.029]
    expected = {'id': 1, 'image_id': 1, 'category_id': 1, 'lesion_type': -1, 'iscrowd': 0}
    expected |= {'noisy': 0, 'source': 'annotated'}
    assert {key: annotation[key] for key in expected} == expected


def test_two_lesions_are_one_image_and_an_empty_split_is_written(convert, capsys):
    done = convert(ROWS)
    assert [image['slice_index'] for image in done['test']['images']] == [93]
    assert [a['image_id'] for a in done['test']['annotations']] == [1, 1]
    assert [a['id'] for a in done['test']['annotations']] == [1, 2]
    assert done['val']['images'] == []
    assert 'val.json has no image' in capsys.readouterr().err


def test_pycocotools_reads_it(convert, tmp_path):
    from pycocotools.coco import COCO

    convert(ROWS)
    coco = COCO(str(tmp_path / 'out' / 'test.json'))
    assert len(coco.getAnnIds(imgIds=1, areaRng=[300, 400])) == 1


def test_multi_type(convert, capsys):
    done = convert([*ROWS, edit(ROWS[1], 'Coarse_lesion_type', '8')], '--multi-type')
    names = [category['name'] for category in done['test']['categories']]
    assert names[0] == 'bone' and names[6:] == ['soft_tissue', 'pelvis']
    assert [a['category_id'] for a in done['test']['annotations']] == [2, 2, 8]
    assert done['train']['images'] == []
    printed = capsys.readouterr()
    assert 'without a type' in printed.out
    assert 'train.json has no image' in printed.err


def test_noisy_rows_of_the_training_split_are_dropped_with_their_image(convert, capsys):
    # A noisy row may have a box anywhere; that is not reported.
    noisy = edit(edit(ROWS[0], 'Possibly_noisy', '1'), 'Bounding_boxes', '900, 900, 950, 950')
    done = convert([noisy, edit(ROWS[1], 'Possibly_noisy', '1')])
    assert done['train']['images'] == [] and len(done['test']['images']) == 1
    assert [a['noisy'] for a in done['test']['annotations']] == [1]  # the test split counts it
    printed = capsys.readouterr()
    assert '| noisy    | 1    |' in printed.out
    assert 'skipped' not in printed.err


BAD = {
    'unknown split': ('Train_Val_Test', '4', 'Train_Val_Test is 4, not 1, 2 or 3'),
    'fraction of a split': ('Train_Val_Test', '1.5', "Train_Val_Test is '1.5', not whole"),
    'word for a number': ('Patient_index', 'x', "Patient_index is 'x', not a number"),
    'too few numbers': ('Measurement_coordinates', '1, 2', 'not 8 numbers'),
    'nan': ('Spacing_mm_px_', 'nan, nan, 5', 'not 3 numbers'),
    'no spacing': ('Spacing_mm_px_', '0, 0, 5', 'Spacing_mm_px_ is not 0.01 to 100 mm'),
    'box inside out': ('Bounding_boxes', '9, 9, 5, 20', 'not x1 < x2'),
    'box outside': ('Bounding_boxes', '600, 9, 650, 20', 'outside its image of 512 x 512'),
    'box too far out': ('Bounding_boxes', '508.1, 9, 517.1, 20', 'outside its image'),
    'other patient': ('Patient_index', '90', 'does not fit'),
    'key slice out of range': ('Slice_range', '40, 43', 'does not hold the key slice 37'),
    'another type': ('Coarse_lesion_type', '9', 'not -1 or 1 to 8'),
    'path in a name': ('File_name', '../../etc/037.png', 'is not like'),
}


@pytest.mark.parametrize('name', BAD)
def test_bad_row_is_skipped_with_its_line(convert, capsys, name):
    column, value, message = BAD[name]
    rows = [ROWS[1], edit(ROWS[0], column, value), ROWS[2]]
    done = convert(rows, '--allow-skipped', 1)
    assert done['train']['images'] == [] and len(done['test']['annotations']) == 2
    error = capsys.readouterr().err
    assert 'DL_info.csv, line 3: ' in error and message in error


@pytest.mark.parametrize('name', BAD)
def test_strict_stops_and_writes_nothing(convert, tmp_path, name):
    column, value, message = BAD[name]
    with pytest.raises(SystemExit, match=r'error: .*DL_info.csv, line 2: ') as stop:
        convert([edit(ROWS[0], column, value), ROWS[1]], '--strict')
    assert message in str(stop.value)
    assert not (tmp_path / 'out').exists()


def test_broken_quote_spoils_one_row_only(convert, capsys):
    done = convert([ROWS[0][:80], 'a,"b', ROWS[1]], '--allow-skipped', 2)
    assert len(done['test']['annotations']) == 1
    error = capsys.readouterr().err
    assert 'line 2' in error and 'line 3' in error


def test_missing_key_slice(convert, capsys, tmp_path):
    slices = ('000089_01_01/037',)
    with pytest.raises(SystemExit, match='2 of 3 rows were skipped.*--allow-skipped 2'):
        convert(ROWS, slices=slices)
    done = convert(ROWS, '--allow-skipped', 2, slices=slices)
    assert len(done['train']['images']) == 1 and done['test']['images'] == []
    printed = capsys.readouterr()
    assert '| missing key slice | 2    |' in printed.out
    assert f'line 3: there is no key slice {tmp_path}/Images_png/000091_03_01/093.png' in (
        printed.err
    )
    assert len((tmp_path / 'out' / 'skipped.txt').read_text().splitlines()) == 2
    convert(ROWS)
    assert not (tmp_path / 'out' / 'skipped.txt').exists()


def test_nothing_is_written_if_no_row_can_be_used(convert, tmp_path):
    with pytest.raises(SystemExit, match='no row can be used; the first: .*no key slice'):
        convert(ROWS, '--allow-skipped', 3, slices=('000001_01_01/001',))
    assert not (tmp_path / 'out').exists()


def test_a_box_that_reaches_out_stays_as_published(convert):
    row = edit(ROWS[0], 'Bounding_boxes', '-4.5, 500, 20, 520')
    (annotation,) = convert([row])['train']['annotations']
    assert annotation['bbox'] == [-5.5, 499, 24.5, 20]


def test_first_row_of_the_official_list(convert):
    """Its genuine numbers; the published JSON has its box as asserted."""
    row = (
        '000001_01_01_109.png,1,1,1,109,"233.537, 95.0204, 234.057, 106.977, 231.169, 101.605, '
        '236.252, 101.143","226.169, 90.0204, 241.252, 111.977","11.9677, 5.10387","0.44666, '
        '0.283794, 0.434454",3,0,"103, 115","0.488281, 0.488281, 5","512, 512","-175, 275",F,62,3'
    )
    (annotation,) = convert([row], slices=['000001_01_01/109'])['test']['annotations']
    assert annotation['bbox'] == [225.169, 89.0204, 15.083, 21.9566]
    # the padding of 5 px between the box and the ends of the diameters stays
    ends = np.reshape(annotation['recist'], (4, 2))
    np.testing.assert_allclose(ends.min(axis=0) - 5, annotation['bbox'][:2], atol=1e-3)


def test_all_official_validation_rows_agree_with_the_published_boxes():
    for path in (OFFICIAL, PUBLISHED):
        if not path.exists():
            pytest.skip(f'{path} is not there')
    coco = json.loads(PUBLISHED.read_text())
    names = {image['id']: image['file_name'] for image in coco['images']}
    published = boxes_by_name((names[a['image_id']], *a['bbox']) for a in coco['annotations'])
    rows = [line.parse() for line in read_lines(OFFICIAL)]
    lesions = deeplesion.MeasuredLesions()
    for row in rows:
        deeplesion.check_box(row)  # refuses none
        lesions.add(row, 1, 1)
    ours = boxes_by_name((row.file_name, *a['bbox']) for row, a in zip(rows, lesions))
    assert sum(map(len, ours.values())) == 4889
    assert ours.keys() == published.keys()
    for name, boxes in ours.items():
        np.testing.assert_allclose(boxes, published[name], rtol=0, atol=1e-6, err_msg=name)


def boxes_by_name(found):
    boxes = {}
    for name, *box in found:
        boxes.setdefault(name, []).append(box)
    return {name: sorted(found) for name, found in boxes.items()}


def test_a_genuine_row_may_reach_beyond_its_image(convert):
    """By 6.6 px: the lesion itself is measured 1.6 px beyond the last column."""
    if not OFFICIAL.exists():
        pytest.skip(f'{OFFICIAL} is not there')
    (row,) = [row for row in OFFICIAL.read_text().splitlines() if '000211_02_01_018.png' in row]
    (annotation,) = convert([row], '--strict', slices=['000211_02_01/018'])['val']['annotations']
    assert annotation['bbox'] == [445.759, 221.073, 71.889, 48.345]


def test_rows_that_disagree_about_an_image(convert, capsys):
    rows = [ROWS[1], edit(ROWS[2], 'Spacing_mm_px_', '0.5, 0.5, 2')]
    done = convert(rows, '--allow-skipped', 1)
    assert len(done['test']['annotations']) == 1
    assert 'line 3: spacing of 000091_03_01/093.png is [0.5, 0.5]' in capsys.readouterr().err


@pytest.mark.parametrize(
    'content, message',
    [
        (b'', 'is empty'),
        (b'a,b,c\n1,2,3\n', 'lacks File_name'),
        (b'\x89PNG\r\n\x1a\n\xff\xfe', 'cannot be read as CSV'),
    ],
)
def test_a_file_that_is_not_dl_info(tmp_path, content, message):
    path = tmp_path / 'DL_info.csv'
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        deeplesion.convert(path, tmp_path / 'out', images=tmp_path)


def test_write_is_all_or_nothing(tmp_path, monkeypatch):
    written = []

    def fail_on_third(content, path):
        written.append(content)
        if len(written) == 3:
            raise OSError('no space left on device')
        write_json_text(content, path)

    monkeypatch.setattr('mmlesion.converters.base.write_json_text', fail_on_third)
    with pytest.raises(OSError):
        Run(tmp_path / 'out').write({'train': {}, 'val': {}, 'test': {}}, [])
    assert list((tmp_path / 'out').iterdir()) == []


def test_genuine_rows(convert, tmp_path):
    if not SAMPLE.exists():
        pytest.skip(f'{SAMPLE} is not there')
    header, *rows = SAMPLE.read_text().splitlines()
    names = {row.split(',')[0] for row in rows}
    slices = [f'{name[:12]}/{name[13:16]}' for name in names]
    done = convert(rows, '--strict', slices=slices, header=header)
    assert [len(done[s]['annotations']) for s in ('train', 'val', 'test')] == [7, 0, 6]
    assert [len(done[s]['images']) for s in ('train', 'val', 'test')] == [7, 0, 5]
    for image in done['train']['images'] + done['test']['images']:
        assert image['slice_interval'] in (1, 2, 5)


def test_command_line_has_no_traceback(tmp_path):
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    command = [sys.executable, str(TOOL), 'none.csv', '--images', str(tmp_path), '--out', 'x']
    done = subprocess.run(
        command, capture_output=True, encoding='utf-8', cwd=tmp_path, env=environment
    )
    assert done.returncode == 1
    assert 'error: none.csv cannot be read as CSV' in done.stderr
    assert 'Traceback' not in done.stderr
    assert not (tmp_path / 'x').exists()


def test_a_phantom_converts_without_a_word(tmp_path):
    root = tmp_path / 'phantom'
    make_deeplesion_phantom(root, (2, 1, 2), noisy=0.5, options=PatientOptions(size=128))
    for multi_type in (False, True):
        done, skipped, left_out = deeplesion.read_splits(
            root / 'DL_info.csv', root / 'Images_png', Run(root, strict=True), multi_type
        )
        assert skipped == [] and left_out['noisy'] > 0
        lesions = {split: len(coco['annotations']) for split, coco in done.items()}
        assert min(lesions['val'], lesions['test']) > 0
        assert (lesions['train'] == 0) == multi_type
    types = [annotation['lesion_type'] for annotation in done['test']['annotations']]
    assert [a['category_id'] for a in done['test']['annotations']] == types
