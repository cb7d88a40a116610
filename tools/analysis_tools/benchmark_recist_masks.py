"""Time masks from RECIST by GrabCut: processes, and the crop against the whole slice."""

import argparse
import time

import cv2
import numpy as np
from tqdm import tqdm

from mmlesion.converters.grabcut import recist_mask
from mmlesion.converters.mask_run import MaskOptions, MaskRun, first_window
from mmlesion.evaluation.files import coco_ground_truth
from mmlesion.io.json_files import read_json, write_json
from mmlesion.io.slices import read_hu
from mmlesion.utils import UserError, cli

DEEPLESION = 32735  # lesions


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('ann', metavar='ANN.json', help='COCO file with "recist"')
    parser.add_argument('--images', required=True, help='the folder that file names start from')
    parser.add_argument(
        '--recist-from-box', action='store_true', help='as in recist_masks.py, for lack of RECIST'
    )
    parser.add_argument('--workers', nargs='+', type=int, default=[1, 2], help='default 1 2')
    parser.add_argument(
        '--num', type=int, default=40, help='lesions segmented in whole slices too (default 40)'
    )
    parser.add_argument('--out', metavar='JSON', help='file for the figures')
    return parser.parse_args()


@cli
def main():
    args = parse_args()
    if min(args.workers) < 1 or args.num < 1:
        raise UserError('--workers and --num must be at least 1')
    coco = read_json(args.ann)
    coco_ground_truth(coco, args.ann)
    if not coco['annotations']:
        raise UserError(f'{args.ann} has no annotations')
    cv2.setNumThreads(1)
    options = MaskOptions(from_box=args.recist_from_box)
    figures = {
        'throughput': [throughput(coco, args.images, options, n) for n in args.workers],
        'crop': crop_against_slice(coco, args.images, options, args.num),
    }
    show(figures)
    if args.out:
        write_json(figures, args.out)


def throughput(coco, images, options, workers):
    """Masks per second, reading of the slices included, and what it means for DeepLesion."""
    run = MaskRun(coco, images, options)
    start = time.perf_counter()
    run.run(workers)
    seconds = time.perf_counter() - start
    if run.skipped:
        raise UserError(f'{run.skipped[0].message}: every lesion to be timed needs a mask')
    rate = len(run.masks) / seconds
    return {
        'workers': workers,
        'masks': len(run.masks),
        'masks_per_second': rate,
        'deeplesion_hours': DEEPLESION / rate / 3600,
    }


def crop_against_slice(coco, images, options, num):
    """Time per mask and agreement of GrabCut on the crop and on the whole slice."""
    lesions = [
        (slice_of, lesion)
        for slice_of, lesions in MaskRun(coco, images, options).jobs()
        for lesion in lesions
    ]
    picked = np.unique(np.linspace(0, len(lesions) - 1, num).round().astype(int))
    seconds, overlaps = [], []
    for place in tqdm(picked, desc='whole slices', unit='lesion'):
        (path, image), (_, recist, box) = lesions[place]
        window, hu = first_window(image, options.window), read_hu(path)
        crop_seconds, crop = timed_mask(hu, recist, box, window, options.margin)
        slice_seconds, whole = timed_mask(hu, recist, box, window, None)
        seconds.append([crop_seconds, slice_seconds])
        overlaps.append((crop & whole).sum() / (crop | whole).sum())
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


def timed_mask(hu, recist, box, window, margin):
    start = time.perf_counter()
    mask = recist_mask(hu, recist, box, window, margin).mask
    return time.perf_counter() - start, mask


def show(figures):
    for row in figures['throughput']:
        print(
            f'{row["workers"]} worker(s): {row["masks_per_second"]:.1f} masks/s over '
            f'{row["masks"]} lesions; {DEEPLESION:,} lesions take {row["deeplesion_hours"]:.2f} h'
        )
    crop = figures['crop']
    print(
        f'crop {crop["crop_seconds"]:.4f} s, whole slice {crop["slice_seconds"]:.4f} s a mask '
        f'without reading: {crop["ratio"]:.1f} times; IoU of the two masks: mean '
        f'{crop["mean_iou"]:.3f}, median {crop["median_iou"]:.3f}, over 0.95 for '
        f'{crop["over_0.95"]:.0%} of {crop["masks"]}'
    )


if __name__ == '__main__':
    main()
