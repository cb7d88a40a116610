import struct

import numpy as np
import pytest
import SimpleITK as sitk

from mmlesion.io.ct import read_image
from mmlesion.io.nifti_numbers import check_nifti_numbers
from mmlesion.utils import UserError


@pytest.fixture(params=['.nii', '.nii.gz'])
def write(request, tmp_path):
    def write(array):
        path = tmp_path / f'scan{request.param}'
        sitk.WriteImage(sitk.GetImageFromArray(array), str(path))
        return path

    return write


@pytest.mark.parametrize('kind', [np.float32, np.float64, np.int16])
def test_finite_voxels(write, kind):
    path = write(np.arange(24).reshape(2, 3, 4).astype(kind))
    check_nifti_numbers(path)
    assert sitk.GetArrayFromImage(read_image(path)).max() == 23


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize('kind', [np.float32, np.float64])
def test_voxels_that_itk_makes_zero(write, kind, value):
    array = np.zeros((2, 3, 4), kind)
    array[1, 2, 3] = value
    path = write(array)
    assert not sitk.GetArrayFromImage(sitk.ReadImage(str(path))).any()
    with pytest.raises(UserError, match='holds NaN or infinite values'):
        read_image(path)


@pytest.mark.parametrize('side', [0.0, np.nan, np.inf])
def test_sizes_of_voxels_that_itk_makes_one(tmp_path, side):
    path = tmp_path / 'scan.nii'
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((2, 3, 4), np.int16)), str(path))
    content = bytearray(path.read_bytes())
    struct.pack_into('<f', content, 88, side)
    path.write_bytes(content)
    with pytest.raises(UserError, match=f'the spacing 1, 1, {side:g} mm'):
        read_image(path)


def test_big_endian_header(tmp_path):
    header = bytearray(352)
    struct.pack_into('>i', header, 0, 348)
    struct.pack_into('>h', header, 70, 16)
    struct.pack_into('>3f', header, 80, 1, 1, 2)
    struct.pack_into('>f', header, 108, 352)
    path = tmp_path / 'scan.nii'
    path.write_bytes(header + np.ones(4, '>f4').tobytes())
    check_nifti_numbers(path)
    path.write_bytes(header + np.array([1, np.nan], '>f4').tobytes())
    with pytest.raises(UserError, match='NaN or infinite'):
        check_nifti_numbers(path)
