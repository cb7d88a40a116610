"""2D boxes of consecutive slices as 3D boxes."""

from __future__ import annotations

import numpy as np

from .overlaps import box_overlaps


def link_boxes(
    boxes: np.ndarray,
    scores: np.ndarray,
    slices: np.ndarray,
    labels: np.ndarray,
    iou_thr: float = 0.5,
) -> np.ndarray:
    """Link the boxes of consecutive slices into tracks.

    Going up the slices, boxes are linked one to one to the tracks that end on the slice before, in
    descending order of IoU with the tracks' last boxes; equal IoUs in descending order of score. A
    box without a partner starts a track. Boxes of different labels are never linked.

    Args:
        boxes (ndarray): (n, 4) boxes x1, y1, x2, y2.
        scores (ndarray): (n,) scores.
        slices (ndarray): (n,) slice indices.
        labels (ndarray): (n,) class labels.
        iou_thr (float): Two boxes are linked if their IoU is greater.

    Returns:
        ndarray: (n,) index of each box's track, from 0.
    """
    tracks = np.full(len(boxes), -1)
    num_tracks = 0
    before, last_slice = np.zeros(0, int), None
    for index in np.unique(slices):
        here = np.flatnonzero(slices == index)
        if last_slice is not None and index == last_slice + 1:
            pairs = _match(boxes, scores, labels, before, here, iou_thr)
            tracks[pairs[:, 1]] = tracks[pairs[:, 0]]
        new = here[tracks[here] < 0]
        tracks[new] = num_tracks + np.arange(len(new))
        num_tracks += len(new)
        before, last_slice = here, index
    return tracks


def stack_boxes(
    boxes: np.ndarray,
    scores: np.ndarray,
    slices: np.ndarray,
    labels: np.ndarray,
    iou_thr: float = 0.5,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Stack the 2D boxes of neighboring slices into 3D boxes, as LENS does with its proposals.

    2D boxes of consecutive slices are joined if their IoU exceeds ``iou_thr`` (see
    :func:`link_boxes`). In x and y a 3D box is the average of its 2D boxes, weighted by their
    scores; in z it runs from its first slice to its last. The paper leaves the score open: here it
    is the highest of the 2D boxes. A box on a single slice is kept.

    Args:
        boxes (ndarray): (n, 4) boxes x1, y1, x2, y2 in px.
        scores (ndarray): (n,) scores.
        slices (ndarray): (n,) slice indices, 0-based.
        labels (ndarray): (n,) class labels.
        iou_thr (float): Defaults to 0.5.

    Returns:
        tuple[ndarray]: (m, 6) boxes x1, y1, z1, x2, y2, z2, where slice n extends from n to n + 1,
        with their (m,) scores and (m,) labels, in descending order of score; and the (n,) index of
        the 3D box that each 2D box belongs to.
    """
    tracks = link_boxes(boxes, scores, slices, labels, iou_thr)
    num_tracks = tracks.max(initial=-1) + 1
    boxes_3d = np.zeros((num_tracks, 6))
    weights = np.maximum(scores, np.finfo(float).tiny)  # boxes of score 0 still have an average
    total = np.bincount(tracks, weights, num_tracks)
    # Average of x1, y1, x2 and y2 in each track, whose columns in 3D are 0, 1, 3 and 4.
    for column_3d, column in zip((0, 1, 3, 4), range(4)):
        summed = np.bincount(tracks, weights / total[tracks] * boxes[:, column], num_tracks)
        boxes_3d[:, column_3d] = summed
    # Extent in z, half-open: from the first slice of the track to the one after the last.
    boxes_3d[:, 2] = np.inf
    np.minimum.at(boxes_3d[:, 2], tracks, slices)
    np.maximum.at(boxes_3d[:, 5], tracks, slices + 1)
    scores_3d, labels_3d = np.zeros(num_tracks), np.zeros(num_tracks, int)
    np.maximum.at(scores_3d, tracks, scores)
    labels_3d[tracks] = labels
    # The tracks move to their place in `order`; its inverse says where each track went.
    order = np.argsort(-scores_3d, kind='stable')
    return boxes_3d[order], scores_3d[order], labels_3d[order], np.argsort(order)[tracks]


def _match(
    boxes: np.ndarray,
    scores: np.ndarray,
    labels: np.ndarray,
    before: np.ndarray,
    here: np.ndarray,
    iou_thr: float,
) -> np.ndarray:
    """Pair boxes of two slices one to one, in descending order of IoU.

    Args:
        boxes (ndarray): (n, 4) boxes of all slices.
        scores (ndarray): (n,) their scores.
        labels (ndarray): (n,) their classes.
        before (ndarray): (b,) indices of the boxes on one slice.
        here (ndarray): (h,) indices of those on the next.
        iou_thr (float): The IoU of a pair is greater.

    Returns:
        ndarray: (m, 2) indices, one of ``before`` and one of ``here``.
    """
    ious = box_overlaps(boxes[before][:, None], boxes[here][None], inclusive=False)
    rows, columns = np.nonzero((ious > iou_thr) & (labels[before][:, None] == labels[here]))
    pairs = np.stack([before[rows], here[columns]], axis=1)
    # The last key counts first: IoU, then the sum of both scores.
    order = np.lexsort((-scores[pairs].sum(1), -ious[rows, columns]))
    taken: set[int] = set()
    chosen = []
    for first, second in pairs[order].tolist():
        if first not in taken and second not in taken:
            taken.update((first, second))
            chosen.append((first, second))
    return np.array(chosen, int).reshape(-1, 2)
