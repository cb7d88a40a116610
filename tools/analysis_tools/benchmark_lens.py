"""Parameters and inference time of LENS: proposal networks, and numbers of datasets, in one run.

From random weights, in turn on the same slices: LENS for one dataset with mmdet's RPN, which MULAN
has, in the place of the anchor-free proposal network; LENS for one dataset; and LENS for all
datasets of the config. All of them propose as many boxes, the most that the config allows, as long
as NMS leaves that many: compare the printed numbers.
"""

import argparse
import copy
import json
import statistics
from functools import partial
from pathlib import Path

import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config

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

CONFIG = Path(__file__).resolve().parents[2] / 'configs/_base_/models/lens.py'
# what is compared, and the paper's ratio: Table II (54 ms to 62 ms), Table IV
RATIOS = dict(
    proposal_network=('one_dataset', 'one_dataset_rpn', 'AFP to RPN, paper 0.87'),
    datasets=('all_datasets', 'one_dataset', 'all datasets to one, paper 1.8'),
)


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'config', nargs='?', default=str(CONFIG), help='a LENS (default: the paper)'
    )
    parser.add_argument('--size', type=int, default=512, help='image side, px (default 512)')
    parser.add_argument('--proposals', type=int, help='at most so many (default: the config)')
    parser.add_argument('--runs', type=int, default=10, help='timed runs of each (default 10)')
    parser.add_argument('--warmup', type=int, default=2, help='untimed runs of each (default 2)')
    parser.add_argument('--device', default='cpu', help='torch device (default cpu)')
    parser.add_argument('--seed', type=int, default=0, help='of weights and image (default 0)')
    parser.add_argument('--out', help='JSON file for the figures')
    return parser.parse_args()


def variants(cfg, proposals=None):
    """Configs of the detectors that are compared, by name."""
    if proposals is not None:
        cfg.model.test_cfg.rpn.max_per_img = proposals
    one = copy.deepcopy(cfg)
    one.model.datasets = cfg.model.datasets[:1]
    rpn = copy.deepcopy(one)
    channels = cfg.model.rpn_head.in_channels
    rpn.model.rpn_head = dict(
        type='RPNHead',
        in_channels=channels,
        feat_channels=channels,
        # ElixirNet's for DeepLesion, all on the one level; sides of 16 to 96 px
        anchor_generator=dict(
            type='AnchorGenerator',
            base_sizes=[8],
            scales=[2, 3, 4, 6, 12],
            ratios=[0.5, 1.0, 2.0],
            strides=[4],
        ),
    )
    rpn.model.train_cfg = None
    return dict(one_dataset_rpn=rpn, one_dataset=one, all_datasets=cfg)


def run_parts(model, image, meta):
    """Run a detector once, as its ``predict`` does.

    Returns:
        dict: Wall seconds of ``features``, ``rpn``, ``roi_head`` and ``total``, processor seconds
        ``processor``, and the number of ``proposals``.
    """
    clock = partial(clocked, device=image.device)
    samples = [DetDataSample(metainfo=meta)]
    features, first = clock(model.extract_feat, image)
    proposals, rpn = clock(model.rpn_head.predict, features, samples)
    count = len(proposals[0])
    _, last = clock(partial(model.roi_head.predict, rescale=True), features, proposals, samples)
    total = first + rpn + last
    return dict(
        features=first.wall,
        rpn=rpn.wall,
        roi_head=last.wall,
        total=total.wall,
        processor=total.processor,
        proposals=count,
    )


@torch.no_grad()
def benchmark(models, image, meta, runs, warmup):
    """Time detectors in turn.

    Args:
        models (dict[str, nn.Module]): Those of :func:`variants`.
        image (Tensor): (1, channels, H, W).
        meta (dict): Meta information of its sample.
        runs (int): Timed runs of each.
        warmup (int): Untimed runs of each before them.

    Returns:
        dict: By model the ``parameters`` and the medians of :func:`run_parts`; and ``ratios``, by
        name of the comparison ``wall`` and ``processor``, the median ratios of neighbouring runs,
        and ``parameters``.
    """
    turns = take_turns(
        {name: partial(run_parts, model, image, meta) for name, model in models.items()},
        runs,
        warmup,
    )
    figures = {
        name: dict(
            parameters=sum(parameter.numel() for parameter in model.parameters()),
            **{key: statistics.median(turn[name][key] for turn in turns) for key in turns[0][name]},
        )
        for name, model in models.items()
    }
    ratios = {name: _ratios(turns, figures, *pair) for name, (*pair, _) in RATIOS.items()}
    return dict(figures, ratios=ratios)


def _ratios(turns, figures, name, reference):
    def of(key):
        return [{model: parts[key] for model, parts in turn.items()} for turn in turns]

    return dict(
        wall=median_ratio(of('total'), name, reference),
        processor=median_ratio(of('processor'), name, reference),
        parameters=figures[name]['parameters'] / figures[reference]['parameters'],
    )


def table(figures):
    """Lay the figures out as lines of text."""
    lines = [
        f'{"":16} parameters  proposals  seconds, of them features, proposals, RoI head  cpu s'
    ]
    lines += [
        f'{name:16} {row["parameters"] / 1e6:8.2f} M  {row["proposals"]:9.0f}  {row["total"]:7.3f}'
        f'  {row["features"]:16.3f}  {row["rpn"]:9.3f}  {row["roi_head"]:8.3f}'
        f'  {row["processor"]:5.2f}'
        for name, row in figures.items()
        if name != 'ratios'
    ]
    lines += [
        f'{RATIOS[name][-1]}: time {row["wall"]:.2f}, processor time {row["processor"]:.2f}, '
        f'size {row["parameters"]:.2f}'
        for name, row in figures['ratios'].items()
    ]
    return '\n'.join(lines)


def check(args):
    if args.size < 32 or args.size % 16:
        raise UserError(f'--size {args.size} is no multiple of 16, the coarsest stride in px')
    if args.proposals is not None and args.proposals < 1:
        raise UserError('--proposals must be at least 1')
    if not Path(args.config).is_file():
        raise UserError(f'{args.config} does not exist')
    check_turns(args.runs, args.warmup, args.device)


@cli
def main():
    args = parse_args()
    check(args)
    cfg = Config.fromfile(args.config)
    if cfg.get('model', {}).get('type') != 'LENS':
        raise UserError(f'{args.config} is not the config of a LENS: give one of configs/lens')
    models = {
        name: build_detector(variant, seed=args.seed, device=args.device)
        for name, variant in variants(cfg, args.proposals).items()
    }
    backbone = models['all_datasets'].backbone
    channels = backbone.num_groups * backbone.group_size
    inputs = random_image(args.size, args.seed, args.device, channels)
    figures = benchmark(models, *inputs, args.runs, args.warmup)
    print(table(figures))
    if args.out:
        with atomic_write(args.out) as path:
            path.write_text(json.dumps(figures, indent=2) + '\n')


if __name__ == '__main__':
    main()
