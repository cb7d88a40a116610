import csv
import json
from hashlib import sha256

import cv2
import numpy as np
import pytest
import SimpleITK as sitk

from mmlesion.apis import lesion_writer
from mmlesion.apis.lesion_writer import check_out_dir, write_lesions
from mmlesion.apis.lesions import describe_lesions
from mmlesion.structures import Segment
from mmlesion.structures.ct_volume import CTVolume
from mmlesion.utils import UserError
from mmlesion.visualization.overlays import MASK_COLOR

PROVENANCE = dict(source='scan.nii.gz', detector=dict(config='c.py', score_thr=0.3))
FILES = ['lesions.csv', 'lesions.json', 'lesions.nii.gz']
BOXES = np.array([[4, 2, 1, 24, 12, 4], [5, 7, 6, 15, 14, 7]], float)


@pytest.fixture
def volume():
    """An oblique volume with permuted axes: i to posterior, j to superior, k to left."""
    array = np.full((30, 10, 20), -1000, np.int16)
    array[5:25, 2:8, 3:17] = 40
    image = sitk.GetImageFromArray(array)
    turn = np.radians(10)
    tilt = np.array([[1, 0, 0], [0, np.cos(turn), -np.sin(turn)], [0, np.sin(turn), np.cos(turn)]])
    image.SetDirection((tilt @ [[0, 0, 1], [1, 0, 0], [0, 1, 0]]).ravel().tolist())
    image.SetSpacing((0.75, 2.5, 0.625))
    image.SetOrigin((-100.25, 31.5, 800.125))
    return CTVolume(image)


@pytest.fixture
def lesions(volume):
    """One with a mask around its middle and one without."""
    segments = [{2: Segment(np.ones((4, 8), bool), (10, 5))}, {}]
    return describe_lesions(
        volume, BOXES, np.array([0.9, 0.4]), [0, 0], ('lesion',), segments=segments
    )


def write(out_dir, volume, lesions, **options):
    write_lesions(out_dir, volume, lesions, PROVENANCE, show_progress=False, **options)


def files_in(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob('*') if p.is_file())


def test_patient_and_date_of_a_dicom_series(tmp_path, volume, lesions):
    write(tmp_path / 'file', volume, lesions)
    volume.image.SetMetaData('0010|0020', 'PAT 1')
    volume.image.SetMetaData('0008|0020', '20240305')
    write(tmp_path / 'series', volume, lesions)
    names = ('file', 'series')
    texts = [(tmp_path / name / 'lesions.json').read_text() for name in names]
    known = [
        (volume['patient'], volume['study_date'])
        for volume in (json.loads(text)['volume'] for text in texts)
    ]
    assert known == [(None, None), (sha256(b'PAT 1').hexdigest(), '2024-03-05')]
    assert 'PAT 1' not in texts[1], 'no name leaves the series'


