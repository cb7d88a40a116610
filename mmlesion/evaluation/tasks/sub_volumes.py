"""3D boxes in sub-volumes, detected slice by slice: COCO files with ``sub_volumes``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import replace

import numpy as np

from mmlesion.froc import lens_protocol, stack_boxes
from mmlesion.io.sub_volumes import sub_volume_ground_truth
from mmlesion.structures import Detections, to_inclusive

from .froc_task import FROCTask, SampleDetections, original_boxes, predicted_by


class SubVolumeTask(FROCTask):
    """Score 3D boxes in sub-volumes, x1, y1, z1, x2, y2, z2 in px and slice numbers, inclusive.

    The annotation file is COCO of every slice, with ``sub_volume`` on its images and the true boxes
    as ``sub_volumes`` beside them. Boxes on consecutive slices, and between those that are far
    apart, are stacked to 3D ones (LENS, section Lesion Ensemble); 3D boxes, such as
    ``ProposalClassifier3D`` scores, are taken as they are.

    Args:
        content: Of the annotation file.
        ann_file: Its name, for error messages.

    Raises:
        UserError: If it is not of that kind.
    """

    default_rules = lens_protocol()
    geometry_dim = 6
    results_suffix = '.boxes3d.json'

    def __init__(self, content: dict, ann_file: str) -> None:
        self.truth = sub_volume_ground_truth(content, ann_file)
        self.images = {image['id']: image for image in content['images']}

    def parse_sample(self, sample: Mapping) -> SampleDetections:
        """Return the boxes of a sample.

        Args:
            sample: A slice with (n, 4) boxes, or a proposal of the sub-volume
                ``sub_volume`` with its (1, 6) box.

        Returns:
            SampleDetections: Boxes (n, 4) x1, y1, x2, y2 in px of the original image, or the
            proposal's box (1, 6) as it is.
        """
        detections = predicted_by(sample)
        if detections.geometry.shape[1] == self.geometry_dim:
            # A proposal has no number: its sub-volume and its one box tell it from the others.
            name, box = sample['sub_volume'], detections.geometry[0]
            return SampleDetections((name, tuple(box.tolist())), name, detections)
        image_id = sample['img_id']
        # An image that is not listed becomes an unknown case of its own, which is reported.
        image = self.images.get(image_id, {'sub_volume': image_id, 'slice_index': 0})
        boxes = original_boxes(detections, sample, image)
        detections = replace(detections, geometry=boxes)
        # a sample between two slices has the image of the lower one
        position = sample.get('slice_index', image['slice_index'])
        return SampleDetections(
            (image_id, position),
            image['sub_volume'],
            detections,
            position,
            grid_steps=sample.get('grid_steps', 1),
        )

    def merge_samples(self, samples: Iterable[SampleDetections]) -> dict[Hashable, Detections]:
        """Stack the boxes of each sub-volume's slices; 3D boxes stay as they are.

        Returns:
            dict: Of each sub-volume boxes (m, 6), the last slice and px inclusive as in the manual
            annotation, scores and labels.
        """
        slices: dict[Hashable, list[SampleDetections]] = defaultdict(list)
        proposals: dict[Hashable, list[Detections]] = defaultdict(list)
        for sample in samples:
            if sample.slice_index is None:
                proposals[sample.case].append(sample.detections)
            else:
                slices[sample.case].append(sample)
        merged = {name: _stack(parts) for name, parts in slices.items()}
        for name, boxes in proposals.items():
            merged[name] = Detections.concat(boxes)
        return merged

    def to_records(self, detections: Detections) -> dict[str, list]:
        """Return of each sub-volume its boxes and scores, as ``eval_froc.py lens`` reads them."""
        records: dict[str, list] = {name: [] for name in self.truth.cases}
        rows = np.column_stack([detections.geometry, detections.score])
        for case, row in zip(detections.case.tolist(), rows.tolist()):
            records[self.truth.cases[case]].append(row)
        return records


def _stack(slices: list[SampleDetections]) -> Detections:
    """Stack the boxes on the slices of a sub-volume to 3D boxes."""
    on_slices = [one.detections for one in slices]
    flat = Detections.concat(on_slices)
    assert flat.label is not None  # of the detector's classes
    positions = np.array([one.slice_index for one in slices])
    steps = max(one.grid_steps for one in slices)
    # (n,): the slice's position once for each of its boxes
    slice_of_box = np.repeat(positions, list(map(len, on_slices)))
    boxes, scores, labels, _ = stack_boxes(
        flat.geometry, flat.score, slice_of_box, flat.label, grid_steps=steps
    )
    # The manual annotation names the last px and slice.
    return Detections(np.zeros(len(scores), int), to_inclusive(boxes), scores, labels)
