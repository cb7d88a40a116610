"""Time whole scans: the RPN alone, with the FPRN, and with Local Magnification, side by side.

The scan is random HU in a mapped file, the weights are random unless there is a checkpoint of the
whole model: then nearly all windows have as many proposals as they may, which is the most that the
FPRN can have to do (--proposals changes it). After that the scan is doubled along z, to see how
time and peak memory grow. Memory is what is added to that before the scan: of a GPU's allocations,
or of this process's private pages (mapped ones are the system's to drop).
"""

import argparse
import copy
import gc
import json
import statistics
import tempfile
import threading
from functools import partial
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config

import mmlesion  # noqa: F401 (registers mmlesion's components)
from mmlesion.io.atomic import atomic_write
from mmlesion.utils import UserError, cli
from mmlesion.utils.benchmark import (
    build_detector,
    check_turns,
    clocked,
    median_ratio,
    take_turns,
)

FOLDER = Path(__file__).resolve().parents[2] / 'configs' / 'aggregated_rcnn3d'
CONFIG = FOLDER / 'aggregated-rcnn3d_dense-unet_da-lm_4xb2-50e_luna16.py'
RPN, FPRN, MAGNIFIED = 'RPN', '+ FPRN', '+ Local Magnification'
HEADS = {FPRN: 'fprn', MAGNIFIED: 'magnified_fprn'}
STATUS = Path('/proc/self/smaps_rollup')
SAMPLED = 0.005  # seconds


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
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
    parser.add_argument('--runs', type=int, default=3, help='timed turns (default 3)')
    parser.add_argument('--warmup', type=int, default=1, help='untimed turns (default 1)')
    parser.add_argument('--device', default='cpu', help='torch device (default cpu)')
    parser.add_argument('--seed', type=int, default=0, help='of weights and scan (default 0)')
    parser.add_argument('--out', help='JSON file for the figures')
    return parser.parse_args()


class PeakMemory:
    """The most memory that is added while a block runs.

    Args:
        device (str): A GPU's allocations are its own count; a processor's are sampled.

    Attributes:
        mib (float): When the block has ended, MiB.
    """

    def __init__(self, device):
        self.device = torch.device(device)

    def __enter__(self):
        self.ended = threading.Event()
        if self.device.type == 'cuda':
            torch.cuda.reset_peak_memory_stats(self.device)
            self.before = torch.cuda.memory_allocated(self.device)
            return self
        gc.collect()  # or what was left behind before would be freed in the meantime
        self.before = self.highest = private_bytes()
        self.sampler = threading.Thread(target=self._sample, daemon=True)
        self.sampler.start()
        return self

    def _sample(self):
        while not self.ended.wait(SAMPLED):
            self.highest = max(self.highest, private_bytes())

    def __exit__(self, *error):
        self.ended.set()
        if self.device.type == 'cuda':
            self.highest = torch.cuda.max_memory_allocated(self.device)
        else:
            self.sampler.join()
        self.mib = (self.highest - self.before) / 2**20


def private_bytes():
    """Resident memory of this process that is no file's."""
    # status has it too, but the kernel may count huge pages there only later
    lines = (line for line in STATUS.read_text().splitlines() if line.startswith('Anonymous:'))
    return int(next(lines).split()[1]) * 1024


def draw_scan(folder, shape, seed):
    """Write a scan of random HU, slice by slice, and map it.

    Args:
        folder (str): Where to write.
        shape (Sequence[int]): z, y, x.
        seed (int): Of the HU.

    Returns:
        Tensor: (1, *shape) int16.
    """
    path = Path(folder, f'{shape[0]}.npy')
    scan = np.lib.format.open_memmap(path, 'w+', np.int16, tuple(shape))
    generator = np.random.default_rng(seed)
    for number in range(shape[0]):
        scan[number] = generator.integers(-1000, 400, shape[1:], np.int16)
    scan.flush()
    del scan
    return torch.from_numpy(np.load(path, mmap_mode='c'))[None]


def build(cfg, name, args):
    """The detector that ``name`` stands for; what it shares with the others has their weights."""
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


def time_scan(model, scan, args):
    """Detect a scan's lesions; Seconds."""
    return clocked(model.detect_scan, scan, args.batch, device=args.device)[1]


def compare(models, scan, args):
    """Time the detectors in turn.

    Returns:
        dict: Of each, medians of ``seconds`` by the wall's clock and ``processor_seconds``, and of
        their ratios to the RPN's in the same turn.
    """
    functions = {name: partial(time_scan, model, scan, args) for name, model in models.items()}
    turns = take_turns(functions, args.runs, args.warmup)
    figures = {name: {} for name in models}
    for kind, key in (('wall', 'seconds'), ('processor', 'processor_seconds')):
        numbers = [{name: getattr(turn[name], kind) for name in turn} for turn in turns]
        for name in models:
            figures[name][key] = statistics.median(turn[name] for turn in numbers)
            figures[name][f'{key}_ratio'] = median_ratio(numbers, name, RPN)
    return figures


def grow(model, folder, args):
    """Time and peak memory as the scan doubles along z.

    Returns:
        list[dict]: ``shape``, ``windows``, ``seconds``, ``processor_seconds`` and ``peak_mib``.
    """
    depth, *plane = args.size
    rows = []
    for doubling in range(args.doublings + 1):
        shape = (depth * 2**doubling, *plane)
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


def benchmark(cfg, args):
    """Compare the detectors, and double the scan of the one with Local Magnification."""
    if missing := [head for head in HEADS.values() if head not in cfg]:
        raise UserError(f'{cfg.filename} has no {missing[0]}: give a config of aggregated_rcnn3d')
    models = {name: build(cfg, name, args) for name in (RPN, *HEADS)}
    with tempfile.TemporaryDirectory() as folder:
        figures = compare(models, draw_scan(folder, args.size, args.seed), args)
        return dict(scans=figures, doubled=grow(models[MAGNIFIED], folder, args))


def check(args):
    if min(args.size) < 16 or args.batch < 1 or args.doublings < 0:
        raise UserError('--size is at least 16, --batch 1 and --doublings 0')
    check_turns(args.runs, args.warmup, args.device)
    if not args.config.is_file():
        raise UserError(f'{args.config} does not exist')
    if not args.device.startswith('cuda') and not STATUS.is_file():
        raise UserError(f'there is no {STATUS} to read memory from: use Linux, or --device cuda')


@cli
def main():
    args = parse_args()
    check(args)
    figures = dict(config=args.config.stem, **benchmark(Config.fromfile(args.config), args))
    print(json.dumps(figures, indent=2))
    if args.out:
        with atomic_write(args.out) as path:
            path.write_text(json.dumps(figures, indent=2) + '\n')


if __name__ == '__main__':
    main()
