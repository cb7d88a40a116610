"""Detections on the slices of a volume."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from ..structures import Columns, Segment, clip_segment, cut_segments, to_original_frame


@dataclass(frozen=True, eq=False)
class SliceDetections(Columns):
    """Detections on the slices of a volume.

    Attributes:
        boxes: (n, 4) x1, y1, x2, y2 in px of ``CTVolume.array``.
        scores: (n,).
        slices: (n,) slice indices, or positions between two slices.
        labels: (n,).
        segments: Segments of the n detections, clipped to their boxes; None
            for a detection without one, or if the model predicts no masks.
    """

    boxes: np.ndarray
    scores: np.ndarray
    slices: np.ndarray
    labels: np.ndarray
    segments: list


def slice_detections(sample: DetDataSample, index: float, score_thr: float) -> SliceDetections:
    """Return the detections on one slice, whose index or position is given."""
    found = sample.pred_instances
    found = found[found.scores >= score_thr]
    boxes = to_original_frame(found.bboxes, sample.metainfo).cpu().numpy()
    return SliceDetections(
        boxes=boxes.astype(float),
        scores=found.scores.cpu().numpy().astype(float),
        slices=np.full(len(found), index),
        labels=found.labels.cpu().numpy(),
        segments=_segments(sample, found, boxes),
    )


def _segments(
    sample: DetDataSample, found: InstanceData, boxes: np.ndarray
) -> list[Segment | None]:
    """Return the segments of a slice's detections in its frame, clipped to their boxes."""
    # maps and masks are in the frame of the clipped image, the boxes already in that of the slice
    offset = sample.metainfo.get('border_offset', (0, 0))
    if 'masks' in found:
        masks = found.masks.cpu().numpy().astype(bool)
        return [clip_segment(Segment(mask, offset), box) for mask, box in zip(masks, boxes)]
    if 'segment_ids' not in found:
        return [None] * len(found)
    numbers = sample.pred_sem_seg.segments[0].cpu().numpy()
    segment_ids = found.segment_ids.tolist()
    whole = cut_segments(numbers, segment_ids, offset)
    clipped = []
    for number, box in zip(segment_ids, boxes):
        clipped.append(clip_segment(whole[number], box) if number else None)
    return clipped
