"""The list of lesions of DeepLesion, ``DL_info.csv``."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from mmlesion.utils import UserError

from .checks import SPACING_LIMITS
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
        kind: What it is counted under.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Line(NamedTuple):
    """A line of ``DL_info.csv``.

    Args:
        path: The file.
        number: Counts from 1, the header.
        text: Its cells.
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
        try:
            cells = next(csv.reader([self.text], strict=True))
        except csv.Error as error:
            raise self.error(str(error)) from None
        if len(cells) != len(DL_INFO_HEADER):
            raise self.error(f'{len(cells)} cells instead of {len(DL_INFO_HEADER)}')
        match = _FILE_NAME.fullmatch(cells[0])
        if match is None:
            raise self.error(f'File_name {cells[0]!r} is not like 000001_01_01_109.png')
        # all but name, gender and age are numbers
        texts = cells[1:15] + cells[17:]
        try:
            numbers = _DECODER.decode('[[' + '],['.join(texts) + ']]')
        except (msgspec.DecodeError, UnicodeEncodeError):
            raise _wrong_cell(self, texts) from None
        (patient,), (study,), (series_id,), (key_slice,), recist, box, *others = numbers
        diameters, location, (lesion_type,), (noisy,), slices, spacing, *others = others
        size, window, (code,) = others
        if code not in SPLIT_NAMES:
            raise self.error(f'Train_Val_Test is {code}, not 1, 2 or 3', 'unknown split')
        row = Row(
            line=self,
            series=match[1],
            key_slice=key_slice,
            patient=patient,
            study=study,
            series_id=series_id,
            # The file counts pixels from 1, as MATLAB does; it has at most three decimals.
            recist=[round(number - 1, 6) for number in recist],
            box=[round(number - 1, 6) for number in box],
            diameters=list(diameters),
            location=list(location),
            lesion_type=lesion_type,
            noisy=noisy,
            slice_range=list(slices),
            spacing=list(spacing),
            size=list(size),
            window=list(window),
            split=SPLIT_NAMES[code],
        )
        name = f'{patient:06d}_{study:02d}_{series_id:02d}'
        if (name, key_slice) != (row.series, int(match[2])):
            raise self.error(
                f'File_name {cells[0]} does not fit patient, study, series and key slice '
                f'{name}_{key_slice:03d}'
            )
        for complaint, is_broken in _RULES.items():
            if is_broken(row):
                raise self.error(complaint.format(row=row))
        return row


class Row(NamedTuple):
    """One measured lesion of ``DL_info.csv``.

    Args:
        line: Where it is from.
        series: Name of its series, such as ``000001_01_01``.
        key_slice: Number of the slice with the measurement; slices count from 1.
        patient: Number of the patient.
        study: Number of the patient's study.
        series_id: Number of the study's series.
        recist: x1, y1, ..., x4, y4 px: ends of the long diameter, then of the short
            one. The first pixel's center is at 0.
        box: x1, y1, x2, y2 px in the same coordinates.
        diameters: Long and short diameter, px.
        location: x, y, z relative to the body, 0 to 1.
        lesion_type: One of :data:`LESION_TYPES` counted from 1, or -1.
        noisy: 1 if the annotation may be wrong, or else 0.
        slice_range: First and last slice that there is around the key slice.
        spacing: mm per px along x and y, and from slice to slice.
        size: Height and width, px.
        window: Low and high, HU.
        split: 'train', 'val' or 'test'.
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


_Point, _Three, _Pair = tuple[float, float], tuple[float, float, float], tuple[int, int]
_Four = tuple[float, float, float, float]
_Eight = tuple[float, float, float, float, float, float, float, float]
# what a cell of each column has that is read, as a JSON list
_NUMBERS: dict[str, Any] = {
    'Patient_index': tuple[int],
    'Study_index': tuple[int],
    'Series_ID': tuple[int],
    'Key_slice_index': tuple[int],
    'Measurement_coordinates': _Eight,
    'Bounding_boxes': _Four,
    'Lesion_diameters_Pixel_': _Point,
    'Normalized_lesion_location': _Three,
    'Coarse_lesion_type': tuple[int],
    'Possibly_noisy': tuple[int],
    'Slice_range': _Pair,
    'Spacing_mm_px_': _Three,
    'Image_size': _Pair,
    'DICOM_windows': _Point,
    'Train_Val_Test': tuple[int],
}
_ALL: Any = tuple.__class_getitem__(tuple(_NUMBERS.values()))
# 1.0 is whole, too
_DECODER = msgspec.json.Decoder(_ALL, strict=False)


def _wrong_cell(line: Line, texts: Sequence[str]) -> RowError:
    """Return the error of the first cell that has not the numbers of its column."""
    for (column, kind), text in zip(_NUMBERS.items(), texts):
        count = len(kind.__args__)
        expected = 'a number' if count == 1 else f'{count} numbers'
        try:
            if len(msgspec.json.decode(f'[{text}]', type=list[float])) == count:
                expected = 'whole'
                msgspec.json.decode(f'[{text}]', type=kind, strict=False)
                continue
        except (msgspec.DecodeError, UnicodeEncodeError):
            pass
        return line.error(f'{column} is {text!r}, not {expected}')
    return line.error('its cells are not closed')


# px, and the last slice whose number file names have
LARGEST_SIDE, LAST_SLICE = 10_000, 9999

# what is wrong with a row, and whether it is; the first counts
_RULES: dict[str, Callable[[Row], bool]] = {
    'Slice_range {row.slice_range[0]}, {row.slice_range[1]} does not hold the key slice '
    '{row.key_slice}': lambda row: (
        not 1 <= row.slice_range[0] <= row.key_slice <= row.slice_range[1]
    ),
    'Spacing_mm_px_ is not 0.01 to 100 mm': lambda row: (
        not SPACING_LIMITS[0] <= min(row.spacing) <= max(row.spacing) <= SPACING_LIMITS[1]
    ),
    f'Image_size is not 1 to {LARGEST_SIDE} px': lambda row: (
        not 1 <= min(row.size) <= max(row.size) <= LARGEST_SIDE
    ),
    f'Slice_range goes beyond {LAST_SLICE}': lambda row: row.slice_range[1] > LAST_SLICE,
    'Lesion_diameters_Pixel_ is negative': lambda row: min(row.diameters) < 0,
    'Bounding_boxes is not x1 < x2 and y1 < y2': lambda row: (
        not (row.box[0] < row.box[2] and row.box[1] < row.box[3])
    ),
    'DICOM_windows is not low < high': lambda row: row.window[0] >= row.window[1],
    'Coarse_lesion_type is {row.lesion_type}, not -1 or 1 to 8': lambda row: (
        row.lesion_type not in (-1, *range(1, len(LESION_TYPES) + 1))
    ),
    'Possibly_noisy is {row.noisy}, not 0 or 1': lambda row: row.noisy not in (0, 1),
}
