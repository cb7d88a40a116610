"""Tracklets: boxes of one lesion on consecutive slices of a volume.

Boxes are x1, y1, x2, y2 in px, slices are numbers as the files of a series have them.
"""

import numpy as np

from mmlesion.froc import box_overlaps, link_boxes
from mmlesion.structures import SliceBoxes


def build_tracklets(proposals: SliceBoxes, theta: float = 0.5, grid_steps: int = 1) -> np.ndarray:
    """Link the boxes of consecutive slices (LENS, section Cross-Slice Box Propagation).

    Args:
        proposals (SliceBoxes): n boxes.
        theta (float): Two boxes are joined if their IoU is greater. Defaults to 0.5.
        grid_steps (int): Positions of boxes from a slice to the next. Defaults to 1, the slices.

    Returns:
        ndarray: (n,) index of each box's tracklet, from 0.
    """
    labels = np.zeros(len(proposals.scores), int)
    return link_boxes(
        proposals.boxes, proposals.scores, proposals.slices, labels, theta, grid_steps
    )


def representatives(proposals: SliceBoxes, tracklets: np.ndarray) -> np.ndarray:
    """Return the index of each tracklet's highest-scoring box, the first of equal ones.

    Args:
        proposals (SliceBoxes): n boxes.
        tracklets (ndarray): (n,) index of each box's tracklet.

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
        first (SliceBoxes): n boxes.
        second (SliceBoxes): m boxes.

    Returns:
        tuple[ndarray]: (p,) indices into ``first``, ascending, (p,) into ``second``, and (p,) IoU.
    """
    rows, columns = np.nonzero(first.slices[:, None] == second.slices)
    ious = box_overlaps(first.boxes[rows], second.boxes[columns], inclusive=False)
    return rows, columns, np.nan_to_num(ious)


def free_of(boxes: SliceBoxes, known: SliceBoxes, theta: float) -> np.ndarray:
    """Return which boxes have no reference box with an IoU over ``theta`` on their slice.

    Args:
        boxes (SliceBoxes): n boxes.
        known (SliceBoxes): m boxes.
        theta (float): 0 for those that do not even touch.

    Returns:
        ndarray: (n,) bool.
    """
    rows, _, ious = slice_overlap_pairs(boxes, known)
    free = np.ones(len(boxes.scores), bool)
    free[rows[ious > theta]] = False
    return free


def suppress(boxes: SliceBoxes, theta: float = 0.5) -> np.ndarray:
    """Suppress boxes that overlap one of a higher score on their slice.

    Args:
        boxes (SliceBoxes): n boxes.
        theta (float): Of two boxes with a greater IoU the one with the higher score stays.

    Returns:
        ndarray: (k,) indices of those that stay, ascending.
    """
    # In this order the box with the lower index wins; pairs come in the order of their winners, so
    # that each winner's own fate is known when its turn comes.
    order = np.argsort(-boxes.scores, kind='stable')
    rows, columns, ious = slice_overlap_pairs(boxes.take(order), boxes.take(order))
    conflict = (rows < columns) & (ious > theta)
    kept = np.ones(len(order), bool)
    for winner, loser in zip(rows[conflict], columns[conflict]):
        if kept[winner]:
            kept[loser] = False
    return np.sort(order[kept])
