"""Labels for 3D proposals: lesion or false positive (LENS, section Implementation)."""

from __future__ import annotations

import numpy as np

from mmlesion.froc import stack_boxes
from mmlesion.io.schema import is_target
from mmlesion.structures import SliceBoxes, SliceSeries, to_inclusive

from .annotations import annotated_boxes
from .rules import slice_overlap_pairs

LEFT_OUT = -1
"""The label of a proposal that is neither: it overlaps a lesion in part, or an uncertain region."""


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

    def highest_overlaps(annotations: SliceBoxes) -> np.ndarray:
        # (T,) maximum IoU of a tracklet's boxes
        highest = np.zeros(tracklets.max(initial=-1) + 1)
        rows, _, ious = slice_overlap_pairs(proposals, annotations)
        np.maximum.at(highest, tracklets[rows], ious)
        return highest

    # In between the two thresholds, and on uncertain annotations, a tracklet is left out.
    labels = np.where(highest_overlaps(known) < background_iou_thr, 0, LEFT_OUT)
    labels[highest_overlaps(lesions) > iou_thr] = 1
    return labels


def label_volume(
    volume: SliceSeries,
    proposals: SliceBoxes,
    iou_thr: float = 0.5,
    background_iou_thr: float = 0.3,
    grid_steps: int = 1,
) -> dict[str, list[list]]:
    """Stack a volume's 2D boxes to 3D boxes, as LENS does for its result, and label these.

    Args:
        volume: A series with its annotations.
        proposals: n boxes on its slices and between them.
        iou_thr: See :func:`label_tracklets`; boxes of consecutive slices are joined over it
            too. Defaults to 0.5.
        background_iou_thr: See :func:`label_tracklets`. Defaults to 0.3.
        grid_steps: Positions of boxes from a slice to the next. Defaults to 1, the slices.

    Returns:
        dict: By the name of each run of consecutive slices, the labeled proposals that begin in it:
        x1, y1, z1, x2, y2, z2 in px and slice numbers, inclusive, the score, and 1 for a lesion or
        0, in descending order of score.
    """
    one_class = np.zeros(len(proposals), int)
    boxes, scores, _, tracklets = stack_boxes(
        proposals.boxes,
        proposals.scores,
        proposals.slices,
        one_class,
        iou_thr,
        grid_steps=grid_steps,
    )
    boxes = to_inclusive(boxes)
    # of each proposal its 3D box, so that the tracklets' labels are those of the 3D boxes
    stacked = tracklets >= 0
    proposals, tracklets = proposals.take(stacked), tracklets[stacked]
    images = volume.images.values()
    lesions = annotated_boxes(images, list(filter(is_target, volume.annotations)))
    known = annotated_boxes(images, volume.annotations)
    labels = label_tracklets(proposals, tracklets, lesions, known, iou_thr, background_iou_thr)
    rows = {}
    for run in volume.sub_volumes:
        there = run.contains(boxes[:, 2]) & (labels != LEFT_OUT)
        # a label is an int, which a column of an array of floats would not be
        numbers = np.column_stack([boxes, scores])[there].tolist()
        rows[run.name] = [[*row, label] for row, label in zip(numbers, labels[there].tolist())]
    return rows
