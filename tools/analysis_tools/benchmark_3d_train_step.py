"""Seconds and peak memory of a training step of a 3D detector on one crop, of random HU.

The crop has a few spheres as lesions. A step is the forward pass with its losses, the backward pass
and the optimizer's update.
"""

import argparse
import json
import resource
import statistics
from pathlib import Path

import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.structures import InstanceData

import mmlesion  # noqa: F401 (registers mmlesion's components)
from mmlesion.io.atomic import atomic_write
from mmlesion.utils import UserError, cli
from mmlesion.utils.benchmark import build_detector, check_turns, clocked, take_turns

FOLDER = Path(__file__).resolve().parents[2] / 'configs' / 'aggregated_rcnn3d'
CONFIG = FOLDER / 'aggregated-rcnn3d_dense-unet_da-lm_4xb2-50e_luna16.py'
LESION_DIAMETERS = [5.0, 9.0, 14.0, 22.0]  # mm, one or two for each level's anchors


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', nargs='?', type=Path, default=CONFIG, help='default: the paper')
    parser.add_argument('--size', type=int, default=128, help='side of the crop, mm (default 128)')
    parser.add_argument('--batch', type=int, default=1, help='crops of a step (default 1)')
    parser.add_argument(
        '--branches', choices=['joint', 'rpn', 'fprn'], default='joint', help='default joint'
    )
    parser.add_argument('--runs', type=int, default=3, help='timed steps (default 3)')
    parser.add_argument('--warmup', type=int, default=1, help='untimed steps (default 1)')
    parser.add_argument('--device', default='cpu', help='torch device (default cpu)')
    parser.add_argument('--seed', type=int, default=0, help='of weights and crop (default 0)')
    parser.add_argument('--out', help='JSON file for the figures')
    return parser.parse_args()


def make_batch(size, batch, seed):
    """Draw crops of soft HU around a few lesions.

    Args:
        size (int): Side of a crop, mm.
        batch (int): How many.
        seed (int): Of HU and places.

    Returns:
        dict: ``inputs``, int16 (1, size, size, size) each, and ``data_samples``.
    """
    generator = torch.Generator().manual_seed(seed)
    shape = (1, size, size, size)
    inputs = [torch.randint(-1000, 400, shape, generator=generator).short() for _ in range(batch)]
    diameters = torch.tensor(LESION_DIAMETERS)[:, None]
    samples = []
    for _ in inputs:
        centers = torch.rand(len(diameters), 3, generator=generator) * size
        truth = InstanceData(
            bboxes=torch.cat([centers, diameters], 1),
            labels=torch.zeros(len(diameters), dtype=torch.long),
        )
        samples.append(DetDataSample(gt_instances=truth, metainfo=dict(img_shape=shape[1:])))
    return dict(inputs=inputs, data_samples=samples)


def peak_memory(device):
    """Bytes at the highest: of a GPU's allocations, or of this process's resident memory."""
    if torch.device(device).type == 'cuda':
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def benchmark(cfg, size, batch, branches, runs, warmup, device, seed):
    """Time training steps.

    Returns:
        dict: Medians of ``seconds`` by the wall's clock and ``processor_seconds``; ``peak_gib``,
        and ``added_gib``, what the peak has above that before the first step; ``parameters``.
    """
    model = build_detector(cfg, seed=seed, device=device).train()
    model.branches = branches
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
    before = peak_memory(device)

    def step():
        _, seconds = clocked(
            model.train_step, make_batch(size, batch, seed), optimizer, device=device
        )
        return seconds

    turns = [turn['step'] for turn in take_turns(dict(step=step), runs, warmup)]
    peak = peak_memory(device)
    return dict(
        seconds=statistics.median(turn.wall for turn in turns),
        processor_seconds=statistics.median(turn.processor for turn in turns),
        peak_gib=peak / 2**30,
        added_gib=(peak - before) / 2**30,
        parameters=sum(p.numel() for p in model.parameters()),
    )


def check(args):
    if args.size < 32 or args.size % 16:
        raise UserError(f'--size {args.size} is no multiple of 16 mm from 32 on')
    if args.batch < 1:
        raise UserError(f'--batch {args.batch} must be at least 1')
    check_turns(args.runs, args.warmup, args.device)
    if not args.config.is_file():
        raise UserError(f'{args.config} does not exist')


@cli
def main():
    args = parse_args()
    check(args)
    options = vars(args)
    out, config = options.pop('out'), options.pop('config')
    figures = dict(config=config.stem, **benchmark(Config.fromfile(config), **options))
    print(json.dumps(figures, indent=2))
    if out:
        with atomic_write(out) as path:
            path.write_text(json.dumps(figures, indent=2) + '\n')


if __name__ == '__main__':
    main()
