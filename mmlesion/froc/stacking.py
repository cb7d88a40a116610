"""2D boxes of consecutive slices as 3D boxes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .overlaps import box_overlaps

_MAX_PAIRS = 1 << 20
"""Of boxes that are compared at once, but for those of two slices."""


def link_boxes(
    boxes: np.ndarray,
    scores: np.ndarray,
    slices: np.ndarray,
    labels: np.ndarray,
    iou_thr: float = 0.5,
    grid_steps: int = 1,
) -> np.ndarray:
    """Link the boxes of consecutive slices into tracks.

    Going up the slices, boxes are linked one to one to the tracks that end on the slice before, in
    descending order of IoU with the tracks' last boxes; equal IoUs in descending order of score. A
    box without a partner starts a track. Boxes of different labels are never linked.

    Args:
        boxes: (n, 4) boxes x1, y1, x2, y2.
        scores: (n,) scores.
        slices: (n,) slice indices, or positions between slices.
        labels: (n,) class labels.
        iou_thr: Two boxes are linked if their IoU is greater.
        grid_steps: Positions from a slice to the next, of which boxes on consecutive ones are
            linked (:mod:`mmlesion.structures.series`). Defaults to 1, the slices.

    Returns:
        ndarray: (n,) index of each box's track, from 0.
    """
    # whole numbers; consecutive ones are linked
    slices = np.rint(slices * grid_steps).astype(int)
    # boxes of a slice are neighbors in order: cut where the next slice begins
    order = np.argsort(slices, kind='stable')
    bounds = np.flatnonzero(np.diff(slices[order])) + 1
    groups = np.split(order, bounds) if len(order) else []
    partner = np.full(len(boxes), -1)
    for first, second in _pairs_of_slices(slices, groups):
        overlaps = box_overlaps(boxes[first], boxes[second], inclusive=False)
        good = (overlaps > iou_thr) & (labels[first] == labels[second])
        first, second, overlaps = first[good], second[good], overlaps[good]
        # The last key counts first: the slice, IoU, then the sum of both scores.
        both = scores[np.stack([first, second], axis=1)].sum(1)
        ranked = np.lexsort((-both, -overlaps, slices[first]))
        _choose(first[ranked].tolist(), second[ranked].tolist(), partner)
    return _number_tracks(order.tolist(), partner.tolist())


def _pairs_of_slices(
    slices: np.ndarray, groups: list[np.ndarray]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield pairs of a box and one on the next slice, (p,) indices each, of whole slices."""
    rows: list[np.ndarray] = []
    columns: list[np.ndarray] = []
    count = 0
    for before, here in zip(groups[:-1], groups[1:]):
        if slices[here[0]] != slices[before[0]] + 1:
            continue
        # each box of one slice with each of the next
        rows.append(np.repeat(before, len(here)))
        columns.append(np.tile(here, len(before)))
        count += len(before) * len(here)
        if count >= _MAX_PAIRS:
            yield np.concatenate(rows), np.concatenate(columns)
            rows, columns, count = [], [], 0
    if rows:
        yield np.concatenate(rows), np.concatenate(columns)


def _choose(first: list[int], second: list[int], partner: np.ndarray) -> None:
    """Set the partner of each second box, one to one, in the order of the pairs."""
    taken_first, taken_second = set(), set()
    for one, other in zip(first, second):
        if one not in taken_first and other not in taken_second:
            taken_first.add(one)
            taken_second.add(other)
            partner[other] = one


def _number_tracks(order: list[int], partner: list[int]) -> np.ndarray:
    """Return the track of each box, which is that of its partner; others begin one.

    Args:
        order: All n boxes, in the order of their slices.
        partner: Of each box, one on the slice before, or -1.

    Returns:
        ndarray: (n,) int.
    """
    tracks = [-1] * len(order)
    count = 0
    for box in order:
        # order ascends by slice, so the partner has its track already
        if partner[box] >= 0:
            tracks[box] = tracks[partner[box]]
        else:
            tracks[box] = count
            count += 1
    return np.array(tracks, int)


