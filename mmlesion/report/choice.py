"""Which images a report shows: the worst false positives, missed lesions and doubtful matches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmlesion.structures import GroundTruth

from .matched_run import KINDS, MatchedRun


def lesion_areas(truth: GroundTruth, images: Sequence[dict]) -> np.ndarray:
    """Return the area of each lesion's box.

    Args:
        truth: Its m lesions have boxes x1, y1, x2, y2 in px.
        images: Of the COCO file; ``spacing`` is in mm per px.

    Returns:
        ndarray: (m,) mm², or px² where an image has no ``spacing``.
    """
    px_area = np.array([np.prod(image.get('spacing', (1, 1))) for image in images])
    boxes = truth.lesions.geometry
    # (m, 2) px along x and y
    extent = boxes[:, 2:] - boxes[:, :2]
    return extent.prod(axis=1) * px_area[truth.lesions.case]


def choose_images(run: MatchedRun, truth: GroundTruth, area: np.ndarray, num: int) -> list[int]:
    """Choose the images on which a run is worth looking at.

    Args:
        run: The run.
        truth: Its test set.
        area: (m,) area of each lesion.
        num: The most images for each of the three questions.

    Returns:
        list[int]: Indices of images, without duplicates: first those of the false positives with
        the highest scores, then those of the lesions found with the lowest scores or never, the
        largest first among equals, then those of the matches with the smallest overlap.
    """
    lesions = truth.lesions
    wrong = run.detections.case[run.kind == KINDS.index('false positive')]
    counted = np.flatnonzero(~lesions.ignore)
    # lexsort sorts by its last key first.
    # ascending score, so that missed lesions (minus infinity) come first, the largest first
    hardest = counted[np.lexsort((-area[counted], run.found_score[counted]))]
    found = counted[~np.isnan(run.found_overlap[counted])]
    loosest = found[np.argsort(run.found_overlap[found], kind='stable')]
    chosen: list[int] = []
    for cases in (wrong, lesions.case[hardest], lesions.case[loosest]):
        # dict.fromkeys keeps the order: each image once, at its first place.
        chosen += list(dict.fromkeys(cases.tolist()))[:num]
    return list(dict.fromkeys(chosen))
