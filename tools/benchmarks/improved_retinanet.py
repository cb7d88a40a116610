"""Inference time of the improved RetinaNet's rows beside the plain one, in one run.

All are built from their configs and timed in turn on the same image, from the image to the
detections in its own frame. The first config is the one that the others are compared with.
"""

from __future__ import annotations

import argparse
import operator
import statistics
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from harness.benchmark import BenchmarkParser, check_size, format_table, load_configs
from harness.timing import interleave

from mmlesion.utils import UserError, cli

if TYPE_CHECKING:
    from mmdet.models.detectors import BaseDetector

FOLDER = Path(__file__).resolve().parents[2] / 'configs' / 'improved_retinanet'
ROWS = [
    FOLDER / 'retinanet_vgg19_fpn_1xb4_deeplesion.py',
    FOLDER / 'retinanet_vgg19_fpn_anchors_1xb4_deeplesion.py',
    FOLDER / 'retinanet_vgg19_fpn_anchors-dense_1xb4_deeplesion.py',
    FOLDER / 'retinanet_vgg19_ag-fpn_anchors-dense_1xb4_deeplesion.py',
    FOLDER / 'retinanet_vgg19_ag-fpn_anchors-dense_light-p2_1xb4_deeplesion.py',
]


def compare(models: Mapping[str, BaseDetector], args: argparse.Namespace) -> list[dict]:
    """Time detectors in turn, in the other direction at every second round.

    Args:
        models (dict[str, nn.Module]): Detectors by name, the one to compare with first.
        args (Namespace): ``size`` of the image, px, ``runs``, ``warmup``, ``device`` and ``seed``.

    Returns:
        list[dict]: ``name, parameters, gigamacs, seconds`` (the median), ``ratio`` to the first
        (the median over rounds) and ``added``, the median of seconds beyond the one before.
    """
    from harness.detectors import count_parameters, gigamacs, random_image, time_detection

    image, meta = random_image(args.size, args.seed, args.device)
    names = list(models)
    time_on = partial(time_detection, image=image, meta=meta)
    functions = {name: partial(time_on, model) for name, model in models.items()}
    rounds = interleave(functions, args.runs, args.warmup)
    wall = operator.attrgetter('wall')
    rows, before = [], names[0]
    for name in names:
        row = dict(
            name=name,
            parameters=count_parameters(models[name]),
            # of the network alone, which a machine's load does not change
            gigamacs=gigamacs(models[name], image),
            seconds=rounds.median(name, wall),
            ratio=rounds.median_ratio(name, names[0], wall),
            # by round, so that other work on the machine affects both times of a difference
            added=statistics.median(r[name].wall - r[before].wall for r in rounds),
        )
        rows.append(row)
        before = name
    return rows


COLUMNS = {
    '': lambda row: row['name'],
    'parameters': lambda row: f'{row["parameters"] / 1e6:.2f} M',
    'GMAC': lambda row: f'{row["gigamacs"]:.1f}',
    'ms': lambda row: f'{1000 * row["seconds"]:.1f}',
    'ratio': lambda row: f'{row["ratio"]:.2f}',
    'added ms': lambda row: f'{1000 * row["added"]:.1f}',
}


def measure(args: argparse.Namespace) -> list[dict]:
    """Time the detectors of the configs; figures as :func:`compare` returns them."""
    check_size(args.size, 32, 128)
    if args.checkpoints and len(args.checkpoints) != len(args.configs):
        raise UserError(
            f'{len(args.checkpoints)} checkpoints for {len(args.configs)} configs: give one each'
        )
    configs = load_configs(args.configs)
    for path in args.checkpoints:
        if not Path(path).is_file():
            raise UserError(f'{path} does not exist')
    from harness.detectors import build_detector

    models = {}
    for i, (name, cfg) in enumerate(configs.items()):
        checkpoint = args.checkpoints[i] if args.checkpoints else None
        models[name] = build_detector(cfg, checkpoint, args.seed, args.device)
    return compare(models, args)


@cli
def main():
    parser = BenchmarkParser(__doc__, 'weights and image', runs=20, warmup=3)
    parser.add_argument('configs', nargs='*', type=Path, default=ROWS, help='default: VGG-19 rows')
    parser.add_argument(
        '--checkpoints', nargs='+', default=[], help='one for each config (default random weights)'
    )
    parser.add_argument('--size', type=int, default=512, help='image side, px (default 512)')
    parser.run(measure, partial(format_table, columns=COLUMNS))


if __name__ == '__main__':
    main()
