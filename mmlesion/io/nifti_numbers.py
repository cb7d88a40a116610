"""Numbers of NIfTI files that ITK mends without a word: NaN becomes 0 mm, 1 mm or 0 HU."""

from __future__ import annotations

import gzip
import math
import struct
from pathlib import Path
from typing import IO, cast

import numpy as np

from mmlesion.utils import UserError

_HEADER = 348  # bytes, which the header's first number says
_DATATYPE, _PIXDIM, _VOX_OFFSET = 70, 80, 108  # bytes from its start; pixdim without its sign
_FLOATS = {16: 'f4', 64: 'f8'}  # NIFTI_TYPE_FLOAT32 and 64
_BLOCK = 1 << 24


def check_nifti_numbers(path: Path) -> None:
    """Check the size of voxels and, of floats, the voxels of a file that ITK has read.

    Raises:
        UserError: If a voxel has no size, or a value is NaN or infinite.
    """
    opened = gzip.open if path.suffix == '.gz' else open
    with cast('IO[bytes]', opened(path, 'rb')) as file:
        header = file.read(_HEADER)
        # the size of the header is known, so the way in which it is stored tells the byte order
        order = '<' if header[:4] == struct.pack('<i', _HEADER) else '>'
        sides = struct.unpack_from(f'{order}3f', header, _PIXDIM)
        if not all(math.isfinite(side) and side for side in sides):
            shown = ', '.join(f'{side:g}' for side in sides)
            raise UserError(f'{path} has the spacing {shown} mm: correct its header')
        (datatype,) = struct.unpack_from(f'{order}h', header, _DATATYPE)
        if datatype in _FLOATS:
            (start,) = struct.unpack_from(f'{order}f', header, _VOX_OFFSET)
            file.seek(int(start))
            _check_finite(file, np.dtype(order + _FLOATS[datatype]), path)


def _check_finite(file: IO[bytes], dtype: np.dtype, path: Path) -> None:
    while block := file.read(_BLOCK):
        # bytes after the last whole voxel are no image's
        whole = len(block) // dtype.itemsize
        if not np.isfinite(np.frombuffer(block, dtype, whole)).all():
            raise UserError(f'{path} holds NaN or infinite values: replace them, by -1024 for air')
