"""NIfTI-1 files, read in one pass: header, voxels, and the affine that counts.

ITK, where it reads them, takes one of the header's two affines and the spacing from a third field,
makes 0 HU of NaN and of what a truncated or damaged file does not have, and reads the voxels of
``a.nii`` for ``a.nii.gz`` beside it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import SimpleITK as sitk
from isal import igzip, isal_zlib

from mmlesion.utils import UserError

from .itk import check_size, nifti_pair, unreadable

FORM_TOLERANCE = 0.1
"""mm by which the affines of a header may differ at the volume's corners without a warning."""
_ROUNDING = 0.001  # mm, of affines that a header has in single precision
_BYTES = 348  # of a header, which its first number says
_HEADER = {  # of what is used: format, and bytes from the header's start
    'dim': ('8i2', 40),
    'datatype': ('i2', 70),
    'pixdim': ('8f4', 76),
    'vox_offset': ('f4', 108),
    'scl_slope': ('f4', 112),
    'scl_inter': ('f4', 116),
    'xyzt_units': ('u1', 123),
    'qform_code': ('i2', 252),
    'sform_code': ('i2', 254),
    'quatern': ('3f4', 256),
    'qoffset': ('3f4', 268),
    'srow': ('(3,4)f4', 280),
    'magic': ('S4', 344),
}
# by the code of datatype; colors and complex numbers are no volume
_TYPES = {2: 'u1', 4: 'i2', 8: 'i4', 16: 'f4', 64: 'f8'}
_TYPES.update({256: 'i1', 512: 'u2', 768: 'u4', 1024: 'i8', 1280: 'u8'})
_MM = {1: 1e3, 3: 1e-3}  # of a meter and a micrometer, by the code of xyzt_units
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0])
_MOST_AXES = 5  # of SimpleITK's images
_BLOCK = 1 << 20
# what reading a damaged stream, or at an impossible offset, raises
_DAMAGE: Any = (EOFError, OSError, OverflowError, ValueError, isal_zlib.error)


def read_header(path: Path) -> np.void | None:
    """Return a NIfTI or ANALYZE header, whatever the file is called, or None of another file.

    Returns:
        np.void | None: The fields of :data:`_HEADER`, in the byte order of the file.

    Raises:
        UserError: If it is of NIfTI-2, or a damaged compressed file.
    """
    header_file, file_of_voxels = nifti_pair(path)
    try:
        with _opened(header_file) as file:
            start = file.read(_BYTES)
    except _DAMAGE as error:
        raise unreadable(path, str(error)) from error
    if start[4:8] in (b'n+2\0', b'ni2\0'):
        raise UserError(f'{path} is NIfTI-2, which is not read: save it as NIfTI-1')
    # the size of the header is known, so the way in which it is stored tells the byte order
    order = {_BYTES.to_bytes(4, 'little'): '<', _BYTES.to_bytes(4, 'big'): '>'}.get(start[:4])
    if order is None or len(start) < _BYTES:
        return None
    formats, offsets = zip(*_HEADER.values())
    fields: Any = dict(names=list(_HEADER), formats=formats, offsets=offsets, itemsize=_BYTES)
    header = np.frombuffer(start, np.dtype(fields).newbyteorder(order))[0]
    # ANALYZE has no magic, but always two files
    return header if is_nifti(header) or header_file != file_of_voxels else None


def is_nifti(header: np.void) -> bool:
    """Return whether a header is of NIfTI; ANALYZE has no affines and no rescale."""
    return header['magic'].startswith((b'n+1', b'ni1'))


def read_nifti(path: Path, header: np.void) -> sitk.Image:
    """Read a volume with the geometry that nibabel, FSL and SPM take from its header.

    Args:
        path: The file.
        header: Of :func:`read_header`.

    Returns:
        sitk.Image: Of the stored type or, where the header has a rescale, of floats.

    Raises:
        UserError: If the file is truncated or damaged, a value is NaN or infinite, a voxel has no
            size, or the affine is no grid.
    """
    size, dtype = _shape(path, header)
    check_size(path, math.prod(size), nifti_pair(path)[1].stat().st_size)
    sides = header['pixdim'][1:4]
    if not (np.isfinite(sides) & (sides != 0)).all():
        shown = ', '.join(f'{side:g}' for side in sides)
        raise UserError(f'{path} has the spacing {shown} mm: correct its header')
    stored, start = np.empty(dtype.itemsize * math.prod(size), np.uint8), 0
    for block in _blocks(path, header):
        stored[start : start + len(block)] = np.frombuffer(block, np.uint8)
        start += len(block)
    native = stored.view(dtype).astype(dtype.newbyteorder('='), copy=False)
    voxels = _rescaled(native, header)
    if voxels.dtype.kind == 'f' and not np.isfinite([voxels.min(), voxels.max()]).all():
        raise UserError(f'{path} holds NaN or infinite values: replace them, by -1024 for air')
    image = sitk.GetImageFromArray(voxels.reshape(size[::-1]), isVector=False)
    if len(size) == 3:
        _set_geometry(image, header, path)
    return image


def check_whole(path: Path, header: np.void) -> None:
    """Read a file as :func:`read_nifti`, but keep none of its voxels.

    Raises:
        UserError: If it is truncated or damaged.
    """
    for _ in _blocks(path, header):
        pass


def _shape(path: Path, header: np.void) -> tuple[tuple[int, ...], np.dtype]:
    """Return how many voxels there are along i, j, k, ..., and their type in the file."""
    size = header['dim'][1 : 1 + max(0, header['dim'][0])].tolist()
    while len(size) > 3 and size[-1] == 1:
        size.pop()
    if not 2 <= len(size) <= _MOST_AXES or min(size) < 1:
        raise unreadable(path, f'its header says the size {size}')
    if (code := int(header['datatype'])) not in _TYPES:
        raise unreadable(path, f'voxels of the type {code} are no single numbers')
    order = header.dtype['pixdim'].base.byteorder
    return tuple(size), np.dtype(_TYPES[code]).newbyteorder(order)


