"""Convert DeepLesion's DL_info.csv to COCO with CT fields."""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from terminaltables import AsciiTable
from tqdm import tqdm

from mmlesion.io.coco import make_categories
from mmlesion.io.deeplesion import DL_INFO_HEADER
from mmlesion.io.schema import LESION_TYPES, Annotation, Image, make_annotation, make_image
from mmlesion.io.slices import slice_file_name
from mmlesion.utils import UserError

from .base import (
    SPLITS,
    Run,
    Skipped,
    count_kinds,
    print_left_out,
    print_skipped,
    warn_of_empty,
)

_SPLIT_NAMES = dict(enumerate(SPLITS, start=1))
# Of each kind of problem so many are printed; skipped.txt has all.
PRINTED = 20
_FILE_NAME = re.compile(r'(\d{6}_\d{2}_\d{2})_(\d{3,4})\.png', re.ASCII)


class RowError(Exception):
    """A row that cannot be used; ``kind`` is what it is counted under."""

    def __init__(self, kind, message):
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class Row:
    """One measured lesion of ``DL_info.csv``.

    Pixels, mm and slices; ``recist`` and ``box`` have the first pixel's center at 0, slices count
    from 1.
    """

    series: str
    key_slice: int
    patient: int
    study: int
    series_id: int
    recist: list
    box: list
    diameters: list
    location: list
    lesion_type: int
    noisy: int
    slice_range: list
    spacing: list
    size: list
    window: list
    split: str

    @property
    def file_name(self):
        """str: The key slice, relative to the folder of images."""
        return f'{self.series}/{slice_file_name(self.key_slice)}'


def convert(
    table: str | Path,
    out: str | Path,
    *,
    images: str | Path,
    multi_type: bool = False,
    **run_options: Any,
) -> dict[str, dict]:
    """Convert DeepLesion's list to ``{train,val,test}.json``, all or none.

    Args:
        table (str | Path): ``DL_info.csv``.
        out (str | Path): Folder for the JSON files.
        images (str | Path): The folder ``Images_png``.
        multi_type (bool): Whether the lesion types become categories; untyped lesions are then
            left out.
        **run_options: Of :class:`~mmlesion.converters.base.Run`: strict, allow_skipped.

    Returns:
        dict[str, dict]: COCO content by file name.

    Raises:
        UserError: If the input cannot be used, or more is skipped than allowed.
    """
    run = Run(out, 'row', **run_options)
    if not Path(images).is_dir():
        raise UserError(f'{images} is not a folder: give that of Images_png')
    splits, skipped, left_out = read_splits(table, images, run, multi_type)
    lesions = sum(len(coco['annotations']) for coco in splits.values())
    if skipped and not lesions:
        run.refuse_all(skipped)
    files = {f'{split}.json': coco for split, coco in splits.items()}
    run.write(files, skipped)
    print_skipped(skipped, PRINTED, listed=run.skipped_file)
    rows = [[s, len(c['images']), len(c['annotations'])] for s, c in splits.items()]
    print(AsciiTable([['split', 'images', 'lesions'], *rows]).table)
    print_left_out({**left_out, **count_kinds(skipped)}, 'row')
    warn_of_empty(files)
    run.check(len(skipped), len(skipped) + lesions + sum(left_out.values()))
    return files


def read_splits(
    path: str | Path, images: str | Path, run: Run, multi_type: bool = False
) -> tuple[dict[str, dict], list[Skipped], Counter]:
    """Read ``DL_info.csv``.

    Args:
        path (str | Path): The CSV file.
        images (str | Path): The folder ``Images_png``.
        run (Run): Whether a row that cannot be used is an error.
        multi_type (bool): Whether the lesion types become categories.

    Returns:
        tuple: ``{split: COCO dict}``, what was skipped, and how many rows were left out although
        nothing is wrong with them.

    Raises:
        UserError: If the file is not a ``DL_info.csv``, or with ``run.strict`` a row cannot be
            used.
    """
    splits = {name: DeepLesionSplit(name, Path(path).name, multi_type) for name in SPLITS}
    skipped: list[Skipped] = []
    left_out: Counter[str] = Counter()
    for number, line in tqdm(list(read_lines(path)), desc=Path(path).name, unit='row'):
        try:
            row = parse_row(line)
            if row.noisy and row.split == 'train':
                left_out['noisy'] += 1  # the published validation and test splits count them
            elif multi_type and row.lesion_type == -1:
                left_out['without a type'] += 1
            else:
                check_box(row)
                splits[row.split].add(row, images)
        except RowError as error:
            skipped.append(run.skip(f'{path}, line {number}: {error}', error.kind))
    return {name: split.coco for name, split in splits.items()}, skipped, left_out


