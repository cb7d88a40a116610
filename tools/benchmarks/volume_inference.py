"""Slices per second of a slice-based detector on a volume, with and without shared features.

Groups of slices that consecutive key slices share are computed once (docs/inference.md), or anew
for each, in turn in one run, from random weights unless there is a checkpoint. The command of
tools/infer.py without reading, stacking and writing is timed: loading of slices, network, NMS.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from mmlesion.analysis.benchmark import BenchmarkParser, format_table
from mmlesion.analysis.memory import PeakMemory, check_memory
from mmlesion.analysis.timing import Rounds, Seconds, interleave, time_call
from mmlesion.io.ct import read_ct
from mmlesion.structures.ct_volume import CTVolume
from mmlesion.utils import UserError, cli
from mmlesion.utils.configs import load_config

if TYPE_CHECKING:
    from mmlesion.apis import LesionInferencer

CONFIG = Path(__file__).resolve().parents[2] / (
    'configs/elixirnet/elixirnet_r50_fpn_9slices_4xb2-1x_deeplesion.py'
)
KINDS = dict(anew=0, shared=16)


def make_volume(args: argparse.Namespace) -> CTVolume:
    """Read the volume, or draw one of noise, with the slices asked for, repeated as often."""
    if args.volume:
        image = read_ct(args.volume, None)
        array, spacing = sitk.GetArrayFromImage(image), image.GetSpacing()
    else:
        drawn = np.random.default_rng(args.seed)
        array = drawn.normal(0, 300, (args.slices, args.size, args.size)).clip(-1024, 2000)
        spacing = (0.8, 0.8, args.interval)
    tiled = array[np.arange(args.slices) % len(array)].astype(np.int16)
    image = sitk.GetImageFromArray(tiled)
    image.SetSpacing(spacing)
    return CTVolume(image)


def detect(inferencer: LesionInferencer, volume: CTVolume, kind: str, batch_size: int) -> dict:
    """Run the detector over the slices; return detections, seconds and MiB."""
    inferencer.feature_cache = KINDS[kind]
    device = next(inferencer.model.parameters()).device
    with PeakMemory(str(device)) as memory:
        found, seconds = time_call(inferencer.detect_slices, volume, batch_size, 0.0, device=device)
    return dict(found=found, seconds=seconds, mib=memory.mib)


def measure(args: argparse.Namespace) -> list[dict]:
    """Time both in turn.

    Returns:
        list[dict]: ``name``, ``slices_per_second``, ``processor`` seconds a slice, ``mib`` at the
        peak, ``ratio`` and ``processor_ratio`` of the speeds, ``detections``, and
        ``difference``, the largest of their scores from those without sharing.
    """
    check_memory(args.device)
    if args.slices < 1 or args.batch_size < 1:
        raise UserError('--slices and --batch-size must be at least 1')
    from mmlesion.apis import LesionInferencer

    volume = make_volume(args)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of random weights
        cfg = load_config(args.config)
        inferencer = LesionInferencer(cfg, args.checkpoint, args.device, show_progress=False)
    functions = {
        kind: lambda kind=kind: detect(inferencer, volume, kind, args.batch_size) for kind in KINDS
    }
    rounds = interleave(functions, args.runs, args.warmup)
    return [summarize(rounds, kind, args.slices) for kind in KINDS]


def summarize(rounds: Rounds, kind: str, num_slices: int) -> dict:
    """Return the figures of one kind, as :func:`measure` returns them."""
    own, plain = rounds[-1][kind]['found'].scores, rounds[-1]['anew']['found'].scores
    alike = len(own) == len(plain)
    return dict(
        name=kind,
        slices_per_second=num_slices / rounds.median(kind, _wall),
        processor=rounds.median(kind, lambda run: _seconds(run).processor) / num_slices,
        mib=rounds.median(kind, lambda run: run['mib']),
        ratio=rounds.median_ratio('anew', kind, _wall),
        processor_ratio=rounds.median_ratio('anew', kind, lambda run: _seconds(run).processor),
        detections=len(own),
        difference=float(np.abs(own - plain).max(initial=0)) if alike else None,
    )


def _seconds(run: dict) -> Seconds:
    return run['seconds']


def _wall(run: dict) -> float:
    return run['seconds'].wall


COLUMNS = {
    'features': lambda row: row['name'],
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
    parser.add_argument('--checkpoint', help='(default: random weights)')
    parser.add_argument('--volume', help='a CT, repeated to --slices (default: noise)')
    parser.add_argument('--slices', type=int, default=32, help='(default 32)')
    parser.add_argument('--size', type=int, default=512, help='side of noise, px (default 512)')
    parser.add_argument('--interval', type=float, default=2.0, help='of noise, mm (default 2)')
    parser.add_argument('--batch-size', type=int, default=4, help='slices (default 4)')
    parser.run(measure, lambda rows: format_table(rows, COLUMNS))


if __name__ == '__main__':
    main()
