"""Reading CT volumes with SimpleITK: NIfTI, MHD/MHA and DICOM folders."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from pydicom.misc import is_dicom

from mmlesion.utils import UserError

from .checks import check_spacing
from .dicom_series import read_series
from .itk_reading import check_voxels, itk_errors_as_user_errors, itk_path
from .mhd import VOXEL_BYTES, check_geometry_given, image_files, mhd_header
from .nifti_numbers import (
    check_nifti_numbers,
    check_whole_nifti,
    is_nifti,
    set_geometry,
    shear_permitted,
)

# A CT shows fat or air (below -50 HU) and soft tissue or bone (above 0 HU), and 16 bits hold it.
HU_LIMITS = (-32768, 32767)
MODALITY = '0008|0060'  # DICOM's, in the metadata of an image that ITK has read


def read_ct(path: str | Path, series: str | None = None) -> sitk.Image:
    """Read a CT volume.

    Args:
        path (str | Path): A NIfTI, MHD, MHA or other file that SimpleITK reads, a folder with one
            or several DICOM series, or a multi-frame DICOM file.
        series (str, optional): The Series Instance UID to take from a DICOM folder. By default its
            only CT series.

    Returns:
        sitk.Image: The three-dimensional scalar volume in HU, with the file's own geometry.

    Raises:
        UserError: If the path is missing or unreadable, or what it holds is not a CT volume.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f'{path} does not exist: give a NIfTI, MHD or MHA file or a DICOM folder')
    if path.is_dir() or (path.is_file() and is_dicom(path)):
        for one in path.iterdir() if path.is_dir() else (path,):
            itk_path(one)
        image = read_series(path, series)
    elif series is not None:
        raise UserError(f'{path} is a file: a DICOM series is chosen only in a DICOM folder')
    else:
        image = read_image(path)
    check_ct(image, path)
    return image


def read_labels(path: str | Path) -> sitk.Image:
    """Read a segmentation of a volume.

    Args:
        path (str | Path): A NIfTI, MHD, MHA or other file that SimpleITK reads.

    Returns:
        sitk.Image: Three-dimensional, of uint8 labels, with the file's own geometry.

    Raises:
        UserError: If it is missing or unreadable, or does not hold whole numbers from 0 to 255.
    """
    image = read_image(path)
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() > 1:
        raise UserError(f'{path} is not a segmentation: it has no single label in 3D per voxel')
    # a cast wraps or truncates what does not fit, which the comparison then shows
    labels = sitk.Cast(image, sitk.sitkUInt8)
    if (sitk.GetArrayViewFromImage(labels) != sitk.GetArrayViewFromImage(image)).any():
        raise UserError(f'{path} is not a segmentation: its values are not whole and 0 to 255')
    return labels


def check_same_grid(image: sitk.Image, other: sitk.Image, names: str) -> None:
    """Check that the voxels of two volumes lie at the same places.

    Args:
        image (sitk.Image): A volume.
        other (sitk.Image): Another.
        names (str): What to call them in the error message.

    Raises:
        UserError: If sizes differ, or spacing, origin or direction by more than 0.01.
    """
    for what in ('Size', 'Spacing', 'Origin', 'Direction'):
        first, second = getattr(image, f'Get{what}')(), getattr(other, f'Get{what}')()
        if not np.allclose(first, second, rtol=0, atol=0 if what == 'Size' else 1e-2):
            texts = f'{np.round(first, 3).tolist()} and {np.round(second, 3).tolist()}'
            raise UserError(f'{names} have the {what.lower()} {texts}: give those of one scan')


