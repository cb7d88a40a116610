"""FROC while training and testing."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from mmdet.registry import METRICS
from mmengine.evaluator import BaseMetric
from mmengine.fileio import get_local_path
from mmengine.logging import print_log

from mmlesion.froc import MatchedDetections, froc_cases, summarize_froc
from mmlesion.io.cases import SUFFIX, write_cases
from mmlesion.io.json_files import read_json, write_json
from mmlesion.structures import Detections, Lesions, Predictions
from mmlesion.utils import UserError, check_draws, check_range
from mmlesion.visualization.froc_plots import draw_froc

from ..groups import group_lesions
from ..tables import coverage, coverage_warnings, froc_table
from ..tasks import FROCTask, SampleDetections, SliceTask, SubVolumeTask, VolumeTask


@METRICS.register_module()
class FROCMetric(BaseMetric):
    """FROC of lesion detection in images, volumes or sub-volumes, by the kind of ``ann_file``.

    Images have boxes, and COCO's mAP over IoU 0.5 to 0.9 beside the FROC. Volumes have spheres in
    the world: a detection matches if its center lies in the lesion, as LUNA16 has it, ignored
    lesions count neither way, and the True Negative Patient score stands beside the FROC.
    Sub-volumes are evaluated as in LENS (section Metric): the boxes on their slices are stacked to
    3D boxes, or detected as such, of which IoBB over 0.3 is a match.

    A detection is matched with lesions of its own class. All images or volumes in ``ann_file``
    count, those without lesions or predictions too. Results are ``sens@<level>`` for each level,
    ``mean`` over the levels, and ``mAP`` or ``TNP``; with ``classwise`` also
    ``<class>_sens@<level>`` and ``<class>_mean``.

    Args:
        ann_file: COCO annotation file, annotation file of volumes, or the file of
            tools/dataset_converters/deeplesion_subvolumes.py.
        overlap: Of boxes 'iou', 'iobb' (over the detected box), 'iogt' (over the
            ground truth) or 'max' of these two; of spheres 'center_in_sphere'. Defaults to None,
            'iou', or 'center_in_sphere' in volumes and 'iobb' in sub-volumes.
        iou_thr: The least overlap of boxes that match. Defaults to None, 0.5, and
            0.3 in sub-volumes.
        fp_levels: False positives per image or volume at which
            sensitivity is read. Defaults to None, DeepLesion's, or LUNA16's in (sub-)volumes.
        inclusive: Whether a box covers its last pixel, as in the published programs.
            Defaults to True.
        max_per_item: The most detections of an image or volume that count.
            Defaults to None, all of an image and LUNA16's 100 of a volume.
        fold: The fold, or folds, of ``ann_file`` whose volumes
            count. Defaults to None, all.
        classwise: Whether to evaluate each class apart too. Defaults to False.
        class_agnostic: Whether a detection may match lesions of any class. Defaults to
            False.
        groups: Fields of the annotations by which lesions are grouped, such as
            'lesion_type', 'diameter' or 'organ'; numbers may have cut points, 'volume_ml:1,10'. See
            :func:`~mmlesion.evaluation.groups.group_lesions`. Defaults to (), none.
        bootstrap: Draws of images for 95 % confidence intervals. Defaults to 0, none.
        seed: Of these draws. Defaults to 0.
        format_only: Whether to write the predictions and evaluate nothing.
        outfile_prefix: Where to write: ``<prefix>.bbox.json``, the predictions as
            COCO results or spheres; of volumes ``<prefix>.csv``, a LUNA16 submission; of
            sub-volumes ``<prefix>.boxes3d.json`` alone, as ``eval_froc.py lens`` reads it;
            ``<prefix>.segm.json``, those with a segment, if the model predicts masks, with the
            fields of :func:`~mmlesion.evaluation.tasks.slices.segment_results`; ``<prefix>.json``
            and ``<prefix>.png``, the FROC; ``<prefix>.cases.json``, its events by patient, for
            ``compare_froc.py``. Defaults to None.
        backend_args: Arguments of the file backend of ``ann_file``.
        collect_device: 'cpu' or 'gpu', for results from several processes.
        prefix: Put before the names of results; 'froc' by default.

    Raises:
        UserError: If ``ann_file`` cannot be used, or an option is out of its range.
    """

    default_prefix = 'froc'

    def __init__(
        self,
        ann_file: str,
        overlap: str | None = None,
        iou_thr: float | None = None,
        fp_levels: Sequence[float] | None = None,
        inclusive: bool = True,
        max_per_item: int | None = None,
        fold: int | Sequence[int] | None = None,
        classwise: bool = False,
        class_agnostic: bool = False,
        groups: Sequence[str] = (),
        bootstrap: int = 0,
        seed: int = 0,
        format_only: bool = False,
        outfile_prefix: str | None = None,
        backend_args: dict | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if format_only and outfile_prefix is None:
            raise UserError('FROCMetric with format_only writes predictions: give outfile_prefix')
        check_draws('bootstrap', bootstrap)
        check_range('seed', seed, 0)
        self.classwise = classwise
        self.class_agnostic = class_agnostic
        self.bootstrap = bootstrap
        self.seed = seed
        self.format_only = format_only
        self.outfile_prefix = outfile_prefix
        with get_local_path(ann_file, backend_args=backend_args) as local_path:
            self.content = read_json(local_path)
        self.ann_file = ann_file
        self.task = _build_task(self.content, ann_file, fold)
        self.truth = self.task.truth
        # checked here, before a training begins, and not at its first validation
        self.protocol = self.task.build_protocol(
            overlap, iou_thr, inclusive, fp_levels, max_per_item
        )
        self.groups = group_lesions(self.truth.lesions.attributes, groups, ann_file)

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keep the predictions of a batch, in the frame of the annotations.

        Args:
            data_batch: Not used; part of mmengine's interface.
            data_samples: Meta information and ``pred_instances`` with (n, 4)
                ``bboxes``, in px or spheres in voxels, (n,) ``scores`` and (n,) ``labels``, and
                with masks what :func:`~mmlesion.evaluation.tasks.slices.segment_results` takes.
        """
        for sample in data_samples:
            parsed = self.task.parse_sample(sample)
            if self.outfile_prefix is not None:
                segments = self.task.parse_segments(sample)
                parsed = replace(parsed, detections=replace(parsed.detections, segments=segments))
            self.results.append(parsed)

    def compute_metrics(self, results: list[SampleDetections]) -> dict[str, float]:
        """Evaluate the predictions of all processes.

        Args:
            results: The results of :meth:`process`.

        Returns:
            dict[str, float]: Names and values of the results.
        """
        categories = self._categories()
        predictions = self._collect(results, np.array(list(categories)))
        if self.outfile_prefix is not None:
            self.task.write(self.outfile_prefix, predictions.detections)
        if self.format_only:
            return {}
        self._warn(predictions, categories)
        detections = replace(predictions.detections, segments=None)
        matched = self._match(detections, self._lesions(categories))
        result = self._evaluate(detections, matched, categories)
        result.update(coverage(self.truth, predictions))
        self._report(result)
        if self.outfile_prefix is not None:
            cases = froc_cases(matched, self.truth.cases, self.truth.patients)
            write_cases(cases, f'{self.outfile_prefix}{SUFFIX}')
        return _scalars(result)

    def _categories(self) -> dict[int, str]:
        """Return the evaluated classes, category id to name, in the order of labels."""
        classes = self.dataset_meta['classes']
        ids = {category['name']: category['id'] for category in self.content.get('categories', [])}
        chosen = {ids[name]: name for name in self.task.order_classes(classes, list(ids))}
        if not chosen:
            raise UserError(f'{self.ann_file} has none of the classes {", ".join(classes)}')
        return chosen

    def _collect(
        self, results: Sequence[SampleDetections], category_ids: np.ndarray
    ) -> Predictions:
        """Bring the predictions of all processes into the order of the annotation file."""
        # Several processes may have seen the same sample, to give all of them equally many.
        samples = {sample.sample_id: sample for sample in results}
        by_case = self.task.merge_samples(samples.values())
        detections, unlisted = self._concatenate(by_case)
        assert detections.label is not None  # of the model's classes
        highest = int(detections.label.max(initial=0))
        if highest >= len(category_ids):
            raise UserError(
                f'the model predicts class {highest} (the first is 0), but {self.ann_file} is '
                f'evaluated for {len(category_ids)} classes: set num_classes of the model and '
                'metainfo of the dataset to the same classes'
            )
        # from the detector's labels to the ids of the annotation file
        detections = replace(detections, label=category_ids[detections.label])
        num_unknown = sum(map(len, unlisted.values()))
        return Predictions(detections, list(unlisted), num_unknown)

    def _concatenate(
        self, by_case: Mapping[Any, Detections]
    ) -> tuple[Detections, dict[Any, Detections]]:
        """Return the detections of the file's cases, in its order, and those of other cases."""
        unlisted = dict(by_case)
        # no detections at all still have the columns of detections
        masked = any(part.segments is not None for part in by_case.values())
        nothing, no_geometry = np.empty(0, dtype=int), np.empty((0, self.task.geometry_dim))
        parts = [Detections(nothing, no_geometry, np.empty(0), nothing, [] if masked else None)]
        for index, case in enumerate(self.truth.cases):
            if case in unlisted:
                part = unlisted.pop(case)
                parts.append(replace(part, case=np.full(len(part), index)))
        return Detections.concat(parts), unlisted

    def _warn(self, predictions: Predictions, categories: Mapping[int, str]) -> None:
        """Warn if predictions are missing or unknown, or if no lesion counts."""
        for line in coverage_warnings(self.truth, predictions) + self.task.warnings():
            print_log(line, 'current', logging.WARNING)
        if self._lesions(categories).ignore.all():
            print_log(
                f'{self.ann_file} has no lesion of {", ".join(categories.values())} that counts: '
                'sensitivity and mAP are NaN, and early stopping by them ends a training',
                'current',
                logging.WARNING,
            )

    def _evaluate(
        self, detections: Detections, matched: MatchedDetections, categories: Mapping[int, str]
    ) -> dict:
        """Return the FROC over all classes, the task's own scores, and each class's FROC."""
        # Groups are of all lesions of the file; those of other categories are not evaluated.
        chosen = self._chosen(categories)
        member_of = {name: member[chosen] for name, member in self.groups.items()}
        result = summarize_froc(matched, member_of, self.bootstrap, self.seed)
        result.update(self.task.extra_scores(detections, matched, list(categories)))
        if self.classwise and not self.class_agnostic:
            result['classwise'] = {}
            for category, name in categories.items():
                result['classwise'][name] = self._class_froc(detections, category)
        return result

    def _class_froc(self, detections: Detections, category: int) -> dict:
        """Return the FROC of one class."""
        assert detections.label is not None  # category ids
        detections = detections.take(detections.label == category)
        matched = self._match(detections, self._lesions([category]))
        return summarize_froc(matched, bootstrap=self.bootstrap, seed=self.seed)

    def _chosen(self, categories: Iterable[int]) -> np.ndarray:
        """Return (m,) bool, the lesions of some categories."""
        labels = self.truth.lesions.label
        assert labels is not None  # category ids
        return np.isin(labels, list(categories))

    def _lesions(self, categories: Iterable[int]) -> Lesions:
        return self.truth.lesions.take(self._chosen(categories))

    def _match(self, detections: Detections, lesions: Lesions) -> MatchedDetections:
        """Match detections with lesions, of any class if ``class_agnostic``."""
        if self.class_agnostic:
            detections, lesions = replace(detections, label=None), replace(lesions, label=None)
        return MatchedDetections(detections, lesions, len(self.truth.cases), self.protocol)

    def _report(self, result: dict) -> None:
        """Print the tables; with ``outfile_prefix`` write the result and its plot."""
        by_class = result.get('classwise', {})
        tables = [froc_table(result)]
        for name, one in by_class.items():
            tables.append(froc_table(one, name))
        print_log('\n' + '\n'.join(tables), 'current')
        if self.outfile_prefix is not None:
            write_json(result, f'{self.outfile_prefix}.json')
            curves = {'all': result, **by_class} if by_class else result
            draw_froc(curves, f'{self.outfile_prefix}.png')


