"""Parameters and inference time of ElixirNet beside mmdet's Faster R-CNN, in one run.

For each backbone three detectors, from random weights, are timed in turn on the same image: mmdet's
own config for COCO, the same for one class of lesions with ElixirNet's anchors, and ElixirNet. The
first is the one that the others are compared with. All RoI heads get the same regions, the best of
the first detector's RPN: the time of RoIAlign depends on their sizes, which random weights make
different in each.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from harness.benchmark import BenchmarkParser, check_size, format_table, load_configs
from harness.timing import Rounds, interleave

from mmlesion.utils import UserError, cli

if TYPE_CHECKING:
    from mmdet.models.detectors import TwoStageDetector
    from mmengine.config import Config

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
BACKBONES = dict(
    fpn=(
        'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py',
        CONFIGS / 'baselines/faster-rcnn_r50_fpn_4xb2-1x_deeplesion.py',
        CONFIGS / 'elixirnet/elixirnet_r50_fpn_4xb2-1x_deeplesion.py',
    ),
    c4=(
        'mmdet::faster_rcnn/faster-rcnn_r50-caffe_c4-1x_coco.py',
        CONFIGS / 'elixirnet/faster-rcnn_r50_c4_4xb2-1x_deeplesion.py',
        CONFIGS / 'elixirnet/elixirnet_r50_c4_4xb2-1x_deeplesion.py',
    ),
    mdconv=(
        'mmdet::dcnv2/faster-rcnn_r50-mdconv-c3-c5_fpn_1x_coco.py',
        CONFIGS / 'elixirnet/faster-rcnn_r50-mdconv-c3-c5_fpn_4xb2-1x_deeplesion.py',
        CONFIGS / 'elixirnet/elixirnet_r50-mdconv-c3-c5_fpn_4xb2-1x_deeplesion.py',
    ),
)


def measure(args: argparse.Namespace) -> list[list[dict]]:
    """Time the detectors of each backbone, or of the configs that are given.

    Returns:
        list[list[dict]]: Of each backbone and number of proposals the figures of :func:`compare`.
    """
    check_size(args.size, 64, 64)
    if any(count is not None and count < 1 for count in args.proposals):
        raise UserError('--proposals must be at least 1')
    groups = [args.configs] if args.configs else [BACKBONES[name] for name in args.backbones]
    figures = []
    for paths in groups:
        configs = load_configs(paths)
        models = {name: build(name, cfg, args) for name, cfg in configs.items()}
        for proposals in args.proposals:
            figures.append(compare(models, proposals, args))
    return figures


def build(name: str, cfg: Config, args: argparse.Namespace) -> TwoStageDetector:
    """Build a detector with random weights.

    Raises:
        UserError: If it is no two-stage detector.
    """
    from harness.detectors import build_detector
    from mmdet.models.detectors import TwoStageDetector

    model = build_detector(cfg, seed=args.seed, device=args.device)
    if not isinstance(model, TwoStageDetector):
        raise UserError(f'{name} is not of a two-stage detector: give those of Faster R-CNN')
    return model


def compare(
    models: Mapping[str, TwoStageDetector], proposals: int | None, args: argparse.Namespace
) -> list[dict]:
    """Time two-stage detectors in turn.

    Args:
        models (dict[str, nn.Module]): Detectors by name, the one to compare with first.
        proposals (int, optional): Maximum number of the RPNs' proposals; None for each config's.
        args (Namespace): ``size`` of the image, px, ``runs``, ``warmup``, ``device`` and ``seed``.

    Returns:
        list[dict]: ``name``, ``proposals`` (of the last run), ``parameters`` of each part and in
        ``total``; ``wall`` and ``processor``, the median seconds of each part and in total; and
        ``wall_ratio`` and ``processor_ratio``, the median over rounds of the total over the first
        detector's.
    """
    from harness.detectors import best_proposals, random_image, time_two_stage

    image, meta = random_image(args.size, args.seed, args.device)
    # in place: later comparisons of the same models have another number
    if proposals is not None:
        for model in models.values():
            model.rpn_head.test_cfg.max_per_img = proposals
    # ratios are to the first config of a group, mmdet's own
    reference = next(iter(models))
    # all detectors get the same regions, so that their RoI heads have the same work
    count = max(model.rpn_head.test_cfg.max_per_img for model in models.values())
    regions = best_proposals(models[reference], image, meta, count)
    time_on = partial(time_two_stage, image=image, meta=meta, regions=regions)
    functions = {name: partial(time_on, model) for name, model in models.items()}
    rounds = interleave(functions, args.runs, args.warmup)
    figures = []
    for name, model in models.items():
        row = dict(
            name=name,
            proposals=rounds[-1][name]['proposals'],
            parameters=parameters_of_parts(model),
            **summarize(rounds, name, reference),
        )
        figures.append(row)
    return figures


def parameters_of_parts(model: TwoStageDetector) -> dict[str, int]:
    """Count a two-stage detector's parameters, by part and in total."""
    from harness.detectors import count_parameters

    return dict(
        features=count_parameters(model.backbone, getattr(model, 'neck', None)),
        rpn=count_parameters(model.rpn_head),
        roi_head=count_parameters(model.roi_head),
        total=count_parameters(model),
    )


def summarize(rounds: Rounds, name: str, reference: str) -> dict:
    """Return medians and ratios of one detector, as :func:`compare` returns them."""
    ratios = rounds.total_ratios(name, reference)
    return dict(
        wall=rounds.part_medians(name, 'wall'),
        processor=rounds.part_medians(name, 'processor'),
        wall_ratio=ratios['wall'],
        processor_ratio=ratios['processor'],
    )


COLUMNS = {
    '': lambda row: row['name'],
    'parameters': lambda row: f'{row["parameters"]["total"] / 1e6:.2f} M',
    'proposals': lambda row: str(row['proposals']),
    'wall s': lambda row: f'{row["wall"]["total"]:.3f}',
    'wall ratio': lambda row: f'{row["wall_ratio"]:.2f}',
    'cpu s': lambda row: f'{row["processor"]["total"]:.2f}',
    'cpu ratio': lambda row: f'{row["processor_ratio"]:.2f}',
    'cpu s of features': lambda row: f'{row["processor"]["features"]:.3f}',
    'of RPN': lambda row: f'{row["processor"]["rpn"]:.3f}',
    'of RoI head': lambda row: f'{row["processor"]["roi_head"]:.3f}',
}


def tables(figures: list[list[dict]]) -> str:
    """Lay each comparison out as a table."""
    return '\n\n'.join(format_table(rows, COLUMNS) for rows in figures)


@cli
def main():
    parser = BenchmarkParser(__doc__, 'weights and image', runs=10, warmup=2)
    parser.add_argument(
        'configs', nargs='*', help="two-stage detectors in place of the backbones' (mmdet:: too)"
    )
    parser.add_argument(
        '--backbones', nargs='+', choices=BACKBONES, default=list(BACKBONES), help='default: all'
    )
    parser.add_argument(
        '--proposals', nargs='+', type=int, default=[None], help="at most so many (each config's)"
    )
    parser.add_argument('--size', type=int, default=512, help='image side, px (default 512)')
    parser.run(measure, tables)


if __name__ == '__main__':
    main()