def stack_boxes(
    boxes: np.ndarray,
    scores: np.ndarray,
    slices: np.ndarray,
    labels: np.ndarray,
    iou_thr: float = 0.5,
    end_share: float = 0.3,
    grid_steps: int = 1,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Stack the 2D boxes of neighboring slices into 3D boxes, as LENS does with its proposals.

    2D boxes of consecutive slices are joined if their IoU exceeds ``iou_thr`` (see
    :func:`link_boxes`). In x and y a 3D box is the average of its 2D boxes, weighted by their
    scores; in z it runs from its first slice to its last. The paper leaves the score open: here it
    is the highest of the 2D boxes. A box on a single slice is kept.

    Faint boxes at either end of a track are left out, unlike in the paper: they would have next to
    no weight in x and y, but full weight in z.

    On a grid with positions between slices a 3D box has the slices from the first to the last of
    its track; of a track between two slices, the nearer of them.

    Args:
        boxes: (n, 4) boxes x1, y1, x2, y2 in px.
        scores: (n,) scores.
        slices: (n,) slice indices, 0-based, or positions between slices.
        labels: (n,) class labels.
        iou_thr: Defaults to 0.5.
        end_share: A track begins and ends with boxes whose score is at least this share of
            its highest. Defaults to 0.3; 0 keeps all boxes, as the paper does.
        grid_steps: See :func:`link_boxes`. Defaults to 1.

    Returns:
        tuple[ndarray]: (m, 6) boxes x1, y1, z1, x2, y2, z2, where slice n extends from n to n + 1,
        with their (m,) scores and (m,) labels, in descending order of score; and the (n,) index of
        the 3D box that each 2D box belongs to, -1 for those left out.
    """
    linked = link_boxes(boxes, scores, slices, labels, iou_thr, grid_steps)
    num_tracks = linked.max(initial=-1) + 1
    kept = _within_ends(linked, scores, slices, num_tracks, end_share)
    tracks, boxes, scores, slices = linked[kept], boxes[kept], scores[kept], slices[kept]
    boxes_3d = np.zeros((num_tracks, 6))
    weights = np.maximum(scores, np.finfo(float).tiny)  # boxes of score 0 still have an average
    total = np.bincount(tracks, weights, num_tracks)
    # Average of x1, y1, x2 and y2 in each track, whose columns in 3D are 0, 1, 3 and 4.
    for column_3d, column in zip((0, 1, 3, 4), range(4)):
        summed = np.bincount(tracks, weights / total[tracks] * boxes[:, column], num_tracks)
        boxes_3d[:, column_3d] = summed
    # Extent in z, half-open: from the first slice of the track to the one after the last.
    low, high = _covered_slices(tracks, slices, num_tracks)
    boxes_3d[:, 2], boxes_3d[:, 5] = low, high + 1
    scores_3d, labels_3d = np.zeros(num_tracks), np.zeros(num_tracks, int)
    np.maximum.at(scores_3d, tracks, scores)
    labels_3d[linked] = labels
    # The tracks move to their place in `order`; its inverse says where each track went.
    order = np.argsort(-scores_3d, kind='stable')
    members = np.where(kept, np.argsort(order)[linked], -1)
    return boxes_3d[order], scores_3d[order], labels_3d[order], members


def _covered_slices(
    tracks: np.ndarray, positions: np.ndarray, num_tracks: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the first and the last slice (T,) that the boxes of each track cover."""
    first, last = np.full(num_tracks, np.inf), np.full(num_tracks, -np.inf)
    np.minimum.at(first, tracks, positions)
    np.maximum.at(last, tracks, positions)
    low, high = np.ceil(first), np.floor(last)
    nearest = np.floor((first + last) / 2 + 0.5)
    between = low > high
    return np.where(between, nearest, low), np.where(between, nearest, high)


def _within_ends(
    tracks: np.ndarray, scores: np.ndarray, slices: np.ndarray, num_tracks: int, share: float
) -> np.ndarray:
    """Return which boxes lie between the first and the last strong box of their track, (n,)."""
    highest = np.zeros(num_tracks)
    np.maximum.at(highest, tracks, scores)
    strong = scores >= share * highest[tracks]
    first, last = np.full(num_tracks, np.inf), np.full(num_tracks, -np.inf)
    np.minimum.at(first, tracks[strong], slices[strong])
    np.maximum.at(last, tracks[strong], slices[strong])
    return (slices >= first[tracks]) & (slices <= last[tracks])
