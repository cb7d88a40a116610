"""What a FROC report shows of its test set: pictures of slices, or tables of findings in scans."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from mmlesion.io.schema import display_window, path_under
from mmlesion.io.slices import read_hu
from mmlesion.structures import GroundTruth, file_shift
from mmlesion.utils import UserError

from .matched_run import KINDS, MatchedRun, choose_images, lesion_areas
from .page import encode_slice

MOST_BOXES = 30
"""Detections of a run on one picture, the highest scores."""
MOST_ROWS = 300
"""False positives of a run in a table, the highest scores."""
DIGITS = 6


class Slices(NamedTuple):
    """A test set of slices, which the page has pictures of.

    Args:
        images: As in the COCO file.
        root: Folder of the slices.
        num: The most images per run and question, see :func:`choose_images`.
    """

    images: Sequence[dict]
    root: str | Path
    num: int = 24

    def content(self, runs: Sequence[MatchedRun], truth: GroundTruth) -> dict[str, Any]:
        """Return the page's fields of the test set.

        Args:
            runs: The runs, the most important first.
            truth: The lesions.

        Raises:
            UserError: If a slice is missing or leads out of ``root``.
        """
        area = lesion_areas(truth, self.images)
        # an ordered set: each image once, those of the first run first
        shown: dict[int, None] = {}
        for run in runs:
            shown.update(dict.fromkeys(choose_images(run, truth, area, self.num)))
        has_mm = all('spacing' in image for image in self.images)
        return {
            'item': 'image',
            'sizeUnit': 'mm²' if has_mm else 'px²',
            'sizes': area.round(1).tolist(),
            'pictures': _pictures(list(shown), runs, truth, self.images, self.root),
            'tables': None,
        }


class Scans(NamedTuple):
    """A test set of scans or parts of them, of which the page has tables.

    Args:
        item: What one is called.
        unit: Of the lesions' sizes.
        size_of: Takes lesions (m, k) and returns their sizes (m,).
        place_of: Takes a lesion or detection (k,) and returns its place in words.
        why: Why there are no pictures.
    """

    item: str
    unit: str
    size_of: Callable[[np.ndarray], np.ndarray]
    place_of: Callable[[np.ndarray], str]
    why: str

    def content(self, runs: Sequence[MatchedRun], truth: GroundTruth) -> dict[str, Any]:
        """Return the page's fields of the test set; see :meth:`Slices.content`."""
        cases, places = self._named(truth.lesions, truth)
        lesions = {'name': cases, 'place': places}
        wrong = [self._false_positives(run, truth) for run in runs]
        return {
            'item': self.item,
            'sizeUnit': self.unit,
            'sizes': self.size_of(truth.lesions.geometry).round(1).tolist(),
            'pictures': [],
            'tables': {'why': self.why, 'lesions': lesions, 'falsePositives': wrong},
        }

    def _named(self, found: Any, truth: GroundTruth) -> tuple[list[str], list[str]]:
        """Return the names of the scans that lesions or detections lie in, and their places."""
        cases = [str(truth.cases[case]) for case in found.case.tolist()]
        return cases, [self.place_of(row) for row in found.geometry]

    def _false_positives(self, run: MatchedRun, truth: GroundTruth) -> list[dict[str, Any]]:
        # in descending order of score, as the run is ranked
        wrong = np.flatnonzero(run.kind == KINDS.index('false positive'))[:MOST_ROWS]
        found = run.detections.take(wrong)
        columns = zip(*self._named(found, truth), found.score.round(DIGITS).tolist())
        return [{'name': name, 'place': place, 'score': score} for name, place, score in columns]


def _diameters(spheres: np.ndarray) -> np.ndarray:
    return spheres[:, 3]


def _position(mark: np.ndarray) -> str:
    x, y, z = mark[:3]
    return f'{x:.1f}, {y:.1f}, {z:.1f} mm'


def _voxels(boxes: np.ndarray) -> np.ndarray:
    # inclusive: the last px and the last slice are in a box
    return (boxes[:, 3:] - boxes[:, :3] + 1).prod(axis=1)


def _extent(box: np.ndarray) -> str:
    x1, y1, z1, x2, y2, z2 = box
    return f'x {x1:.0f} to {x2:.0f}, y {y1:.0f} to {y2:.0f}, slices {z1:.0f} to {z2:.0f}'


LUNA16_SCANS = Scans(
    item='scan',
    unit='mm',
    size_of=_diameters,
    place_of=_position,
    why="No pictures: LUNA16's lists have positions in mm, and no scans are read.",
)
"""Spheres x, y, z, diameter in mm, and marks x, y, z."""
LENS_SUB_VOLUMES = Scans(
    item='sub-volume',
    unit='voxels',
    size_of=_voxels,
    place_of=_extent,
    why='No pictures: the files of sub-volumes have boxes, and no slices are read.',
)
"""Inclusive boxes x1, y1, z1, x2, y2, z2 in px and slices."""


def _pictures(
    shown: Sequence[int],
    runs: Sequence[MatchedRun],
    truth: GroundTruth,
    images: Sequence[dict],
    root: str | Path,
) -> list[dict[str, Any]]:
    return [
        {**_picture(index, images[index], root), **_boxes(index, images[index], runs, truth)}
        for index in tqdm(shown, 'pictures', leave=False)
    ]


def _picture(index: int, image: dict, root: str | Path) -> dict[str, Any]:
    path = path_under(root, image['file_name'])
    try:
        slice_hu = read_hu(path)
    except FileNotFoundError:
        raise UserError(f'{path}: no such slice; give the folder of slices as --images') from None
    height, width = slice_hu.shape
    low, high = display_window(image)
    return {
        'image': index,
        'name': image['file_name'],
        'width': width,
        'height': height,
        'window': [float(low), float(high)],
        'spacing': [float(side) for side in image.get('spacing', (1, 1))],
        'source': encode_slice(slice_hu, (low, high)),
    }


def _boxes(
    index: int, image: dict, runs: Sequence[MatchedRun], truth: GroundTruth
) -> dict[str, Any]:
    """Return boxes x1, y1, x2, y2 on a picture, where pixel n extends from n to n + 1."""
    shift = file_shift(image)
    lesions = np.flatnonzero(truth.lesions.case == index)
    detections = [_detections(index, run, shift) for run in runs]
    return {'shift': shift, 'lesions': lesions.tolist(), 'detections': detections}


def _detections(index: int, run: MatchedRun, shift: float) -> list[dict[str, Any]]:
    # in descending order of score, as the run is ranked
    here = np.flatnonzero(run.detections.case == index)[:MOST_BOXES]
    corners = (run.detections.geometry[here] + shift).round(2).tolist()
    scores = run.detections.score[here].round(DIGITS).tolist()
    columns = zip(corners, scores, run.kind[here].tolist())
    return [{'box': box, 'score': score, 'kind': kind} for box, score, kind in columns]
