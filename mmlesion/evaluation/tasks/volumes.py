"""Spheres in volumes: annotation files of volumes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from mmlesion.froc import MatchedDetections, luna16_protocol, true_negative_patients
from mmlesion.io.luna16 import write_luna16_predictions
from mmlesion.io.volumes import volume_ground_truth
from mmlesion.structures import Detections, Grid
from mmlesion.utils import UserError

from .froc_task import FROCTask, SampleDetections, predicted_by

CENTER_IN_SPHERE = 'center_in_sphere'


class VolumeTask(FROCTask):
    """Score spheres in volumes, x, y, z and diameter in mm of the world, as LUNA16 does.

    The True Negative Patient score stands beside the FROC.

    Args:
        content: Of the annotation file.
        ann_file: Its name, for error messages.
        fold: The fold, or folds, whose volumes count. Defaults to
            None, all.

    Raises:
        UserError: If it is not of that kind, or has no volume of the fold.
    """

    default_rules = luna16_protocol()
    geometry_dim = 4

    def __init__(
        self, content: dict, ann_file: str, fold: int | Sequence[int] | None = None
    ) -> None:
        self.truth = volume_ground_truth(content, ann_file, fold)

    def build_criterion(
        self, overlap: str | None, iou_thr: float | None, inclusive: bool
    ) -> Callable:
        """Return LUNA16's criterion, the only one.

        Raises:
            UserError: If the overlap is one of boxes.
        """
        if overlap not in (None, CENTER_IN_SPHERE, 'centre_in_sphere'):
            raise UserError(
                f'overlap={overlap!r} is for boxes: volumes are evaluated by {CENTER_IN_SPHERE}'
            )
        return self.default_rules.criterion

    def order_classes(self, classes: Sequence[str], categories: Sequence[str]) -> list[str]:
        """Return the names in the order of labels: ``VolumeDataset`` has that of its classes."""
        return [name for name in classes if name in categories]

    def parse_sample(self, sample: Mapping) -> SampleDetections:
        """Return the spheres of a volume."""
        # from z, y, x, diameter in voxels of the volume to x, y, z, diameter in mm
        detections, uid = predicted_by(sample), sample['series_uid']
        spheres = Grid.from_annotation(sample).spheres_to_world(detections.geometry)
        return SampleDetections(uid, uid, replace(detections, geometry=spheres))

    def to_records(self, detections: Detections) -> list[dict]:
        """Return detections as spheres in mm of the world."""
        assert detections.label is not None  # category ids
        records = []
        for index, case in enumerate(detections.case.tolist()):
            x, y, z, diameter = detections.geometry[index].tolist()
            record = {
                'series_uid': self.truth.cases[case],
                'center_mm': [x, y, z],
                'diameter_mm': diameter,
                'score': detections.score[index].item(),
                'category_id': detections.label[index].item(),
            }
            records.append(record)
        return records

    def write(self, prefix: str, detections: Detections) -> None:
        """Write ``<prefix>.bbox.json``, spheres, and ``<prefix>.csv``, a LUNA16 submission."""
        super().write(prefix, detections)
        write_luna16_predictions(f'{prefix}.csv', self.truth.cases, detections)

    def extra_scores(
        self, detections: Detections, matched: MatchedDetections, category_ids: Sequence[int]
    ) -> dict:
        """Return the True Negative Patient score."""
        return true_negative_patients(matched)
