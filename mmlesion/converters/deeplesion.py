"""Convert DeepLesion's DL_info.csv to COCO with CT fields."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mmlesion.io.coco import make_categories
from mmlesion.io.deeplesion import Row, RowError, count_lines, read_lines
from mmlesion.io.schema import LESION_TYPES, Image, make_annotation, make_image
from mmlesion.utils import UserError
from mmlesion.utils.memory import collector_paused

from .base import SPLITS, Run, Skipped

# Of each kind of problem so many are printed; skipped.txt has all.
PRINTED = 20


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
        table: ``DL_info.csv``.
        out: Folder for the JSON files.
        images: The folder ``Images_png``.
        multi_type: Whether the lesion types become categories; untyped lesions are then
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
    # A quarter of the time otherwise: rows are many small objects, none of which is in a cycle.
    with collector_paused():
        splits, skipped, left_out = read_splits(table, images, run, multi_type)
    lesions = sum(len(coco['annotations']) for coco in splits.values())
    if skipped and not lesions:
        run.refuse_all(skipped)
    files = {f'{split}.json': coco for split, coco in splits.items()}
    rows: list[list] = [['split', 'images', 'lesions']]
    for split, coco in splits.items():
        rows.append([split, len(coco['images']), len(coco['annotations'])])
    total = len(skipped) + lesions + sum(left_out.values())
    kinds = Counter(one.kind for one in skipped)
    with collector_paused():
        run.finish(files, skipped, rows, {**left_out, **kinds}, total, PRINTED)
    return files


def read_splits(
    path: str | Path, images: str | Path, run: Run, multi_type: bool = False
) -> tuple[dict[str, dict], list[Skipped], Counter]:
    """Read ``DL_info.csv``.

    Args:
        path: The CSV file.
        images: The folder ``Images_png``.
        run: Whether a row that cannot be used is an error.
        multi_type: Whether the lesion types become categories.

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
    total = count_lines(path) - 1  # but for the header
    for line in tqdm(read_lines(path), desc=Path(path).name, total=total, unit='row'):
        try:
            row = line.parse()
            if row.noisy and row.split == 'train':
                left_out['noisy'] += 1  # the published validation and test splits count them
            elif multi_type and row.lesion_type == -1:
                left_out['without a type'] += 1
            else:
                check_box(row)
                splits[row.split].add(row, images)
        except RowError as error:
            skipped.append(run.skip(str(error), error.kind))
    return {name: split.coco for name, split in splits.items()}, skipped, left_out


class DeepLesionSplit:
    """Collects the rows of one split; ids count from 1 in the order of the rows."""

    def __init__(self, name: str, source: str, multi_type: bool) -> None:
        names = LESION_TYPES if multi_type else ('lesion',)
        self.multi_type = multi_type
        self.image_ids: dict[tuple[str, int], int] = {}
        self.geometry: list[tuple] = []
        self.coco: dict[str, Any] = {
            'info': {'description': f'DeepLesion, {name} split', 'source': source},
            'images': [],
            'annotations': MeasuredLesions(),
            'categories': make_categories(names),
        }

    def add(self, row: Row, images: str | Path) -> None:
        """Add a lesion, and its image if it is new.

        Raises:
            RowError: If the folder ``images`` has no key slice, or the row says something else of
                its image than earlier ones.
        """
        key = (row.series, row.key_slice)
        image_id = self.image_ids.get(key)
        geometry = (row.slice_range, row.spacing, row.size)
        if image_id is None:
            path = Path(images) / row.file_name
            if not path.is_file():
                raise row.line.error(f'there is no key slice {path}', 'missing key slice')
            # the image with this id is at image_id - 1 of the list
            image_id = self.image_ids[key] = len(self.image_ids) + 1
            self.coco['images'].append({'id': image_id, **image_entry(row)})
            self.geometry.append(geometry)
        elif geometry != self.geometry[image_id - 1]:
            first = self.coco['images'][image_id - 1]
            for name, value in image_entry(row).items():
                if first[name] != value and name != 'windows':  # which may differ by lesion
                    raise row.line.error(
                        f'{name} of {row.file_name} is {value}, but {first[name]} in a row before'
                    )
        self.coco['annotations'].add(row, image_id, row.lesion_type if self.multi_type else 1)


class MeasuredLesions(Sequence):
    """The annotations of a split, kept as numbers: of a million lesions 160 MB, not 1.3 GB.

    An item is made when it is asked for.
    """

    # image, category, type, noisy; box, RECIST, diameters, location
    _NUMBERS = struct.Struct('=4i17d')

    def __init__(self) -> None:
        self._packed = bytearray()

    def add(self, row: Row, image_id: int, category_id: int) -> None:
        """Add the lesion of a row."""
        self._packed += self._NUMBERS.pack(
            *(image_id, category_id, row.lesion_type, row.noisy),
            *(*row.box, *row.recist, *row.location),
            # The file's six significant digits leave nothing to keep below 1e-6 mm.
            *[round(diameter * row.spacing[0], 6) for diameter in row.diameters],
        )

    def __len__(self) -> int:
        return len(self._packed) // self._NUMBERS.size

    def __getitem__(self, index: Any) -> Any:
        chosen = range(len(self))[index]
        return list(map(self._entry, chosen)) if isinstance(index, slice) else self._entry(chosen)

    def _entry(self, index: int) -> dict:
        numbers = self._NUMBERS.unpack_from(self._packed, index * self._NUMBERS.size)
        image_id, category_id, lesion_type, noisy, x1, y1, x2, y2, *others = numbers
        w, h = round(x2 - x1, 6), round(y2 - y1, 6)
        annotation = make_annotation(
            [x1, y1, w, h],
            round(w * h, 6),
            noisy=noisy,
            category_id=category_id,
            recist=others[:8],
            diameters_mm=others[11:],
            normalized_location=others[8:11],
            lesion_type=lesion_type,
        )
        return {'id': index + 1, 'image_id': image_id, **annotation}


def check_box(row: Row) -> None:
    """Reject a box whose center is not in the image.

    A genuine one may reach out, by its padding and even by the lesion's measured end.

    Raises:
        RowError: If it lies outside.
    """
    x1, y1, x2, y2 = row.box
    height, width = row.size
    # A row's pixel n has its center at n: the image ends half a pixel beyond, at -0.5. The center
    # is moved by that half, so that the image is from 0 to its width and height.
    x, y = (x1 + x2 + 1) / 2, (y1 + y2 + 1) / 2
    if not (0 <= x <= width and 0 <= y <= height):
        box = ', '.join(f'{value + 1:g}' for value in row.box)  # as the file has it
        message = f'the box {box} is outside its image of {width} x {height} px'
        raise row.line.error(message, 'box outside its image')


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
