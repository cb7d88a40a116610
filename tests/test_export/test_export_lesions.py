import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from bare_environment import FRAMEWORKS, run_without

from .conftest import SPACING

TOOL = Path(__file__).parents[2] / 'tools' / 'export_lesions.py'
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
    with pytest.raises(SystemExit, match='lesions.json is not what infer.py writes .*key_slice'):
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


def edit_series(results, edit):
    """Change the headers of a series; ``edit`` takes a header and its number."""
    for number, path in enumerate(sorted((results.parent / 'dicom').iterdir())):
        one = pydicom.dcmread(path)
        edit(one, number)
        one.save_as(path)


def put(**fields):
    return lambda one, number: [setattr(one, name, value) for name, value in fields.items()]


TYPE_2 = (
    'PatientName PatientID PatientBirthDate PatientSex StudyDate StudyTime StudyID AccessionNumber '
    'ReferringPhysicianName SliceThickness'
).split()


@pytest.mark.parametrize('exported', ['regular'], indirect=True)
@pytest.mark.parametrize('name', TYPE_2)
def test_what_may_be_unknown_is_empty(export, exported, name):
    results = exported[0]
    edit_series(results, lambda one, number: delattr(one, name))
    export()
    for kind in ('seg', 'sr'):
        written = pydicom.dcmread(results / f'lesions.{kind}.dcm')
        assert name == 'SliceThickness' or (name in written and not written[name].value)
    if name == 'SliceThickness':
        (measures,) = (
            pydicom.dcmread(results / 'lesions.seg.dcm')
            .SharedFunctionalGroupsSequence[0]
            .PixelMeasuresSequence
        )
        assert measures.SliceThickness == 2.5


INVALID = {'PatientBirthDate': '00000000', 'StudyDate': '20200231', 'PatientSex': 'Z9'}


@pytest.mark.parametrize('exported', ['regular'], indirect=True)
@pytest.mark.filterwarnings('ignore:Invalid value')
def test_invalid_values_are_emptied(export, exported, caplog):
    edit_series(exported[0], put(**INVALID))
    export()
    written = pydicom.dcmread(exported[0] / 'lesions.seg.dcm')
    assert [written[name].value for name in INVALID] == ['', '', '']
    assert 'empty in the exports: PatientBirthDate, PatientSex, StudyDate' in caplog.text


@pytest.mark.parametrize('exported', ['regular'], indirect=True)
@pytest.mark.parametrize(
    ('charset', 'person'),
    [('ISO_IR 100', 'Müller^Jörg'), (['', 'ISO 2022 IR 87'], 'Yamada^Tarou=山田^太郎')],
)
def test_names_in_other_characters(export, exported, charset, person):
    edit_series(exported[0], put(SpecificCharacterSet=charset, PatientName=person))
    export()
    for kind in ('seg', 'sr'):
        assert pydicom.dcmread(exported[0] / f'lesions.{kind}.dcm').PatientName == person


def numbered(name):
    return lambda one, number: setattr(one, name, f'1.2.{number % 2}')


@pytest.mark.parametrize('exported', ['regular'], indirect=True)
@pytest.mark.parametrize(
    ('edit', 'message'),
    [
        (lambda one, number: delattr(one, 'FrameOfReferenceUID'), 'no valid FrameOfReferenceUID'),
        (put(StudyInstanceUID=''), 'no valid StudyInstanceUID'),
        (lambda one, number: delattr(one, 'SOPInstanceUID'), 'no valid SOPInstanceUID'),
        (numbered('FrameOfReferenceUID'), 'different values of FrameOfReferenceUID'),
        (numbered('StudyInstanceUID'), 'different values of StudyInstanceUID'),
        (numbered('PatientID'), 'different values of PatientID'),
        (put(SOPInstanceUID='1.2.3'), 'two slices have one SOPInstanceUID'),
    ],
)
def test_series_without_an_identity(export, exported, edit, message):
    """Nothing is written, markups included, which alone do not need one."""
    edit_series(exported[0], edit)
    with pytest.raises(SystemExit, match=message) as caught:
        export()
    assert '\n' not in str(caught.value)
    assert not list(exported[0].glob('lesions.*.dcm')) + list(exported[0].glob('*.mrk.json'))
    export('--formats', 'slicer', '--dicom', str(exported[0].parent / 'dicom'))


@pytest.mark.parametrize('exported', ['regular'], indirect=True)
def test_a_lesion_that_a_reader_has_deleted(export, exported):
    """Segments are numbered anew, lesions keep their names."""
    results = exported[0]
    content = json.loads((results / 'lesions.json').read_text())
    (lesion,) = content['lesions']
    content['lesions'] = [dict(lesion, id=number, score=1 - number / 10) for number in (2, 4)]
    (results / 'lesions.json').write_text(json.dumps(content))
    image = sitk.ReadImage(str(results / 'lesions.nii.gz'))
    labels = 2 * sitk.GetArrayFromImage(image)
    labels[3, 5:7, 5:8], labels[2, 5, 5] = 4, 3  # of 3, which is deleted, a voxel is left
    changed = sitk.GetImageFromArray(labels)
    changed.CopyInformation(image)
    sitk.WriteImage(changed, str(results / 'lesions.nii.gz'))
    export()
    segmentation = pydicom.dcmread(results / 'lesions.seg.dcm')
    segments = segmentation.SegmentSequence
    assert [one.SegmentNumber for one in segments] == [1, 2]
    assert [one.TrackingID for one in segments] == ['lesion 2', 'lesion 4']
    of_frame = [
        frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        for frame in segmentation.PerFrameFunctionalGroupsSequence
    ]
    areas = segmentation.pixel_array.sum(axis=(1, 2)).tolist()
    assert sorted(zip(of_frame, areas)) == [(1, 24), (1, 24), (1, 24), (2, 6)]


@pytest.mark.parametrize('exported', ['regular'], indirect=True)
def test_all_files_or_none(export, exported, monkeypatch):
    from highdicom.sr import ComprehensiveSR

    def full(self, path):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(ComprehensiveSR, 'save_as', full)
    with pytest.raises(SystemExit, match='No space left'):
        export()
    assert not list(exported[0].glob('lesions.*.dcm')) + list(exported[0].glob('*.mrk.json'))