def _build_task(content: Any, ann_file: str, fold: int | Sequence[int] | None) -> FROCTask:
    """Return the task of the kind that an annotation file has."""
    if isinstance(content, dict) and isinstance(content.get('volumes'), list):
        return VolumeTask(content, ann_file, fold)
    if fold is not None:
        raise UserError(f'fold={fold}: {ann_file} has images, and no folds: leave it out')
    if isinstance(content, dict) and 'sub_volumes' in content:
        return SubVolumeTask(content, ann_file)
    return SliceTask(content, ann_file)


def _scalars(result: dict) -> dict[str, float]:
    """Return the numbers of a result by name, as mmengine logs them."""
    values = {'mean': result['mean']}
    for name in ('mAP', 'TNP'):
        if name in result:
            values[name] = result[name]
    values.update(_at_fp_rates(result))
    for kind in ('groups', 'classwise'):
        for name, one in result.get(kind, {}).items():
            values[f'{name}_mean'] = one['mean']
            values.update(_at_fp_rates(one, f'{name}_'))
    return values


def _at_fp_rates(result: dict, before: str = '') -> dict[str, float]:
    pairs = zip(result['fp_levels'], result['sensitivity'])
    return {f'{before}sens@{fp_rate:g}': sensitivity for fp_rate, sensitivity in pairs}
