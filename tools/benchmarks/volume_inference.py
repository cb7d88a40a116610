"""Slices per second of a slice-based detector on a volume, with each measure for speed.

"anew" computes each key slice alone and gives freed memory back to the system, as a plain program
does; "kept" keeps the memory; "shared" also computes what key slices share once; "merged", which is
what infer.py does, also merges the fusion of slice groups into the pyramid; "fused",
"channels last" and "amp" add an option each (docs/speed.md). "compiled", which only runs if asked
for, is "kept" with torch.compile on backbone and neck; compiling is in the first run: --warmup 1.
All run in turn in one run, from random weights unless there is a checkpoint. The command of
tools/infer.py without reading, stacking and writing is timed: loading of slices, network, NMS.
"""

from __future__ import annotations

import argparse
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from harness.benchmark import BenchmarkParser, format_table
from harness.drawn import add_volume_options, read_or_draw_volume
from harness.timing import PeakMemory, Rounds, Seconds, check_memory, interleave, time_call
from mmengine.config import DictAction

from mmlesion.structures.ct_volume import CTVolume
from mmlesion.utils import UserError, cli
from mmlesion.utils.configs import load_config
from mmlesion.utils.memory import keep_freed_memory, return_freed_memory

if TYPE_CHECKING:
    from mmlesion.apis import LesionInferencer

CONFIG = Path(__file__).resolve().parents[2] / (
    'configs/elixirnet/elixirnet_r50_fpn_9slices_4xb2-1x_deeplesion.py'
)


class Kind(NamedTuple):
    """What is done for speed.

    Args:
        keeps (bool): Whether freed memory is kept.
        feature_cache (int): As of ``LesionInferencer``.
        speed (dict): Options of ``Speed``.
        compiled (bool): Whether torch.compile compiles backbone and neck.
    """

    keeps: bool
    feature_cache: int
    speed: dict[str, bool]
    compiled: bool = False


PLAIN = dict(merge_fusion=False)
KINDS = {
    'anew': Kind(False, 0, PLAIN),
    'kept': Kind(True, 0, PLAIN),
    'shared': Kind(True, 16, PLAIN),
    'merged': Kind(True, 16, {}),
    'fused': Kind(True, 16, dict(fuse_conv_bn=True)),
    'channels last': Kind(True, 16, dict(fuse_conv_bn=True, channels_last=True)),
    'amp': Kind(True, 16, dict(fuse_conv_bn=True, channels_last=True, amp=True)),
    # without shared features: batches of new groups of any number would be compiled anew
    'compiled': Kind(True, 0, PLAIN, compiled=True),
}


def build(kind: Kind, args: argparse.Namespace) -> LesionInferencer:
    """Build the detector; all kinds have the same weights."""
    import torch

    from mmlesion.apis import LesionInferencer
    from mmlesion.apis.speed import Speed

    # random weights are drawn when the model is built
    torch.manual_seed(args.seed)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of random weights
        inferencer = LesionInferencer(
            load_config(args.config, args.cfg_options),
            args.checkpoint,
            args.device,
            show_progress=False,
            feature_cache=kind.feature_cache,
            speed=Speed(**kind.speed),
        )
    if kind.compiled:
        inferencer.model.backbone.compile()
        inferencer.model.neck.compile()
    return inferencer


def detect(
    inferencer: LesionInferencer, volume: CTVolume, kind: Kind, args: argparse.Namespace
) -> dict:
    """Run the detector over the slices; return detections, seconds and MiB."""
    # process-wide, and so set anew before each run
    if kind.keeps:
        keep_freed_memory()
    else:
        return_freed_memory()
    with PeakMemory(args.device) as memory:
        found, seconds = time_call(
            inferencer.detect_slices, volume, args.batch_size, 0.0, device=args.device
        )
    return dict(found=found, seconds=seconds, mib=memory.mib)


def measure(args: argparse.Namespace) -> list[dict]:
    """Time all kinds in turn.

    Returns:
        list[dict]: ``name``, ``slices_per_second``, ``processor`` seconds a slice, ``mib`` at the
        peak, ``ratio`` and ``processor_ratio`` of the speeds, ``detections``, and
        ``difference``, the largest of their scores from the first kind's.
    """
    check_memory(args.device)
    if args.slices < 1 or args.batch_size < 1:
        raise UserError('--slices and --batch-size must be at least 1')
    volume = CTVolume(read_or_draw_volume(args))
    kinds = {name: KINDS[name] for name in args.kinds}
    functions = {}
    for name, kind in kinds.items():
        functions[name] = partial(detect, build(kind, args), volume, kind, args)
    rounds = interleave(functions, args.runs, args.warmup)
    return [summarize(rounds, name, args.kinds[0], args.slices) for name in kinds]


def summarize(rounds: Rounds, kind: str, first: str, num_slices: int) -> dict:
    """Return the figures of one kind, as :func:`measure` returns them."""
    own, plain = rounds[-1][kind]['found'].scores, rounds[-1][first]['found'].scores
    # without thresholds the numbers differ only if NMS decides otherwise
    alike = len(own) == len(plain)
    return dict(
        name=kind,
        slices_per_second=num_slices / rounds.median(kind, _wall),
        processor=rounds.median(kind, lambda run: _seconds(run).processor) / num_slices,
        mib=rounds.median(kind, lambda run: run['mib']),
        ratio=rounds.median_ratio(first, kind, _wall),
        processor_ratio=rounds.median_ratio(first, kind, lambda run: _seconds(run).processor),
        detections=len(own),
        difference=float(np.abs(own - plain).max(initial=0)) if alike else None,
    )


def _seconds(run: dict) -> Seconds:
    return run['seconds']


def _wall(run: dict) -> float:
    return run['seconds'].wall


COLUMNS = {
    'kind': lambda row: row['name'],
    'slices/s': lambda row: f'{row["slices_per_second"]:.3f}',
    'cpu s/slice': lambda row: f'{row["processor"]:.3f}',
    'MiB': lambda row: f'{row["mib"]:.0f}',
    'speed': lambda row: f'{row["ratio"]:.2f}',
    'by cpu s': lambda row: f'{row["processor_ratio"]:.2f}',
    'detections': lambda row: str(row['detections']),
    'scores differ': lambda row: (
        'in number' if row['difference'] is None else f'{row["difference"]:.1e}'
    ),
}


@cli
def main():
    parser = BenchmarkParser(__doc__, 'a volume of noise', runs=1)
    parser.add_argument('config', nargs='?', default=str(CONFIG), help=f'(default {CONFIG.name})')
    parser.add_argument(
        '--kinds',
        nargs='+',
        choices=list(KINDS),
        default=[name for name, kind in KINDS.items() if not kind.compiled],
        help='(default: all but compiled)',
    )
    parser.add_argument('--checkpoint', help='(default: random weights)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='config overrides')
    add_volume_options(parser)
    parser.add_argument('--batch-size', type=int, default=4, help='slices (default 4)')
    parser.run(measure, lambda rows: format_table(rows, COLUMNS))


if __name__ == '__main__':
    main()
