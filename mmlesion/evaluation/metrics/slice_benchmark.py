"""FROC of boxes on images."""

from contextlib import redirect_stdout
from io import StringIO

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmlesion.io.coco import coco_ground_truth
from mmlesion.io.json_files import write_json
from mmlesion.structures import file_shift, to_original_frame

from ..functional import PER_IMAGE_LEVELS, OverlapCriterion, Protocol
from ..segments import segment_results

MAP_THRESHOLDS = np.linspace(0.5, 0.9, 9)


class SliceBenchmark:
    """Boxes on images: what :class:`FROCMetric` asks of a COCO annotation file.

    Args:
        content (dict): Of the annotation file.
        ann_file (str): Its name, for error messages.

    Raises:
        UserError: If it is not of that kind.
    """

    overlap, iou_thr, levels = 'iou', 0.5, PER_IMAGE_LEVELS
    max_per_item, num_numbers = None, 4

    def __init__(self, content, ann_file):
        self.content = content
        self.truth = coco_ground_truth(content, ann_file)
        self.images = {image['id']: image for image in content['images']}

    def protocol(self, overlap, iou_thr, inclusive, levels, max_per_item):
        """The rules (Protocol), by the metric's options."""
        criterion = OverlapCriterion(overlap, iou_thr, inclusive)
        return Protocol(criterion, levels, max_per_item=max_per_item)

    def order_classes(self, classes, categories):
        """The names by the order of labels, as CocoDataset has them: that of the file."""
        return [name for name in categories if name in classes]

    def read(self, sample):
        """A sample's item and its boxes (n, 4) x1, y1, x2, y2 in px, as the file has them."""
        boxes = to_original_frame(sample['pred_instances']['bboxes'].cpu().numpy(), sample)
        return sample['img_id'], boxes - file_shift(self.images.get(sample['img_id'], {}))

    def segments(self, sample):
        """What is to be written of a sample's segments; None if it has no map of them."""
        if 'segment_ids' not in sample['pred_instances']:
            return None
        image = self.images.get(sample['img_id'])
        return [] if image is None else segment_results(sample, image)

    def join(self, found):
        """What is found in each item: of a slice, what is found on it."""
        return found

    def rows(self, detections):
        """COCO results (list[dict]) of detections whose labels are category ids."""
        corners = detections.geometry
        boxes = np.column_stack([corners[:, :2], corners[:, 2:] - corners[:, :2]])
        columns = (detections.item, boxes, detections.score, detections.label)
        return [
            {'image_id': self.truth.items[i], 'bbox': bbox, 'score': score, 'category_id': category}
            for i, bbox, score, category in zip(*(column.tolist() for column in columns))
        ]

    def write(self, prefix, rows, detections, segments):
        """Write ``<prefix>.bbox.json`` and, if the model predicts masks, ``<prefix>.segm.json``.

        Args:
            prefix (str): Where to write.
            rows (list[dict]): COCO results.
            detections (Detections): The same; not used.
            segments (dict): Of each item what :meth:`segments` gave.
        """
        write_json(rows, f'{prefix}.bbox.json')
        if all(found is None for found in segments.values()):
            return
        met = [one for item in self.truth.items for one in segments.get(item) or ()]
        met = [{**row, **segment} for row, segment in zip(rows, met) if segment]
        write_json(met, f'{prefix}.segm.json')

    def scores(self, rows, detections, lesions, protocol, categories):
        """COCO's mAP over IoU 0.5:0.05:0.9, at most 100 detections per image; NaN if no lesions.

        Args:
            rows (list[dict]): COCO results.
            detections (Detections): The same; without labels if classes are not told apart.
            lesions (Lesions): Not used.
            protocol (Protocol): Not used.
            categories (dict): Ids and names of the classes.

        Returns:
            dict[str, float]: ``mAP``.
        """
        truth, found = self._coco_api(self._coco_lesions()), self._coco_api(_numbered(rows))
        with redirect_stdout(StringIO()):
            evaluation = COCOeval(truth, found, 'bbox')
            evaluation.params.catIds = list(categories)
            evaluation.params.useCats = int(detections.label is not None)
            evaluation.params.iouThrs = MAP_THRESHOLDS
            evaluation.params.maxDets = [100]
            evaluation.params.areaRng = [[0, 1e10]]
            evaluation.params.areaRngLbl = ['all']
            evaluation.evaluate()
            evaluation.accumulate()
        precision = evaluation.eval['precision']
        known = precision[precision > -1]
        return dict(mAP=float(known.mean()) if len(known) else float('nan'))

    def _coco_lesions(self):
        lesions = self.truth.lesions
        # COCOeval wants these keys, and knows no other sign of an ignored lesion than iscrowd.
        return [
            {
                'id': number,
                'image_id': ann['image_id'],
                'category_id': int(label),
                'bbox': ann['bbox'],
                'area': float(np.prod(ann['bbox'][2:])),
                'iscrowd': int(ignore),
            }
            for number, (ann, label, ignore) in enumerate(
                zip(self.content['annotations'], lesions.label, lesions.ignore), 1
            )
        ]

    def _coco_api(self, annotations):
        api = COCO()
        images, categories = self.content['images'], self.content['categories']
        api.dataset = {'images': images, 'categories': categories, 'annotations': annotations}
        with redirect_stdout(StringIO()):
            api.createIndex()
        return api


def _numbered(rows):
    return [
        {**row, 'id': i, 'area': float(np.prod(row['bbox'][2:])), 'iscrowd': 0}
        for i, row in enumerate(rows, 1)
    ]
