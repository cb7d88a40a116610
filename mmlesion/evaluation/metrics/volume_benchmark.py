"""FROC of spheres in volumes."""

from dataclasses import replace

from mmlesion.io.json_files import write_json
from mmlesion.io.luna16 import write_luna16_predictions
from mmlesion.io.volumes import volume_ground_truth
from mmlesion.structures import Grid
from mmlesion.utils import UserError

from ..functional import luna16_protocol, true_negative_patients

CENTRE = 'centre_in_sphere'
LUNA16 = luna16_protocol()


class VolumeBenchmark:
    """Spheres in volumes: what :class:`FROCMetric` asks of an annotation file of 3D benchmarks.

    Args:
        content (dict): Of the annotation file.
        ann_file (str): Its name, for error messages.
        fold (int | Sequence[int], optional): The fold, or folds, whose volumes count. Defaults to
            None, all.

    Raises:
        UserError: If it is not of that kind, or has no volume of the fold.
    """

    overlap, iou_thr, levels = CENTRE, None, LUNA16.fp_levels
    max_per_item, num_numbers = LUNA16.max_per_item, 4

    def __init__(self, content, ann_file, fold=None):
        self.truth = volume_ground_truth(content, ann_file, fold)

    def protocol(self, overlap, iou_thr, inclusive, levels, max_per_item):
        """The rules (Protocol), by the metric's options."""
        if overlap != CENTRE:
            raise UserError(f'overlap={overlap!r} is for boxes: volumes are evaluated by {CENTRE}')
        return replace(LUNA16, fp_levels=levels, max_per_item=max_per_item)

    def order_classes(self, classes, categories):
        """The names by the order of labels, as VolumeDataset has them: its classes'."""
        return [name for name in classes if name in categories]

    def read(self, sample):
        """A sample's item and its spheres (n, 4) x, y, z and diameter in mm of the world."""
        grid = Grid.from_annotation(sample)
        spheres = sample['pred_instances']['bboxes'].cpu().numpy()
        return sample['series_uid'], grid.spheres_to_world(spheres)

    def segments(self, sample):
        """None: there are no masks in volumes."""

    def join(self, found):
        """What is found in each item: of a volume, what is found in it."""
        return found

    def rows(self, detections):
        """Spheres (list[dict]) of detections whose labels are category ids."""
        names = ('series_uid', 'center_mm', 'diameter_mm', 'score', 'category_id')
        uids = [self.truth.items[item] for item in detections.item]
        centres, diameters = detections.geometry[:, :3], detections.geometry[:, 3]
        columns = (centres, diameters, detections.score, detections.label)
        return [dict(zip(names, row)) for row in zip(uids, *(c.tolist() for c in columns))]

    def write(self, prefix, rows, detections, segments):
        """Write ``<prefix>.bbox.json``, spheres, and ``<prefix>.csv``, a LUNA16 submission.

        Args:
            prefix (str): Where to write.
            rows (list[dict]): Of :meth:`rows`.
            detections (Detections): The same.
            segments (dict): Not used.
        """
        write_json(rows, f'{prefix}.bbox.json')
        write_luna16_predictions(f'{prefix}.csv', self.truth.items, detections)

    def scores(self, rows, detections, lesions, protocol, categories):
        """The True Negative Patient score.

        Args:
            rows (list[dict]): Not used.
            detections (Detections): Of all volumes.
            lesions (Lesions): Of all volumes.
            protocol (Protocol): The rules.
            categories (dict): Not used.

        Returns:
            dict: What :func:`~mmlesion.evaluation.functional.true_negative_patients` returns.
        """
        return true_negative_patients(detections, lesions, len(self.truth.items), protocol)
