"""FROC in training and test runs."""

import logging
from dataclasses import replace

import numpy as np
from mmdet.registry import METRICS
from mmengine.evaluator import BaseMetric
from mmengine.fileio import get_local_path
from mmengine.logging import print_log

from mmlesion.io.cases import SUFFIX, write_cases
from mmlesion.io.json_files import read_json, write_json
from mmlesion.structures import Detections, Predictions
from mmlesion.utils import UserError
from mmlesion.visualization.froc_curve import draw_froc

from ..coverage import coverage, coverage_warnings
from ..functional import evaluate_froc, froc_cases
from ..tables import froc_table
from .slice_benchmark import SliceBenchmark
from .sub_volume_benchmark import SubVolumeBenchmark
from .volume_benchmark import VolumeBenchmark


@METRICS.register_module()
class FROCMetric(BaseMetric):
    """FROC of lesion detection in images, volumes or sub-volumes, by the kind of ``ann_file``.

    Images have boxes, and COCO's mAP over IoU 0.5 to 0.9 beside the FROC. Volumes have spheres in
    the world: a detection is a hit if its center lies in the lesion, as LUNA16 has it, ignored
    findings count neither way, and the True Negative Patient score stands beside the FROC.
    Sub-volumes are evaluated as in LENS (section Metric): what is found on their slices is stacked
    to 3D boxes, or found as such, of which IoBB over 0.3 is a hit.

    A detection is matched with lesions of its own class. All images or volumes in ``ann_file``
    count, those without lesions or predictions too. Results are ``sens@<level>`` for each level,
    ``mean`` over the levels, and ``mAP`` or ``TNP``; with ``classwise`` also
    ``<class>_sens@<level>`` and ``<class>_mean``.

    Args:
        ann_file (str): COCO annotation file, annotation file of volumes, or the file of
            tools/dataset_converters/deeplesion_subvolumes.py.
        overlap (str, optional): Of boxes 'iou', 'iobb' (over the detected box), 'iogt' (over the
            ground truth) or 'max' of these two; of spheres 'centre_in_sphere'. Defaults to None,
            'iou', or 'centre_in_sphere' in volumes and 'iobb' in sub-volumes.
        iou_thr (float, optional): The least overlap of boxes that is a hit. Defaults to None, 0.5,
            and 0.3 in sub-volumes.
        fp_levels (Sequence[float], optional): False positives per image or volume at which
            sensitivity is read. Defaults to None, DeepLesion's, or LUNA16's in (sub-)volumes.
        inclusive (bool): Whether a box covers its last pixel, as in the published programs.
            Defaults to True.
        max_per_item (int, optional): The most detections of an image or volume that count.
            Defaults to None, all of an image and LUNA16's 100 of a volume.
        fold (int | Sequence[int], optional): The fold, or folds, of ``ann_file`` whose volumes
            count. Defaults to None, all.
        classwise (bool): Whether to evaluate each class apart too. Defaults to False.
        class_agnostic (bool): Whether a detection may hit lesions of any class. Defaults to False.
        groups (Sequence[str]): Groups of lesions to report: 'lesion_type', 'diameter'.
        bootstrap (int): Draws of images for 95 % confidence intervals. Defaults to 0, none.
        seed (int): Of these draws. Defaults to 0.
        format_only (bool): Whether to write the predictions and evaluate nothing.
        outfile_prefix (str, optional): Where to write: ``<prefix>.bbox.json``, the predictions as
            COCO results or spheres; of volumes ``<prefix>.csv``, a LUNA16 submission; of
            sub-volumes ``<prefix>.boxes3d.json`` alone, as ``eval_froc.py lens`` reads it;
            ``<prefix>.segm.json``, those with a segment, if the model predicts masks, with
            what :func:`~mmlesion.evaluation.segments.segment_results` says of it; ``<prefix>.json``
            and ``<prefix>.png``, the FROC; ``<prefix>.cases.json``, what moves it by patients, for
            ``compare_froc.py``. Defaults to None.
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
        overlap=None,
        iou_thr=None,
        fp_levels=None,
        inclusive=True,
        max_per_item=None,
        fold=None,
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
        self.classwise = classwise
        self.class_agnostic = class_agnostic
        self.bootstrap = bootstrap
        self.seed = seed
        self.format_only = format_only
        self.outfile_prefix = outfile_prefix
        with get_local_path(ann_file, backend_args=backend_args) as local_path:
            self.content = read_json(local_path)
        self.ann_file = ann_file
        self.benchmark = _benchmark(self.content, ann_file, fold)
        self.truth = self.benchmark.truth
        self.protocol = self.benchmark.protocol(
            overlap or self.benchmark.overlap,
            self.benchmark.iou_thr if iou_thr is None else iou_thr,
            inclusive,
            tuple(fp_levels or self.benchmark.levels),
            max_per_item or self.benchmark.max_per_item,
        )
        self.groups = self._pick_groups(groups)

    def _pick_groups(self, kinds):
        if missing := [kind for kind in kinds if kind not in self.truth.groups]:
            raise UserError(f'{self.ann_file} does not say the {missing} of its lesions')
        return {name: who for kind in kinds for name, who in self.truth.groups[kind].items()}

    def process(self, data_batch, data_samples):
        """Keep the predictions of a batch, in the frame of the annotations.

        Args:
            data_batch (dict): Not used.
            data_samples (Sequence[dict]): Meta information and ``pred_instances`` with (n, 4)
                ``bboxes``, in px or spheres in voxels, (n,) ``scores`` and (n,) ``labels``, and
                with masks what :func:`~mmlesion.evaluation.segments.segment_results` takes.
        """
        for sample in data_samples:
            pred = sample['pred_instances']
            item, geometry = self.benchmark.read(sample)
            scores, labels = pred['scores'].cpu().numpy(), pred['labels'].cpu().numpy()
            written = self.outfile_prefix is not None
            segments = self.benchmark.segments(sample) if written else None
            self.results.append((item, geometry, scores, labels, segments))

    def compute_metrics(self, results):
        """Evaluate the predictions of all processes.

        Args:
            results (list[tuple]): What :meth:`process` kept.

        Returns:
            dict[str, float]: Names and values of the results.
        """
        categories = self._categories()
        predictions = self._gather(results, np.array(list(categories)))
        detections = predictions.detections
        rows = self.benchmark.rows(detections)
        if self.outfile_prefix is not None:
            segments = {item: segments for item, *_, segments in results}
            self.benchmark.write(self.outfile_prefix, rows, detections, segments)
        if self.format_only:
            return {}
        for line in coverage_warnings(self.truth, predictions):
            print_log(line, 'current', logging.WARNING)
        result = self._evaluate(rows, detections, categories)
        if np.isnan(result['mean']):
            print_log(
                f'{self.ann_file} has no lesion of {", ".join(categories.values())} that counts: '
                'sensitivity and mAP are NaN, and early stopping by them ends a training',
                'current',
                logging.WARNING,
            )
        result.update(coverage(self.truth, predictions))
        self._report(result)
        if self.outfile_prefix is not None:
            write_cases(self._cases(detections, categories), f'{self.outfile_prefix}{SUFFIX}')
        return _scalars(result)

    def _cases(self, detections, categories):
        """What moves the curve of all classes, by patients."""
        pooled = self._pooled(detections, categories)
        return froc_cases(*pooled, self.truth.items, self.truth.patients, self.protocol)

    def _categories(self):
        """Category id to name, by the order of labels."""
        classes = self.dataset_meta['classes']
        ids = {c['name']: c['id'] for c in self.content.get('categories', [])}
        chosen = {ids[name]: name for name in self.benchmark.order_classes(classes, ids)}
        if not chosen:
            raise UserError(f'{self.ann_file} has none of the classes {", ".join(classes)}')
        return chosen

    def _gather(self, results, category_ids):
        """Bring all predictions into the order of the annotation file, whoever made them."""
        items = self.truth.items
        found = self.benchmark.join({item: columns[:3] for item, *columns in results})
        listed = [(number, found[i]) for number, i in enumerate(items) if i in found]
        item = np.repeat(
            np.array([number for number, _ in listed], dtype=int),
            [len(scores) for _, (_, scores, _) in listed],
        )
        boxes, scores, labels = (
            np.concatenate([empty, *(columns[place] for _, columns in listed)])
            for place, empty in enumerate(self._nothing())
        )
        unknown = {i: len(found[i][1]) for i in found.keys() - set(items)}
        detections = Detections(item, boxes, scores, category_ids[labels])
        return Predictions(detections, list(unknown), sum(unknown.values()))

    def _nothing(self):
        """Places, scores and labels of no detection."""
        return np.empty((0, self.benchmark.num_numbers)), np.empty(0), np.empty(0, dtype=int)

    def _evaluate(self, rows, detections, categories):
        """FROC over all classes and, with ``classwise``, of each; and the benchmark's own score."""
        known = self._of_classes(categories)
        lesions = self.truth.lesions.take(known)
        groups = {name: member[known] for name, member in self.groups.items()}
        pooled = self._pooled(detections, categories)
        result = self._froc(*pooled, groups)
        result.update(self.benchmark.scores(rows, *pooled, self.protocol, categories))
        if self.classwise and not self.class_agnostic:
            result['classwise'] = {
                name: self._froc(
                    detections.take(detections.label == category),
                    lesions.take(lesions.label == category),
                )
                for category, name in categories.items()
            }
        return result

    def _of_classes(self, categories):
        return np.isin(self.truth.lesions.label, list(categories))

    def _pooled(self, detections, categories):
        """Detections and lesions of all classes together."""
        pooled = detections, self.truth.lesions.take(self._of_classes(categories))
        if self.class_agnostic:
            pooled = tuple(replace(each, label=None) for each in pooled)
        return pooled

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

    def _report(self, result):
        """Print the tables, and write the result and its picture if a place is given."""
        apart = result.get('classwise', {})
        tables = [froc_table(result), *(froc_table(one, name) for name, one in apart.items())]
        print_log('\n' + '\n'.join(tables), 'current')
        if self.outfile_prefix is not None:
            write_json(result, f'{self.outfile_prefix}.json')
            draw_froc({'all': result, **apart} if apart else result, f'{self.outfile_prefix}.png')


def _benchmark(content, ann_file, fold):
    """The kind of benchmark that an annotation file has."""
    if isinstance(content, dict) and isinstance(content.get('volumes'), list):
        return VolumeBenchmark(content, ann_file, fold)
    if fold is not None:
        raise UserError(f'fold={fold}: {ann_file} has images, and no folds: leave it out')
    if isinstance(content, dict) and 'sub_volumes' in content:
        return SubVolumeBenchmark(content, ann_file)
    return SliceBenchmark(content, ann_file)


def _scalars(result):
    """What mmengine logs: one number a name."""
    beside = {name: result[name] for name in ('mAP', 'TNP') if name in result}
    values = {'mean': result['mean'], **beside, **_at_levels(result)}
    for kind in ('groups', 'classwise'):
        for name, one in result.get(kind, {}).items():
            values[f'{name}_mean'] = one['mean']
            values.update(_at_levels(one, f'{name}_'))
    return values


def _at_levels(result, before=''):
    levels = zip(result['fp_levels'], result['sensitivity'])
    return {f'{before}sens@{level:g}': sensitivity for level, sensitivity in levels}
