"""Detection files that are read, modified and written without a ground truth."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from mmlesion.structures import Detections
from mmlesion.utils import UserError

from .checks import get_column, to_numbers
from .json_files import read_json, write_json
from .luna16 import EXCLUDED_DIAMETER, MARK_COLUMNS, read_series_table, write_luna16_predictions


class Marks(NamedTuple):
    """A LUNA16 submission: ``seriesuid, coordX, coordY, coordZ, probability``."""

    names: list
    geometry: np.ndarray
    score: np.ndarray
    label: np.ndarray

    @classmethod
    def read(cls, path):
        """Read the CSV file."""
        names, rows = read_series_table(path, (*MARK_COLUMNS, 'probability'))
        return cls(names, rows[:, :3], rows[:, 3], np.zeros(len(rows), dtype=int))

    @staticmethod
    def boxes(geometry):
        """Cubes (n, 6) of 10 mm, as LUNA16 takes a finding whose diameter is not known."""
        half = EXCLUDED_DIAMETER / 2
        return np.column_stack([geometry - half, geometry + half])

    @staticmethod
    def write(path, names, detections):
        """Write the CSV file; ``detections.case`` points into ``names``."""
        write_luna16_predictions(path, names, detections)


class Spheres(NamedTuple):
    """What ``FROCMetric`` writes of volumes: ``series_uid, center_mm, diameter_mm, score``."""

    names: list
    geometry: np.ndarray
    score: np.ndarray
    label: np.ndarray

    @classmethod
    def parse(cls, rows, where):
        """Check the list of a JSON file."""
        centres = to_numbers(get_column(rows, 'center_mm', where), 3, f'{where}, "center_mm"')
        diameters = get_column(rows, 'diameter_mm', where)
        diameters = to_numbers(diameters, None, f'{where}, "diameter_mm"')
        geometry = np.column_stack([centres, diameters])
        return cls(get_column(rows, 'series_uid', where), geometry, *_scores(rows, where))

    @staticmethod
    def boxes(geometry):
        """Bounding cubes (n, 6)."""
        half = geometry[:, 3:] / 2
        return np.column_stack([geometry[:, :3] - half, geometry[:, :3] + half])

    @staticmethod
    def write(path, names, detections):
        """Write the JSON file; ``detections.case`` points into ``names``."""
        columns = (detections.geometry[:, :3], detections.geometry[:, 3])
        _write(path, ('center_mm', 'diameter_mm'), columns, 'series_uid', names, detections)


class CocoBoxes(NamedTuple):
    """COCO results: ``image_id, bbox, score, category_id``."""

    names: list
    geometry: np.ndarray
    score: np.ndarray
    label: np.ndarray

    @classmethod
    def parse(cls, rows, where):
        """Check the list of a JSON file."""
        boxes = to_numbers(get_column(rows, 'bbox', where), 4, f'{where}, "bbox"')
        return cls(get_column(rows, 'image_id', where), boxes, *_scores(rows, where))

    @staticmethod
    def boxes(geometry):
        """Boxes (n, 4) x1, y1, x2, y2."""
        return np.column_stack([geometry[:, :2], geometry[:, :2] + geometry[:, 2:]])

    @staticmethod
    def write(path, names, detections):
        """Write the JSON file; ``detections.case`` points into ``names``."""
        _write(path, ('bbox',), (detections.geometry,), 'image_id', names, detections)


def read_detections(path):
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
    is_sphere = bool(rows) and isinstance(rows[0], dict) and 'center_mm' in rows[0]
    return (Spheres if is_sphere else CocoBoxes).parse(rows, f'{path}: result')


def detections_of(files):
    """Number the items of several files alike.

    Args:
        files (Sequence[Marks | Spheres | CocoBoxes]): What :func:`read_detections` returned.

    Returns:
        tuple: Names of all items, in the order in which they come, and Detections of each file.
    """
    names = list(dict.fromkeys(name for file in files for name in file.names))
    index = {name: number for number, name in enumerate(names)}
    items = (np.array([index[name] for name in file.names], dtype=int) for file in files)
    return names, [
        Detections(item, file.geometry, file.score, file.label) for item, file in zip(items, files)
    ]


def _scores(rows, where):
    """Scores (n,) and labels (n,)."""
    scores = to_numbers(get_column(rows, 'score', where), None, f'{where}, "score"')
    labels = [row.get('category_id', 1) for row in rows]
    return scores, to_numbers(labels, None, f'{where}, "category_id"').astype(int)


def _write(path, keys, columns, item_key, names, detections):
    fields = (item_key, *keys, 'score', 'category_id')
    columns = (*columns, detections.score, detections.label)
    named = (names[case] for case in detections.case)
    rows = zip(named, *(column.tolist() for column in columns))
    write_json([dict(zip(fields, row)) for row in rows], path)
