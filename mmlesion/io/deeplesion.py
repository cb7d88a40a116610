"""The files of DeepLesion: its list of lesions, ``DL_info.csv``."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from mmlesion.utils import UserError

from .checks import is_spacing
from .schema import LESION_TYPES
from .slices import slice_file_name

BOX_PADDING = 5.0
"""px that DeepLesion adds to the extent of the RECIST diameters on each side."""

# the columns of DL_info.csv
DL_INFO_HEADER = (
    'File_name,Patient_index,Study_index,Series_ID,Key_slice_index,Measurement_coordinates,'
    'Bounding_boxes,Lesion_diameters_Pixel_,Normalized_lesion_location,Coarse_lesion_type,'
    'Possibly_noisy,Slice_range,Spacing_mm_px_,Image_size,DICOM_windows,Patient_gender,'
    'Patient_age,Train_Val_Test'
).split(',')

SPLIT_NAMES = {1: 'train', 2: 'val', 3: 'test'}
_FILE_NAME = re.compile(r'(\d{6}_\d{2}_\d{2})_(\d{3,4})\.png', re.ASCII)


class RowError(UserError):
    """A row that cannot be used; the message names its file and line.

    Attributes:
        kind (str): What it is counted under.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Line(NamedTuple):
    """A line of ``DL_info.csv``.

    Args:
        path (str | Path): The file.
        number (int): Counts from 1, the header.
        text (str): Its cells.
    """

    path: str | Path
    number: int
    text: str

    def error(self, message: str, kind: str = 'malformed row') -> RowError:
        """Return an error that names the line."""
        return RowError(kind, f'{self.path}, line {self.number}: {message}')

    def parse(self) -> Row:
        """Return the line as a typed record.

        Raises:
            RowError: If a cell is missing or not what its column holds.
        """
        return _parse(_Cells.of_line(self))


class Row(NamedTuple):
    """One measured lesion of ``DL_info.csv``.

    Args:
        line (Line): Where it is from.
        series (str): Name of its series, such as ``000001_01_01``.
        key_slice (int): Number of the slice with the measurement; slices count from 1.
        patient (int): Number of the patient.
        study (int): Number of the patient's study.
        series_id (int): Number of the study's series.
        recist (list[float]): x1, y1, ..., x4, y4 px: ends of the long diameter, then of the short
            one. The first pixel's center is at 0.
        box (list[float]): x1, y1, x2, y2 px in the same coordinates.
        diameters (list[float]): Long and short diameter, px.
        location (list[float]): x, y, z relative to the body, 0 to 1.
        lesion_type (int): One of :data:`LESION_TYPES` counted from 1, or -1.
        noisy (int): 1 if the annotation may be wrong, or else 0.
        slice_range (list[int]): First and last slice that there is around the key slice.
        spacing (list[float]): mm per px along x and y, and from slice to slice.
        size (list[int]): Height and width, px.
        window (list[float]): Low and high, HU.
        split (str): 'train', 'val' or 'test'.
    """

    line: Line
    series: str
    key_slice: int
    patient: int
    study: int
    series_id: int
    recist: list[float]
    box: list[float]
    diameters: list[float]
    location: list[float]
    lesion_type: int
    noisy: int
    slice_range: list[int]
    spacing: list[float]
    size: list[int]
    window: list[float]
    split: str

    @property
    def file_name(self) -> str:
        """str: The key slice, relative to the folder of images."""
        return f'{self.series}/{slice_file_name(self.key_slice)}'


def read_lines(path: str | Path) -> Iterator[Line]:
    """Yield each line of ``DL_info.csv`` that is not blank; the first, the header, is checked.

    A row of DeepLesion's never spans lines, so one with a broken quote spoils no other.

    Raises:
        UserError: If the file cannot be read, or has another header.
    """
    header = []
    try:
        with open(path, encoding='utf-8-sig') as file:
            for number, text in enumerate(file, start=1):
                # spaces around names are tolerated; rows are read by place, in this order alone
                if number == 1:
                    header = [name.strip() for name in text.split(',')]
                if header != DL_INFO_HEADER:
                    raise UserError(_header_complaint(path, header))
                if number > 1 and text.strip():
                    yield Line(path, number, text)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f'{path} cannot be read as CSV: {error}') from None
    if not header:
        raise UserError(_header_complaint(path, header))


def count_lines(path: str | Path) -> int:
    """Return how many lines a file has; 0 if it cannot be read."""
    try:
        with open(path, 'rb') as file:
            return sum(1 for _ in file)
    except OSError:
        return 0


def _header_complaint(path: str | Path, header: list[str]) -> str:
    if not header:
        return f"{path} is empty: give DeepLesion's DL_info.csv"
    missing = [name for name in DL_INFO_HEADER if name not in header]
    what = f'it lacks {", ".join(missing)}' if missing else 'its columns are in another order'
    return f"the header of {path} is not that of DeepLesion's DL_info.csv: {what}"


