"""Base class of the tasks that :class:`~mmlesion.evaluation.FROCMetric` evaluates."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np

from mmlesion.froc import MatchedDetections, OverlapCriterion, Protocol
from mmlesion.io.json_files import write_json
from mmlesion.structures import Columns, Detections, GroundTruth, Predictions, to_original_frame
from mmlesion.utils import UserError


@dataclass(frozen=True, eq=False)
class CaseDetections(Columns):
    """The n detections of a case: an image, a volume or a sub-volume, or of a part of it.

    Attributes:
        geometry (ndarray): (n, k) boxes or spheres.
        score (ndarray): (n,) float.
        label (ndarray): (n,) int, indices into the detector's classes.
    """

    geometry: np.ndarray
    score: np.ndarray
    label: np.ndarray


@dataclass(frozen=True, eq=False)
class SampleDetections:
    """The detections of one of a detector's samples, in the frame of the annotation file.

    No NamedTuple: mmengine makes plain tuples of these on their way between processes.

    Attributes:
        sample_id (Hashable): What the sample shows; of two samples with the same id one counts.
        case (Hashable): The image, volume or sub-volume that it belongs to.
        detections (CaseDetections): On or in it.
        slice_index (float, optional): Of a slice, its number in its sub-volume; of a position
            between two, a fraction.
        segments (list[dict | None], optional): Of each detection its own segment as COCO results
            have it; None of a sample without masks.
        grid_steps (int): Positions from a slice to the next.
    """

    sample_id: Hashable
    case: Hashable
    detections: CaseDetections
    slice_index: float | None = None
    segments: list | None = None
    grid_steps: int = 1


class CollectedRun(NamedTuple):
    """The detections of a test run, in the order of the annotation file.

    Args:
        predictions (Predictions): Of all cases, labels are category ids.
        segments (list[dict | None], optional): Of each detection its own segment as COCO results
            have it; None of a model without masks.
    """

    predictions: Predictions
    segments: list | None = None


class OverlapOptions(NamedTuple):
    """The options of :class:`~mmlesion.evaluation.FROCMetric` that say when a detection matches.

    Args:
        overlap (str, optional): The overlap of boxes, or 'center_in_sphere'; None for the task's.
        iou_thr (float, optional): The least overlap of boxes that matches; None for the task's.
        inclusive (bool): Whether a box covers its last pixel.
    """

    overlap: str | None = None
    iou_thr: float | None = None
    inclusive: bool = True


class MatchedRun(NamedTuple):
    """The result of matching all detections of a test run.

    Args:
        detections (Detections): Of all cases, labels are category ids.
        matched (MatchedDetections): The same, matched with the lesions of these categories.
        category_ids (Sequence[int]): The categories that are evaluated.
        class_agnostic (bool): Whether a detection may match lesions of any class.
    """

    detections: Detections
    matched: MatchedDetections
    category_ids: Sequence[int]
    class_agnostic: bool


def predicted_by(sample: Mapping) -> CaseDetections:
    """Return what a detector predicts for a sample, in the sample's frame."""
    predicted = sample['pred_instances']
    return CaseDetections(
        geometry=predicted['bboxes'].cpu().numpy(),
        score=predicted['scores'].cpu().numpy(),
        label=predicted['labels'].cpu().numpy(),
    )


def original_boxes(detections: CaseDetections, sample: Mapping, image: Mapping) -> np.ndarray:
    """Return the boxes on a slice in the frame of the original slice.

    Args:
        detections (CaseDetections): Boxes (n, 4) x1, y1, x2, y2 in px.
        sample (Mapping): The sample that they were predicted for.
        image (Mapping): What the annotation file says of the slice; empty if it is not listed.

    Returns:
        ndarray: (n, 4) boxes in px.

    Raises:
        UserError: If the sample was cropped, and does not say where.
    """
    annotated = (image.get('height'), image.get('width'))
    tested = tuple(sample.get('ori_shape') or ())[:2]
    # boxes of a clipped image whose offset is not known cannot be moved back
    if None not in annotated and tested and sample.get('border_offset') is None:
        if tested != annotated:
            raise UserError(
                f'image {image["id"]} was tested as {tested[0]} x {tested[1]} px, but is annotated '
                f'as {annotated[0]} x {annotated[1]} px: after ClipBlackBorder PackDetInputs needs '
                "'border_offset' in its meta_keys, in tta_pipeline too"
            )
    return to_original_frame(detections.geometry, sample)


class FROCTask(ABC):
    """Base class for the scoring of one kind of annotation file.

    Attributes:
        default_rules (Protocol): The rules where the metric's options leave them open.
        geometry_dim (int): Numbers of a detected box or sphere.
        results_suffix (str): Of the file of detections that :meth:`write` leaves.
        truth (GroundTruth): The lesions of the annotation file.
    """

    default_rules: Protocol
    geometry_dim: int
    results_suffix: str = '.bbox.json'
    truth: GroundTruth

    @abstractmethod
    def parse_sample(self, sample: Mapping) -> SampleDetections:
        """Return the detections of a sample, in the frame of the annotation file.

        Args:
            sample (Mapping): Meta information and ``pred_instances``, as
                :meth:`~mmlesion.evaluation.FROCMetric.process` takes it.
        """

    @abstractmethod
    def to_records(self, detections: Detections) -> Any:
        """Return detections, whose labels are category ids, as lists and dicts for JSON."""

    def build_criterion(self, options: OverlapOptions) -> Callable:
        """Return which pairs of a detection and a lesion match; of boxes, by their overlap."""
        default = cast('OverlapCriterion', self.default_rules.criterion)
        return OverlapCriterion(
            options.overlap or default.metric,
            default.threshold if options.iou_thr is None else options.iou_thr,
            options.inclusive,
        )

    def order_classes(self, classes: Sequence[str], categories: Sequence[str]) -> list[str]:
        """Return the names of classes in the order of labels.

        ``CocoDataset`` numbers them in the order of the annotation file.

        Args:
            classes (Sequence[str]): Of the dataset.
            categories (Sequence[str]): Of the annotation file, in its order.
        """
        return [name for name in categories if name in classes]

    def warnings(self) -> list[str]:
        """Return warnings about the annotation file, one line each; here there are none."""
        return []

    def parse_segments(self, sample: Mapping) -> list | None:
        """Return the segment of each detection of a sample; None where there are no masks."""
        return None

    def merge_samples(self, samples: Iterable[SampleDetections]) -> dict[Hashable, CaseDetections]:
        """Return the detections of each case; here a sample is a case."""
        return {sample.case: sample.detections for sample in samples}

    def write(self, prefix: str, run: CollectedRun) -> None:
        """Write the detections as files whose names begin with ``prefix``."""
        write_json(self.to_records(run.predictions.detections), prefix + self.results_suffix)

    def extra_scores(self, run: MatchedRun) -> dict:
        """Return the scores beside the FROC by name; here there are none."""
        return {}
