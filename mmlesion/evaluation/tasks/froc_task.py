"""Base class of the tasks that :class:`~mmlesion.evaluation.FROCMetric` evaluates."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from mmlesion.froc import MatchedDetections, OverlapCriterion, Protocol
from mmlesion.io.json_files import write_json
from mmlesion.structures import Detections, GroundTruth, to_original_frame
from mmlesion.utils import UserError


@dataclass(frozen=True, eq=False)
class SampleDetections:
    """The detections of one of a detector's samples, in the frame of the annotation file.

    No NamedTuple: mmengine makes plain tuples of these on their way between processes.

    Attributes:
        sample_id: What the sample shows; of two samples with the same id one counts.
        case: The image, volume or sub-volume that it belongs to.
        detections: On or in it. The index of the case is not known yet, and 0.
            Labels are indices into the detector's classes.
        slice_index: Of a slice, its number in its sub-volume; of a position
            between two, a fraction.
        grid_steps: Positions from a slice to the next.
    """

    sample_id: Hashable
    case: Hashable
    detections: Detections
    slice_index: float | None = None
    grid_steps: int = 1


def predicted_by(sample: Mapping) -> Detections:
    """Return what a detector predicts for a sample, in the sample's frame, as of case 0."""
    predicted = sample['pred_instances']
    score = predicted['scores'].cpu().numpy()
    return Detections(
        case=np.zeros(len(score), dtype=int),
        geometry=predicted['bboxes'].cpu().numpy(),
        score=score,
        label=predicted['labels'].cpu().numpy(),
    )


def original_boxes(detections: Detections, sample: Mapping, image: Mapping) -> np.ndarray:
    """Return the boxes on a slice in the frame of the original slice.

    Args:
        detections: Boxes (n, 4) x1, y1, x2, y2 in px.
        sample: The sample that they were predicted for.
        image: What the annotation file says of the slice; empty if it is not listed.

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
        default_rules: The rules where the metric's options leave them open.
        geometry_dim: Numbers of a detected box or sphere.
        results_suffix: Of the file of detections that :meth:`write` leaves.
        truth: The lesions of the annotation file.
    """

    default_rules: Protocol
    geometry_dim: int
    results_suffix: str = '.bbox.json'
    truth: GroundTruth

    @abstractmethod
    def parse_sample(self, sample: Mapping) -> SampleDetections:
        """Return the detections of a sample, in the frame of the annotation file.

        Args:
            sample: Meta information and ``pred_instances``, as
                :meth:`~mmlesion.evaluation.FROCMetric.process` takes it.
        """

    @abstractmethod
    def to_records(self, detections: Detections) -> Any:
        """Return detections, whose labels are category ids, as lists and dicts for JSON."""

    def build_protocol(
        self,
        overlap: str | None = None,
        iou_thr: float | None = None,
        inclusive: bool = True,
        fp_levels: Sequence[float] | None = None,
        max_per_item: int | None = None,
    ) -> Protocol:
        """Return the rules: :attr:`default_rules` where an option is not given.

        Args:
            overlap: The overlap of boxes, or 'center_in_sphere'.
            iou_thr: The least overlap of boxes that matches.
            inclusive: Whether a box covers its last pixel.
            fp_levels: False positives per case.
            max_per_item: The most detections of a case.
        """
        return replace(
            self.default_rules,
            criterion=self.build_criterion(overlap, iou_thr, inclusive),
            fp_rates=tuple(fp_levels or self.default_rules.fp_rates),
            max_per_case=max_per_item or self.default_rules.max_per_case,
        )

    def build_criterion(
        self, overlap: str | None, iou_thr: float | None, inclusive: bool
    ) -> Callable:
        """Return which pairs of a detection and a lesion match; of boxes, by their overlap."""
        default = cast('OverlapCriterion', self.default_rules.criterion)
        return OverlapCriterion(
            overlap or default.metric,
            default.threshold if iou_thr is None else iou_thr,
            inclusive,
        )

    def order_classes(self, classes: Sequence[str], categories: Sequence[str]) -> list[str]:
        """Return the names of classes in the order of labels.

        ``CocoDataset`` numbers them in the order of the annotation file.

        Args:
            classes: Of the dataset.
            categories: Of the annotation file, in its order.
        """
        return [name for name in categories if name in classes]

    def warnings(self) -> list[str]:
        """Return warnings about the annotation file, one line each; by default none."""
        return []

    def parse_segments(self, sample: Mapping) -> list | None:
        """Return the segment of each detection of a sample; None where there are no masks."""
        return None

    def merge_samples(self, samples: Iterable[SampleDetections]) -> dict[Hashable, Detections]:
        """Return the detections of each case; here a sample is a case."""
        return {sample.case: sample.detections for sample in samples}

    def write(self, prefix: str, detections: Detections) -> None:
        """Write the detections as files whose names begin with ``prefix``."""
        write_json(self.to_records(detections), prefix + self.results_suffix)

    def extra_scores(
        self, detections: Detections, matched: MatchedDetections, category_ids: Sequence[int]
    ) -> dict:
        """Return the scores beside the FROC by name; by default none.

        Args:
            detections: Of all cases, in their order; labels are category ids.
            matched: The same, matched with the lesions of these categories;
                without labels where a detection may match lesions of any class.
            category_ids: The categories that are evaluated.
        """
        return {}
