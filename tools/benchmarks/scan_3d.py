"""Time whole scans: the RPN alone, with the FPRN, and with Local Magnification, side by side.

The last is also timed with each of infer.py's options for speed.

The scan is random HU in a mapped file, the weights are random unless there is a checkpoint of the
whole model: then nearly all windows have as many proposals as they may, which is the most that the
FPRN can have to do (--proposals changes it). After that the scan is doubled along z, to see how
time and peak memory grow. Memory is what is added to that before the scan: of a GPU's allocations,
or of this process's private pages (mapped ones are the system's to drop).
"""

from __future__ import annotations

import argparse
import copy
import operator
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from harness.benchmark import BenchmarkParser
from harness.timing import PeakMemory, Seconds, check_memory, interleave, time_call

from mmlesion.utils import UserError, cli
from mmlesion.utils.configs import load_config

if TYPE_CHECKING:
    from mmengine.config import Config
    from torch import Tensor

    from mmlesion.apis.speed import Speed
    from mmlesion.models.detectors import AggregatedRCNN3D

FOLDER = Path(__file__).resolve().parents[2] / 'configs' / 'aggregated_rcnn3d'
CONFIG = FOLDER / 'aggregated-rcnn3d_dense-unet_da-lm_4xb2-50e_luna16.py'
RPN, FPRN, MAGNIFIED = 'RPN', '+ FPRN', '+ Local Magnification'
HEADS = {FPRN: 'fprn', MAGNIFIED: 'magnified_fprn'}
SPEEDS = {
    'plain': {},
    'channels last': dict(channels_last=True),
    'amp': dict(amp=True),
    'amp, channels last': dict(amp=True, channels_last=True),
}
"""Options of ``Speed``."""


def draw_scan(folder: str, shape: Sequence[int], seed: int) -> Tensor:
    """Write a scan of random HU, slice by slice, and map it.

    Args:
        folder (str): Where to write.
        shape (Sequence[int]): z, y, x.
        seed (int): Of the HU.

    Returns:
        Tensor: (1, *shape) int16.
    """
    import torch

    path = Path(folder, f'{shape[0]}.npy')
    # on disk, as converted scans are: memory has only what is read of it
    scan = np.lib.format.open_memmap(path, 'w+', np.int16, tuple(shape))
    generator = np.random.default_rng(seed)
    for number in range(shape[0]):
        scan[number] = generator.integers(-1000, 400, shape[1:], np.int16)
    scan.flush()
    # closes the mapping for writing
    del scan
    return torch.from_numpy(np.load(path, mmap_mode='c'))[None]


def build(cfg: Config, name: str, args: argparse.Namespace) -> AggregatedRCNN3D:
    """Build the detector of that name; parts shared with the others have the same weights."""
    from harness.detectors import build_detector

    cfg = copy.deepcopy(cfg)
    if name != RPN:
        cfg.model.roi_head = cfg[HEADS[name]]
    else:
        cfg.model.pop('roi_head', None)
    if args.window:
        cfg.model.test_cfg.window.size = (args.window,) * 3
    if args.proposals:
        cfg.model.test_cfg.rpn.max_per_img = args.proposals
    return build_detector(cfg, args.checkpoint, args.seed, args.device)


def time_scan(model: AggregatedRCNN3D, scan: Tensor, args: argparse.Namespace) -> Seconds:
    """Detect a scan's lesions, and return the seconds that it took."""
    return time_call(model.detect_scan, scan, args.batch, device=args.device)[1]


def time_fast_scan(cfg: Config, speed: Speed, scan: Tensor, args: argparse.Namespace) -> Seconds:
    """Do the same with Local Magnification and options for speed."""
    # built anew, as the options change the weights in place
    model = build(cfg, MAGNIFIED, args)
    speed.prepare(model)
    with speed.applied(model):
        return time_scan(model, scan, args)


