import logging
from contextlib import redirect_stdout
from io import StringIO

import numpy as np
from mmdet.registry import METRICS
from mmengine.evaluator import BaseMetric
from mmengine.fileio import get_local_path
from mmengine.logging import print_log
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmlesion.structures import to_original_frame
from mmlesion.utils import UserError
from mmlesion.visualization.froc_curve import draw_froc

from ..files import (
    Predictions,
    coco_ground_truth,
    coverage,
    coverage_warnings,
    read_json,
    write_json,
)
from ..functional import PER_IMAGE_LEVELS, Detections, OverlapCriterion, Protocol, evaluate_froc
from ..segments import segment_results
from ..tables import froc_table

MAP_THRESHOLDS = np.linspace(0.5, 0.9, 9)


@METRICS.register_module()
class FROCMetric(BaseMetric):
    """FROC of 2D lesion detection, with COCO's mAP over IoU 0.5 to 0.9 beside it.

    A detection is matched with lesions of its own class. All images in ``ann_file`` count, those
    without lesions or predictions too. Results are ``sens@<level>`` for each level, ``mean`` over
    the levels, and ``mAP``; with ``classwise`` also ``<class>_sens@<level>`` and ``<class>_mean``.

    Args:
        ann_file (str): COCO annotation file.
        overlap (str): 'iou', 'iobb' (over the detected box), 'iogt' (over the ground truth) or
            'max' of these two. Defaults to 'iou'.
        iou_thr (float): The least overlap of a hit. Defaults to 0.5.
        fp_levels (Sequence[float]): False positives per image at which sensitivity is read.
        inclusive (bool): Whether a box covers its last pixel, as in the published programs.
            Defaults to True.
        classwise (bool): Whether to evaluate each class apart too. Defaults to False.
        class_agnostic (bool): Whether a detection may hit lesions of any class. Defaults to False.
        groups (Sequence[str]): Groups of lesions to report: 'lesion_type', 'diameter'.
        bootstrap (int): Draws of images for 95 % confidence intervals. Defaults to 0, none.
        seed (int): Of these draws. Defaults to 0.
        format_only (bool): Whether to write the predictions and evaluate nothing.
        outfile_prefix (str, optional): Where to write: ``<prefix>.bbox.json``, the predictions as
            COCO results; ``<prefix>.segm.json``, those that meet a segment, if the model predicts
            masks, with what :func:`~mmlesion.evaluation.segments.segment_results` says of it;
            ``<prefix>.json`` and ``<prefix>.png``, the FROC. Defaults to None.
        backend_args (dict, optional): Arguments of the file backend of ``ann_file``.
        collect_device (str): 'cpu' or 'gpu', for results from several processes.
        prefix (str, optional): Put before the names of results; 'froc' by default.

    Raises:
        UserError: If ``ann_file`` cannot be used, or an option is out of its range.
    """

    default_prefix = 'froc'

    def __init__(
        self,
        ann_file,
        overlap='iou',
        iou_thr=0.5,
        fp_levels=PER_IMAGE_LEVELS,
        inclusive=True,
        classwise=False,
        class_agnostic=False,
        groups=(),
        bootstrap=0,
        seed=0,
        format_only=False,
        outfile_prefix=None,
        backend_args=None,
        collect_device='cpu',
        prefix=None,
    ):
        super().__init__(collect_device=collect_device, prefix=prefix)
        if format_only and outfile_prefix is None:
            raise UserError('FROCMetric with format_only writes predictions: give outfile_prefix')
        self.protocol = Protocol(OverlapCriterion(overlap, iou_thr, inclusive), tuple(fp_levels))
        self.classwise = classwise
        self.class_agnostic = class_agnostic
        self.bootstrap = bootstrap
        self.seed = seed
        self.format_only = format_only
        self.outfile_prefix = outfile_prefix
        with get_local_path(ann_file, backend_args=backend_args) as local_path:
            self.coco = read_json(local_path)
        self.ann_file = ann_file
        self.truth = coco_ground_truth(self.coco, ann_file)
        self.images = {image['id']: image for image in self.coco['images']}
        self.groups = self._pick_groups(groups)

    def _pick_groups(self, kinds):
        if missing := [kind for kind in kinds if kind not in self.truth.groups]:
            raise UserError(f'{self.ann_file} does not say the {missing} of its lesions')
        return {name: who for kind in kinds for name, who in self.truth.groups[kind].items()}

    def process(self, data_batch, data_samples):
        """Keep the predictions of a batch, in the original images' frame.

        Args:
            data_batch (dict): Not used.
            data_samples (Sequence[dict]): ``img_id``, meta information and ``pred_instances`` with
                (n, 4) ``bboxes`` in px, (n,) ``scores`` and (n,) ``labels``, and with masks what
                :func:`~mmlesion.evaluation.segments.segment_results` takes.
        """
        for sample in data_samples:
            pred = sample['pred_instances']
            boxes = to_original_frame(pred['bboxes'].cpu().numpy(), sample)
            scores, labels = pred['scores'].cpu().numpy(), pred['labels'].cpu().numpy()
            segments = self._segments(sample)
            self.results.append((sample['img_id'], boxes, scores, labels, segments))

    def _segments(self, sample):
        """What is to be written of a sample's segments; None if nothing is or it has no map."""
        if self.outfile_prefix is None or 'segment_ids' not in sample['pred_instances']:
            return None
        image = self.images.get(sample['img_id'])
        return [] if image is None else segment_results(sample, image)

    def compute_metrics(self, results):
        """Evaluate the predictions of all processes.

        Args:
            results (list[tuple]): What :meth:`process` kept.

        Returns:
            dict[str, float]: Names and values of the results.
        """
        categories = self._categories()
        predictions = self._gather(results, np.array(list(categories)))
        coco_results = self._coco_results(predictions.detections)
        if self.outfile_prefix is not None:
            write_json(coco_results, f'{self.outfile_prefix}.bbox.json')
            self._write_segments(coco_results, results)
        if self.format_only:
            return {}
        for line in coverage_warnings(self.truth, predictions):
            print_log(line, 'current', logging.WARNING)
        result = self._evaluate(predictions.detections, categories)
        result.update(
            coverage(self.truth, predictions), mAP=self._mean_ap(coco_results, categories)
        )
        self._report(result)
        return _scalars(result)

    def _write_segments(self, coco_results, results):
        """Write the detections that meet a segment, if the model predicts masks."""
        found = {img_id: segments for img_id, *_, segments in results}
        if all(segments is None for segments in found.values()):
            return
        segments = [one for item in self.truth.items for one in found.get(item) or ()]
        met = [{**row, **segment} for row, segment in zip(coco_results, segments) if segment]
        write_json(met, f'{self.outfile_prefix}.segm.json')

    def _categories(self):
        """Category id to name, by the order of labels, as CocoDataset has them."""
        classes = self.dataset_meta['classes']
        chosen = {
            c['id']: c['name'] for c in self.coco.get('categories', []) if c['name'] in classes
        }
        if not chosen:
            raise UserError(f'{self.ann_file} has none of the classes {", ".join(classes)}')
        return chosen

    def _gather(self, results, category_ids):
        """Bring all predictions into the order of the annotation file, whoever made them."""
        items = self.truth.items
        found = {img_id: columns for img_id, *columns in results}
        listed = [(number, found[i]) for number, i in enumerate(items) if i in found]
        item = np.repeat(
            np.array([number for number, _ in listed], dtype=int),
            [len(scores) for _, (_, scores, *_) in listed],
        )
        boxes, scores, labels = (
            np.concatenate([empty, *(columns[place] for _, columns in listed)])
            for place, empty in enumerate((np.empty((0, 4)), np.empty(0), np.empty(0, dtype=int)))
        )
        unknown = {i: len(found[i][1]) for i in found.keys() - set(items)}
        detections = Detections(item, boxes, scores, category_ids[labels])
        return Predictions(detections, list(unknown), sum(unknown.values()))

    def _coco_results(self, detections):
        boxes = np.column_stack(
            [detections.geometry[:, :2], detections.geometry[:, 2:] - detections.geometry[:, :2]]
        )
        rows = zip(
            *(c.tolist() for c in (detections.item, boxes, detections.score, detections.label))
        )
        return [
            {'image_id': self.truth.items[i], 'bbox': bbox, 'score': score, 'category_id': category}
            for i, bbox, score, category in rows
        ]

    def _evaluate(self, detections, categories):
        """FROC over all classes and, with ``classwise``, of each."""
        known = np.isin(self.truth.lesions.label, list(categories))
        lesions = self.truth.lesions.take(known)
        groups = {name: member[known] for name, member in self.groups.items()}
        if self.class_agnostic:
            detections, pooled = detections._replace(label=None), lesions._replace(label=None)
        else:
            pooled = lesions
        result = self._froc(detections, pooled, groups)
        if self.classwise and not self.class_agnostic:
            result['classwise'] = {
                name: self._froc(
                    detections.take(detections.label == category),
                    lesions.take(lesions.label == category),
                )
                for category, name in categories.items()
            }
        return result

    def _froc(self, detections, lesions, groups=None):
        return evaluate_froc(
            detections,
            lesions,
            len(self.truth.items),
            self.protocol,
            groups,
            self.bootstrap,
            self.seed,
        )

    def _mean_ap(self, coco_results, categories):
        """COCO's mAP over IoU 0.5:0.05:0.9, at most 100 detections per image; NaN if no lesions."""
        lesions = zip(self.coco['annotations'], self.truth.lesions.label, self.truth.lesions.ignore)
        truth = [
            # COCOeval wants these keys, and knows no other sign of an ignored lesion than iscrowd.
            {
                'id': number,
                'image_id': ann['image_id'],
                'category_id': int(label),
                'bbox': ann['bbox'],
                'area': float(np.prod(ann['bbox'][2:])),
                'iscrowd': int(ignore),
            }
            for number, (ann, label, ignore) in enumerate(lesions, 1)
        ]
        found = [
            {**row, 'id': i, 'area': float(np.prod(row['bbox'][2:])), 'iscrowd': 0}
            for i, row in enumerate(coco_results, 1)
        ]
        with redirect_stdout(StringIO()):
            evaluation = COCOeval(self._coco_api(truth), self._coco_api(found), 'bbox')
            evaluation.params.catIds = list(categories)
            evaluation.params.useCats = int(not self.class_agnostic)
            evaluation.params.iouThrs = MAP_THRESHOLDS
            evaluation.params.maxDets = [100]
            evaluation.params.areaRng = [[0, 1e10]]
            evaluation.params.areaRngLbl = ['all']
            evaluation.evaluate()
            evaluation.accumulate()
        precision = evaluation.eval['precision']
        return float(precision[precision > -1].mean()) if (precision > -1).any() else float('nan')

    def _coco_api(self, annotations):
        api = COCO()
        images, categories = self.coco['images'], self.coco['categories']
        api.dataset = {'images': images, 'categories': categories, 'annotations': annotations}
        api.createIndex()
        return api

    def _report(self, result):
        """Print the tables, and write the result and its picture if a place is given."""
        apart = result.get('classwise', {})
        tables = [froc_table(result), *(froc_table(one, name) for name, one in apart.items())]
        print_log('\n' + '\n'.join(tables), 'current')
        if self.outfile_prefix is not None:
            write_json(result, f'{self.outfile_prefix}.json')
            draw_froc({'all': result, **apart} if apart else result, f'{self.outfile_prefix}.png')


def _scalars(result):
    """What mmengine logs: one number a name."""
    values = {'mean': result['mean'], 'mAP': result['mAP'], **_at_levels(result)}
    for kind in ('groups', 'classwise'):
        for name, one in result.get(kind, {}).items():
            values[f'{name}_mean'] = one['mean']
            values.update(_at_levels(one, f'{name}_'))
    return values


def _at_levels(result, before=''):
    levels = zip(result['fp_levels'], result['sensitivity'])
    return {f'{before}sens@{level:g}': sensitivity for level, sensitivity in levels}
