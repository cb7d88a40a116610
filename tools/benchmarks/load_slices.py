"""Samples per second of a loading process: key slices with neighbors, decoded and windowed.

"papers" is what MULAN and AlignShift describe, restated: each neighbor at 2 mm is decoded once for
a sample, interpolated linearly from the two stored slices around it, windowed to 0 to 255 with
clipping, all in double precision. "decoding" reads and decodes the same files and does nothing
else: without a cache no loader is faster. "plain" is LoadCTSlices and WindowHU, "cached" the same
with cache_size. Key slices come in random order, each of an epoch once; the first epoch fills the
cache. Series are noise around a body, or those below --images.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from functools import partial
from pathlib import Path
from typing import Callable, Optional

import cv2
import numpy as np
from harness.benchmark import BenchmarkParser, format_table
from harness.drawn import KeySlice, list_key_slices, write_series
from harness.timing import Rounds, interleave, time_call

from mmlesion.utils import UserError, cli

WINDOW = (-1024.0, 3071.0)
STEP = 2.0  # mm from channel to channel
Loader = Callable[[KeySlice], Optional[np.ndarray]]


def places(key: KeySlice, num_slices: int, interval: float) -> list[float]:
    """Return the numbers of a sample's slices, fractions where they are interpolated."""
    offsets = np.arange(num_slices) - num_slices // 2
    # slices beyond the series are its first or last one
    return (key.number + offsets * STEP / interval).clip(1, key.last).tolist()


def decode(key: KeySlice, number: int) -> np.ndarray:
    """Decode a slice of a key slice's series: (H, W) as stored."""
    return cv2.imread(str(key.folder / f'{number:03d}.png'), cv2.IMREAD_UNCHANGED)


def decode_alone(key: KeySlice, num_slices: int, interval: float) -> None:
    """Decode what a sample is made of, each file once."""
    needed = set()
    for place in places(key, num_slices, interval):
        needed |= {math.floor(place), math.ceil(place)}
    for number in needed:
        decode(key, number)


def load_as_papers(key: KeySlice, num_slices: int, interval: float) -> np.ndarray:
    """Load a sample as the papers describe it, (H, W, num_slices)."""
    decoded: dict[int, np.ndarray] = {}

    def read(number: int) -> np.ndarray:
        # neighbors at a fraction of a slice are interpolated from the same two
        if number not in decoded:
            decoded[number] = decode(key, number).astype(float) - 32768
        return decoded[number]

    channels = []
    for place in places(key, num_slices, interval):
        low, high = math.floor(place), math.ceil(place)
        share = place - low
        both = (1 - share) * read(low) + share * read(high) if share else read(low)
        channels.append(both)
    image = np.dstack(channels)
    low, high = WINDOW
    return np.clip((image - low) / (high - low), 0, 1) * 255


def load_here(key: KeySlice, interval: float, pipeline: Callable[[dict], dict]) -> np.ndarray:
    """Load a sample with the transforms of the configs."""
    return pipeline(key.sample(interval))['img']


def loaders(num_slices: int, args: argparse.Namespace) -> dict[str, Loader]:
    """Return a function of a key slice for each kind."""
    from mmengine.dataset import Compose

    from mmlesion.datasets.transforms import LoadCTSlices, WindowHU

    window = WindowHU((WINDOW,), (0.0, 255.0))
    functions: dict[str, Loader] = {}
    functions['papers'] = partial(load_as_papers, num_slices=num_slices, interval=args.interval)
    functions['decoding'] = partial(decode_alone, num_slices=num_slices, interval=args.interval)
    for name, size in dict(plain=0, cached=args.cache_size).items():
        pipeline = Compose([LoadCTSlices(num_slices, STEP, cache_size=size), window])
        functions[name] = partial(load_here, interval=args.interval, pipeline=pipeline)
    return functions


def run_epoch(load: Loader, keys: list[KeySlice]) -> float:
    """Load all samples; return processor seconds."""

    def epoch() -> None:
        for key in keys:
            load(key)

    return time_call(epoch)[1].processor


def compare(num_slices: int, keys: list[KeySlice], args: argparse.Namespace) -> list[dict]:
    """Time the kinds in turn, after comparing what they load."""
    functions = loaders(num_slices, args)
    expected = functions['papers'](keys[0])
    rows = []
    epochs = {name: partial(run_epoch, load, keys) for name, load in functions.items()}
    # apart: the first epoch fills the caches
    first = interleave(epochs, 1, 0)
    later = interleave(epochs, args.runs, args.warmup)
    for name, load in functions.items():
        loaded = load(keys[0])
        difference = None if loaded is None else float(np.abs(loaded - expected).max())
        for epoch, rounds in ((1, first), (2, later)):
            rows.append(row(name, num_slices, epoch, rounds, len(keys), difference))
    return rows


def row(
    name: str,
    num_slices: int,
    epoch: int,
    rounds: Rounds,
    count: int,
    difference: float | None,
) -> dict:
    """Return the figures of a kind, as :func:`measure` returns them."""
    return dict(
        name=name,
        num_slices=num_slices,
        epoch=epoch,
        samples_per_second=count / rounds.median(name),
        ratio=rounds.median_ratio('papers', name),
        difference=difference,
    )


def measure(args: argparse.Namespace) -> list[dict]:
    """Compare the loaders for each number of slices.

    Returns:
        list[dict]: ``name``, ``num_slices``, ``epoch`` (2 is any later one),
        ``samples_per_second`` of processor time, ``ratio`` to the papers' loader, and
        ``difference``, the largest from its values of 0 to 255 (None: nothing was loaded).
    """
    if min(args.slices, args.series, args.cache_size) < 1 or not args.interval > 0:
        raise UserError('--slices, --series, --cache-size and --interval must be positive')
    cv2.setNumThreads(0)  # as in a worker
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(args.images or temporary)
        if not args.images:
            write_series(folder, args.series, args.slices, args.size, args.seed)
        keys = list_key_slices(folder)
        # as a training draws them: neighbors seldom come one after the other
        order = np.random.default_rng(args.seed).permutation(len(keys))
        shuffled = [keys[index] for index in order]
        for num_slices in (3, 7, 9):
            rows += compare(num_slices, shuffled, args)
    return rows


COLUMNS = {
    'loader': lambda row: row['name'],
    'slices': lambda row: str(row['num_slices']),
    'epoch': lambda row: str(row['epoch']) if row['epoch'] == 1 else 'later',
    'samples/cpu s': lambda row: f'{row["samples_per_second"]:.1f}',
    'speed': lambda row: f'{row["ratio"]:.2f}',
    'values differ': lambda row: '-' if row['difference'] is None else f'{row["difference"]:.1e}',
}


@cli
def main():
    parser = BenchmarkParser(__doc__, 'slices and order', runs=2)
    parser.add_argument('--images', help='folder of series 001.png and on (default: drawn)')
    parser.add_argument('--series', type=int, default=2, help='drawn (default 2)')
    parser.add_argument('--slices', type=int, default=20, help='of a drawn series (default 20)')
    parser.add_argument('--size', type=int, default=512, help='side of a slice, px (default 512)')
    parser.add_argument('--interval', type=float, default=2.0, help='of the slices, mm (default 2)')
    parser.add_argument('--cache-size', type=int, default=64, help='slices (default 64)')
    parser.run(measure, partial(format_table, columns=COLUMNS))


if __name__ == '__main__':
    main()