def compare(functions: Mapping[str, Callable[[], Seconds]], args: argparse.Namespace) -> dict:
    """Time detectors in turn.

    Returns:
        dict: Of each, medians of ``seconds`` by the wall's clock and ``processor_seconds``, and of
        their ratios to the first one's in the same round.
    """
    rounds = interleave(functions, args.runs, args.warmup)
    wall, processor = operator.attrgetter('wall'), operator.attrgetter('processor')
    first = next(iter(functions))
    figures = {}
    for name in functions:
        figures[name] = dict(
            seconds=rounds.median(name, wall),
            seconds_ratio=rounds.median_ratio(name, first, wall),
            processor_seconds=rounds.median(name, processor),
            processor_seconds_ratio=rounds.median_ratio(name, first, processor),
        )
    return figures


def grow(model: AggregatedRCNN3D, folder: str, args: argparse.Namespace) -> list[dict]:
    """Measure time and peak memory as the scan doubles along z.

    Returns:
        list[dict]: ``shape``, ``windows``, ``seconds``, ``processor_seconds`` and ``peak_mib``.
    """
    depth, height, width = args.size
    rows = []
    for doubling in range(args.doublings + 1):
        # memory must not grow with the scan, time in proportion to its windows
        shape = (depth * 2**doubling, height, width)
        scan = draw_scan(folder, shape, args.seed)
        with PeakMemory(args.device) as peak:
            seconds = time_scan(model, scan, args)
        rows.append(
            dict(
                shape=shape,
                windows=len(model.windows.place(shape)[0]),
                seconds=seconds.wall,
                processor_seconds=seconds.processor,
                peak_mib=peak.mib,
            )
        )
    return rows


def measure(args: argparse.Namespace) -> dict:
    """Compare the detectors and the options, and double the scan with Local Magnification."""
    check(args)
    # imports torch
    from mmlesion.apis.speed import Speed

    cfg = load_config(args.config)
    if missing := [head for head in HEADS.values() if head not in cfg]:
        raise UserError(f'{cfg.filename} has no {missing[0]}: give a config of aggregated_rcnn3d')
    models = {name: build(cfg, name, args) for name in (RPN, FPRN, MAGNIFIED)}
    with tempfile.TemporaryDirectory() as folder:
        # one scan for all
        scan = draw_scan(folder, args.size, args.seed)
        plain = {name: partial(time_scan, model, scan, args) for name, model in models.items()}
        fast = {}
        for name, options in SPEEDS.items():
            fast[name] = partial(time_fast_scan, cfg, Speed(**options), scan, args)
        figures = dict(scans=compare(plain, args), speeds=compare(fast, args))
        doubled = grow(models[MAGNIFIED], folder, args)
    return dict(config=args.config.stem, **figures, doubled=doubled)


def check(args: argparse.Namespace) -> None:
    if min(args.size) < 16 or args.batch < 1 or args.doublings < 0:
        raise UserError('--size is at least 16, --batch 1 and --doublings 0')
    check_memory(args.device)


@cli
def main():
    parser = BenchmarkParser(__doc__, 'weights and scan', runs=3, warmup=1)
    parser.add_argument('config', nargs='?', type=Path, default=CONFIG, help='default: the paper')
    parser.add_argument('--checkpoint', help='weights of the model with Local Magnification')
    parser.add_argument(
        '--size',
        type=int,
        nargs=3,
        default=[224, 224, 224],
        metavar=('Z', 'Y', 'X'),
        help='of the scan, mm (default 224 224 224)',
    )
    parser.add_argument('--window', type=int, help="side of a window, mm (default: the config's)")
    parser.add_argument('--batch', type=int, default=1, help='windows at once (default 1)')
    parser.add_argument(
        '--proposals', type=int, help="most proposals of a window (default: the config's)"
    )
    parser.add_argument('--doublings', type=int, default=2, help='of the scan (default 2)')
    parser.run(measure)


if __name__ == '__main__':
    main()
