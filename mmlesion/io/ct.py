"""Reading CT volumes as SimpleITK's images (NIfTI, MHD/MHA, DICOM folders), and writing them."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from pydicom.misc import is_dicom

from mmlesion.utils import UserError

from . import nifti
from .atomic import writing
from .checks import check_spacing
from .dicom import read_series
from .itk import itk_path, read_itk

# A CT shows fat or air (below -50 HU) and soft tissue or bone (above 0 HU), and 16 bits hold it.
HU_LIMITS = (-32768, 32767)
MODALITY = '0008|0060'  # DICOM's, in the metadata of an image that ITK has read


def read_ct(path: str | Path, series: str | None = None) -> sitk.Image:
    """Read a CT volume.

    Args:
        path: A NIfTI, MHD, MHA or other file that SimpleITK reads, a folder with one
            or several DICOM series, or a multi-frame DICOM file.
        series: The Series Instance UID to take from a DICOM folder. By default its
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
        path: A NIfTI, MHD, MHA or other file that SimpleITK reads.

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
        image: A volume.
        other: Another.
        names: What to call them in the error message.

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
        image: The image.
        source: What to call it in the error message.

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
    low, high = float(array.min()), float(array.max())
    if not np.isfinite([low, high]).all():
        raise UserError(f'{source} holds NaN or infinite values: replace them, by -1024 for air')
    # a range without air or without tissue is windowed, normalized or not rescaled to HU
    if low < HU_LIMITS[0] or high > HU_LIMITS[1] or low > -50 or high < 0:
        raise UserError(
            f'{source} has values from {low:g} to {high:g}, which cannot be a CT scan in HU (air '
            'is -1000, water 0): give a CT scan, with rescale slope and intercept applied and not '
            'normalized'
        )


def read_image(path: str | Path) -> sitk.Image:
    """Read a file of whatever kind; a mask, for instance.

    Args:
        path: The file.

    Returns:
        sitk.Image: The image.

    Raises:
        UserError: If it is missing, unreadable or truncated.
    """
    path = Path(path)
    header = _nifti_header(path)
    return read_itk(path) if header is None else nifti.read_nifti(path, header)


def check_whole(path: str | Path) -> None:
    """Check that a file is whole; of a NIfTI file the voxels are not in memory at once.

    Raises:
        UserError: If it is missing, unreadable or truncated.
    """
    path = Path(path)
    header = _nifti_header(path)
    if header is None:
        read_itk(path)
    else:
        nifti.check_whole(path, header)


def _nifti_header(path: Path) -> np.void | None:
    if not path.is_file():
        raise UserError(f'{path} does not exist')
    # every reader takes the names that ITK takes
    itk_path(path)
    return nifti.read_header(path)


def write_image(image: sitk.Image, path: str | Path, compress: bool = False) -> None:
    """Write a volume, and read it again: a full disk leaves half of a compressed one.

    Args:
        image: The volume.
        path: The file, of the format that its suffix says.
        compress: Whether to compress it. Defaults to False.

    Raises:
        UserError: If ITK cannot take its name.
        OutputError: If it is not there as a whole afterwards.
    """
    name = itk_path(path)
    with writing_image(path):
        sitk.WriteImage(image, name, useCompression=compress)
        check_whole(path)


@contextmanager
def writing_image(path: str | Path) -> Iterator[None]:
    """Raise what ITK says against writing a file as :class:`OutputError`."""
    with writing(path):
        try:
            yield
        except (RuntimeError, UserError) as error:
            reason = str(error).strip().splitlines()[-1].strip()
            raise OSError(errno.EIO, f'it is not whole, the disk may be full ({reason})') from None
