"""FROC of 3D boxes in sub-volumes."""

import numpy as np

from mmlesion.io.json_files import write_json
from mmlesion.io.sub_volumes import sub_volume_ground_truth
from mmlesion.structures import to_inclusive, to_original_frame

from ..functional import OverlapCriterion, Protocol, lens_protocol, stack_boxes

LENS = lens_protocol()


class SubVolumeBenchmark:
    """3D boxes in sub-volumes, found on their slices: what :class:`FROCMetric` asks of such a file.

    The annotation file is COCO of every slice, with ``sub_volume`` on its images and the true boxes
    as ``sub_volumes`` beside them. Boxes found on consecutive slices are stacked to 3D ones (LENS,
    section Lesion Ensemble); 3D boxes, such as ``ProposalClassifier3D`` scores, are taken as they
    are.

    Args:
        content (dict): Of the annotation file.
        ann_file (str): Its name, for error messages.

    Raises:
        UserError: If it is not of that kind.
    """

    overlap, iou_thr, levels = LENS.criterion.metric, LENS.criterion.threshold, LENS.fp_levels
    max_per_item, num_numbers = LENS.max_per_item, 6

    def __init__(self, content, ann_file):
        self.truth = sub_volume_ground_truth(content, ann_file)
        self.place = {
            image['id']: (image['sub_volume'], image['slice_index']) for image in content['images']
        }

    def protocol(self, overlap, iou_thr, inclusive, levels, max_per_item):
        """The rules (Protocol), by the metric's options."""
        criterion = OverlapCriterion(overlap, iou_thr, inclusive)
        return Protocol(criterion, levels, max_per_item=max_per_item)

    def order_classes(self, classes, categories):
        """The names by the order of labels, as CocoDataset has them: that of the file."""
        return [name for name in categories if name in classes]

    def read(self, sample):
        """What a sample is of, and its boxes.

        Args:
            sample (dict): Of a slice, with 2D boxes; or of a sub-volume's proposal, which it names
                as ``sub_volume``, with its 3D box.

        Returns:
            tuple: The image's id and boxes (n, 4) x1, y1, x2, y2 in px of the original image; or
            the sub-volume with the proposal's corners, and its box (1, 6) as it is.
        """
        boxes = sample['pred_instances']['bboxes'].cpu().numpy()
        if boxes.shape[1] == self.num_numbers:
            return (sample['sub_volume'], *boxes[0].tolist()), boxes
        return sample['img_id'], to_original_frame(boxes, sample)

    def segments(self, sample):
        """None: masks are not stacked."""

    def join(self, found):
        """Stack the boxes of the slices of each sub-volume; 3D boxes stay as they are.

        Args:
            found (dict): By what :meth:`read` tells, boxes (n, 4) or (1, 6), scores (n,) and labels
                (n,).

        Returns:
            dict: Of each sub-volume boxes (m, 6), x1, y1, z1, x2, y2, z2 in px and slice numbers,
            the last ones inclusive as in the manual annotation, scores and labels.
        """
        slices, proposals = {}, {}
        for item, columns in found.items():
            if isinstance(item, tuple):
                proposals.setdefault(item[0], []).append(columns)
                continue
            name, number = self.place.get(item, (item, 0))  # an unknown one is reported later
            slices.setdefault(name, []).append((*columns, np.full(len(columns[1]), number)))
        stacked = {name: _stack(*map(np.concatenate, zip(*rows))) for name, rows in slices.items()}
        whole = {name: (*map(np.concatenate, zip(*rows)),) for name, rows in proposals.items()}
        return {**stacked, **whole}

    def rows(self, detections):
        """Of each sub-volume its boxes and scores, as ``eval_froc.py lens`` reads them."""
        rows = {name: [] for name in self.truth.items}
        columns = np.column_stack([detections.geometry, detections.score])
        for item, row in zip(detections.item.tolist(), columns.tolist()):
            rows[self.truth.items[item]].append(row)
        return rows

    def write(self, prefix, rows, detections, segments):
        """Write ``<prefix>.boxes3d.json``.

        Args:
            prefix (str): Where to write.
            rows (dict): Of :meth:`rows`.
            detections (Detections): The same; not used.
            segments (dict): Not used.
        """
        write_json(rows, f'{prefix}.boxes3d.json')

    def scores(self, rows, detections, lesions, protocol, categories):
        """None beside the FROC.

        Args:
            rows (dict): Not used.
            detections (Detections): Not used.
            lesions (Lesions): Not used.
            protocol (Protocol): Not used.
            categories (dict): Not used.

        Returns:
            dict: Empty.
        """
        return {}


def _stack(boxes, scores, labels, slices):
    boxes, scores, labels, _ = stack_boxes(boxes, scores, slices, labels)
    return to_inclusive(boxes), scores, labels
