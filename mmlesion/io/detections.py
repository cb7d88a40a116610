"""Detection files that are read, modified and written without a ground truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple, Union

import msgspec
import numpy as np

from mmlesion.structures import Detections

from .checks import to_numbers, to_whole_numbers
from .coco import Result
from .json_files import read_bytes, read_json_list, write_json
from .luna16 import EXCLUDED_DIAMETER, MARK_COLUMNS, read_series_table, write_luna16_predictions

_FIRST = 1 << 12  # bytes in which the first record of a file ends


class Marks(NamedTuple):
    """A LUNA16 submission: ``seriesuid, coordX, coordY, coordZ, probability``."""

    names: list
    geometry: np.ndarray
    score: np.ndarray
    label: np.ndarray

    @classmethod
    def read(cls, path: str | Path) -> Marks:
        """Read the CSV file."""
        names, rows = read_series_table(path, (*MARK_COLUMNS, 'probability'))
        return cls(names, rows[:, :3], rows[:, 3], np.zeros(len(rows), dtype=int))

    @staticmethod
    def boxes(geometry: np.ndarray) -> np.ndarray:
        """Cubes (n, 6) of 10 mm, as LUNA16 takes a finding whose diameter is not known."""
        half = EXCLUDED_DIAMETER / 2
        return np.column_stack([geometry - half, geometry + half])

    @staticmethod
    def write(path: str | Path, names: Sequence[str], detections: Detections) -> None:
        """Write the CSV file; ``detections.case`` points into ``names``."""
        write_luna16_predictions(path, names, detections)


class Spheres(NamedTuple):
    """What ``FROCMetric`` writes of volumes: ``series_uid, center_mm, diameter_mm, score``."""

    names: list
    geometry: np.ndarray
    score: np.ndarray
    label: np.ndarray

    @classmethod
    def read(cls, path: str | Path) -> Spheres:
        """Read the JSON file."""
        records, where = _records(path, _Sphere), f'{path}: result'
        centers = to_numbers([one.center_mm for one in records], 3, f'{where}, "center_mm"')
        diameters = to_numbers(
            [one.diameter_mm for one in records], None, f'{where}, "diameter_mm"'
        )
        names = [one.series_uid for one in records]
        return cls(names, np.column_stack([centers, diameters]), *_scores(records, where))

    @staticmethod
    def boxes(geometry: np.ndarray) -> np.ndarray:
        """Bounding cubes (n, 6)."""
        centers, half = geometry[:, :3], geometry[:, 3:] / 2
        return np.column_stack([centers - half, centers + half])

    @staticmethod
    def write(path: str | Path, names: Sequence[str], detections: Detections) -> None:
        """Write the JSON file; ``detections.case`` points into ``names``."""
        centers, diameters = detections.geometry[:, :3], detections.geometry[:, 3]
        columns = {'center_mm': centers, 'diameter_mm': diameters}
        _write(path, 'series_uid', columns, names, detections)


class CocoBoxes(NamedTuple):
    """COCO results: ``image_id, bbox, score, category_id``."""

    names: list
    geometry: np.ndarray
    score: np.ndarray
    label: np.ndarray

    @classmethod
    def read(cls, path: str | Path) -> CocoBoxes:
        """Read the JSON file."""
        records, where = _records(path, _Box), f'{path}: result'
        boxes = to_numbers([one.bbox for one in records], 4, f'{where}, "bbox"')
        return cls([one.image_id for one in records], boxes, *_scores(records, where))

    @staticmethod
    def boxes(geometry: np.ndarray) -> np.ndarray:
        """Boxes (n, 4) x1, y1, x2, y2."""
        low, size = geometry[:, :2], geometry[:, 2:]
        return np.column_stack([low, low + size])

    @staticmethod
    def write(path: str | Path, names: Sequence, detections: Detections) -> None:
        """Write the JSON file; ``detections.case`` points into ``names``."""
        _write(path, 'image_id', {'bbox': detections.geometry}, names, detections)


def read_detections(path: str | Path) -> Marks | Spheres | CocoBoxes:
    """Read detections, of the kind that the file has.

    Args:
        path: A LUNA16 submission (.csv), or COCO results or spheres (.json).

    Returns:
        Marks | Spheres | CocoBoxes: With the item's name, place, score and class of each.

    Raises:
        UserError: If the file cannot be read or is of no such kind.
    """
    if Path(path).suffix == '.csv':
        return Marks.read(path)
    # the first record tells the kind; the reader refuses a list of both
    is_sphere = b'"center_mm"' in read_bytes(path, _FIRST).partition(b'}')[0]
    return (Spheres if is_sphere else CocoBoxes).read(path)


def detections_of(files: Sequence[Marks | Spheres | CocoBoxes]) -> tuple[list, list[Detections]]:
    """Number the items of several files alike.

    Args:
        files: What :func:`read_detections` returned.

    Returns:
        tuple: Names of all items, in the order in which they come, and Detections of each file.
    """
    index: dict = {}
    detections = []
    for file in files:
        # a name that is new gets the next number
        numbers = [index.setdefault(name, len(index)) for name in file.names]
        item = np.array(numbers, dtype=int)
        detections.append(Detections(item, file.geometry, file.score, file.label))
    return list(index), detections


class _Box(Result):
    category_id: float = 1


class _Sphere(msgspec.Struct, gc=False):
    series_uid: Union[int, float, str]  # noqa: UP007 (evaluated, in Python 3.9 too)
    center_mm: tuple[float, float, float]
    diameter_mm: float
    score: float
    category_id: float = 1


def _records(path: str | Path, kind: type) -> list:
    return list(chain.from_iterable(read_json_list(path, kind, 'result')))


def _scores(records: list, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Return scores (n,) and class labels (n,) of detections."""
    scores = to_numbers([one.score for one in records], None, f'{where}, "score"')
    labels = to_whole_numbers([one.category_id for one in records], f'{where}, "category_id"')
    return scores, labels


def _write(
    path: str | Path,
    item_key: str,
    columns: Mapping[str, np.ndarray],
    names: Sequence,
    detections: Detections,
) -> None:
    """Write a list of detections as JSON; ``columns`` are of their places, by key."""
    # keys are added column by column, and come in the order of ``columns``, score, category
    rows = [{item_key: names[case]} for case in detections.case]
    assert detections.label is not None  # category ids
    scored = {'score': detections.score, 'category_id': detections.label}
    for key, column in {**columns, **scored}.items():
        for row, value in zip(rows, column.tolist()):
            row[key] = value
    write_json(rows, path)
