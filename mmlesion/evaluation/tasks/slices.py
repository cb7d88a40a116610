"""2D boxes on images: COCO annotation files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmlesion.froc import MatchedDetections, deeplesion_protocol
from mmlesion.io.coco import box_warnings, coco_ground_truth
from mmlesion.io.json_files import write_json
from mmlesion.structures import (
    Detections,
    Segment,
    cut_segments,
    encode_mask,
    file_shift,
    measure_recist,
)

from .froc_task import FROCTask, SampleDetections, original_boxes, predicted_by

MAP_THRESHOLDS = np.linspace(0.5, 0.9, 9)


class SliceTask(FROCTask):
    """Score boxes on images, x1, y1, x2, y2 in px; COCO's mAP stands beside the FROC.

    Args:
        content: Of the annotation file.
        ann_file: Its name, for error messages.

    Raises:
        UserError: If it is not of that kind.
    """

    default_rules = deeplesion_protocol()
    geometry_dim = 4

    def __init__(self, content: dict, ann_file: str) -> None:
        self.content = content
        self.ann_file = ann_file
        self.truth = coco_ground_truth(content, ann_file)
        self.images = {image['id']: image for image in content['images']}

    def parse_sample(self, sample: Mapping) -> SampleDetections:
        """Return the boxes on an image."""
        detections, image_id = predicted_by(sample), sample['img_id']
        image = self.images.get(image_id, {})
        # files may place pixel centers at whole numbers; the detector has them at half ones
        boxes = original_boxes(detections, sample, image) - file_shift(image)
        return SampleDetections(image_id, image_id, replace(detections, geometry=boxes))

    def warnings(self) -> list[str]:
        """Return warnings about boxes outside their images, or too small to train on."""
        return box_warnings(self.content, self.truth, self.ann_file)

    def parse_segments(self, sample: Mapping) -> list | None:
        """Return the segments' fields of COCO results; None without a map of segments."""
        if 'segment_ids' not in sample['pred_instances']:
            return None
        image = self.images.get(sample['img_id'])
        return [] if image is None else segment_results(sample, image)

    def to_records(self, detections: Detections) -> list[dict]:
        """Return detections as COCO results."""
        # x1, y1, x2, y2 -> x1, y1, width, height
        corners = detections.geometry
        boxes = np.column_stack([corners[:, :2], corners[:, 2:] - corners[:, :2]])
        image_ids = [self.truth.cases[case] for case in detections.case]
        assert detections.label is not None  # category ids
        columns = (boxes.tolist(), detections.score.tolist(), detections.label.tolist())
        return [
            {'image_id': image_id, 'bbox': box, 'score': score, 'category_id': category}
            for image_id, box, score, category in zip(image_ids, *columns)
        ]

    def write(self, prefix: str, detections: Detections) -> None:
        """Write ``<prefix>.bbox.json`` and, of a model with masks, ``<prefix>.segm.json``."""
        records = self.to_records(detections)
        write_json(records, prefix + self.results_suffix)
        if detections.segments is not None:
            pairs = zip(records, detections.segments)
            segmented = [{**record, **segment} for record, segment in pairs if segment]
            write_json(segmented, f'{prefix}.segm.json')

    def extra_scores(
        self, detections: Detections, matched: MatchedDetections, category_ids: Sequence[int]
    ) -> dict:
        """Return COCO's ``mAP`` over IoU 0.5:0.05:0.9, at most 100 detections per image.

        It is NaN if there are no lesions.
        """
        truth = self._coco_api(self._coco_lesions())
        detected = self._coco_api(_as_annotations(self.to_records(detections)))
        with redirect_stdout(StringIO()):
            evaluation = COCOeval(truth, detected, 'bbox')
            evaluation.params.catIds = list(category_ids)
            evaluation.params.useCats = int(matched.detections.label is not None)
            evaluation.params.iouThrs = MAP_THRESHOLDS
            evaluation.params.maxDets = [100]
            evaluation.params.areaRng = [[0, 1e10]]
            evaluation.params.areaRngLbl = ['all']
            evaluation.evaluate()
            evaluation.accumulate()
        precision = evaluation.eval['precision']
        precision = precision[precision > -1]  # -1 where a class has no lesions
        return dict(mAP=float(precision.mean()) if len(precision) else float('nan'))

    def _coco_lesions(self) -> list[dict]:
        """Return the lesions as annotations of COCO, of which each needs a number and an area."""
        lesions = self.truth.lesions
        assert lesions.label is not None  # category ids
        annotations = []
        for index, ann in enumerate(self.content['annotations']):
            annotation = {
                'id': index + 1,  # COCOeval takes the number 0 for "no match"
                'image_id': ann['image_id'],
                'category_id': int(lesions.label[index]),
                'bbox': ann['bbox'],
                'area': float(np.prod(ann['bbox'][2:])),
                'iscrowd': int(lesions.ignore[index]),  # its only sign of an ignored lesion
            }
            annotations.append(annotation)
        return annotations

    def _coco_api(self, annotations: list[dict]) -> COCO:
        api = COCO()
        images, categories = self.content['images'], self.content['categories']
        api.dataset = {'images': images, 'categories': categories, 'annotations': annotations}
        with redirect_stdout(StringIO()):
            api.createIndex()
        return api


def _as_annotations(records: list[dict]) -> list[dict]:
    """Add to COCO results the fields that COCOeval reads of annotations."""
    for number, record in enumerate(records, 1):
        record.update(id=number, area=float(np.prod(record['bbox'][2:])), iscrowd=0)
    return records


def segment_results(sample: Mapping, image: Mapping) -> list[dict | None]:
    """Describe the segment of each detection.

    Args:
        sample: Predictions: ``pred_instances`` with (n,) ``segment_ids``, ``pred_sem_seg``
            with the (1, H, W) map ``segments``, as ``LesionRetinaNet`` has them, and
            ``border_offset`` where a border was clipped.
        image: The image of the annotation file: ``height``, ``width`` and ``spacing`` mm.

    Returns:
        list[dict | None]: For each detection ``segmentation``, the segment's RLE in the original
        image; ``recist``, x1, y1, ..., x4, y4 px; and ``diameters_mm``, long and short, where the
        image has its spacing. None where the detection has none.
    """
    segment_ids = sample['pred_instances']['segment_ids'].tolist()
    numbers = sample['pred_sem_seg']['segments'][0].cpu().numpy()
    segments = cut_segments(numbers, segment_ids, sample.get('border_offset', (0, 0)))
    described = {number: _describe(segment, image) for number, segment in segments.items()}
    return [described.get(number) for number in segment_ids]


def _describe(segment: Segment, image: Mapping) -> dict:
    # The RLE is of the whole image; the diameters need the cut-out and its corner alone.
    mask = np.zeros((image['height'], image['width']), bool)
    segment.paste(mask, True)
    spacing = image.get('spacing')
    recist = measure_recist(segment.mask, spacing or (1, 1), segment.corner)
    result = dict(
        segmentation=encode_mask(mask),
        recist=recist.points.ravel().round(3).tolist(),
    )
    if spacing:
        result['diameters_mm'] = np.round(recist.diameters_mm, 3).tolist()
    return result
