from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from phantom import make_luna16_phantom

from mmlesion.converters.lungs import find_lungs
from mmlesion.io.luna16 import find_luna16_scans, read_luna16_scan, read_lung_mask
from mmlesion.utils import UserError

REAL_CT = Path(__file__).parents[3] / 'shared/data/ct/abdomen_ct_3mm.nii.gz'
SHAPE = (60, 80, 120)  # of 3 mm: a trunk of 180 x 240 x 360 mm
SPACING = (3.0, 3.0, 3.0)


def ellipsoid(center, radii):
    offsets = np.indices(SHAPE) - np.reshape(center, (3, 1, 1, 1))
    return ((offsets / np.reshape(radii, (3, 1, 1, 1))) ** 2).sum(0) <= 1


def trunk():
    """Two lungs on the trachea, gas below them, and where these are."""
    _, y, x = np.indices(SHAPE)
    body = ((y - 40) / 36) ** 2 + ((x - 60) / 54) ** 2 <= 1
    hu = np.where(body, 30, -1000).astype(np.int16)
    right, left = ellipsoid((28, 40, 36), (20, 24, 14)), ellipsoid((28, 40, 84), (20, 20, 12))
    windpipe = np.zeros(SHAPE, bool)
    windpipe[:28, 34:40, 58:62] = True
    windpipe[24:28, 34:40, 40:80] = True
    gas = ellipsoid((54, 30, 76), (4, 8, 10))
    hu[right | left] = -830
    hu[windpipe] = -1000
    hu[gas] = -980
    return hu, right, left, windpipe & ~right & ~left, gas


def as_image(hu, spacing=SPACING):
    image = sitk.GetImageFromArray(hu)
    image.SetSpacing(spacing)
    return image


def test_lungs_and_nothing_else():
    hu, right, left, windpipe, gas = trunk()
    found = find_lungs(as_image(hu))
    assert found.shape == SHAPE and found.dtype == np.uint8
    for lung, number in ((right, 3), (left, 4)):
        assert (found[lung] == number).mean() > 0.97
    assert not found[gas].any()
    assert (found[hu == 30] > 0).mean() < 0.01
    assert not found[:3][windpipe[:3]].any()  # cut off above the lungs
    assert not found[:, 0, 0].any() and not found[:, 40, :4].any()  # the air around


def test_a_nodule_is_of_its_lung():
    hu, right, *_ = trunk()
    nodule = ellipsoid((30, 42, 34), (3, 3, 3))
    hu[nodule] = 500  # calcified: outside of the lung it would be taken for bone
    found = find_lungs(as_image(hu))
    assert (found[nodule] == 3).all()


def test_lungs_that_the_mouth_connects_with_the_room():
    """The windpipe leaves the body at the top slice; elsewhere it is enclosed."""
    hu, right, left, *_ = trunk()
    hu[0, :40, 58:62] = -1000
    found = find_lungs(as_image(hu))
    assert (found[right] == 3).mean() > 0.97 and (found[left] == 4).mean() > 0.97


def test_none():
    hu, right, left, windpipe, gas = trunk()
    hu[right | left | windpipe] = 30
    with pytest.raises(UserError, match=r'no lungs are found: .* has \d+ mL. .* --lungs'):
        find_lungs(as_image(hu))
    with pytest.raises(UserError, match='no lungs'):
        find_lungs(as_image(np.full((20, 30, 30), -1000, np.int16)))


def test_those_of_the_phantom(tmp_path):
    make_luna16_phantom(tmp_path / 'raw', (2, 0), seed=2)
    for scan in find_luna16_scans(tmp_path / 'raw'):
        image = read_luna16_scan(scan.path)
        path = tmp_path / 'raw' / 'seg-lungs-LUNA16' / f'{scan.uid}.mhd'
        lungs, found = read_lung_mask(path, image) > 0, find_lungs(image) > 0
        assert 2 * (lungs & found).sum() / (lungs.sum() + found.sum()) > 0.88


@pytest.mark.skipif(not REAL_CT.is_file(), reason='shared/data/ct is not there')
def test_gas_in_a_real_abdomen_is_no_lung():
    """The largest air in it is the bowel's; the lungs' bases at its top are smaller."""
    image = sitk.DICOMOrient(sitk.ReadImage(str(REAL_CT)), 'LPI')
    with pytest.raises(UserError, match='no lungs are found'):
        find_lungs(image)
