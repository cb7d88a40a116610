import numpy as np
import pytest
import SimpleITK as sitk
from folders import digests
from phantom import PatientOptions, make_kits19_phantom
from scipy import ndimage

from mmlesion.utils import UserError

OPTIONS = PatientOptions(size=128)


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp('kits19') / 'kits19'
    make_kits19_phantom(root, (6, 1), seed=5, options=OPTIONS)
    return root


@pytest.fixture(scope='module')
def cases(root):
    """Arrays (slices, rows, columns) in the files' order of axes, and their images."""
    return [
        [sitk.ReadImage(str(root / f'case_{number:05d}' / name)) for name in FILES]
        for number in range(6)
    ]


FILES = 'imaging.nii.gz', 'segmentation.nii.gz'


def test_files_are_kits19s(root, cases):
    names = {str(path.relative_to(root)) for path in root.rglob('*.*')}
    assert names == {f'case_{n:05d}/{f}' for n in range(6) for f in FILES} | {
        'case_00006/imaging.nii.gz'
    }
    for scan, labels in cases:
        # the first voxel axis is the axial one, in the direction of the feet
        assert scan.GetSize()[1:] == (128, 128) and scan.GetSize() == labels.GetSize()
        assert scan.GetSpacing()[0] in (1, 2, 5)
        direction = np.reshape(scan.GetDirection(), (3, 3))
        np.testing.assert_allclose(direction, [[0, 0, 1], [0, 1, 0], [-1, 0, 0]])
        np.testing.assert_allclose(scan.GetOrigin(), labels.GetOrigin(), atol=1e-4)


def test_kidneys_and_tumors_are_where_the_picture_shows_them(cases):
    for scan, labels in cases:
        hu, label = (sitk.GetArrayFromImage(image) for image in (scan, labels))
        assert set(np.unique(label)) == {0, 1, 2} and -1024 <= hu.min() < -1000
        kidney = hu[ndimage.binary_erosion(label == 1, iterations=2)]
        assert 90 < np.median(kidney) < 220
        core = ndimage.binary_erosion(label == 2, np.ones((3, 3, 1)))
        if core.sum() > 20:
            assert -20 < np.median(hu[core]) < 70
    assert sum((sitk.GetArrayViewFromImage(labels) == 2).sum() for _, labels in cases) > 500


def test_both_kidneys_are_whole(cases):
    for _, labels in cases:
        occupied = sitk.GetArrayFromImage(labels) > 0  # (columns, rows, slices)
        assert occupied[:64].any() and occupied[64:].any()


def test_same_seed_same_bytes_whatever_the_workers(tmp_path):
    for name, workers, seed in (('one', 1, 0), ('two', 2, 0), ('other', 1, 1)):
        make_kits19_phantom(tmp_path / name, (2, 0), seed, workers, options=OPTIONS)
    one, two, other = (digests(tmp_path / name) for name in ('one', 'two', 'other'))
    assert one == two and not set(one.values()) & set(other.values())


@pytest.mark.parametrize('cases', [(1,), (1, -1)])
def test_counts_that_make_no_sense(cases, tmp_path):
    with pytest.raises(UserError, match='2 counts'):
        make_kits19_phantom(tmp_path / 'out', cases, options=OPTIONS)
    assert not (tmp_path / 'out').exists()