class DeepLesionSplit:
    """Collects the rows of one split; ids count from 1 in the order of the rows."""

    def __init__(self, name: str, source: str, multi_type: bool):
        names = LESION_TYPES if multi_type else ('lesion',)
        self.multi_type = multi_type
        self.image_ids: dict[str, int] = {}
        self.coco: dict[str, Any] = {
            'info': {'description': f'DeepLesion, {name} split', 'source': source},
            'images': [],
            'annotations': [],
            'categories': make_categories(names),
        }

    def add(self, row: Row, images: str | Path) -> None:
        """Add a lesion, and its image if it is new.

        Raises:
            RowError: If the folder ``images`` has no key slice, or the row says something else of
                its image than earlier ones.
        """
        image = image_entry(row)
        image_id = self.image_ids.get(row.file_name)
        if image_id is None:
            if not (Path(images) / row.file_name).is_file():
                missing = Path(images) / row.file_name
                raise RowError('missing key slice', f'there is no key slice {missing}')
            image_id = self.image_ids[row.file_name] = len(self.image_ids) + 1
            self.coco['images'].append({'id': image_id, **image})
        else:
            _check_same(self.coco['images'][image_id - 1], image)
        annotation = annotation_entry(row, row.lesion_type if self.multi_type else 1)
        number = len(self.coco['annotations']) + 1
        self.coco['annotations'].append({'id': number, 'image_id': image_id, **annotation})


def read_lines(path: str | Path) -> Iterator[tuple[int, str]]:
    """Yield number and text of each line that is not blank; the first, the header, is checked.

    A row of DeepLesion's never spans lines, so one with a broken quote spoils no other.
    """
    header = []
    try:
        with open(path, encoding='utf-8-sig') as file:
            for number, line in enumerate(file, start=1):
                if number == 1:
                    header = [name.strip() for name in line.split(',')]
                if header != DL_INFO_HEADER:
                    raise UserError(_header_complaint(path, header))
                if number > 1 and line.strip():
                    yield number, line
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f'{path} cannot be read as CSV: {error}') from None
    if not header:
        raise UserError(_header_complaint(path, header))


def parse_row(line: str) -> Row:
    """Make a :class:`Row` of a line of the file.

    Raises:
        RowError: If a cell is missing or not what its column holds.
    """
    try:
        columns = next(csv.reader([line], strict=True))
    except csv.Error as error:
        raise RowError('malformed row', str(error)) from None
    if len(columns) != len(DL_INFO_HEADER):
        found = f'{len(columns)} cells instead of {len(DL_INFO_HEADER)}'
        raise RowError('malformed row', found)
    cells = dict(zip(DL_INFO_HEADER, columns))
    match = _FILE_NAME.fullmatch(cells['File_name'])
    if match is None:
        name = cells['File_name']
        raise RowError('malformed row', f'File_name {name!r} is not like 000001_01_01_109.png')
    row = Row(
        series=match[1],
        key_slice=_integers(cells, 'Key_slice_index', 1)[0],
        patient=_integers(cells, 'Patient_index', 1)[0],
        study=_integers(cells, 'Study_index', 1)[0],
        series_id=_integers(cells, 'Series_ID', 1)[0],
        recist=_from_zero(_floats(cells, 'Measurement_coordinates', 8)),
        box=_from_zero(_floats(cells, 'Bounding_boxes', 4)),
        diameters=_floats(cells, 'Lesion_diameters_Pixel_', 2),
        location=_floats(cells, 'Normalized_lesion_location', 3),
        lesion_type=_integers(cells, 'Coarse_lesion_type', 1)[0],
        noisy=_integers(cells, 'Possibly_noisy', 1)[0],
        slice_range=_integers(cells, 'Slice_range', 2),
        spacing=_floats(cells, 'Spacing_mm_px_', 3),
        size=_integers(cells, 'Image_size', 2),
        window=_floats(cells, 'DICOM_windows', 2),
        split=_split(cells),
    )
    _check_values(row, int(match[2]))
    return row


