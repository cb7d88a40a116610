"""Parameters and time of a training step of each operator of slice context, in one run.

The backbone of a config, from random weights, with each operator in turn in the same convolutions,
on the same slices: a forward pass and the gradients of its features' mean square.
"""

from __future__ import annotations

import argparse
import copy
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from harness.benchmark import BenchmarkParser, check_size, format_table
from harness.timing import Rounds, Seconds, interleave, time_call

from mmlesion.utils import UserError, cli
from mmlesion.utils.configs import load_config

if TYPE_CHECKING:
    from mmengine.config import Config
    from torch import Tensor, nn

FOLDER = Path(__file__).resolve().parents[2] / 'configs/slice_context'
CONFIG = FOLDER / 'faster-rcnn_r50-a3d_fpn_7slices_4xb2-1x_deeplesion.py'
OPERATORS = (None, 'A3D', 'AlignShift', 'TSM', 'I3D', 'ACS')


def build(cfg: Config, conv: str | None) -> nn.Module:
    """Build the backbone of a config with an operator; None converts nothing."""
    from harness.detectors import without_pretrained
    from mmdet.registry import MODELS

    backbone = copy.deepcopy(without_pretrained(cfg.model.backbone))
    backbone.pop('conv')
    return MODELS.build(dict(backbone, conv=conv)).train()


def time_step(model: nn.Module, image: Tensor) -> Seconds:
    """Time a forward and a backward pass."""

    def step():
        sum(level.square().mean() for level in model(image)).backward()

    model.zero_grad()
    return time_call(step, device=image.device)[1]


def measure(args: argparse.Namespace) -> list[dict]:
    """Time the operators in turn.

    Returns:
        list[dict]: ``name``, ``parameters``, median ``wall`` and ``processor`` seconds of a step,
        and ``ratio``, the median ratio of processor time to that without an operator.
    """
    check_size(args.size, 32, 32)
    cfg = load_config(args.config)
    if cfg.get('model', {}).get('backbone', {}).get('type') != 'SliceContextBackbone':
        raise UserError(f'{args.config} has no SliceContextBackbone: give one that does')
    import torch
    from harness.detectors import random_image
    from mmengine.registry import init_default_scope

    init_default_scope('mmdet')
    torch.manual_seed(args.seed)
    num_slices = cfg.model.backbone.num_slices
    image, _ = random_image(args.size, args.seed, args.device, num_slices + 1)
    # the channel after the slices is their distance
    image[:, num_slices] = 2.5  # mm from slice to slice
    models = {conv or 'none': build(cfg, conv).to(args.device) for conv in OPERATORS}
    functions = {name: partial(time_step, model, image) for name, model in models.items()}
    rounds = interleave(functions, args.runs, args.warmup)
    return [summarize(rounds, name, model) for name, model in models.items()]


def summarize(rounds: Rounds, name: str, model: nn.Module) -> dict:
    """Return the figures of one operator, as :func:`measure` returns them."""
    from harness.detectors import count_parameters

    return dict(
        name=name,
        parameters=count_parameters(model),
        wall=rounds.median(name, lambda seconds: seconds.wall),
        processor=rounds.median(name, lambda seconds: seconds.processor),
        # processor time: wall time depends on what else runs
        ratio=rounds.median_ratio(name, 'none', lambda seconds: seconds.processor),
    )


COLUMNS = {
    'operator': lambda row: row['name'],
    'parameters': lambda row: f'{row["parameters"] / 1e6:.2f} M',
    'seconds': lambda row: f'{row["wall"]:.3f}',
    'cpu s': lambda row: f'{row["processor"]:.3f}',
    'ratio': lambda row: f'{row["ratio"]:.2f}',
}


@cli
def main():
    parser = BenchmarkParser(__doc__, 'weights and slices', runs=5, warmup=1)
    parser.add_argument('config', nargs='?', default=str(CONFIG), help=f'(default {CONFIG.name})')
    parser.add_argument('--size', type=int, default=256, help='side of a slice, px (default 256)')
    parser.run(measure, partial(format_table, columns=COLUMNS))


if __name__ == '__main__':
    main()
