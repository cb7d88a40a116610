import csv

import numpy as np
import pytest
import SimpleITK as sitk
from folders import digests
from phantom import make_luna16_phantom

from mmlesion.io.luna16 import find_luna16_scans, read_luna16_scan, read_lung_mask
from mmlesion.utils import UserError

SCANS = (5, 2)


def rows_of(path):
    with open(path, newline='') as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope='module')
def phantom(tmp_path_factory):
    root = tmp_path_factory.mktemp('phantom') / 'luna16'
    make_luna16_phantom(root, SCANS, seed=2)
    return root


def test_layout(phantom):
    scans = find_luna16_scans(phantom)
    assert sorted(scan.fold for scan in scans) == list(range(7))
    masks = phantom / 'seg-lungs-LUNA16'
    assert {path.stem for path in masks.glob('*.mhd')} == {scan.uid for scan in scans}
    assert (phantom / 'seriesuids.csv').read_text().split() != []
    nodules = rows_of(phantom / 'annotations.csv')
    assert len({row['seriesuid'] for row in nodules}) == SCANS[0]
    diameters = [float(row['diameter_mm']) for row in nodules]
    assert min(diameters) >= 4 and max(diameters) <= 12


def test_nodules_are_where_the_list_has_them(phantom):
    """A nodule's center is dense, in lung, and the lung beyond its radius is not, on one side."""
    directions = set()
    uids = {scan.uid: scan.path for scan in find_luna16_scans(phantom)}
    for row in rows_of(phantom / 'annotations.csv'):
        image = sitk.ReadImage(str(uids[row['seriesuid']]))
        directions.add(image.GetDirection())
        center = [float(row[f'coord{axis}']) for axis in 'XYZ']
        index = image.TransformPhysicalPointToContinuousIndex(center)
        x, y, z = np.rint(index).astype(int)
        assert abs(index[2] - z) < 1e-3  # a nodule's center lies on a slice
        hu = sitk.GetArrayFromImage(image)[z]
        assert hu[y - 1 : y + 2, x - 1 : x + 2].mean() > -300
        reach = float(row['diameter_mm']) / 2 + 2
        ring = np.hypot(*np.ogrid[-y : len(hu) - y, -x : len(hu) - x]) * image.GetSpacing()[0]
        assert np.percentile(hu[(ring > reach) & (ring < reach + 1)], 20) < -600
    assert directions == {(1, 0, 0, 0, 1, 0, 0, 0, 1), (-1, 0, 0, 0, -1, 0, 0, 0, 1)}


def test_readers_mark_every_nodule(phantom):
    nodules, excluded = (
        rows_of(phantom / f'{name}.csv') for name in ('annotations', 'annotations_excluded')
    )

    def center(row):
        return np.array([float(row[f'coord{axis}']) for axis in 'XYZ'])

    marks = []
    for nodule in nodules:
        radius = float(nodule['diameter_mm']) / 2
        own = [
            row
            for row in excluded
            if row['seriesuid'] == nodule['seriesuid']
            and np.linalg.norm(center(row) - center(nodule)) < radius
        ]
        assert len(own) == 3
        assert len({row['coordX'] for row in own}) == 3
        marks += own
        measured = [float(row['diameter_mm']) for row in own if row['diameter_mm'] != '-1']
        np.testing.assert_allclose(measured, 2 * radius, rtol=0.35)
    unmeasured = [row['diameter_mm'] == '-1' for row in marks]
    assert 0 < np.mean(unmeasured) < 0.3
    assert len(excluded) > len(marks), 'findings on other places'


def test_masks_are_lungs(phantom):
    for scan in find_luna16_scans(phantom)[:3]:
        image = sitk.ReadImage(str(scan.path))
        mask = sitk.ReadImage(str(phantom / 'seg-lungs-LUNA16' / f'{scan.uid}.mhd'))
        assert mask.GetOrigin() == image.GetOrigin() and mask.GetSize() == image.GetSize()
        hu, labels = map(sitk.GetArrayFromImage, (image, mask))
        assert set(np.unique(labels)) == {0, 3, 4, 5}
        assert np.median(hu[(labels == 3) | (labels == 4)]) < -700
        left, right = (np.argwhere(labels == label).mean(0)[::-1] for label in (3, 4))
        side = [image.TransformContinuousIndexToPhysicalPoint(at.tolist()) for at in (left, right)]
        assert side[0][0] > side[1][0]  # x grows to the left


def test_lungs_are_laid_on_the_scan(phantom):
    for scan in find_luna16_scans(phantom)[:4]:
        image = read_luna16_scan(scan.path)
        mask_path = phantom / 'seg-lungs-LUNA16' / f'{scan.uid}.mhd'
        lungs = read_lung_mask(mask_path, image)
        stored = sitk.GetArrayFromImage(sitk.DICOMOrient(sitk.ReadImage(str(mask_path)), 'LPI'))
        np.testing.assert_array_equal(lungs, np.where(np.isin(stored, (3, 4)), stored, 0))
        hu = sitk.GetArrayViewFromImage(image)
        assert np.median(hu[lungs > 0]) < -700


def test_same_seed_same_bytes(phantom, tmp_path):
    make_luna16_phantom(tmp_path / 'again', SCANS, seed=2, workers=2)
    assert digests(tmp_path / 'again') == digests(phantom)
    make_luna16_phantom(tmp_path / 'other', (1, 0), seed=3)
    assert not digests(tmp_path / 'other').items() & digests(phantom).items()


@pytest.mark.parametrize('scans', [(1,), (1, -1)])
def test_numbers_that_make_no_sense(tmp_path, scans):
    with pytest.raises(UserError, match='2 counts'):
        make_luna16_phantom(tmp_path / 'out', scans)
    assert not (tmp_path / 'out').exists()
