"""Care in reading with ITK: bounds before room is made, errors in one line."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import SimpleITK as sitk

from mmlesion.utils import UserError, printable

from .mhd import image_files

MAX_VOXELS = 1 << 31
"""Of an image; 2,000 slices of 1024 x 1024 px."""
MAX_DEFLATION = 1032
"""Voxels per byte of a file: what deflate unpacks at most."""


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


def check_voxels(path: Path) -> None:
    """Compare the size in a header with what a file can hold, before room is made for it.

    Args:
        path (Path): The file.

    Raises:
        UserError: If it is more than :data:`MAX_VOXELS`, or than the file's bytes unpack to.
        RuntimeError: If ITK cannot read it.
    """
    reader = sitk.ImageFileReader()
    reader.SetFileName(itk_path(path))
    reader.ReadImageInformation()
    voxels = math.prod(reader.GetSize()) * reader.GetNumberOfComponents()
    held = sum(data.stat().st_size for data in image_files(path))
    # what NRRD packs by bzip2 has no such bound
    if path.suffix.lower() in ('.nrrd', '.nhdr'):
        held = MAX_VOXELS
    check_size(path, voxels, held)


def check_size(path: Path, voxels: int, held: int) -> None:
    """Compare the number of voxels that a header declares with the bytes that are there.

    Args:
        path (Path): The file or folder, for the message.
        voxels (int): Declared.
        held (int): Bytes.

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
        reason = str(error).strip().splitlines()[-1].strip()
        raise UserError(
            f'cannot read {path} as a volume ({reason}): check that the file is whole and in a '
            'format such as NIfTI, MHD, MHA or DICOM'
        ) from error
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(display)
