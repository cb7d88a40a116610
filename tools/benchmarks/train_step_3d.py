"""Seconds and peak memory of a training step of a 3D detector on one crop, of random HU.

The crop has a few spheres as lesions. A step is the forward pass with its losses, the backward pass
and the optimizer's update.
"""

import argparse
import operator
import resource
from pathlib import Path

from harness.benchmark import BenchmarkParser, check_size
from harness.timing import interleave, time_call

from mmlesion.utils import UserError, cli
from mmlesion.utils.configs import load_config

FOLDER = Path(__file__).resolve().parents[2] / 'configs' / 'aggregated_rcnn3d'
CONFIG = FOLDER / 'aggregated-rcnn3d_dense-unet_da-lm_4xb2-50e_luna16.py'
LESION_DIAMETERS = [5.0, 9.0, 14.0, 22.0]  # mm, one or two for each level's anchors


def make_batch(size: int, batch: int, seed: int) -> dict[str, list]:
    """Draw crops of soft HU around a few lesions.

    Args:
        size (int): Side of a crop, mm.
        batch (int): How many.
        seed (int): Of HU and places.

    Returns:
        dict: ``inputs``, int16 (1, size, size, size) each, and ``data_samples``.
    """
    import torch
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData

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


def peak_memory(device: str) -> int:
    """Return the most bytes so far: a GPU's allocations, or this process's resident memory."""
    if device.startswith('cuda'):
        import torch

        return torch.cuda.max_memory_allocated(device)
    # KiB on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(args: argparse.Namespace) -> dict:
    """Time training steps.

    Returns:
        dict: Medians of ``seconds`` by the wall's clock and ``processor_seconds``; ``peak_gib``,
        and ``added_gib``, what the peak has above that before the first step; ``parameters``.
    """
    check_size(args.size, 16, 32)
    if args.batch < 1:
        raise UserError(f'--batch {args.batch} must be at least 1')
    cfg = load_config(args.config)
    from harness.detectors import build_detector, count_parameters
    from mmengine.optim import build_optim_wrapper

    model = build_detector(cfg, seed=args.seed, device=args.device).train()
    model.branches = args.branches
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
    # with the model and optimizer, but before the first step
    before = peak_memory(args.device)

    def time_step():
        # drawn anew, as training changes its samples, but not timed
        batch = make_batch(args.size, args.batch, args.seed)
        _, seconds = time_call(model.train_step, batch, optimizer, device=args.device)
        return seconds

    rounds = interleave(dict(step=time_step), args.runs, args.warmup)
    peak = peak_memory(args.device)
    return dict(
        config=args.config.stem,
        seconds=rounds.median('step', operator.attrgetter('wall')),
        processor_seconds=rounds.median('step', operator.attrgetter('processor')),
        peak_gib=peak / 2**30,
        added_gib=(peak - before) / 2**30,
        parameters=count_parameters(model),
    )


@cli
def main():
    parser = BenchmarkParser(__doc__, 'weights and crop', runs=3, warmup=1)
    parser.add_argument('config', nargs='?', type=Path, default=CONFIG, help='default: the paper')
    parser.add_argument('--size', type=int, default=128, help='side of the crop, mm (default 128)')
    parser.add_argument('--batch', type=int, default=1, help='crops of a step (default 1)')
    parser.add_argument(
        '--branches', choices=['joint', 'rpn', 'fprn'], default='joint', help='default joint'
    )
    parser.run(measure)


if __name__ == '__main__':
    main()
