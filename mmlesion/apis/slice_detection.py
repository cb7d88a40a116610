"""Detections on the slices of a volume."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mmdet.models.detectors import BaseDetector
from mmdet.structures import DetDataSample
from mmdet.utils import get_test_pipeline_cfg
from mmengine.dataset import Compose, pseudo_collate
from mmengine.structures import InstanceData

from ..structures import Columns, Segment, clip_segment, cut_segments, to_original_frame
from ..utils import UserError


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


def inference_slice(
    model: BaseDetector,
    path: str | Path,
    slice_interval: float | None = None,
    spacing: tuple[float, float] | None = None,
) -> DetDataSample:
    """Detect lesions on a slice; its neighbors are the numbered files beside it.

    As mmdet's ``inference_detector``, which reads 8-bit images, for the pipelines of CT slices.

    Args:
        model: Of mmdet's ``init_detector``.
        path: The slice, whose name is its number: ``000089_01_01/037.png``.
        slice_interval: Distance of the slices in mm; needed where the pipeline
            loads neighbors at a distance in mm. Defaults to None.
        spacing: x, y mm per px; needed for ``NormalizeSpacing``. Defaults
            to None.

    Returns:
        DetDataSample: ``pred_instances`` with boxes in px of the slice.

    Raises:
        UserError: If the file is missing, or something that the pipeline needs.
    """
    steps = get_test_pipeline_cfg(model.cfg)
    pipeline = Compose([step for step in steps if 'LoadAnnotations' not in step['type']])
    described = _describe(Path(path))
    if slice_interval is not None:
        described['slice_interval'] = float(slice_interval)
    if spacing is not None:
        described['spacing'] = list(spacing)
    with torch.no_grad():
        sample = model.test_step(pseudo_collate([pipeline(described)]))[0]
    found = sample.pred_instances
    found.bboxes = to_original_frame(found.bboxes, sample.metainfo)
    return sample


def _describe(path: Path) -> dict:
    """Return what a dataset would say of a slice: its number, and the first and last beside it."""
    number = re.fullmatch(r'\d+', path.stem)
    if not path.is_file() or number is None:
        raise UserError(f'{path} is no numbered slice, such as 000089_01_01/037.png: give the file')
    beside = [int(one.stem) for one in path.parent.glob(f'*{path.suffix}') if one.stem.isdigit()]
    index_range = [min(beside), max(beside)]
    return dict(
        img_id=0,
        img_path=str(path),
        slice_index=int(path.stem),
        slice_range=index_range,
        windows=[],
    )
