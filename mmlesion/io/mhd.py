"""Headers of MHD and NRRD files, and the files of an image."""

from __future__ import annotations

import logging
import math
import re
from pathlib import Path

from mmlesion.utils import UserError

from .schema import path_under

MAX_HEADER = 1 << 16
"""Bytes of a header."""

_MILLIMETER = re.compile(r'|mm|millimet(?:er|re)s?', re.IGNORECASE)

VOXEL_BYTES = dict(MET_CHAR=1, MET_UCHAR=1, MET_SHORT=2, MET_USHORT=2)
VOXEL_BYTES.update(MET_INT=4, MET_UINT=4, MET_FLOAT=4, MET_DOUBLE=8)


def image_files(path: str | Path) -> list[Path]:
    """Return the files of an image, including the data file that its header names or goes with.

    Args:
        path (str | Path): What SimpleITK reads. It need not exist.

    Returns:
        list[Path]: ``path`` first.
    """
    path = Path(path)
    pair = nifti_pair(path)
    if pair[0] != pair[1]:
        return [path, *(one for one in pair if one != path)]
    name = data_file(path)
    if name is None or name.upper() == 'LOCAL':
        return [path]
    return [path, Path(path_under(path.parent, name))]


def nifti_pair(path: Path) -> tuple[Path, Path]:
    """Return the files that have the header and the voxels of a NIfTI image: .hdr and .img, or one.

    Args:
        path (Path): The image, or either file of a pair.
    """
    match = re.fullmatch(r'(.+\.)(hdr|img)((?:\.gz)?)', path.name, re.IGNORECASE)
    if match is None:
        return path, path
    kinds = ('HDR', 'IMG') if match[2].isupper() else ('hdr', 'img')
    header, voxels = (path.with_name(match[1] + kind + match[3]) for kind in kinds)
    return header, voxels


def data_file(path: Path) -> str | None:
    """Return the file that has the voxels by an image's header; None where none is named.

    Raises:
        UserError: If it names several, which this does not follow.
    """
    if path.suffix.lower() in ('.mhd', '.mha'):
        name = mhd_header(path).get('ElementDataFile')
    else:
        name = _nrrd_data_file(path)
    if name is not None and (name.split()[0].upper() == 'LIST' or '%' in name):
        raise UserError(f'{path} has its voxels in several files: write it anew, in one')
    return name


def _nrrd_data_file(path: Path) -> str | None:
    return nrrd_header(path).get('datafile') or None


def nrrd_header(path: Path) -> dict[str, str]:
    """Return the fields of an NRRD file's header by lowercase name without blanks; none of another.

    Raises:
        UserError: If it is longer than :data:`MAX_HEADER`.
    """
    fields: dict[str, str] = {}
    if path.suffix.lower() not in ('.nrrd', '.nhdr') or not path.is_file():
        return fields
    for line in _header_lines(path):
        if not line.strip():
            return fields
        name, _, value = line.partition(':')
        fields[name.strip().lower().replace(' ', '')] = value.strip()
    _check_end(path)
    return fields


def check_geometry_given(path: Path) -> None:
    """Check that the header of an MHD, MHA or NRRD file has the voxels' size, for which ITK has 1.

    A warning names a file that does not say where it lies.

    Raises:
        UserError: If it has none that is finite and above 0, or in NRRD another unit than mm.
    """
    if fields := mhd_header(path):
        # the first that is there, as in ITK
        sides = _numbers(fields.get('ElementSpacing') or fields.get('ElementSize') or '')
        _check_sides(path, 'ElementSpacing', [[side] for side in sides])
        origin, placed = 'Offset', fields.keys() & {'Offset', 'Position', 'Origin'}
    elif fields := nrrd_header(path):
        directions = re.findall(r'\(([^)]*)\)', fields.get('spacedirections', ''))
        steps = [_numbers(step) for step in directions]
        steps = steps or [[side] for side in _numbers(fields.get('spacings', ''))]
        _check_sides(path, 'space directions or spacings', steps)
        units = re.findall(r'"([^"]*)"', fields.get('spaceunits') or fields.get('units', ''))
        others = sorted({unit for unit in units if not _MILLIMETER.fullmatch(unit)})
        if others:
            raise UserError(
                f'{path} has the unit {", ".join(others)}, which ITK takes for mm: write it in mm'
            )
        origin, placed = 'space origin', fields.keys() & {'spaceorigin'}
    else:
        return
    if not placed:
        logging.getLogger('mmlesion').warning(
            f'{path} has no {origin}, so that its place is unknown: its first voxel is taken to '
            'lie at 0, 0, 0'
        )


def _numbers(text: str) -> list[float]:
    """Return the numbers of a field; NaN for what is none."""
    numbers = []
    for word in re.split(r'[\s,]+', text.strip()):
        try:
            numbers.append(float(word))
        except ValueError:
            numbers.append(math.nan)
    return numbers


def _check_sides(path: Path, field: str, steps: list[list[float]]) -> None:
    """Check the steps from voxel to voxel along each axis, a number or a vector."""
    lengths = [math.hypot(*step) if len(step) > 1 else step[0] for step in steps]
    if not all(math.isfinite(length) and length > 0 for length in lengths):
        raise UserError(
            f'{path} does not say the size of its voxels: its header needs {field}, in mm, finite '
            'and above 0'
        )


def _check_end(path: Path) -> None:
    """Refuse a header whose end was not read, but may name files."""
    if path.stat().st_size > MAX_HEADER:
        raise UserError(f'{path} has a header of over {MAX_HEADER} bytes: write it anew')


def _header_lines(path: Path) -> list[str]:
    with open(path, 'rb') as file:
        return file.read(MAX_HEADER).decode('latin-1').splitlines()


def mhd_header(path: Path) -> dict[str, str]:
    """Return the fields of an MHD or MHA file's header; none of another file."""
    if path.suffix.lower() not in ('.mhd', '.mha') or not path.is_file():
        return {}
    fields = {}
    for line in _header_lines(path):
        name, _, value = re.sub('[=:]', '=', line, count=1).partition('=')  # ITK takes either
        if value.strip():
            fields[name.strip()] = value.strip()
        if name.strip() == 'ElementDataFile':
            return fields  # the last one; in an MHA file the voxels follow
    _check_end(path)
    return fields
