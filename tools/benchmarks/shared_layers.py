"""How much of a backbone consecutive key slices can share exactly, by operator of slice context.

A slice is in the windows of as many key slices as a window has slices (or groups of them), each
time at another position. Of each convolution its features at all positions are compared: those that
are equal, to 1e-4 of the largest, need to be computed once, and those without a gradient from the
backbone's outputs never. The multiply-adds that are left bound the speed of any exact sharing.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from harness.benchmark import BenchmarkParser, check_size, format_table

from mmlesion.utils import UserError, cli
from mmlesion.utils.configs import load_config

if TYPE_CHECKING:
    from mmengine.config import Config
    from torch import Tensor, nn

FOLDER = Path(__file__).resolve().parents[2] / 'configs'
CONFIG = FOLDER / 'slice_context/faster-rcnn_r50-a3d_fpn_7slices_4xb2-1x_deeplesion.py'
OPERATORS = ('A3D', 'AlignShift', 'TSM', 'I3D', 'ACS')
TOLERANCE = 1e-4


def build(cfg: Config, conv: str | None) -> nn.Module:
    """Build a config's backbone for inference; ``conv`` exchanges its operator."""
    import torch
    from harness.detectors import without_pretrained
    from mmdet.registry import MODELS

    backbone = copy.deepcopy(without_pretrained(cfg.model.backbone))
    if conv is not None:
        backbone.conv = conv
    model = MODELS.build(backbone)
    for weight in model.parameters():
        if weight.ndim > 1:  # A3D's mixing and the fusions of LENS begin as the identity
            weight.data += 0.5 * weight.std() * torch.randn_like(weight)
    model.eval()
    return model


def make_windows(model: nn.Module, size: int) -> Tensor:
    """Draw the windows (positions, channels, size, size) that have a slice or group in common.

    It is the last position of the first window and the first one of the last.
    """
    import torch

    count = positions_of(model)
    step = getattr(model, 'group_size', 1)
    # of one window; the volume has all windows with the slice in common, so one less twice
    channels = count * step
    volume = torch.rand(channels * 2 - step, size, size)
    # window i begins i slices (or groups) later
    windows = torch.stack([volume[i * step : i * step + channels] for i in range(count)])
    if step > 1:
        return windows
    distance = torch.full((count, 1, size, size), 2.5)  # mm, which AlignShift needs
    return torch.cat([windows, distance], 1)


def positions_of(model: nn.Module) -> int:
    return getattr(model, 'num_slices', None) or model.num_groups


@contextmanager
def recorded(model: nn.Module) -> Iterator[list[tuple[nn.Module, Tensor]]]:
    """Record the outputs of all convolutions within a block, in their order."""
    from torch import nn

    outputs: list[tuple[nn.Module, Tensor]] = []

    def record(module: nn.Module, inputs: tuple, out: Tensor) -> None:
        # behind frozen layers an output is a leaf; gradients of others are not kept by default
        out.requires_grad_() if out.is_leaf else out.retain_grad()
        outputs.append((module, out))

    kinds = (nn.Conv2d, nn.Conv3d)
    hooks = [
        part.register_forward_hook(record) for part in model.modules() if isinstance(part, kinds)
    ]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()


def count_versions(features: Tensor, needed: Tensor) -> int:
    """Count different features of one slice at those positions that are needed.

    Args:
        features (Tensor): (positions, C, h, w).
        needed (Tensor): (positions,) bool.
    """
    limit = TOLERANCE * features.abs().max()
    # equal to rounding: convolutions may sum in another order at another place of the batch
    versions: list[Tensor] = []
    for one in features[needed]:
        if not any((one - other).abs().max() <= limit for other in versions):
            versions.append(one)
    return len(versions)


def multiply_adds(module: nn.Module, out: Tensor) -> float:
    """Return the multiply-adds of a convolution for one slice, in thousand millions."""
    return module.weight[0].numel() * out[0].numel() / 1e9


def analyze(model: nn.Module, name: str, size: int) -> dict:
    """Return the figures of a backbone, as :func:`measure` returns them."""
    windows = make_windows(model, size)
    count = positions_of(model)
    with recorded(model) as outputs:
        sum(level.square().sum() for level in model(windows)).backward()
    alone = shared = early = 0.0
    for module, out in outputs:
        if len(out) != count * count:  # behind the fusion of all of them
            continue
        # (window, position in it, channels, h, w)
        by_window = out.unflatten(0, (count, count))
        # position s of the slice in common is in window count - 1 - s
        features = by_window.detach().flip(0).diagonal().movedim(-1, 0)
        # positions without a gradient have no influence on the key slice's features
        gradients = out.grad.unflatten(0, (count, count))
        needed = gradients.flatten(2).abs().amax(2).amax(0) > 0
        cost = multiply_adds(module, out)
        versions = count_versions(features, needed)
        alone += count * cost
        shared += versions * cost
        # what sharing whole layers saves: all positions alike, or nothing
        early += (1 if versions == 1 else count) * cost
    return dict(name=name, gigamacs=alone, shared=shared, bound=alone / shared, whole=alone / early)


def measure(args: argparse.Namespace) -> list[dict]:
    """Analyze the operators, or the backbone of a config that has none.

    Returns:
        list[dict]: ``name``, ``gigamacs`` of a key slice alone and ``shared`` of one in a long run,
        ``bound``, their ratio, and ``whole``, the ratio if only layers are shared whose
        features are the same at all positions.
    """
    check_size(args.size, 32, 32)
    cfg = load_config(args.config)
    kind = cfg.get('model', {}).get('backbone', {}).get('type')
    if kind not in ('SliceContextBackbone', 'GroupedSliceBackbone'):
        raise UserError(f'{args.config} has no backbone of several slices: give one that has')
    import torch
    from mmengine.registry import init_default_scope

    import mmlesion.register  # noqa: F401 (registers mmlesion's components)

    init_default_scope('mmdet')
    torch.manual_seed(args.seed)
    if kind == 'GroupedSliceBackbone':
        return [analyze(build(cfg, None), args.config.stem, args.size)]
    return [analyze(build(cfg, conv), conv, args.size) for conv in OPERATORS]


COLUMNS = {
    'operator': lambda row: row['name'],
    'GMAC alone': lambda row: f'{row["gigamacs"]:.2f}',
    'least GMAC': lambda row: f'{row["shared"]:.2f}',
    'bound': lambda row: f'{row["bound"]:.2f}',
    'by whole layers': lambda row: f'{row["whole"]:.2f}',
}


@cli
def main():
    parser = BenchmarkParser(__doc__, 'weights and slices')
    parser.add_argument('config', nargs='?', type=Path, default=CONFIG, help='of a detector')
    parser.add_argument('--size', type=int, default=64, help='side of a slice, px (default 64)')
    parser.run(measure, partial(format_table, columns=COLUMNS))


if __name__ == '__main__':
    main()
