"""Images that ITK reads: their files, what their headers must say, and bounds before room is made.

MHD, MHA and NRRD headers are read here once more, as ITK takes what they lack for 1 or 0.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import SimpleITK as sitk

from mmlesion.utils import UserError, printable

from .schema import path_under

MAX_HEADER = 1 << 16
"""Bytes of a header."""
MAX_VOXELS = 1 << 31
"""Of an image; 2,000 slices of 1024 x 1024 px."""
MAX_DEFLATION = 1032
"""Voxels per byte of a file: what deflate unpacks at most."""

_META, _NRRD = ('.mhd', '.mha'), ('.nrrd', '.nhdr')
_MILLIMETER = re.compile(r'|mm|millimet(?:er|re)s?', re.IGNORECASE)
_VOXEL_BYTES = dict(MET_CHAR=1, MET_UCHAR=1, MET_SHORT=2, MET_USHORT=2)
_VOXEL_BYTES.update(MET_INT=4, MET_UINT=4, MET_FLOAT=4, MET_DOUBLE=8)


def read_itk(path: Path) -> sitk.Image:
    """Read a file by SimpleITK, after a look at its header.

    Args:
        path: Of any format but NIfTI and DICOM (:mod:`mmlesion.io.ct`).

    Raises:
        UserError: If it is unreadable or truncated, declares more voxels than it can hold, or does
            not say how large a voxel is.
    """
    name = itk_path(path)
    header = read_header(path)
    files = _files(path, header)
    _check_data_file(files, header)
    _check_geometry(path, header)
    with itk_errors_as_user_errors(path):
        reader = sitk.ImageFileReader()
        reader.SetFileName(name)
        reader.ReadImageInformation()
        voxels = math.prod(reader.GetSize()) * reader.GetNumberOfComponents()
        # what NRRD packs by bzip2 has no bound by its bytes
        is_nrrd = path.suffix.lower() in _NRRD
        held = MAX_VOXELS if is_nrrd else sum(one.stat().st_size for one in files)
        check_size(path, voxels, held)
        return reader.Execute()


def itk_path(path: str | Path) -> str:
    """Return a path as SimpleITK takes it.

    Raises:
        UserError: If its name is not UTF-8, at which SimpleITK would abort the process.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise UserError(
            f'{printable(str(path))} has a name that is not UTF-8, which ITK does not read: '
            'rename it'
        ) from None
    return str(path)


def check_size(path: Path, voxels: int, held: int) -> None:
    """Compare the number of voxels that a header declares with the bytes that are there.

    Args:
        path: The file or folder, for the message.
        voxels: Declared.
        held: Bytes.

    Raises:
        UserError: If there are more than :data:`MAX_VOXELS`, or than the bytes unpack to.
    """
    if voxels > min(MAX_VOXELS, held * MAX_DEFLATION):
        raise UserError(
            f'{path} declares {voxels} voxels in {held} bytes: it is damaged, or larger than any '
            f'CT scan ({MAX_VOXELS} voxels)'
        )


@contextmanager
def itk_errors_as_user_errors(path: Path) -> Iterator[None]:
    """Convert ITK's exceptions to user errors, and suppress its own warnings."""
    display = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    except RuntimeError as error:
        # ITK's first lines name its own source file; the last one says what is wrong
        raise unreadable(path, str(error).strip().splitlines()[-1].strip()) from error
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(display)


def unreadable(path: Path, reason: str) -> UserError:
    """Return the error of a file that is no volume, or not a whole one."""
    return UserError(
        f'cannot read {path} as a volume ({reason}): check that the file is whole and in a '
        'format such as NIfTI, MHD, MHA or DICOM'
    )


def image_files(path: str | Path) -> list[Path]:
    """Return the files of an image, including the data file that its header names or goes with.

    Args:
        path: What :func:`~mmlesion.io.ct.read_image` reads. It need not exist.

    Returns:
        list[Path]: ``path`` first.

    Raises:
        UserError: If its header names several data files, which this does not follow.
    """
    path = Path(path)
    pair = nifti_pair(path)
    if pair[0] != pair[1]:
        return [path, *(one for one in pair if one != path)]
    return _files(path, read_header(path))


def nifti_pair(path: Path) -> tuple[Path, Path]:
    """Return the files that have the header and the voxels of a NIfTI image: .hdr and .img, or one.

    Args:
        path: The image, or either file of a pair.
    """
    match = re.fullmatch(r'(.+\.)(hdr|img)((?:\.gz)?)', path.name, re.IGNORECASE)
    if match is None:
        return path, path
    kinds = ('HDR', 'IMG') if match[2].isupper() else ('hdr', 'img')
    header, voxels = (path.with_name(match[1] + kind + match[3]) for kind in kinds)
    return header, voxels