class _Cells(NamedTuple):
    """The cells of a line by their columns, read as numbers."""

    line: Line
    text: dict[str, str]

    @classmethod
    def of_line(cls, line: Line) -> _Cells:
        try:
            cells = next(csv.reader([line.text], strict=True))
        except csv.Error as error:
            raise line.error(str(error)) from None
        if len(cells) != len(DL_INFO_HEADER):
            raise line.error(f'{len(cells)} cells instead of {len(DL_INFO_HEADER)}')
        return cls(line, dict(zip(DL_INFO_HEADER, cells)))

    def floats(self, column: str, count: int) -> list[float]:
        text = self.text[column]
        try:
            values = [float(part) for part in text.split(',')]
        except ValueError:
            values = []
        if len(values) != count or not all(map(math.isfinite, values)):
            expected = 'a number' if count == 1 else f'{count} numbers'
            raise self.line.error(f'{column} is {text!r}, not {expected}')
        return values

    def coordinates(self, column: str, count: int) -> list[float]:
        # The file counts pixels from 1, as MATLAB does; it has six digits, at most three decimals.
        return [round(value - 1, 6) for value in self.floats(column, count)]

    def integers(self, column: str, count: int) -> list[int]:
        values = self.floats(column, count)
        if not all(value.is_integer() for value in values):
            raise self.line.error(f'{column} is {self.text[column]!r}, not whole')
        return [int(value) for value in values]

    def integer(self, column: str) -> int:
        return self.integers(column, 1)[0]

    def file_name(self) -> re.Match[str]:
        name = self.text['File_name']
        match = _FILE_NAME.fullmatch(name)
        if match is None:
            raise self.line.error(f'File_name {name!r} is not like 000001_01_01_109.png')
        return match

    def split(self) -> str:
        code = self.integer('Train_Val_Test')
        if code not in SPLIT_NAMES:
            raise self.line.error(f'Train_Val_Test is {code}, not 1, 2 or 3', 'unknown split')
        return SPLIT_NAMES[code]


def _parse(cells: _Cells) -> Row:
    name = cells.file_name()
    row = Row(
        line=cells.line,
        series=name[1],
        key_slice=cells.integer('Key_slice_index'),
        patient=cells.integer('Patient_index'),
        study=cells.integer('Study_index'),
        series_id=cells.integer('Series_ID'),
        recist=cells.coordinates('Measurement_coordinates', 8),
        box=cells.coordinates('Bounding_boxes', 4),
        diameters=cells.floats('Lesion_diameters_Pixel_', 2),
        location=cells.floats('Normalized_lesion_location', 3),
        lesion_type=cells.integer('Coarse_lesion_type'),
        noisy=cells.integer('Possibly_noisy'),
        slice_range=cells.integers('Slice_range', 2),
        spacing=cells.floats('Spacing_mm_px_', 3),
        size=cells.integers('Image_size', 2),
        window=cells.floats('DICOM_windows', 2),
        split=cells.split(),
    )
    _check_name(row, int(name[2]))
    for complaint, is_broken in _RULES.items():
        if is_broken(row):
            raise row.line.error(complaint.format(row=row))
    return row


def _check_name(row: Row, slice_in_name: int) -> None:
    name = f'{row.patient:06d}_{row.study:02d}_{row.series_id:02d}'
    if (name, row.key_slice) != (row.series, slice_in_name):
        raise row.line.error(
            f'File_name {row.series}_{slice_in_name:03d}.png does not fit patient, study, series '
            f'and key slice {name}_{row.key_slice:03d}'
        )


def _misses_key_slice(row: Row) -> bool:
    first, last = row.slice_range
    return not 1 <= first <= row.key_slice <= last


def _is_inside_out(row: Row) -> bool:
    x1, y1, x2, y2 = row.box
    return not (x1 < x2 and y1 < y2)


# px, and the last slice whose number file names have
LARGEST_SIDE, LAST_SLICE = 10_000, 9999

# what is wrong with a row, and whether it is; the first counts
_RULES: dict[str, Callable[[Row], bool]] = {
    'Slice_range {row.slice_range[0]}, {row.slice_range[1]} does not hold the key slice '
    '{row.key_slice}': _misses_key_slice,
    'Spacing_mm_px_ is not 0.01 to 100 mm': lambda row: not is_spacing(row.spacing, 3),
    f'Image_size is not 1 to {LARGEST_SIDE} px': lambda row: (
        not 1 <= min(row.size) <= max(row.size) <= LARGEST_SIDE
    ),
    f'Slice_range goes beyond {LAST_SLICE}': lambda row: row.slice_range[1] > LAST_SLICE,
    'Lesion_diameters_Pixel_ is negative': lambda row: min(row.diameters) < 0,
    'Bounding_boxes is not x1 < x2 and y1 < y2': _is_inside_out,
    'DICOM_windows is not low < high': lambda row: row.window[0] >= row.window[1],
    'Coarse_lesion_type is {row.lesion_type}, not -1 or 1 to 8': lambda row: (
        row.lesion_type not in (-1, *range(1, len(LESION_TYPES) + 1))
    ),
    'Possibly_noisy is {row.noisy}, not 0 or 1': lambda row: row.noisy not in (0, 1),
}
