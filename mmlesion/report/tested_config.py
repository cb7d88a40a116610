"""What the page of a test run needs, from the config of the detector."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmlesion.evaluation.groups import group_lesions
from mmlesion.evaluation.tasks import SliceTask
from mmlesion.froc import Protocol
from mmlesion.io.coco import read_results_of
from mmlesion.io.json_files import read_json
from mmlesion.utils import UserError
from mmlesion.utils.configs import innermost_dataset

from .froc_report import write_froc_report
from .shown_test_set import Slices

_RULES = ('overlap', 'iou_thr', 'inclusive', 'fp_levels', 'max_per_item')
"""Options of FROCMetric that the task makes a protocol of."""


class TestedConfig(NamedTuple):
    """A detector of slices, tested with FROCMetric.

    Args:
        name: Of the run.
        task: The test set.
        images: Folder of the slices.
        protocol: Which pairs of boxes match.
        groups: Fields of the annotations by which lesions are grouped.
        outfile_prefix: Where the metric writes detections.
        options: What the config has to be given so that it does.
    """

    name: str
    task: SliceTask
    images: str
    protocol: Protocol
    groups: Sequence[str]
    outfile_prefix: str
    options: dict[str, str]


def read_tested_config(
    cfg: Mapping[str, Any], name: str, out: Path, groups: Sequence[str] = ()
) -> TestedConfig:
    """Read what the page needs from a config.

    Args:
        cfg: The config.
        name: Of the run.
        out: The page. Detections are written beside it, unless the config says where.
        groups: Fields of the annotations by which lesions are grouped.

    Raises:
        UserError: If it does not test a detector of slices with FROCMetric, or lesions have no such
            field.
    """
    place, metric = _froc_metric(cfg.get('test_evaluator'))
    content = read_json(metric['ann_file'])
    if 'sub_volumes' in content or 'images' not in content:
        raise UserError(f'--report shows slices, but {metric["ann_file"]} has none: leave it out')
    task = SliceTask(content, metric['ann_file'])
    # before the test, which takes long
    group_lesions(task.truth.lesions.attributes, groups, task.ann_file)
    dataset = innermost_dataset(cfg['test_dataloader'])
    prefix = metric.get('outfile_prefix')
    # without a prefix the metric writes no detections: it gets one beside the page
    chosen = prefix or str(out.with_suffix(''))
    return TestedConfig(
        name=name,
        task=task,
        images=os.path.join(
            dataset.get('data_root') or '', (dataset.get('data_prefix') or {}).get('img', '')
        ),
        protocol=task.build_protocol(**{name: metric[name] for name in _RULES if name in metric}),
        groups=groups,
        outfile_prefix=chosen,
        options={} if prefix else {f'{place}.outfile_prefix': chosen},
    )


def _froc_metric(evaluators: Any) -> tuple[str, Mapping[str, Any]]:
    """Return the place of FROCMetric in the config, and its options."""
    listed = evaluators if isinstance(evaluators, (list, tuple)) else [evaluators]
    for index, metric in enumerate(listed):
        kind = (metric or {}).get('type', '')
        if getattr(kind, '__name__', str(kind)).split('.')[-1] == 'FROCMetric':
            is_list = listed is evaluators
            return f'test_evaluator.{index}' if is_list else 'test_evaluator', metric
    raise UserError('--report shows what FROCMetric evaluates: the config has none to test with')


def write_tested_report(tested: TestedConfig, out: Path) -> None:
    """Write the page from the detections that the metric has written."""
    task, truth = tested.task, tested.task.truth
    if truth.lesions.ignore.all():
        raise UserError(f'{task.ann_file} has no lesions that count: there is no page without')
    predictions = read_results_of(f'{tested.outfile_prefix}.bbox.json', truth)
    write_froc_report(
        {tested.name: predictions.detections},
        truth,
        tested.protocol,
        Slices(task.content['images'], tested.images),
        group_lesions(truth.lesions.attributes, tested.groups, task.ann_file),
        out,
        tested.name,
    )
