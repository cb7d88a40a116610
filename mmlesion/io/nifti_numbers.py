"""What the header of a NIfTI file says, and what ITK makes of it without a word.

ITK takes one of the header's two affines, and spacing from a third field; it reads what a truncated
file does not have, and NaN becomes 0 HU.
"""

from __future__ import annotations

import gzip
import logging
import math
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import SimpleITK as sitk

from mmlesion.utils import UserError

from .itk_reading import itk_path
from .mhd import nifti_pair

FORM_TOLERANCE = 0.1
"""mm by which the affines of a header may differ at the volume's corners without a word."""
_ROUNDING = 0.001  # mm, of affines that a header has in single precision
_BYTES = 348  # of a header, which its first number says
_HEADER = {  # of what is used: format, and bytes from the header's start
    'dim': ('8i2', 40),
    'datatype': ('i2', 70),
    'bitpix': ('i2', 72),
    'pixdim': ('8f4', 76),
    'vox_offset': ('f4', 108),
    'xyzt_units': ('u1', 123),
    'qform_code': ('i2', 252),
    'sform_code': ('i2', 254),
    'quatern': ('3f4', 256),
    'qoffset': ('3f4', 268),
    'srow': ('(3,4)f4', 280),
    'magic': ('S4', 344),
}
_FLOATS = {16: 'f4', 64: 'f8'}  # NIFTI_TYPE_FLOAT32 and 64
_MM = {1: 1e3, 3: 1e-3}  # of a meter and a micrometer, by the code of xyzt_units
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0])
_BLOCK = 1 << 24


def is_nifti(path: Path) -> bool:
    """Return whether ITK reads a file as NIfTI, whatever it is called.

    Raises:
        UserError: If it is of NIfTI-2, which ITK does not read, or its name is not UTF-8.
    """
    name = sitk.ImageFileReader.GetImageIOFromFileName(itk_path(path))
    if not name:
        try:
            with _opened(path) as file:
                start = file.read(8)
        except (EOFError, OSError, zlib.error):
            return False
        if start[4:] in (b'n+2\0', b'ni2\0'):
            raise UserError(f'{path} is NIfTI-2, which ITK does not read: save it as NIfTI-1')
    return name == 'NiftiImageIO'


def read_header(path: Path) -> np.void:
    """Return the fields of :data:`_HEADER`, in the byte order of the file.

    Raises:
        EOFError: If it is truncated.
    """
    with _opened(nifti_pair(path)[0]) as file:
        start = file.read(_BYTES)
    if len(start) < _BYTES:
        raise EOFError(f'it has {len(start)} of the {_BYTES} bytes of a header')
    formats, offsets = zip(*_HEADER.values())
    fields: Any = dict(names=list(_HEADER), formats=formats, offsets=offsets, itemsize=_BYTES)
    # the size of the header is known, so the way in which it is stored tells the byte order
    order = '<' if int.from_bytes(start[:4], 'little') == _BYTES else '>'
    return np.frombuffer(start, np.dtype(fields).newbyteorder(order))[0]


def check_nifti_numbers(path: Path) -> None:
    """Check the size of voxels and, of floats, the voxels of a file.

    Raises:
        UserError: If a voxel has no size, or a value is NaN or infinite.
    """
    header = read_header(path)
    sides = header['pixdim'][1:4]
    if not (np.isfinite(sides) & (sides != 0)).all():
        shown = ', '.join(f'{side:g}' for side in sides)
        raise UserError(f'{path} has the spacing {shown} mm: correct its header')
    if (datatype := int(header['datatype'])) in _FLOATS:
        order = header.dtype['pixdim'].base.byteorder
        with _opened(nifti_pair(path)[1]) as file:
            file.seek(int(header['vox_offset']))
            _check_finite(file, np.dtype(_FLOATS[datatype]).newbyteorder(order), path)


def check_whole_nifti(path: Path) -> None:
    """Compare the length of a file with its header; ITK reads truncated ones as they are.

    Raises:
        RuntimeError: If it is too short.
    """
    try:
        header = read_header(path)
        size = math.prod(map(int, header['dim'][1 : 1 + header['dim'][0]]))
        expected = int(header['vox_offset']) + int(header['bitpix']) * size // 8
        length = 0
        with _opened(nifti_pair(path)[1]) as file:
            # not to the end of a stream that is longer than an image
            while length <= expected and (block := file.read(_BLOCK)):
                length += len(block)
    except (EOFError, OSError, ValueError, zlib.error) as error:
        raise RuntimeError(str(error)) from error
    if length < expected:
        raise RuntimeError(f'it has {length} of the {expected} bytes that its header says')


