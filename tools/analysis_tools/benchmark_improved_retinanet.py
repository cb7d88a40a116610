"""Inference time of the improved RetinaNet's rows beside the plain one, in one run.

All are built from their configs and timed in turn on the same image, from the image to the
detections in its own frame. The first config is the one that the others are compared with.
"""

import argparse
import json
import statistics
from functools import partial
from pathlib import Path

import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from torch.utils.flop_counter import FlopCounterMode

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

FOLDER = Path(__file__).resolve().parents[2] / 'configs' / 'improved_retinanet'
ROWS = [
    FOLDER / f'retinanet_vgg19_{name}_1xb4_deeplesion.py'
    for name in (
        'fpn',
        'fpn_anchors',
        'fpn_anchors-dense',
        'ag-fpn_anchors-dense',
        'ag-fpn_anchors-dense_light-p2',
    )
]


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('configs', nargs='*', type=Path, default=ROWS, help='default: VGG-19 rows')
    parser.add_argument(
        '--checkpoints', nargs='+', default=[], help='one for each config (default random weights)'
    )
    parser.add_argument('--size', type=int, default=512, help='image side, px (default 512)')
    parser.add_argument('--runs', type=int, default=20, help='timed runs of each (default 20)')
    parser.add_argument('--warmup', type=int, default=3, help='untimed runs of each (default 3)')
    parser.add_argument('--device', default='cpu', help='torch device (default cpu)')
    parser.add_argument('--seed', type=int, default=0, help='of weights and image (default 0)')
    parser.add_argument('--out', help='JSON file for the figures')
    return parser.parse_args()


def timed(model, image, meta):
    """Run a detector once; return its seconds."""
    _, seconds = clocked(model.predict, image, [DetDataSample(metainfo=meta)], device=image.device)
    return seconds.wall


def gigamacs(model, image):
    """Count a network's multiply-adds, without post-processing, in thousand millions."""
    counter = FlopCounterMode(display=False)
    with counter:
        model(image, mode='tensor')
    return counter.get_total_flops() / 2e9


@torch.no_grad()
def benchmark(models, size, runs, warmup, device, seed):
    """Time detectors in turn, in the other direction at every second turn.

    Args:
        models (dict[str, nn.Module]): Detectors by name, the one to compare with first.
        size (int): Image side, px.
        runs (int): Timed runs of each.
        warmup (int): Untimed runs of each before them.
        device (str): Of the image.
        seed (int): Of the image.

    Returns:
        list[dict]: ``name, parameters, gigamacs, seconds`` (the median), ``ratio`` to the first
        (the median over turns) and ``added``, the median of seconds beyond the one before.
    """
    image, meta = random_image(size, seed, device)
    names, median = list(models), statistics.median
    functions = {name: partial(timed, model, image, meta) for name, model in models.items()}
    turns = take_turns(functions, runs, warmup)
    return [
        dict(
            name=name,
            parameters=sum(p.numel() for p in models[name].parameters()),
            gigamacs=gigamacs(models[name], image),
            seconds=median(turn[name] for turn in turns),
            ratio=median_ratio(turns, name, names[0]),
            added=median(turn[name] - turn[before] for turn in turns),
        )
        for before, name in zip([names[0], *names], names)
    ]


def table(figures):
    """Lay the figures out as lines of text."""
    width = max(len(row['name']) for row in figures)
    head = f'{"":{width}}  parameters    GMAC        ms  ratio  added ms'
    lines = [
        f'{row["name"]:{width}}  {row["parameters"] / 1e6:8.2f} M  {row["gigamacs"]:6.1f}'
        f'  {1000 * row["seconds"]:8.1f}  {row["ratio"]:5.2f}  {1000 * row["added"]:8.1f}'
        for row in figures
    ]
    return '\n'.join([head, *lines])


def check(args):
    if args.size < 128 or args.size % 32:
        raise UserError(f'--size {args.size} is no multiple of 32 px from 128 on')
    check_turns(args.runs, args.warmup, args.device)
    if args.checkpoints and len(args.checkpoints) != len(args.configs):
        raise UserError(
            f'{len(args.checkpoints)} checkpoints for {len(args.configs)} configs: give one each'
        )
    for path in (*args.configs, *args.checkpoints):
        if not Path(path).is_file():
            raise UserError(f'{path} does not exist')
    if len({Path(path).stem for path in args.configs}) < len(args.configs):
        raise UserError('a config is given twice: give each once')


@cli
def main():
    args = parse_args()
    check(args)
    checkpoints = args.checkpoints or [None] * len(args.configs)
    models = {
        Path(config).stem: build_detector(
            Config.fromfile(config), checkpoint, args.seed, args.device
        )
        for config, checkpoint in zip(args.configs, checkpoints)
    }
    figures = benchmark(models, args.size, args.runs, args.warmup, args.device, args.seed)
    print(table(figures))
    if args.out:
        with atomic_write(args.out) as path:
            path.write_text(json.dumps(figures, indent=2) + '\n')


if __name__ == '__main__':
    main()
