"""Labels for 3D proposals: lesion or false positive (LENS, section Implementation)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmlesion.froc import stack_boxes
from mmlesion.io.schema import is_target
from mmlesion.structures import Columns, SliceBoxes, SliceSeries, SubVolume, to_inclusive

from .embeddings import annotated_boxes
from .rules import slice_overlap_pairs

LEFT_OUT = -1
"""The label of a proposal that is neither: it overlaps a lesion in part, or an uncertain region."""


@dataclass(frozen=True, eq=False)
class Proposals3D(Columns):
    """n 3D proposals in a series.

    Attributes:
        boxes: (n, 6) x1, y1, z1, x2, y2, z2 in px and slice numbers, inclusive.
        scores: (n,).
        labels: (n,) int, 1 of a lesion, 0 of a false positive, or :data:`LEFT_OUT`.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray

    def rows(self, sub_volume: SubVolume) -> list[list]:
        """Return the file rows of the labeled proposals in a :class:`SubVolume`."""
        there = sub_volume.contains(self.boxes[:, 2]) & (self.labels != LEFT_OUT)
        listed = self.take(there)
        # floats but for the last: a column of an array would make the labels floats too
        rows = np.column_stack([listed.boxes, listed.scores]).tolist()
        for row, label in zip(rows, listed.labels.tolist()):
            row.append(label)
        return rows


def label_tracklets(
    proposals: SliceBoxes,
    tracklets: np.ndarray,
    lesions: SliceBoxes,
    known: SliceBoxes,
    iou_thr: float = 0.5,
    background_iou_thr: float = 0.3,
) -> np.ndarray:
    """Label linked 2D boxes by their maximum IoU with annotations on the annotations' slices.

    Args:
        proposals: n boxes of a volume.
        tracklets: (n,) index of each box's tracklet.
        lesions: Certain annotations, including mined ones.
        known: All annotations, including uncertain and noisy ones.
        iou_thr: Lesions have a greater IoU with one of ``lesions``. Defaults to 0.5.
        background_iou_thr: False positives have a smaller IoU with all of ``known``. Defaults to
            0.3.

    Returns:
        ndarray: (T,) int, 1, 0 or :data:`LEFT_OUT`.
    """
    # In between the two thresholds, and on uncertain annotations, a tracklet is left out.
    free = _highest_overlaps(proposals, tracklets, known) < background_iou_thr
    labels = np.where(free, 0, LEFT_OUT)
    labels[_highest_overlaps(proposals, tracklets, lesions) > iou_thr] = 1
    return labels


def _highest_overlaps(
    proposals: SliceBoxes, tracklets: np.ndarray, annotations: SliceBoxes
) -> np.ndarray:
    """Return the maximum IoU (T,) of each tracklet's boxes with annotations on their slices."""
    highest = np.zeros(tracklets.max(initial=-1) + 1)
    # rows are boxes; each counts for its tracklet
    rows, _, ious = slice_overlap_pairs(proposals, annotations)
    np.maximum.at(highest, tracklets[rows], ious)
    return highest


def label_volume(
    volume: SliceSeries,
    proposals: SliceBoxes,
    iou_thr: float = 0.5,
    background_iou_thr: float = 0.3,
    grid_steps: int = 1,
) -> Proposals3D:
    """Stack a volume's 2D boxes to 3D boxes, as LENS does for its result, and label these.

    Args:
        volume: A series with its annotations.
        proposals: n boxes on its slices and between them.
        iou_thr: See :func:`label_tracklets`; boxes of consecutive slices are joined over it
            too. Defaults to 0.5.
        background_iou_thr: See :func:`label_tracklets`. Defaults to 0.3.
        grid_steps: Positions of boxes from a slice to the next. Defaults to 1, the slices.

    Returns:
        Proposals3D: In descending order of score.
    """
    one_class = np.zeros(len(proposals.scores), int)
    boxes, scores, _, tracklets = stack_boxes(
        proposals.boxes,
        proposals.scores,
        proposals.slices,
        one_class,
        iou_thr,
        grid_steps=grid_steps,
    )
    # of each proposal its 3D box, so that the tracklets' labels are those of the 3D boxes
    stacked = tracklets >= 0
    proposals, tracklets = proposals.take(stacked), tracklets[stacked]
    lesions = annotated_boxes(volume, list(filter(is_target, volume.annotations)))
    known = annotated_boxes(volume, volume.annotations)
    labels = label_tracklets(proposals, tracklets, lesions, known, iou_thr, background_iou_thr)
    return Proposals3D(to_inclusive(boxes), scores, labels)
