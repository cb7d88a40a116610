"""Detection files that are read, modified and written without a ground truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mmlesion.structures import Detections
from mmlesion.utils import UserError

from .checks import check_names, get_column, to_numbers, to_whole_numbers
from .json_files import read_json, write_json
from .luna16 import EXCLUDED_DIAMETER, MARK_COLUMNS, read_series_table, write_luna16_predictions


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
    def parse(cls, rows: list[dict], where: str) -> Spheres:
        """Check the list of a JSON file."""
        centers = to_numbers(get_column(rows, 'center_mm', where), 3, f'{where}, "center_mm"')
        column = get_column(rows, 'diameter_mm', where)
        diameters = to_numbers(column, None, f'{where}, "diameter_mm"')
        geometry = np.column_stack([centers, diameters])
        found = _scores(rows, where)
        return cls(_names(rows, 'series_uid', where), geometry, found.score, found.label)

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
    def parse(cls, rows: list[dict], where: str) -> CocoBoxes:
        """Check the list of a JSON file."""
        boxes = to_numbers(get_column(rows, 'bbox', where), 4, f'{where}, "bbox"')
        found = _scores(rows, where)
        return cls(_names(rows, 'image_id', where), boxes, found.score, found.label)

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
        path (str | Path): A LUNA16 submission (.csv), or COCO results or spheres (.json).

    Returns:
        Marks | Spheres | CocoBoxes: With the item's name, place, score and class of each.

    Raises:
        UserError: If the file cannot be read or is of no such kind.
    """
    if Path(path).suffix == '.csv':
        return Marks.read(path)
    rows = read_json(path)
    if not isinstance(rows, list):
        raise UserError(f'{path} must be a list of detections: give COCO results or spheres')
    # the first record tells the kind; the parser refuses a list of both
    is_sphere = bool(rows) and isinstance(rows[0], dict) and 'center_mm' in rows[0]
    return (Spheres if is_sphere else CocoBoxes).parse(rows, f'{path}: result')


def detections_of(files: Sequence[Marks | Spheres | CocoBoxes]) -> tuple[list, list[Detections]]:
    """Number the items of several files alike.

    Args:
        files (Sequence[Marks | Spheres | CocoBoxes]): What :func:`read_detections` returned.

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


class _Scores(NamedTuple):
    """Scores (n,) and class labels (n,) of detections."""

    score: np.ndarray
    label: np.ndarray


def _scores(rows: list[dict], where: str) -> _Scores:
    scores = to_numbers(get_column(rows, 'score', where), None, f'{where}, "score"')
    labels = [row.get('category_id', 1) for row in rows]
    return _Scores(scores, to_whole_numbers(labels, f'{where}, "category_id"'))


def _names(rows: list[dict], key: str, where: str) -> list:
    names = get_column(rows, key, where)
    check_names(names, f'{where}, "{key}"')
    return names


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
