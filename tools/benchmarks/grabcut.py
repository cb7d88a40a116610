"""Time masks from RECIST by GrabCut: processes, and the crop against the whole slice."""

import argparse
from functools import partial
from itertools import repeat

import cv2
import numpy as np
from harness.benchmark import BenchmarkParser
from harness.timing import time_call
from tqdm import tqdm

from mmlesion.converters.grabcut import recist_mask
from mmlesion.converters.mask_run import MaskOptions, MaskRun
from mmlesion.io.coco import coco_ground_truth
from mmlesion.io.json_files import read_json
from mmlesion.io.schema import display_window
from mmlesion.io.slices import read_hu
from mmlesion.utils import UserError, cli

DEEPLESION = 32735  # lesions


def measure(args: argparse.Namespace) -> dict:
    """Time masks by number of workers, and GrabCut on crops beside whole slices."""
    if min(args.workers) < 1 or args.num < 1:
        raise UserError('--workers and --num must be at least 1')
    coco = read_json(args.ann)
    coco_ground_truth(coco, args.ann)
    if not coco['annotations']:
        raise UserError(f'{args.ann} has no annotations')
    # OpenCV's own threads would compete with the worker processes that are compared
    cv2.setNumThreads(1)
    options = MaskOptions(from_box=args.recist_from_box)
    rates = [throughput(coco, args.images, options, workers) for workers in args.workers]
    return dict(throughput=rates, crop=crop_against_slice(coco, args.images, options, args.num))


def throughput(coco: dict, images: str, options: MaskOptions, workers: int) -> dict:
    """Measure masks per second, reading of the slices included, and the hours for DeepLesion."""
    run = MaskRun(coco, images, options)
    _, took = time_call(run.run, workers)
    if run.skipped:
        raise UserError(f'{run.skipped[0].message}: every lesion to be timed needs a mask')
    rate = len(run.masks) / took.wall
    return {
        'workers': workers,
        'masks': len(run.masks),
        'masks_per_second': rate,
        'deeplesion_hours': DEEPLESION / rate / 3600,
    }


def crop_against_slice(coco: dict, images: str, options: MaskOptions, num: int) -> dict:
    """Compare GrabCut on the crop and on the whole slice: time per mask, and agreement."""
    lesions = []
    for slice_of, of_slice in MaskRun(coco, images, options).jobs():
        lesions += zip(repeat(slice_of), of_slice)
    # spread over the file, whose lesions are in the order of patients
    picked = np.unique(np.linspace(0, len(lesions) - 1, num).round().astype(int))
    seconds, overlaps = [], []
    for place in tqdm(picked, desc='whole slices', unit='lesion'):
        (path, image), (_, recist, box) = lesions[place]
        window = display_window(image, options.window).tolist()
        # read once: both ways are timed without it
        segment = partial(recist_mask, read_hu(path), recist, box, window)
        crop, crop_took = time_call(segment, options.margin)
        whole, slice_took = time_call(segment, None)
        seconds.append([crop_took.wall, slice_took.wall])
        # IoU in px
        overlaps.append((crop.mask & whole.mask).sum() / (crop.mask | whole.mask).sum())
    crop_seconds, slice_seconds = np.mean(seconds, axis=0).tolist()
    return {
        'masks': len(overlaps),
        'crop_seconds': crop_seconds,
        'slice_seconds': slice_seconds,
        'ratio': slice_seconds / crop_seconds,
        'mean_iou': float(np.mean(overlaps)),
        'median_iou': float(np.median(overlaps)),
        'over_0.95': float((np.array(overlaps) > 0.95).mean()),
    }


def show(figures: dict) -> str:
    """Say the figures in lines of text."""
    lines = [
        f'{row["workers"]} worker(s): {row["masks_per_second"]:.1f} masks/s over '
        f'{row["masks"]} lesions; {DEEPLESION:,} lesions take {row["deeplesion_hours"]:.2f} h'
        for row in figures['throughput']
    ]
    crop = figures['crop']
    lines.append(
        f'crop {crop["crop_seconds"]:.4f} s, whole slice {crop["slice_seconds"]:.4f} s a mask '
        f'without reading: {crop["ratio"]:.1f} times; IoU of the two masks: mean '
        f'{crop["mean_iou"]:.3f}, median {crop["median_iou"]:.3f}, over 0.95 for '
        f'{crop["over_0.95"]:.0%} of {crop["masks"]}'
    )
    return '\n'.join(lines)


@cli
def main():
    parser = BenchmarkParser(__doc__)
    parser.add_argument('ann', metavar='ANN.json', help='COCO file with "recist"')
    parser.add_argument('--images', required=True, help='the folder that file names start from')
    parser.add_argument(
        '--recist-from-box', action='store_true', help='as in recist_masks.py, for lack of RECIST'
    )
    parser.add_argument('--workers', nargs='+', type=int, default=[1, 2], help='default 1 2')
    parser.add_argument(
        '--num', type=int, default=40, help='lesions segmented in whole slices too (default 40)'
    )
    parser.run(measure, show)


if __name__ == '__main__':
    main()
