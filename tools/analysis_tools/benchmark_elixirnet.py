"""Parameters and inference time of ElixirNet beside mmdet's Faster R-CNN, in one run.

For each backbone three detectors, from random weights, are timed in turn on the same image: mmdet's
own config for COCO, the same for one class of lesions with ElixirNet's anchors, and ElixirNet. The
first is the one that the others are compared with. All RoI heads get the same regions, the best of
the first detector's RPN: the time of RoIAlign depends on their sizes, which random weights make
different in each.
"""

import argparse
import json
import statistics
from functools import partial
from pathlib import Path

import torch
from mmdet.models.detectors import TwoStageDetector
from mmdet.structures import DetDataSample
from mmengine.config import Config, ConfigDict
from mmengine.hub import get_config

import mmlesion  # noqa: F401 (registers mmlesion's components)
from mmlesion.io.atomic import atomic_write
from mmlesion.utils import UserError, cli
from mmlesion.utils.benchmark import (
    build_detector,
    check_turns,
    clocked,
    median_ratio,
    random_image,
    take_turns,
)

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
PARTS = ('features', 'rpn', 'roi_head')


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
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
    parser.add_argument('--runs', type=int, default=10, help='timed runs of each (default 10)')
    parser.add_argument('--warmup', type=int, default=2, help='untimed runs of each (default 2)')
    parser.add_argument('--device', default='cpu', help='torch device (default cpu)')
    parser.add_argument('--seed', type=int, default=0, help='of weights and image (default 0)')
    parser.add_argument('--out', help='JSON file for the figures')
    return parser.parse_args()


def load_config(path):
    path = str(path)
    return get_config(path) if path.startswith('mmdet::') else Config.fromfile(path)


def best_regions(model, image, meta, count):
    """The best ``count`` proposals (InstanceData) that a two-stage detector's RPN finds."""
    test_cfg = ConfigDict(model.rpn_head.test_cfg, max_per_img=count)
    outputs = model.rpn_head(model.extract_feat(image))
    (found,) = model.rpn_head.predict_by_feat(*outputs, batch_img_metas=[meta], cfg=test_cfg)
    return found


def run_parts(model, image, meta, regions):
    """Run a two-stage detector once, as its ``predict`` does.

    Args:
        model (nn.Module): The detector.
        image (Tensor): (1, 3, H, W).
        meta (dict): Meta information of its sample.
        regions (InstanceData): What the RoI head gets, the best first: as many of these as the RPN
            has found proposals.

    Returns:
        dict: :class:`Seconds` of ``features`` (backbone and neck), ``rpn``, ``roi_head`` and all
        in ``total``, and the number of ``proposals``.
    """
    clock = partial(clocked, device=image.device)
    samples = [DetDataSample(metainfo=meta)]
    features, seconds = clock(model.extract_feat, image)
    proposals, rpn = clock(partial(model.rpn_head.predict, rescale=False), features, samples)
    regions = regions[: len(proposals[0])]
    _, roi_head = clock(partial(model.roi_head.predict, rescale=True), features, [regions], samples)
    return dict(
        features=seconds,
        rpn=rpn,
        roi_head=roi_head,
        total=seconds + rpn + roi_head,
        proposals=len(regions),
    )