def check_box(row: Row) -> None:
    """Reject a box whose center is not in the image.

    A genuine one may reach out, by its padding and even by the lesion's measured end.

    Raises:
        RowError: If it lies outside.
    """
    x1, y1, x2, y2 = row.box
    height, width = row.size
    x, y = (x1 + x2 + 1) / 2, (y1 + y2 + 1) / 2
    if not (0 <= x <= width and 0 <= y <= height):
        box = ', '.join(f'{value + 1:g}' for value in row.box)  # as the file has it
        message = f'the box {box} is outside its image of {width} x {height} px'
        raise RowError('box outside its image', message)


def image_entry(row: Row) -> Image:
    """Return the COCO image of a row, without ``id``."""
    return make_image(
        row.file_name,
        row.size,
        row.spacing,
        row.key_slice,
        row.slice_range,
        [row.window],
        patient_id=row.patient,
        study_id=row.study,
        series_id=row.series_id,
        pixel_center=0.0,
    )


def annotation_entry(row: Row, category: int) -> Annotation:
    """Return the COCO annotation of a row, without ``id`` and ``image_id``."""
    x1, y1, x2, y2 = row.box
    # The file's six significant digits leave nothing to keep below 1e-6 px.
    w, h = round(x2 - x1, 6), round(y2 - y1, 6)
    return make_annotation(
        [x1, y1, w, h],
        round(w * h, 6),
        noisy=row.noisy,
        category_id=category,
        recist=row.recist,
        diameters_mm=[round(diameter * row.spacing[0], 6) for diameter in row.diameters],
        normalized_location=row.location,
        lesion_type=row.lesion_type,
    )


def _check_same(first, second):
    """Reject a row whose image differs from an earlier row's; windows may differ by lesion."""
    for key, value in second.items():
        if key != 'windows' and first[key] != value:
            message = f'{key} of {second["file_name"]} is {value}, but {first[key]} in a row before'
            raise RowError('malformed row', message)


def _check_values(row, slice_in_name):
    first, last = row.slice_range
    name = f'{row.patient:06d}_{row.study:02d}_{row.series_id:02d}'
    rules = {
        f'File_name {row.series}_{slice_in_name:03d}.png does not fit patient, study, series '
        f'and key slice {name}_{row.key_slice:03d}': (name, row.key_slice)
        == (row.series, slice_in_name),
        f'Slice_range {first}, {last} does not hold the key slice {row.key_slice}': (
            1 <= first <= row.key_slice <= last
        ),
        'Spacing_mm_px_ is not positive': min(row.spacing) > 0,
        'Image_size is not positive': min(row.size) > 0,
        'Lesion_diameters_Pixel_ is negative': min(row.diameters) >= 0,
        'Bounding_boxes is not x1 < x2 and y1 < y2': row.box[0] < row.box[2]
        and row.box[1] < row.box[3],
        'DICOM_windows is not low < high': row.window[0] < row.window[1],
        f'Coarse_lesion_type is {row.lesion_type}, not -1 or 1 to 8': row.lesion_type == -1
        or 1 <= row.lesion_type <= len(LESION_TYPES),
        f'Possibly_noisy is {row.noisy}, not 0 or 1': row.noisy in (0, 1),
    }
    for complaint, holds in rules.items():
        if not holds:
            raise RowError('malformed row', complaint)


def _split(cells):
    code = _integers(cells, 'Train_Val_Test', 1)[0]
    if code not in _SPLIT_NAMES:
        raise RowError('unknown split', f'Train_Val_Test is {code}, not 1, 2 or 3')
    return _SPLIT_NAMES[code]


def _floats(cells, column, count):
    try:
        values = [float(part) for part in cells[column].split(',')]
    except ValueError:
        values = []
    if len(values) != count or not all(map(math.isfinite, values)):
        expected = 'a number' if count == 1 else f'{count} numbers'
        raise RowError('malformed row', f'{column} is {cells[column]!r}, not {expected}')
    return values


def _from_zero(coordinates):
    # The file counts pixels from 1, as MATLAB does; it has six digits, at most three decimals.
    return [round(value - 1, 6) for value in coordinates]


def _integers(cells, column, count):
    values = _floats(cells, column, count)
    if not all(value.is_integer() for value in values):
        raise RowError('malformed row', f'{column} is {cells[column]!r}, not whole')
    return [int(value) for value in values]


def _header_complaint(path, header):
    if not header:
        return f"{path} is empty: give DeepLesion's DL_info.csv"
    missing = [name for name in DL_INFO_HEADER if name not in header]
    what = f'it lacks {", ".join(missing)}' if missing else 'its columns are in another order'
    return f"the header of {path} is not that of DeepLesion's DL_info.csv: {what}"
