"""Writing of volumes with SimpleITK, which says nothing of some files that it cannot write."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import SimpleITK as sitk

from mmlesion.utils import UserError

from .atomic import writing
from .ct import check_whole
from .itk import itk_path


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