@torch.no_grad()
def benchmark(models, proposals, size, runs, warmup, device, seed):
    """Time two-stage detectors in turn.

    Args:
        models (dict[str, nn.Module]): Detectors by name, the one to compare with first.
        proposals (int, optional): How many the RPNs may give, None for what each config says.
        size (int): Image side, px.
        runs (int): Timed runs of each.
        warmup (int): Untimed runs of each before them.
        device (str): Of the image.
        seed (int): Of the image.

    Returns:
        list[dict]: ``name``, ``proposals`` (of the last run), ``parameters`` of each part and in
        ``total``; ``wall`` and ``processor``, the median seconds of each part and in total; and
        ``wall_ratio`` and ``processor_ratio``, the median over turns of the total over the first
        detector's.
    """
    inputs = random_image(size, seed, device)
    for model in models.values():
        if proposals is not None:
            model.rpn_head.test_cfg.max_per_img = proposals
    reference = next(iter(models))
    count = max(model.rpn_head.test_cfg.max_per_img for model in models.values())
    regions = best_regions(models[reference], *inputs, count)
    functions = {
        name: partial(run_parts, model, *inputs, regions) for name, model in models.items()
    }
    turns = take_turns(functions, runs, warmup)
    return [
        dict(
            name=name,
            proposals=turns[-1][name]['proposals'],
            parameters=count_parameters(model),
            **summarize(turns, name, reference),
        )
        for name, model in models.items()
    ]


def count_parameters(model):
    """Numbers of a two-stage detector's parameters, by part and in total."""
    features = [module for module in (model.backbone, getattr(model, 'neck', None)) if module]
    modules = dict(
        features=features, rpn=[model.rpn_head], roi_head=[model.roi_head], total=[model]
    )
    return {
        part: sum(p.numel() for module in members for p in module.parameters())
        for part, members in modules.items()
    }


def summarize(turns, name, reference):
    """Medians and ratios of one detector, as :func:`benchmark` returns them."""
    summary = {}
    for clock in ('wall', 'processor'):
        summary[clock] = {
            part: statistics.median(getattr(turn[name][part], clock) for turn in turns)
            for part in (*PARTS, 'total')
        }
        totals = [
            {key: getattr(parts['total'], clock) for key, parts in turn.items()} for turn in turns
        ]
        summary[f'{clock}_ratio'] = median_ratio(totals, name, reference)
    return summary


def table(figures):
    """Lay the figures of one comparison out as lines of text."""
    width = max(len(row['name']) for row in figures)
    lines = [
        f'{"":{width}}  parameters  proposals  wall s  ratio  cpu s  ratio'
        '  cpu s of features, RPN, RoI head'
    ]
    for row in figures:
        parts = '  '.join(f'{row["processor"][part]:.3f}' for part in PARTS)
        lines.append(
            f'{row["name"]:{width}}  {row["parameters"]["total"] / 1e6:8.2f} M'
            f'  {row["proposals"]:9}  {row["wall"]["total"]:6.3f}  {row["wall_ratio"]:5.2f}'
            f'  {row["processor"]["total"]:5.2f}  {row["processor_ratio"]:5.2f}  {parts}'
        )
    return '\n'.join(lines)


def check(args):
    if args.size < 64 or args.size % 64:
        raise UserError(f'--size {args.size} is no multiple of 64, the coarsest stride in px')
    if any(count is not None and count < 1 for count in args.proposals):
        raise UserError('--proposals must be at least 1')
    check_turns(args.runs, args.warmup, args.device)
    for path in args.configs:
        if not path.startswith('mmdet::') and not Path(path).is_file():
            raise UserError(f'{path} does not exist')
    if len({Path(path).stem for path in args.configs}) < len(args.configs):
        raise UserError('a config is given twice: give each once')


def build(config, args):
    model = build_detector(load_config(config), seed=args.seed, device=args.device)
    if not isinstance(model, TwoStageDetector):
        raise UserError(f'{config} is not of a two-stage detector: give those of Faster R-CNN')
    return model


@cli
def main():
    args = parse_args()
    check(args)
    groups = [args.configs] if args.configs else [BACKBONES[name] for name in args.backbones]
    settings = args.size, args.runs, args.warmup, args.device, args.seed
    figures = []
    for configs in groups:
        models = {Path(config).stem: build(config, args) for config in configs}
        for proposals in args.proposals:
            figures.append(benchmark(models, proposals, *settings))
            print(table(figures[-1]), flush=True)
    if args.out:
        with atomic_write(args.out) as path:
            path.write_text(json.dumps(figures, indent=2) + '\n')


if __name__ == '__main__':
    main()
