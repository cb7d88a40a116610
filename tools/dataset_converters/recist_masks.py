"""Add dense lesion masks to a COCO file, by GrabCut from the RECIST diameters.

OUT is ANN with "segmentation" (RLE) and "mask_source" ("grabcut", or "ellipse" where GrabCut
failed) in each annotation that has "recist". A "segmentation" that outlines nothing, such as [[]],
is left out of the others; nothing else changes. A run that was stopped goes on
where it was when the same command is given again. See docs/masks.md.
"""

import argparse
import os
import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as mask_utils
from terminaltables import AsciiTable
from tqdm import tqdm

from mmlesion.datasets.conversion import add_skip_options, check_skipped
from mmlesion.evaluation.files import coco_ground_truth
from mmlesion.io.json_files import parse_json, read_bytes, write_json
from mmlesion.io.schema import path_under
from mmlesion.io.slices import read_hu
from mmlesion.mining import MaskOptions, MaskRun, PartialFile, recist_from_box
from mmlesion.mining.mask_dataset import NO_RECIST, SOFT_TISSUE, first_window
from mmlesion.mining.recist_masks import BOX_PADDING
from mmlesion.structures import usable_segmentation
from mmlesion.utils import UserError, cli
from mmlesion.visualization.mask_overlay import draw_mask

# Of each kind of problem so many are printed.
PRINTED = 20


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('ann', metavar='ANN.json', help='COCO file with "recist"')
    parser.add_argument('--images', required=True, help='the folder that file names start from')
    parser.add_argument('--out', required=True, help='the COCO file to write')
    parser.add_argument('--workers', type=int, default=1, help='processes (default 1)')
    parser.add_argument(
        '--recist-from-box',
        action='store_true',
        help='where there is no RECIST, take the axes of the ellipse in the box less its padding',
    )
    parser.add_argument(
        '--box-padding',
        type=float,
        default=BOX_PADDING,
        metavar='PX',
        help='what a box has beyond its lesion on each side (default %(default)s, DeepLesion)',
    )
    parser.add_argument(
        '--window',
        nargs=2,
        type=float,
        default=SOFT_TISSUE,
        metavar=('LOW', 'HIGH'),
        help='HU that GrabCut sees of images that name no "windows" (default %(default)s)',
    )
    add_skip_options(parser, 'lesion')
    parser.add_argument('--picture', metavar='DIR', help='folder for pictures of some masks')
    parser.add_argument('--num', type=int, default=20, help='how many pictures (default 20)')
    return parser.parse_args()


@cli
def main():
    args = parse_args()
    check_args(args)
    text, coco = read_annotations(args.ann)
    options = MaskOptions(
        window=tuple(args.window), from_box=args.recist_from_box, box_padding=args.box_padding
    )
    run = MaskRun(coco, args.images, options, args.strict)
    partial_file = PartialFile(f'{args.out}.partial.jsonl', options.fingerprint(text))
    if partial_file.finished:
        print(f'going on after {len(partial_file.finished)} lesions that are done')
    try:
        run.run(args.workers, partial_file)
    finally:
        partial_file.close()
    report(run, args)
    for index, mask in run.masks.items():
        coco['annotations'][index].update(mask)
    drop_unusable(coco['annotations'])
    write_json(coco, args.out)
    partial_file.remove()
    if args.picture:
        draw_pictures(coco, args)
    skipped = sum(kind != NO_RECIST for kind, _ in run.problems)
    total = len(coco['annotations'])
    check_skipped(skipped, total, args.allow_skipped, 'lesion', 'the lines above')


def check_args(args):
    if not Path(args.images).is_dir():
        raise UserError(f'{args.images} is not a folder: give the one that file names start from')
    if os.path.realpath(args.out) == os.path.realpath(args.ann):
        raise UserError(f'--out {args.out} is the annotation file itself: give another name')
    if args.workers < 1 or args.num < 1:
        raise UserError('--workers and --num must be at least 1')
    if not args.box_padding >= 0:
        raise UserError(f'--box-padding {args.box_padding:g} must not be negative')
    if not args.window[0] < args.window[1]:
        raise UserError(f'--window {args.window[0]:g} {args.window[1]:g} is not low < high')


def read_annotations(path):
    """Read and check a COCO file; return its bytes and content."""
    text = read_bytes(path)
    coco = parse_json(text, path)
    coco_ground_truth(coco, path)
    for image in coco['images']:
        if not isinstance(image.get('file_name'), str):
            raise UserError(f'{path}: image {image["id"]} has no "file_name"')
        window = first_window(image, SOFT_TISSUE)
        if not window[0] < window[1]:
            raise UserError(f'{path}: image {image["id"]} has a window that is not low < high')
    return text, coco


def report(run, args):
    """Print what got a mask from what, and what got none.

    Raises:
        UserError: If there is no mask at all.
    """
    printed = Counter()
    for kind, message in run.problems:
        printed[kind] += 1
        if printed[kind] <= PRINTED and kind != NO_RECIST:
            print(f'no mask: {message}', file=sys.stderr)
    if not run.masks:
        raise UserError(f'no lesion of {args.ann} got a mask: {explain_none(run)}')
    print(AsciiTable([['mask from', 'lesions'], *sorted(run.counts().items())]).table)
    if printed[NO_RECIST]:
        print(f'{printed[NO_RECIST]} lesions have no "recist" and got no mask', file=sys.stderr)


def explain_none(run):
    if not run.problems:
        return 'it has no annotations'
    kind, message = run.problems[0]
    if kind == NO_RECIST:
        return f'{message}: convert DL_info.csv by deeplesion.py, or give --recist-from-box'
    return f'{message}: check --images'


def drop_unusable(annotations):
    """Delete ``segmentation`` where it outlines nothing: such a lesion has no mask."""
    for annotation in annotations:
        if usable_segmentation(annotation.get('segmentation')) is None:
            annotation.pop('segmentation', None)


def draw_pictures(coco, args):
    """Draw masks, evenly picked, one PNG each, named by slice and annotation."""
    images = {image['id']: image for image in coco['images']}
    masked = [ann for ann in coco['annotations'] if 'mask_source' in ann]
    picked = np.unique(np.linspace(0, len(masked) - 1, args.num).round().astype(int))
    try:
        Path(args.picture).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f'{args.picture} cannot be made: {error.strerror}') from None
    for index in tqdm(picked, desc='pictures', unit='picture'):
        ann = masked[index]
        image = images[ann['image_id']]
        x, y, w, h = ann['bbox']
        box = [x, y, x + w, y + h]
        picture = draw_mask(
            read_hu(path_under(args.images, image['file_name'])),
            mask_utils.decode(ann['segmentation']).astype(bool),
            ann.get('recist') or recist_from_box(box, args.box_padding),
            box,
            first_window(image, args.window),
        )
        slice_name = '_'.join(Path(image['file_name']).with_suffix('').parts)
        path = Path(args.picture) / f'{slice_name}_{ann["id"]}.png'
        if not cv2.imwrite(str(path), picture):
            raise UserError(f'{path} cannot be written')


if __name__ == '__main__':
    main()
