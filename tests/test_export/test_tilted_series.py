"""A series with a tilted gantry: read, measured, written, exported and converted."""

import json
import logging

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from scipy import ndimage

from mmlesion.apis.lesion_writer import write_lesions
from mmlesion.apis.lesions import describe_lesions
from mmlesion.converters.base import Case
from mmlesion.converters.nih_ln import slice_case
from mmlesion.converters.regions import SliceOptions
from mmlesion.io.ct import read_ct
from mmlesion.io.slices import read_hu
from mmlesion.report.volume_report import write_volume_report
from mmlesion.structures import Segment
from mmlesion.structures.ct_volume import CTVolume

from .conftest import NUM, SIZE, SPACING, slice_positions, write_series

CENTER = np.array([-3.0, 4.5, 112.0])  # of the ball, LPS mm
SHIFT = 2.5 * np.tan(np.radians(15)) / SPACING  # px from one slice to the next


def hu_at(points):
    ball = np.linalg.norm(points - CENTER, axis=-1) < 7
    return np.where(ball, 300, np.where(np.abs(points[..., 0]) < 15, 0, -1000))


@pytest.fixture
def tilted(tmp_path):
    return write_series(tmp_path / 'dicom', 'tilted', hu_at)


@pytest.fixture
def volume(tilted):
    return CTVolume(read_ct(tilted))


@pytest.fixture
def results(tmp_path, tilted, volume):
    """Results about the ball twice: with its mask, and as a box alone."""
    bright = volume.array == 300
    (z, y, x) = ndimage.find_objects(bright.astype(int))[0]
    box = [x.start, y.start, z.start, x.stop, y.stop, z.stop]
    segments = {}
    for index in range(z.start, z.stop):
        segments[index] = Segment(bright[index, y, x], (x.start, y.start))
    found = np.array([box, box], float), np.array([0.9, 0.8]), [0, 0], ['lesion'], 0
    lesions = describe_lesions(volume, *found, [segments, {}])
    provenance = dict(source=str(tilted), detector=dict(config='a.py'))
    write_lesions(tmp_path / 'results', volume, lesions, provenance, 2, False)
    return tmp_path / 'results'


def test_volume_is_orthogonal(tilted, volume, caplog):
    with caplog.at_level(logging.WARNING):
        read_ct(tilted)
    said = 'tilted by 15.0 degrees. Slices are moved within their planes, by up to 9 px'
    assert said in caplog.text
    assert '\n' not in caplog.records[0].message
    rows = SIZE[1] + round(11 * SHIFT)
    assert volume.array.shape == (NUM, rows, SIZE[0])
    assert volume.spacing == pytest.approx((SPACING, SPACING, 2.5))
    # its grid, which knows nothing of slices' positions, has the ball where it is
    places = np.argwhere(volume.array == 300) + 0.5
    assert volume.grid.to_world([places.mean(axis=0)])[0] == pytest.approx(CENTER, abs=0.5)
    assert volume.to_world(places).mean(axis=0) == pytest.approx(CENTER, abs=0.3)
    index = volume.orthogonal.TransformPhysicalPointToIndex(CENTER.tolist())
    assert volume.orthogonal[index] == 300
    # each voxel of the file is there, and around them is air
    own = sitk.GetArrayFromImage(volume.image)
    assert (volume.restored(volume.array) == own).all()
    assert volume.array.size - own.size == (volume.array == -1024).sum()


def test_points_and_boxes_come_back(volume):
    points = np.random.default_rng(0).uniform((0, 9, 0), volume.array.shape, (50, 3))
    index = volume.points_to_index(points)
    assert volume.points_from_index(index) == pytest.approx(points)
    boxes = np.concatenate([points - 2, points + 3], axis=1)
    there = volume.boxes_to_index(boxes)
    assert volume.boxes_from_index(there) == pytest.approx(boxes)
    assert np.ptp(there.reshape(-1, 2, 3), axis=1) == pytest.approx(np.full((50, 3), 5))
    centers = (there[:, :3] + there[:, 3:]) / 2
    assert volume.points_from_index(centers) == pytest.approx(points + 0.5)
    for number in range(NUM):
        assert volume.slice_number(volume.slice_index(number)) == number


