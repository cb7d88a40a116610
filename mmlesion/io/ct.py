"""Reading CT volumes with SimpleITK: NIfTI, MHD/MHA and DICOM folders."""

from __future__ import annotations

import gzip
import logging
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk

from mmlesion.utils import UserError

from .checks import check_spacing
from .mhd import VOXEL_BYTES, image_files, mhd_header
from .nifti_numbers import check_nifti_numbers

MODALITY, DESCRIPTION, POSITION = '0008|0060', '0008|103e', '0020|0032'
CT_IMAGE_STORAGE = b'1.2.840.10008.5.1.4.1.1.2\0'
# A CT shows fat or air (below -50 HU) and soft tissue or bone (above 0 HU), and 16 bits hold it.
HU_LIMITS = (-32768, 32767)
MAX_VOXELS = 1 << 31
"""Of an image; 2,000 slices of 1024 x 1024 px."""
MAX_DEFLATION = 1032
"""Voxels per byte of a file: what deflate unpacks at most."""
_LOGGER = logging.getLogger('mmlesion')


def read_ct(path: str | Path, series: str | None = None) -> sitk.Image:
    """Read a CT volume.

    Args:
        path (str | Path): A NIfTI, MHD, MHA or other file that SimpleITK reads, or a folder with
            one or several DICOM series.
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
    if path.is_dir():
        image = _read_series(path, series_files(path, series))
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
    if not np.isfinite(array).all():
        raise UserError(f'{source} holds NaN or infinite values: replace them, by -1024 for air')
    low, high = float(array.min()), float(array.max())
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
    _check_data_files(path)
    with _itk_errors_as_user_errors(path):
        _check_voxels(path)
        image = sitk.ReadImage(str(path))
        if path.name.endswith(('.nii', '.nii.gz')):
            _check_whole_nifti(path, image)
            check_nifti_numbers(path)
    return image


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
    voxel = VOXEL_BYTES.get(header.get('ElementType', ''))
    if header.get('CompressedData', 'False').lower() == 'true' or voxel is None:
        return int(header.get('CompressedDataSize', 1))
    size = math.prod(map(int, header.get('DimSize', '1').split()))
    return voxel * size * int(header.get('ElementNumberOfChannels', 1))


def _check_voxels(path: Path, num_slices: int = 1) -> None:
    """Compare the size in a header with what a file can hold, before room is made for it.

    Args:
        path (Path): The file.
        num_slices (int): Files of a series, of which it is the first.

    Raises:
        UserError: If it is more than :data:`MAX_VOXELS`, or than the file's bytes unpack to.
        RuntimeError: If ITK cannot read it.
    """
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    voxels = num_slices * math.prod(reader.GetSize()) * reader.GetNumberOfComponents()
    held = num_slices * sum(data.stat().st_size for data in image_files(path))
    # what NRRD packs by bzip2 has no such bound
    packed = path.suffix.lower() not in ('.nrrd', '.nhdr')
    if voxels > MAX_VOXELS or (packed and voxels > held * MAX_DEFLATION):
        raise UserError(
            f'{path} declares {voxels} voxels in {held} bytes: it is damaged, or larger than any '
            f'CT scan ({MAX_VOXELS} voxels)'
        )


def _check_whole_nifti(path: Path, image: sitk.Image) -> None:
    """Compare the length of a NIfTI file with its header; ITK reads truncated ones as they are."""
    bits = int(image.GetMetaData('bitpix')) * image.GetNumberOfPixels()
    expected = int(float(image.GetMetaData('vox_offset'))) + bits // 8
    length = path.stat().st_size
    if path.suffix == '.gz':
        try:
            with gzip.open(path) as file:
                length = 0
                # not to the end of a stream that is longer than an image
                while length <= expected and (block := file.read(1 << 24)):
                    length += len(block)
        except (EOFError, OSError, zlib.error) as error:
            raise RuntimeError(str(error)) from error
    if length < expected:
        raise RuntimeError(f'it has {length} of the {expected} bytes that its header says')


class _Header(NamedTuple):
    """What a DICOM file says of its series."""

    modality: str
    description: str

    def describe(self, uid: str, num_files: int) -> str:
        """Return a line about the series for a message."""
        described = self.description or 'no description'
        return f'  {uid}  {self.modality}, {num_files} file(s), {described}'


def series_files(folder: Path, wanted: str | None = None) -> Sequence[str]:
    """Return the files of the requested or only CT series of a folder, in the order of its slices.

    Args:
        folder (Path): The folder.
        wanted (str, optional): Series Instance UID. Defaults to None, its only CT series.

    Raises:
        UserError: If there is no such series, or none is asked for and there are several.
    """
    files, headers = {}, {}
    readable: set[str] = set()
    with _itk_errors_as_user_errors(folder):
        for uid in sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder)):
            names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), uid)
            files[uid], headers[uid] = names, _header(names[0])
            readable.update(Path(name).name for name in names)
    _check_left_out(folder, readable)
    if not files:
        raise UserError(
            f'{folder} holds no DICOM series: give the folder that holds the slices themselves '
            '(its subfolders are not searched)'
        )
    lines = [headers[uid].describe(uid, len(names)) for uid, names in files.items()]
    listing = '\n'.join(lines)
    if wanted is not None and wanted not in files:
        raise UserError(f'{folder} has no series {wanted}; it has\n{listing}')
    ct = [uid for uid in files if headers[uid].modality == 'CT' and wanted in (None, uid)]
    if not ct:
        raise UserError(f'{folder} has no such CT series: give a CT scan. It has\n{listing}')
    if len(ct) > 1:
        raise UserError(f'{folder} has several CT series: choose one with --series UID\n{listing}')
    if len(files) > 1:
        _LOGGER.warning('%s has %d series; taking %s of\n%s', folder, len(files), ct[0], listing)
    return files[ct[0]]


def _check_left_out(folder: Path, readable: set[str]) -> None:
    """Find damaged CT slices, which GDCM leaves out without a word."""
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name not in readable:
            with open(path, 'rb') as file:
                if CT_IMAGE_STORAGE in file.read(1024):
                    raise UserError(f'{path} is a damaged CT slice: copy the series again')


def _header(path: str) -> _Header:
    """Return modality and description of a DICOM file."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(path)
    try:
        reader.ReadImageInformation()
    except RuntimeError:  # structure sets and reports lie beside CT series, but are no images
        return _Header('not an image', '')
    return _Header(_metadata(reader, MODALITY), _metadata(reader, DESCRIPTION))