def test_json_and_csv_tell_the_same(tmp_path, volume, lesions):
    write(tmp_path / 'out', volume, lesions)
    content = json.loads((tmp_path / 'out/lesions.json').read_text())
    assert 'LPS' in content['coordinates']['center_mm']
    assert content['volume']['slice_axis'] == 'j' and content['volume']['orientation'] == 'PSL'
    assert content['volume']['size'] == [20, 10, 30] and content['detector']['score_thr'] == 0.3
    with open(tmp_path / 'out/lesions.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(content['lesions']) == 2
    for row, lesion in zip(rows, content['lesions']):
        world = [float(row[f'{axis}_mm_lps']) for axis in 'xyz']
        voxel = [float(row[f'{axis}_voxel']) for axis in 'ijk']
        np.testing.assert_allclose(world, lesion['center_mm'], atol=1e-4)
        np.testing.assert_allclose(voxel, lesion['center_voxel'], atol=1e-4)
        expected = volume.image.TransformContinuousIndexToPhysicalPoint(lesion['center_voxel'])
        np.testing.assert_allclose(lesion['center_mm'], expected, atol=1e-6)
        assert [int(row['first_slice']), int(row['last_slice'])] == lesion['slice_range']
        assert int(row['key_slice']) == lesion['key_slice']
        assert row['diameter_source'] == lesion['diameter_source']
        diameters = [float(row['diameter_mm']), float(row['short_diameter_mm'])]
        expected = [lesion['diameter_mm'], lesion['short_diameter_mm']]
        np.testing.assert_allclose(diameters, expected, atol=1e-4)
    assert [lesion['diameter_source'] for lesion in content['lesions']] == ['mask', 'box']
    first, second = content['lesions']
    assert np.shape(first['recist_voxel']) == (4, 3) and second['recist_voxel'] is None
    assert 'segments' not in first


def test_page_is_of_the_volume_in_memory(tmp_path, volume, lesions):
    """The file that the results name is not there."""
    write(tmp_path / 'out', volume, lesions, max_overlays=0, report=True)
    assert files_in(tmp_path / 'out') == [*FILES, 'report.html']
    page = (tmp_path / 'out/report.html').read_text(encoding='utf-8')
    assert 'scan.nii.gz: 10 slices of 30 ' in page
    write(tmp_path / 'out', volume, lesions, max_overlays=0)
    assert files_in(tmp_path / 'out') == FILES


def test_label_map_lies_over_the_volume(tmp_path, volume, lesions):
    write(tmp_path / 'out', volume, lesions)
    labels = sitk.ReadImage(str(tmp_path / 'out/lesions.nii.gz'))
    image = volume.image
    assert labels.GetSize() == image.GetSize()
    np.testing.assert_allclose(labels.GetSpacing(), image.GetSpacing(), atol=1e-6)
    np.testing.assert_allclose(labels.GetOrigin(), image.GetOrigin(), atol=1e-4)
    np.testing.assert_allclose(labels.GetDirection(), image.GetDirection(), atol=1e-6)
    for lesion in lesions:
        assert labels[labels.TransformPhysicalPointToIndex(lesion.center_mm)] == lesion.id


def test_overlays_are_drawn_and_limited(tmp_path, volume, lesions):
    write(tmp_path / 'out', volume, lesions)
    names = ['lesions.csv', 'lesions.json', 'lesions.nii.gz']
    pictures = ['overlays/lesion_001.png', 'overlays/lesion_002.png']
    assert files_in(tmp_path / 'out') == names + pictures
    # The training frame is 30 x 20 px of 0.625 x 0.75 mm, 18.75 x 15 mm.
    picture = cv2.imread(str(tmp_path / 'out/overlays/lesion_001.png'))
    assert picture.shape == (512 + 28, 640, 3)
    # The mask, on slice 2, has columns 10 to 17 and rows 5 to 8; a column is 21.3 px wide.
    rows, columns = np.nonzero((picture[28:] == MASK_COLOR).all(-1))
    found = [columns.min(), columns.max(), rows.min(), rows.max()]
    np.testing.assert_allclose(
        found, np.multiply([10, 18, 5, 9], [640 / 30] * 2 + [25.6] * 2), atol=2
    )
    second = cv2.imread(str(tmp_path / 'out/overlays/lesion_002.png'))
    green = [one[..., 1] > one[..., [0, 2]].max(-1) + 100.0 for one in (picture, second)]
    assert green[0].sum() > 100 and not green[1].any()
    assert not (second == MASK_COLOR).all(-1).any()
    write(tmp_path / 'out', volume, lesions, max_overlays=1)
    assert files_in(tmp_path / 'out') == names + pictures[:1], 'an older picture must not stay'
    write(tmp_path / 'out', volume, [], max_overlays=1)
    assert files_in(tmp_path / 'out') == names
    assert json.loads((tmp_path / 'out/lesions.json').read_text())['lesions'] == []


def test_all_or_nothing(tmp_path, volume, lesions, monkeypatch):
    write(tmp_path / 'out', volume, lesions[:1])
    before = (tmp_path / 'out/lesions.json').read_text()

    def full_disk(*_):
        raise OSError('No space left on device')

    monkeypatch.setattr(lesion_writer, 'draw_lesion', full_disk)
    with pytest.raises(UserError, match='cannot write the lesions to .*No space left'):
        write(tmp_path / 'out', volume, lesions)
    with pytest.raises(UserError):
        write(tmp_path / 'new', volume, lesions)
    assert (tmp_path / 'out/lesions.json').read_text() == before
    assert [path.name for path in tmp_path.iterdir()] == ['out']


def test_out_dir_that_is_a_file(tmp_path):
    (tmp_path / 'file').write_text('')
    for path in (tmp_path / 'file', tmp_path / 'file' / 'below'):
        with pytest.raises(UserError, match='not a writable folder'):
            check_out_dir(path)
    check_out_dir(tmp_path / 'new' / 'below')
    assert not (tmp_path / 'new').exists()