def test_results_are_those_of_the_slices(results, volume):
    content = json.loads((results / 'lesions.json').read_text())
    assert content['volume']['size'] == [*SIZE, NUM]
    bright = sitk.GetArrayFromImage(volume.image) == 300
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(results / 'lesions.nii.gz')))
    assert ((labels == 1) == bright).all()
    for lesion in content['lesions']:
        assert lesion['center_mm'] == pytest.approx(CENTER, abs=0.5)
        i, j, k = lesion['center_voxel']
        own = slice_positions('tilted')
        at = [np.interp(k, range(NUM), along) for along in own.T] + np.array([i, j, 0]) * SPACING
        assert at == pytest.approx(CENTER, abs=0.5)
        assert bright[lesion['key_slice']].any()
    # the ball is 14 mm wide, its ends are voxels' faces on the key slice
    one = content['lesions'][0]
    assert one['diameter_mm'] == pytest.approx(14, abs=SPACING)
    ends = np.array(one['recist_voxel'])
    assert (ends[:, 2] == one['key_slice']).all()
    long = ends[:2, :2].mean(axis=0) * SPACING + slice_positions('tilted')[one['key_slice'], :2]
    assert long == pytest.approx(CENTER[:2], abs=1)


def test_page_has_the_orthogonal_volume(results, volume):
    page = write_volume_report(results).read_text(encoding='utf-8')
    data = json.loads(page.split('id="data">')[1].split('</script>')[0])
    assert data['size'] == [*volume.array.shape[::-1]]
    for lesion in data['lesions']:
        box = np.reshape(lesion['box'], (2, 3))
        # fractions from the right, from anterior's other end, from below
        z, y, x = ((1 - box.mean(axis=0)) * data['size'])[::-1]
        assert volume.grid.to_world([[z, y, x]])[0] == pytest.approx(CENTER, abs=0.5)


def test_exports_lie_on_the_slices(load_tool, results, volume):
    pytest.importorskip('highdicom', reason='DICOM output needs the extra "dicom"')
    load_tool('export_lesions.py').main([str(results), '--dicom', str(results.parent / 'dicom')])
    segmentation = pydicom.dcmread(results / 'lesions.seg.dcm')
    points, number = [], []
    for frame, mask in zip(segmentation.PerFrameFunctionalGroupsSequence, segmentation.pixel_array):
        origin = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
        own = origin + np.argwhere(mask)[:, ::-1] @ np.array([[SPACING, 0, 0], [0, SPACING, 0]])
        points.append(own)
        number += [frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber] * len(own)
    points = np.concatenate(points)[np.array(number) == 1]
    # exactly the bright voxels, each where its own slice has it
    assert len(points) == (sitk.GetArrayFromImage(volume.image) == 300).sum()
    assert (hu_at(points) == 300).all()
    assert points.mean(axis=0) == pytest.approx(CENTER, abs=0.3)
    boxes = json.loads((results / 'lesions.mrk.json').read_text())['markups']
    centers = [one['center'] for one in boxes if one['type'] == 'ROI']
    assert np.array(centers) == pytest.approx(np.stack([CENTER] * 2), abs=0.5)
    report = str(pydicom.dcmread(results / 'lesions.sr.dcm'))
    outlines = [line for line in report.splitlines() if 'Graphic Data' in line]
    assert len(outlines) == 2


def test_conversion_moves_masks_and_lists_too(tmp_path, tilted, volume):
    """NIH-LN has DICOM: its masks are of the slices, its lists in mm."""
    mask = sitk.GetImageFromArray((sitk.GetArrayFromImage(volume.image) == 300).astype(np.uint8))
    mask.CopyInformation(volume.image)
    sitk.WriteImage(mask, str(tmp_path / 'mask.nii.gz'))
    (tmp_path / 'points.txt').write_text(' '.join(map(str, CENTER)))
    (tmp_path / 'sizes.txt').write_text('14')
    options = SliceOptions(min_area=0, every_slice=True)
    files = tuple(sorted(tilted.iterdir()))
    for marks in ([tmp_path / 'mask.nii.gz'], [tmp_path / 'points.txt', tmp_path / 'sizes.txt']):
        case = Case('ABD_LYMPH_001', (*files, *marks))
        images = slice_case(case, tmp_path / 'ABD_LYMPH_001', options)
        found = 0
        for image in images:
            picture = read_hu(tmp_path / image['file_name'])
            for annotation in image['annotations']:
                x, y, width, height = annotation['bbox']
                center = picture[round(y + height / 2 - 0.5), round(x + width / 2 - 0.5)]
                assert center == 300
                found += 1
        assert found == np.sum(np.abs(slice_positions('tilted')[:, 2] - CENTER[2]) < 7)