def _metadata(reader: sitk.ImageFileReader, key: str) -> str:
    return reader.GetMetaData(key).strip() if reader.HasMetaDataKey(key) else ''


def _read_series(folder: Path, names: Sequence[str]) -> sitk.Image:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(names)
    reader.MetaDataDictionaryArrayUpdateOn()
    with _itk_errors_as_user_errors(folder):
        _check_voxels(Path(names[0]), len(names))
        image = reader.Execute()
    indices = range(len(names))
    if all(reader.HasMetaDataKey(index, POSITION) for index in indices):
        positions = [reader.GetMetaData(index, POSITION).split('\\') for index in indices]
        _check_positions(np.array(positions, float), image, folder)
    return image


def _check_positions(positions: np.ndarray, image: sitk.Image, folder: Path) -> None:
    """Compare the slices' own positions (n, 3) in mm with the regular grid that ITK makes of them.

    Warns where slices are missing, unequally spaced or sheared by a tilted gantry.

    Raises:
        UserError: If slices lie at one position.
    """
    distinct = len(np.unique(positions.round(3), axis=0))
    if distinct < len(positions):
        raise UserError(
            f'{folder}: {len(positions)} slices share {distinct} positions, so that the series '
            'holds several acquisitions: put the files of one of them into a folder of their own'
        )
    # the direction matrix has the axes i, j, k as columns; slices are stacked along k
    direction = np.array(image.GetDirection()).reshape(3, 3)[:, 2]
    steps = np.arange(len(positions))[:, None] * image.GetSpacing()[2] * direction
    # (n,) mm between each slice and the place that the regular grid has for it
    errors = np.linalg.norm(positions - (np.array(image.GetOrigin()) + steps), axis=1)
    worst = int(errors.argmax())
    if errors[worst] > 0.1 * image.GetSpacing()[2]:
        _LOGGER.warning(
            f'{folder}: slices are missing, unequally spaced or tilted. The volume is read as a '
            f'regular grid of {image.GetSpacing()[2]:.3f} mm, in which slice {worst} lies '
            f'{errors[worst]:.2f} mm off: coordinates near it are wrong by as much'
        )


@contextmanager
def _itk_errors_as_user_errors(path: Path) -> Iterator[None]:
    """Convert ITK's exceptions to user errors, and suppress its own warnings."""
    display = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise UserError(
            f'cannot read {path} as a volume ({reason}): check that the file is whole and in a '
            'format such as NIfTI, MHD, MHA or DICOM'
        ) from error
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(display)
