"""Parameters and inference time of LENS: proposal networks, and numbers of datasets, in one run.

From random weights, in turn on the same slices: LENS for one dataset with mmdet's RPN, which MULAN
has, in the place of the anchor-free proposal network; LENS for one dataset; and LENS for all
datasets of the config. All of them propose as many boxes, the most that the config allows, as long
as NMS leaves that many: compare the printed numbers.
"""

from __future__ import annotations

import argparse
import copy
import operator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from harness.benchmark import BenchmarkParser, check_size, format_table
from harness.timing import Rounds, interleave

from mmlesion.utils import UserError, cli
from mmlesion.utils.configs import load_config

if TYPE_CHECKING:
    from mmengine.config import Config

CONFIG = Path(__file__).resolve().parents[2] / 'configs/_base_/models/lens.py'


class Comparison(NamedTuple):
    """Two of the detectors, and the paper's ratio of their times."""

    name: str
    reference: str
    label: str


COMPARISONS = dict(
    # Table II (54 ms to 62 ms), Table IV
    proposal_network=Comparison('one_dataset', 'one_dataset_rpn', 'AFP to RPN, paper 0.87'),
    datasets=Comparison('all_datasets', 'one_dataset', 'all datasets to one, paper 1.8'),
)


def variants(cfg: Config, proposals: int | None = None) -> dict[str, Config]:
    """Make configs of the detectors that are compared, by name."""
    if proposals is not None:
        cfg.model.test_cfg.rpn.max_per_img = proposals
    # a single dataset has one proposal network and one expert
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
    # the config's is for the anchor-free head
    rpn.model.train_cfg = None
    return dict(one_dataset_rpn=rpn, one_dataset=one, all_datasets=cfg)


def measure(args: argparse.Namespace) -> dict[str, dict]:
    """Time the detectors in turn.

    Returns:
        dict: By model its ``parameters`` and ``proposals`` and the median wall seconds of
        ``features``, ``rpn``, ``roi_head`` and ``total``, and ``processor`` seconds; and
        ``ratios``, by name of the comparison ``wall`` and ``processor``, the median ratios of
        neighboring runs, and ``parameters``.
    """
    check_size(args.size, 16, 32)
    if args.proposals is not None and args.proposals < 1:
        raise UserError('--proposals must be at least 1')
    cfg = load_config(args.config)
    if cfg.get('model', {}).get('type') != 'LENS':
        raise UserError(f'{args.config} is not the config of a LENS: give one of configs/lens')
    return time_variants(variants(cfg, args.proposals), args)


def time_variants(configs: dict[str, Config], args: argparse.Namespace) -> dict[str, dict]:
    """Time the detectors of some configs; figures as :func:`measure` returns them."""
    from harness.detectors import (
        build_detector,
        count_parameters,
        random_image,
        time_two_stage,
    )

    models = {}
    for name, variant in configs.items():
        models[name] = build_detector(variant, seed=args.seed, device=args.device)
    backbone = models['all_datasets'].backbone
    channels = backbone.num_groups * backbone.group_size
    # all slices as channels of one image
    image, meta = random_image(args.size, args.seed, args.device, channels)
    time_on = partial(time_two_stage, image=image, meta=meta)
    functions = {name: partial(time_on, model) for name, model in models.items()}
    rounds = interleave(functions, args.runs, args.warmup)
    sizes = {name: count_parameters(model) for name, model in models.items()}
    figures = {name: dict(parameters=sizes[name], **summarize(rounds, name)) for name in models}
    ratios = {key: compare(rounds, sizes, pair) for key, pair in COMPARISONS.items()}
    return dict(figures, ratios=ratios)


def summarize(rounds: Rounds, name: str) -> dict[str, float]:
    """Return the medians of one detector, as :func:`measure` returns them."""
    return dict(
        rounds.part_medians(name, 'wall'),
        processor=rounds.part_medians(name, 'processor')['total'],
        proposals=rounds.median(name, operator.itemgetter('proposals')),
    )


def compare(rounds: Rounds, sizes: dict[str, int], pair: Comparison) -> dict[str, float]:
    """Return the ratios of time and size of one detector to another."""
    return dict(
        rounds.total_ratios(pair.name, pair.reference),
        parameters=sizes[pair.name] / sizes[pair.reference],
    )


COLUMNS = {
    '': lambda row: row['name'],
    'parameters': lambda row: f'{row["parameters"] / 1e6:.2f} M',
    'proposals': lambda row: f'{row["proposals"]:.0f}',
    'seconds': lambda row: f'{row["total"]:.3f}',
    'of features': lambda row: f'{row["features"]:.3f}',
    'of proposals': lambda row: f'{row["rpn"]:.3f}',
    'of RoI head': lambda row: f'{row["roi_head"]:.3f}',
    'cpu s': lambda row: f'{row["processor"]:.2f}',
}


def show(figures: dict[str, dict]) -> str:
    """Lay the figures out as a table, and a line for each comparison below it."""
    rows = [dict(row, name=name) for name, row in figures.items() if name != 'ratios']
    lines = [format_table(rows, COLUMNS)]
    for key, ratios in figures['ratios'].items():
        lines.append(
            f'{COMPARISONS[key].label}: time {ratios["wall"]:.2f}, processor time '
            f'{ratios["processor"]:.2f}, size {ratios["parameters"]:.2f}'
        )
    return '\n'.join(lines)


@cli
def main():
    parser = BenchmarkParser(__doc__, 'weights and image', runs=10, warmup=2)
    parser.add_argument(
        'config', nargs='?', default=str(CONFIG), help='a LENS (default: the paper)'
    )
    parser.add_argument('--size', type=int, default=512, help='image side, px (default 512)')
    parser.add_argument('--proposals', type=int, help='at most so many (default: the config)')
    parser.run(measure, show)


if __name__ == '__main__':
    main()
