import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from bare_environment import FRAMEWORKS, run_without

from .conftest import SPACING

TOOL = Path(__file__).parents[2] / 'tools' / 'export_lesions.py'
pydicom = pytest.importorskip('pydicom', reason='DICOM output needs the extra "dicom"')
pytest.importorskip('highdicom', reason='DICOM output needs the extra "dicom"')


@pytest.fixture
def export(load_tool, exported):
    main = load_tool(TOOL).main
    results, positions, center = exported
    return lambda *options: main([str(results), *options])


def test_no_format_needs_a_framework(tmp_path, exported):
    done = run_without(tmp_path, FRAMEWORKS, 'export_lesions.py', exported[0], '--out', tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob('lesions.*'))) == 3


def frame_positions(segmentation):
    frames = segmentation.PerFrameFunctionalGroupsSequence
    return np.array([f.PlanePositionSequence[0].ImagePositionPatient for f in frames], dtype=float)


def test_segmentation_lies_where_the_slices_do(export, exported):
    results, positions, center = exported
    export('--formats', 'dicom-seg')
    segmentation = pydicom.dcmread(results / 'lesions.seg.dcm')
    assert segmentation.SegmentSequence[0].SegmentLabel == 'lesion 1, score 0.87, mask'
    found = frame_positions(segmentation)
    assert found[found[:, 2].argsort()] == pytest.approx(positions[6:9], abs=1e-4)
    masks = segmentation.pixel_array
    assert masks.sum(axis=(1, 2)).tolist() == [24, 24, 24]
    points = [
        origin + [x * SPACING, y * SPACING, 0]
        for origin, mask in zip(found, masks)
        for y, x in np.argwhere(mask)
    ]
    assert np.mean(points, axis=0) == pytest.approx(center, abs=1e-3)
    refers = segmentation.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0]
    source = refers.SourceImageSequence[0].ReferencedSOPInstanceUID
    files = [pydicom.dcmread(path) for path in (results.parent / 'dicom').iterdir()]
    (slice_of,) = [one for one in files if one.SOPInstanceUID == source]
    assert np.array(slice_of.ImagePositionPatient, float) == pytest.approx(found[0], abs=1e-4)


def test_report_has_diameters_and_identifiers(export, exported):
    results = exported[0]
    export('--formats', 'dicom-sr', 'dicom-seg')
    report = pydicom.dcmread(results / 'lesions.sr.dcm')
    items = {}

    def walk(item):
        for child in item.get('ContentSequence', []):
            name = child.ConceptNameCodeSequence[0].CodeMeaning
            if child.ValueType == 'NUM':
                items[name] = float(child.MeasuredValueSequence[0].NumericValue)
            elif child.ValueType in ('UIDREF', 'TEXT'):
                items[name] = child.get('UID') or child.TextValue
            elif child.ValueType == 'SCOORD':
                items['outline'] = np.reshape(child.GraphicData, (-1, 2))
            walk(child)

    walk(report)
    assert (items['Long axis'], items['Short axis']) == (4.8, 3.2)
    assert items['Certainty of Finding'] == pytest.approx(87)
    assert items['Tracking Identifier'] == 'lesion 1'
    segmentation = pydicom.dcmread(results / 'lesions.seg.dcm')
    assert items['Tracking Unique Identifier'] == segmentation.SegmentSequence[0].TrackingUID
    # px 20 to 25 and 10 to 13, with their centers at .5
    assert items['outline'].min(0).tolist() == [20.5, 10.5]
    assert items['outline'].max(0).tolist() == [25.5, 13.5]
    assert items['outline'][0].tolist() == items['outline'][-1].tolist()


def test_markups_lie_where_the_slices_do(export, exported):
    results, _, center = exported
    export('--formats', 'slicer', '--dicom', str(results.parent / 'dicom'))
    box, long, short = json.loads((results / 'lesions.mrk.json').read_text())['markups']
    assert box['coordinateSystem'] == 'LPS'
    assert box['center'] == pytest.approx(center, abs=0.5)
    assert box['size'][:2] == pytest.approx([6 * SPACING, 4 * SPACING])
    ends = np.array([point['position'] for point in long['controlPoints']])
    assert np.linalg.norm(ends[1] - ends[0]) == pytest.approx(4.8)
    assert short['name'] == 'lesion 1, short'


def test_same_results_have_the_same_identifiers(export, exported, tmp_path):
    results = exported[0]
    uids = []
    for name in 'first', 'second':
        export('--formats', 'dicom-seg', '--out', str(tmp_path / name))
        uids.append(pydicom.dcmread(tmp_path / name / 'lesions.seg.dcm').SOPInstanceUID)
    assert uids[0] == uids[1] and not (results / 'lesions.seg.dcm').exists()


@pytest.mark.skipif(not shutil.which('dciodvfy'), reason='dicom3tools are not installed')
def test_standard_is_kept(export, exported):
    results = exported[0]
    export()
    for name in 'seg', 'sr':
        path = results / f'lesions.{name}.dcm'
        done = subprocess.run(['dciodvfy', str(path)], capture_output=True, text=True, check=False)
        errors = [line for line in done.stderr.splitlines() if line.startswith('Error')]
        assert errors == []


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--score-thr', '0.9'], 'no lesion with a score of 0.9'),
        (['--dicom', '/nowhere'], 'not the folder of a DICOM series'),
    ],
)
def test_bad_input_is_one_line(export, exported, options, message):
    with pytest.raises(SystemExit, match=message):
        export(*options)
    assert not list(exported[0].glob('lesions.*.dcm'))


def test_other_series_is_refused(export, exported):
    results = exported[0]
    next((results.parent / 'dicom').iterdir()).unlink()
    with pytest.raises(SystemExit, match='give the series that infer.py has read'):
        export()


def test_damaged_results_are_refused(export, exported):
    path = exported[0] / 'lesions.json'
    content = json.loads(path.read_text())
    del content['lesions'][0]['key_slice']
    path.write_text(json.dumps(content))
    with pytest.raises(SystemExit, match=r'lesions.json is not what infer.py writes \(KeyError'):
        export()


def test_reports_need_key_slices_of_the_series(export, exported):
    path = exported[0] / 'lesions.json'
    content = json.loads(path.read_text())
    content['volume']['slice_axis'] = 'j'
    path.write_text(json.dumps(content))
    with pytest.raises(SystemExit, match='measured on slices along j.*--formats dicom-seg slicer'):
        export()
    assert not list(exported[0].glob('lesions.*.dcm')) + list(exported[0].glob('*.mrk.json'))
    export('--formats', 'dicom-seg', 'slicer')


@pytest.mark.parametrize('key_slice', [-1, 12])
def test_key_slices_outside_the_volume_are_refused(export, exported, key_slice):
    path = exported[0] / 'lesions.json'
    content = json.loads(path.read_text())
    content['lesions'][0]['key_slice'] = key_slice
    path.write_text(json.dumps(content))
    with pytest.raises(SystemExit, match='a key_slice is outside 0 to 11'):
        export()
