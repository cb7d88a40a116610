"""Tracklets: boxes of one lesion on consecutive slices of a volume.

Boxes are x1, y1, x2, y2 in px, slices are numbers as the files of a series have them.
"""

import numpy as np

from mmlesion.froc import box_overlaps, link_boxes
from mmlesion.structures import SliceBoxes


def build_tracklets(proposals: SliceBoxes, iou_thr: float = 0.5, grid_steps: int = 1) -> np.ndarray:
    """Link the boxes of consecutive slices (LENS, section Cross-Slice Box Propagation).

    Args:
        proposals: n boxes.
        iou_thr: Two boxes are joined if their IoU is greater. Defaults to 0.5.
        grid_steps: Positions of boxes from a slice to the next. Defaults to 1, the slices.

    Returns:
        ndarray: (n,) index of each box's tracklet, from 0.
    """
    labels = np.zeros(len(proposals.scores), int)
    return link_boxes(
        proposals.boxes, proposals.scores, proposals.slices, labels, iou_thr, grid_steps
    )


def best_boxes(proposals: SliceBoxes, tracklets: np.ndarray) -> np.ndarray:
    """Return the index of each tracklet's highest-scoring box, the first of equal ones.

    Args:
        proposals: n boxes.
        tracklets: (n,) index of each box's tracklet.

    Returns:
        ndarray: (T,) indices into ``proposals``.
    """
    order = np.argsort(-proposals.scores, kind='stable')
    _, first = np.unique(tracklets[order], return_index=True)
    return order[first]


def slice_overlap_pairs(
    first: SliceBoxes, second: SliceBoxes
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the IoU of all pairs of boxes on the same slice.

    Args:
        first: n boxes.
        second: m boxes.

    Returns:
        tuple[ndarray]: (p,) indices into ``first``, ascending, (p,) into ``second``, and (p,) IoU.
    """
    rows, columns = np.nonzero(first.slices[:, None] == second.slices)
    ious = box_overlaps(first.boxes[rows], second.boxes[columns], inclusive=False)
    return rows, columns, np.nan_to_num(ious)


def without_overlap(boxes: SliceBoxes, known: SliceBoxes, iou_thr: float) -> np.ndarray:
    """Return which boxes have no reference box with an IoU over ``iou_thr`` on their slice.

    Args:
        boxes: n boxes.
        known: m boxes.
        iou_thr: 0 for those that do not even touch.

    Returns:
        ndarray: (n,) bool.
    """
    rows, _, ious = slice_overlap_pairs(boxes, known)
    free = np.ones(len(boxes.scores), bool)
    free[rows[ious > iou_thr]] = False
    return free


def suppress(boxes: SliceBoxes, iou_thr: float = 0.5) -> np.ndarray:
    """Suppress boxes that overlap one of a higher score on their slice.

    Args:
        boxes: n boxes.
        iou_thr: Of two boxes with a greater IoU the one with the higher score stays.

    Returns:
        ndarray: (k,) indices of those that stay, ascending.
    """
    # In this order the box with the lower index wins; pairs come in the order of their winners, so
    # that each winner's own fate is known when its turn comes.
    order = np.argsort(-boxes.scores, kind='stable')
    rows, columns, ious = slice_overlap_pairs(boxes.take(order), boxes.take(order))
    conflict = (rows < columns) & (ious > iou_thr)
    kept = np.ones(len(order), bool)
    for winner, loser in zip(rows[conflict], columns[conflict]):
        if kept[winner]:
            kept[loser] = False
    return np.sort(order[kept])