def _blocks(path: Path, header: np.void) -> Iterator[bytes]:
    """Yield the bytes of the voxels.

    Raises:
        UserError: If the file is truncated or damaged.
    """
    size, dtype = _shape(path, header)
    expected = left = dtype.itemsize * math.prod(size)
    header_file, file_of_voxels = nifti_pair(path)
    least = _BYTES if header_file == file_of_voxels else 0
    try:
        with _opened(file_of_voxels) as file:
            file.seek(max(least, int(header['vox_offset'])))
            while left and (block := file.read(min(left, _BLOCK))):
                left -= len(block)
                yield block
            # the checksum of a compressed file is at its end
            file.read(1)
    except _DAMAGE as error:
        raise unreadable(path, str(error)) from error
    if left:
        raise unreadable(
            path, f'it has {expected - left} of the {expected} bytes of voxels that its header says'
        )


def _rescaled(voxels: np.ndarray, header: np.void) -> np.ndarray:
    """Return slope times voxels (n,) plus intercept; of integers in single precision, as ITK."""
    slope, intercept = float(header['scl_slope']), float(header['scl_inter'])
    # 0 says that there is none
    slope = slope if math.isfinite(slope) and slope else 1.0
    intercept = intercept if math.isfinite(intercept) else 0.0
    if not is_nifti(header) or (slope, intercept) == (1, 0):
        return voxels
    rescaled = np.empty(voxels.shape, voxels.dtype if voxels.dtype.kind == 'f' else np.float32)
    # in blocks, as this is computed in double precision
    for start in range(0, len(voxels), _BLOCK):
        part = slice(start, start + _BLOCK)
        rescaled[part] = voxels[part].astype(float) * slope + intercept
    return rescaled


def _set_geometry(image: sitk.Image, header: np.void, path: Path) -> None:
    """Give a volume the geometry of its sform if the code of that is above 0, else of the qform.

    What contradicts it in the header by more than :data:`FORM_TOLERANCE` mm at the volume's corners
    is said in a warning, and so are a shear, instead of which the nearest rotation is taken, and a
    header with neither affine.

    Raises:
        UserError: If the affine is not finite, or sheared by over half a voxel.
    """
    logger = logging.getLogger('mmlesion')
    forms = affines(header)
    pixdim = np.abs(header['pixdim'][1:4].astype(float)) * _unit(header)
    if not forms:
        logger.warning(
            f'{path} has neither qform nor sform (codes 0), so that its orientation is unknown: '
            'rows are taken to run to the left, columns to posterior and slices to superior'
        )
        image.SetSpacing(pixdim.tolist())
        return
    name, affine = next(iter(forms.items()))
    if not np.isfinite(affine).all():
        raise UserError(f'{path} has a {name} that is not finite: correct its header')
    sides = np.linalg.norm(affine[:, :3], axis=0)  # mm from voxel to voxel along i, j, k
    if not sides.all():
        raise UserError(f'{path} has a {name} in which voxels have no size: correct its header')
    corners = np.array(list(product(*((0, size - 1) for size in image.GetSize()))), float)

    # what else the header says: the other affine, or a voxel's size without one
    other = forms.get('qform', affine * np.append(pixdim / sides, 1))
    gap = _distance(affine, other, corners)
    if not gap <= FORM_TOLERANCE:  # nor NaN
        against = 'qform' if 'qform' in forms else 'pixdim'
        logger.warning(
            f'{path}: {against} and sform of its header disagree by up to {gap:.1f} mm at the '
            "volume's corners; the sform is used, as by nibabel, FSL and SPM"
        )

    direction, origin = affine[:, :3] / sides, affine[:, 3]
    # U V^T of the singular value decomposition is the nearest orthogonal matrix
    left, _, right = np.linalg.svd(direction)
    center = (np.array(image.GetSize()) - 1) / 2
    middle = affine[:, :3] @ center + origin
    straight = np.column_stack([left @ right * sides, middle - left @ right @ (sides * center)])
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
        direction, origin = left @ right, straight[:, 3]
    # the size of a voxel itself is exact where the affine says it again, rounded
    image.SetSpacing((pixdim if np.allclose(sides, pixdim, rtol=1e-6, atol=0) else sides).tolist())
    image.SetDirection(direction.ravel().tolist())
    image.SetOrigin(origin.tolist())


def affines(header: np.void) -> dict[str, np.ndarray]:
    """Return the affines that a header declares, by name, the one that counts first.

    Args:
        header: Of :func:`read_header`.

    Returns:
        dict[str, ndarray]: (3, 4), from i, j, k to x, y, z in mm, LPS.
    """
    if not is_nifti(header):
        return {}  # ANALYZE has other fields in these places
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
    """Return the mm of the unit of length; a header may leave it out."""
    if not is_nifti(header):
        return 1.0
    return _MM.get(int(header['xyzt_units']) & 7, 1.0)


def _distance(one: np.ndarray, other: np.ndarray, points: np.ndarray) -> float:
    """Return the mm between the places of points (n, 3) by two affines (3, 4), at most."""
    difference = points @ (one - other)[:, :3].T + (one - other)[:, 3]
    return float(np.linalg.norm(difference, axis=1).max())


def _opened(path: Path) -> IO[bytes]:
    """Open a file, compressed or not, by its content as ITK does."""
    with open(path, 'rb') as file:
        packed = file.read(2) == b'\x1f\x8b'
    return cast('IO[bytes]', igzip.open(path)) if packed else open(path, 'rb')
