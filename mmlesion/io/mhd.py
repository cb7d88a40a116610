"""Headers of MHD files, and the files of an image."""

from __future__ import annotations

import re
from pathlib import Path

from mmlesion.utils import UserError

from .schema import path_under

MAX_HEADER = 1 << 16
"""Bytes of a header."""

VOXEL_BYTES = dict(MET_CHAR=1, MET_UCHAR=1, MET_SHORT=2, MET_USHORT=2)
VOXEL_BYTES.update(MET_INT=4, MET_UINT=4, MET_FLOAT=4, MET_DOUBLE=8)


def image_files(path: str | Path) -> list[Path]:
    """Return the files of an image, including the data file referenced by an MHD header.

    Args:
        path (str | Path): What SimpleITK reads. It need not exist.

    Returns:
        list[Path]: ``path`` first.
    """
    path = Path(path)
    name = data_file(path)
    if name is None or name.upper() == 'LOCAL':
        return [path]
    return [path, Path(path_under(path.parent, name))]


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
    if path.suffix.lower() not in ('.nrrd', '.nhdr') or not path.is_file():
        return None
    named = None
    for line in _header_lines(path):
        name, _, value = line.partition(':')
        if not line.strip():
            return named
        if name.strip().lower().replace(' ', '') == 'datafile':
            named = value.strip() or None
    _check_end(path)
    return named


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
