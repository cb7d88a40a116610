"""The DICOM series that lesions were detected in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mmlesion.io.dicom_series import series_files
from mmlesion.io.results import Results
from mmlesion.structures.slice_stack import SliceStack
from mmlesion.utils import UserError

if TYPE_CHECKING:
    from pydicom import Dataset


class SourceSeries(NamedTuple):
    """The slices of a series, in the order of the volume's last axis k.

    Args:
        slices (Sequence[Dataset]): n headers, without pixels.
        stack (SliceStack): Where the n slices lie.
    """

    slices: Sequence[Dataset]
    stack: SliceStack


def read_source_series(
    results: Results, folder: str | Path | None = None, series: str | None = None
) -> SourceSeries:
    """Read the headers of the series that results are about.

    Args:
        results (Results): What ``infer.py`` has written.
        folder (str | Path, optional): Of the series. Defaults to None, where ``infer.py`` read it.
        series (str, optional): Series Instance UID, if the folder has several CT series.

    Raises:
        UserError: If it is not a DICOM series of single slices with the size of the volume.
    """
    from pydicom import dcmread

    folder = Path(folder or results.volume['source'])
    if not folder.is_dir():
        raise UserError(
            f'{folder} is not the folder of a DICOM series: name the one that infer.py has read '
            'as --dicom; other volumes have no DICOM to refer to'
        )
    slices = [dcmread(name, stop_before_pixels=True) for name in series_files(folder, series)]
    _check_slices(slices, results, folder)
    orientation = np.array([one.ImageOrientationPatient for one in slices], dtype=float)
    # PixelSpacing: between rows, then between columns. The first direction of the orientation
    # leads along a row, from column to column.
    spacing = np.array([one.PixelSpacing for one in slices], dtype=float)
    stack = SliceStack(
        origin_mm=np.array([one.ImagePositionPatient for one in slices], dtype=float),
        columns_mm=orientation[:, :3] * spacing[:, 1:],
        rows_mm=orientation[:, 3:] * spacing[:, :1],
    )
    return SourceSeries(slices, stack)


def _check_slices(slices: Sequence[Dataset], results: Results, folder: Path) -> None:
    needed = 'ImagePositionPatient', 'ImageOrientationPatient', 'PixelSpacing'
    for one in slices:
        missing = [name for name in needed if name not in one]
        if missing:
            raise UserError(f'{one.filename} has no {missing[0]}: give a series of single slices')
    size = [int(slices[0].Columns), int(slices[0].Rows), len(slices)]
    expected = list(results.volume['size'])
    if len(slices) < 2 or size != expected:
        raise UserError(
            f'{folder} has {size} columns, rows and slices, but {results.folder} is about a '
            f'volume of {expected}: give the series that infer.py has read'
        )