@contextmanager
def shear_permitted() -> Iterator[None]:
    """Let ITK read files whose sform is sheared, whose geometry :func:`set_geometry` mends."""
    # ITK looks for it whenever it reads; SimpleITK has no other way to say it
    name = 'ITK_NIFTI_SFORM_PERMISSIVE'
    before = os.environ.get(name)
    os.environ[name] = '1'
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def set_geometry(image: sitk.Image, path: Path) -> None:
    """Give a volume that ITK has read the geometry that nibabel, FSL and SPM take from its header.

    It is the sform if its code is above 0, else the qform. Where ITK has taken the same, to
    rounding, its numbers stay. What contradicts it in the header by more than
    :data:`FORM_TOLERANCE` mm at the volume's corners is said in a warning, and so are a shear,
    instead of which the nearest rotation is taken, and a header with neither affine.

    Args:
        image (sitk.Image): The volume; it is changed.
        path (Path): Its file.

    Raises:
        UserError: If the affine is not finite, or sheared by over half a voxel.
    """
    if image.GetDimension() != 3:
        return
    header = read_header(path)
    logger = logging.getLogger('mmlesion')
    forms = affines(header)
    if not forms:
        logger.warning(
            f'{path} has neither qform nor sform (codes 0), so that its orientation is unknown: '
            'rows are taken to run to the left, columns to posterior and slices to superior'
        )
        return
    name, affine = next(iter(forms.items()))
    if not np.isfinite(affine).all():
        raise UserError(f'{path} has a {name} that is not finite: correct its header')
    sides = np.linalg.norm(affine[:, :3], axis=0)  # mm from voxel to voxel along i, j, k
    if not sides.all():
        raise UserError(f'{path} has a {name} in which voxels have no size: correct its header')
    corners = np.array(list(product(*((0, size - 1) for size in image.GetSize()))), float)

    # what else the header says: the other affine, or a voxel's size without one
    pixdim = np.abs(header['pixdim'][1:4]) * _unit(header)
    other = forms.get('qform', affine * np.append(pixdim / sides, 1))
    gap = _distance(affine, other, corners)
    if not gap <= FORM_TOLERANCE:  # nor NaN
        against = 'qform' if 'qform' in forms else 'pixdim'
        logger.warning(
            f'{path}: {against} and sform of its header disagree by up to {gap:.1f} mm at the '
            "volume's corners; the sform is used, as by nibabel, FSL and SPM"
        )

    # U V^T of the singular value decomposition is the nearest orthogonal matrix
    left, _, right = np.linalg.svd(affine[:, :3] / sides)
    direction = left @ right
    center = (np.array(image.GetSize()) - 1) / 2
    middle = affine[:, :3] @ center + affine[:, 3]
    origin = middle - direction @ (sides * center)
    straight = np.column_stack([direction * sides, origin])
    shear = _distance(affine, straight, corners)
    if shear > sides.min() / 2:
        raise UserError(
            f'{path} has a sheared {name}, by {shear:.2f} mm at its corners, which no CT volume of '
            'axes at right angles has: resample it to such a grid'
        )
    if shear > _ROUNDING:
        logger.warning(
            f'{path} has a sheared {name}: it is read with the nearest axes at right angles, by '
            f'which its corners move by up to {shear:.2g} mm'
        )
    axes = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    taken = np.column_stack([axes, image.GetOrigin()])
    if _distance(straight, taken, corners) > _ROUNDING:
        image.SetSpacing(sides.tolist())
        image.SetDirection(direction.ravel().tolist())
        image.SetOrigin(origin.tolist())


def affines(header: np.void) -> dict[str, np.ndarray]:
    """Return the affines that a header declares, by name, the one that counts first.

    Args:
        header (np.void): Of :func:`read_header`.

    Returns:
        dict[str, ndarray]: (3, 4), from i, j, k to x, y, z in mm, LPS.
    """
    if not header['magic'].startswith((b'n+1', b'ni1')):
        return {}  # of ANALYZE, which has other fields in these places
    found = {}
    if header['sform_code'] > 0:
        found['sform'] = header['srow'].astype(float)
    if header['qform_code'] > 0:
        found['qform'] = _qform(header)
    return {name: _unit(header) * _RAS_TO_LPS @ affine for name, affine in found.items()}


def _qform(header: np.void) -> np.ndarray:
    """Return the affine of quaternion, pixdim and offset, as the standard (nifti1.h) has it."""
    b, c, d = header['quatern'].astype(float)
    # a unit quaternion; rounding may leave its square above 1
    a = math.sqrt(max(0.0, 1 - (b * b + c * c + d * d)))
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    sides = np.abs(header['pixdim'][1:4].astype(float))
    # pixdim[0] is -1 where the third axis is mirrored
    sides[2] *= -1 if header['pixdim'][0] < 0 else 1
    return np.column_stack([rotation * sides, header['qoffset']])


def _unit(header: np.void) -> float:
    """Return the mm of the unit of length, of which a header may say nothing."""
    return _MM.get(int(header['xyzt_units']) & 7, 1.0)


def _distance(one: np.ndarray, other: np.ndarray, points: np.ndarray) -> float:
    """Return the mm between the places of points (n, 3) by two affines (3, 4), at most."""
    difference = points @ (one - other)[:, :3].T + (one - other)[:, 3]
    return float(np.linalg.norm(difference, axis=1).max())


def _opened(path: Path) -> IO[bytes]:
    """Open a file, compressed or not, by its content as ITK does."""
    with open(path, 'rb') as file:
        packed = file.read(2) == b'\x1f\x8b'
    return cast('IO[bytes]', gzip.open(path)) if packed else open(path, 'rb')


def _check_finite(file: IO[bytes], dtype: np.dtype, path: Path) -> None:
    while block := file.read(_BLOCK):
        # bytes after the last whole voxel are no image's
        whole = len(block) // dtype.itemsize
        if not np.isfinite(np.frombuffer(block, dtype, whole)).all():
            raise UserError(f'{path} holds NaN or infinite values: replace them, by -1024 for air')