def read_header(path: Path) -> dict[str, str]:
    """Return the fields of an MHD, MHA or NRRD file's header; none of another file.

    Names of NRRD's are in lowercase without blanks.

    Raises:
        UserError: If it is longer than :data:`MAX_HEADER`, and may name files after that.
    """
    suffix = path.suffix.lower()
    fields: dict[str, str] = {}
    if suffix not in _META + _NRRD or not path.is_file():
        return fields
    with open(path, 'rb') as file:
        lines = file.read(MAX_HEADER).decode('latin-1').splitlines()
    for line in lines:
        if suffix in _META:
            # ITK takes either sign
            name, _, value = re.sub('[=:]', '=', line, count=1).partition('=')
            if value.strip():
                fields[name.strip()] = value.strip()
            # the last field; in an MHA file the voxels follow
            at_end = name.strip() == 'ElementDataFile'
        else:
            name, _, value = line.partition(':')
            fields[name.strip().lower().replace(' ', '')] = value.strip()
            at_end = not line.strip()
        if at_end:
            return fields
    if path.stat().st_size > MAX_HEADER:
        raise UserError(f'{path} has a header of over {MAX_HEADER} bytes: write it anew')
    return fields


def _files(path: Path, header: Mapping[str, str]) -> list[Path]:
    name = header.get('ElementDataFile') or header.get('datafile')
    if not name or name.upper() == 'LOCAL':
        return [path]
    if name.split()[0].upper() == 'LIST' or '%' in name:
        raise UserError(f'{path} has its voxels in several files: write it anew, in one')
    return [path, Path(path_under(path.parent, name))]


def _check_data_file(files: list[Path], header: Mapping[str, str]) -> None:
    """Check that the data of a header are there and whole; ITK's messages name the header alone.

    Raises:
        UserError: If not.
    """
    path, *others = files
    for data in others:
        if not data.is_file():
            raise UserError(f'{path} has its voxels in {data}, which does not exist: copy it too')
        try:
            expected = _expected_bytes(header)
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
    voxel = _VOXEL_BYTES.get(header.get('ElementType', ''))
    if header.get('CompressedData', 'False').lower() == 'true' or voxel is None:
        return int(header.get('CompressedDataSize', 1))
    size = math.prod(map(int, header.get('DimSize', '1').split()))
    return voxel * size * int(header.get('ElementNumberOfChannels', 1))


def _check_geometry(path: Path, header: Mapping[str, str]) -> None:
    """Check that the header of an MHD, MHA or NRRD file has the voxels' size, for which ITK has 1.

    A warning names a file that does not say where it lies.

    Raises:
        UserError: If it has none that is finite and above 0, or in NRRD another unit than mm.
    """
    if not header:
        return
    if path.suffix.lower() in _META:
        # the first that is there, as in ITK
        sides = _numbers(header.get('ElementSpacing') or header.get('ElementSize') or '')
        field, steps = 'ElementSpacing', [[side] for side in sides]
        origin, placed = 'Offset', header.keys() & {'Offset', 'Position', 'Origin'}
    else:
        directions = re.findall(r'\(([^)]*)\)', header.get('spacedirections', ''))
        sides = _numbers(header.get('spacings', ''))
        field = 'space directions or spacings'
        steps = [_numbers(step) for step in directions] or [[side] for side in sides]
        origin, placed = 'space origin', header.keys() & {'spaceorigin'}
    # the steps from voxel to voxel along each axis, a number or a vector
    lengths = [math.hypot(*step) if len(step) > 1 else step[0] for step in steps]
    if not all(math.isfinite(length) and length > 0 for length in lengths):
        raise UserError(
            f'{path} does not say the size of its voxels: its header needs {field}, in mm, finite '
            'and above 0'
        )
    units = re.findall(r'"([^"]*)"', header.get('spaceunits') or header.get('units', ''))
    others = sorted({unit for unit in units if not _MILLIMETER.fullmatch(unit)})
    if others:
        raise UserError(
            f'{path} has the unit {", ".join(others)}, which ITK takes for mm: write it in mm'
        )
    if not placed:
        logging.getLogger('mmlesion').warning(
            f'{path} has no {origin}, so that its place is unknown: its first voxel is taken to '
            'lie at 0, 0, 0'
        )


def _numbers(text: str) -> list[float]:
    """Return the numbers of a field; NaN for what is not a number."""
    numbers = []
    for word in re.split(r'[\s,]+', text.strip()):
        try:
            numbers.append(float(word))
        except ValueError:
            numbers.append(math.nan)
    return numbers