def check_ct(image: sitk.Image, source: str | Path) -> None:
    """Check that an image is a CT volume in HU.

    Args:
        image (sitk.Image): The image.
        source (str | Path): What to call it in the error message.

    Raises:
        UserError: If it is not 3D and scalar, does not lie in the world, or its values cannot be
            HU.
    """
    size = image.GetSize()
    if len(size) != 3 or min(size) < 2 or image.GetNumberOfComponentsPerPixel() > 1:
        components = image.GetNumberOfComponentsPerPixel()
        raise UserError(
            f'{source} has size {size} with {components} value(s) per voxel, which is not a single '
            '3D volume: give one CT scan, for instance one phase of a 4D series, or the folder of '
            'all its DICOM slices'
        )
    modality = image.GetMetaData(MODALITY).strip() if image.HasMetaDataKey(MODALITY) else 'CT'
    if modality != 'CT':
        raise UserError(f'{source} is a DICOM image of modality {modality}, not CT: give a CT scan')
    check_spacing(image.GetSpacing(), 3, str(source))
    if not np.isfinite([*image.GetOrigin(), *image.GetDirection()]).all():
        raise UserError(f'{source} has an origin or axes that are not numbers: correct its header')
    _check_hu(sitk.GetArrayViewFromImage(image), source)


def _check_hu(array: np.ndarray, source: str | Path) -> None:
    if array.dtype.kind == 'f' and not np.isfinite(array).all():
        raise UserError(f'{source} holds NaN or infinite values: replace them, by -1024 for air')
    low, high = float(array.min()), float(array.max())
    # a range without air or without tissue is windowed, normalized or not rescaled to HU
    if low < HU_LIMITS[0] or high > HU_LIMITS[1] or low > -50 or high < 0:
        raise UserError(
            f'{source} has values from {low:g} to {high:g}, which cannot be a CT scan in HU (air '
            'is -1000, water 0): give a CT scan, with rescale slope and intercept applied and not '
            'normalized'
        )


def read_image(path: str | Path) -> sitk.Image:
    """Read a file that SimpleITK reads, of whatever kind; a mask, for instance.

    Args:
        path (str | Path): The file.

    Returns:
        sitk.Image: The image.

    Raises:
        UserError: If it is missing, unreadable or truncated.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f'{path} does not exist')
    name = itk_path(path)
    _check_data_files(path)
    check_geometry_given(path)
    with itk_errors_as_user_errors(path):
        nifti = is_nifti(path)
        with shear_permitted():
            check_voxels(path)
            image = sitk.ReadImage(name)
        if nifti:
            check_whole_nifti(path)
            check_nifti_numbers(path)
            set_geometry(image, path)
    return image


def check_whole(path: str | Path) -> None:
    """Check that a file is whole; of a NIfTI file the voxels are not in memory at once.

    Raises:
        UserError: If it is missing or unreadable.
        RuntimeError: If a NIfTI file is truncated.
    """
    path = Path(path)
    if is_nifti(path):
        check_whole_nifti(path)
    else:
        read_image(path)


def _check_data_files(path: Path) -> None:
    """Check that an MHD file's data are there and whole; ITK's messages name the header alone.

    Raises:
        UserError: If not.
    """
    for data in image_files(path)[1:]:
        if not data.is_file():
            raise UserError(f'{path} has its voxels in {data}, which does not exist: copy it too')
        try:
            expected = _expected_bytes(mhd_header(path))
        except ValueError as error:
            raise UserError(f'{path} has a damaged header ({error}): write it anew') from None
        if data.stat().st_size < expected:
            raise UserError(
                f'{data} is truncated: it has {data.stat().st_size} of the {expected} bytes that '
                f'{path.name} says. Copy it again'
            )


def _expected_bytes(header: Mapping[str, str]) -> int:
    """Return the least bytes that the data of an MHD file have by its header.

    Raises:
        ValueError: If a field has no number.
    """
    # compressed data may be of any length but 0, unless the header says it
    voxel = VOXEL_BYTES.get(header.get('ElementType', ''))
    if header.get('CompressedData', 'False').lower() == 'true' or voxel is None:
        return int(header.get('CompressedDataSize', 1))
    size = math.prod(map(int, header.get('DimSize', '1').split()))
    return voxel * size * int(header.get('ElementNumberOfChannels', 1))
