"""Fit a detector's anchor scales and ratios to the boxes of a COCO file by differential evolution.

Prints what to put below _base_ of a mmdet config, and how well it fits beside RetinaNet's default.
"""

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from mmlesion.anchors import (
    OBJECTIVES,
    RETINANET_RATIO_PAIRS,
    RETINANET_SCALES,
    AlignedOverlap,
    GridOverlap,
    anchor_ratios,
    anchor_shapes,
    search_anchors,
)
from mmlesion.io.coco import coco_ground_truth
from mmlesion.io.json_files import read_json, write_json
from mmlesion.utils import UserError, check_range, cli
from mmlesion.visualization.anchor_shapes import MATCHED_IOU, AnchorPanel, draw_anchor_shapes

LARGEST_RATIO = 4
"""The paper's two pairs are searched from 1 to 2 and from 2 to 4."""
LARGEST_COUNT, LARGEST_POPULATION = 100, 10_000
"""Of pairs and of scales, and of a population per variable, all of which are in memory at once."""
LARGEST_SIDE = 1_000_000
"""In px, of an image."""
LEAST_SIDE = 1
"""In px. mmdet's CocoDataset leaves out boxes that are smaller."""


class Detector(NamedTuple):
    """The anchors of a stock config of mmdet.

    Args:
        head (str): The head of the model that has the anchor generator.
        strides (tuple[int]): Of the levels that the head sees, px.
        sizes (tuple[int]): Of the stock anchors of each level, px.
        image_size (int): Long side of the images, px; of SSD's, the only one.
        center (float): Center of the first anchor of each level, in strides.
    """

    head: str
    strides: tuple
    sizes: tuple
    image_size: int = 512
    center: float = 0.0


SIZES = (32, 64, 128, 256, 512)
DETECTORS = {
    'retinanet': Detector('bbox_head', (8, 16, 32, 64, 128), SIZES),
    'faster-rcnn': Detector('rpn_head', (4, 8, 16, 32, 64), SIZES),
    'ssd300': Detector(
        'bbox_head', (8, 16, 32, 64, 100, 300), (21, 45, 99, 153, 207, 261), 300, 0.5
    ),
    'ssd512': Detector(
        'bbox_head', (8, 16, 32, 64, 128, 256, 512), (20, 51, 133, 215, 297, 379, 461), 512, 0.5
    ),
}


class Boxes(NamedTuple):
    """Boxes as the detector sees them.

    Args:
        corners (ndarray): (n, 4) x1, y1, x2, y2, px of the resized image.
        extents (ndarray): (n, 2) width and height of each box's resized image, px.
        num_ignored (int): Crowd and ignored boxes left out.
        num_too_small (int): Boxes under 1 px wide or high left out.
    """

    corners: np.ndarray
    extents: np.ndarray
    num_ignored: int
    num_too_small: int


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('ann', help='COCO annotation file')
    search = parser.add_argument_group('search')
    add = search.add_argument
    add(
        '--ratio-pairs',
        type=int,
        default=2,
        help='number of pairs gamma:1 and 1:gamma in addition to 1:1',
    )
    add('--scales', type=int, default=3, help='number of scales')
    add('--objective', choices=list(OBJECTIVES), default='iou', help='1 - IoU, -log IoU, or focal')
    add(
        '--ratio-bounds',
        type=float,
        nargs='+',
        metavar='GAMMA',
        help='minimum and maximum gamma of each pair (default: 1 to 4 split evenly in the '
        'logarithm, 1 2 2 4 for two pairs)',
    )
    add('--scale-bounds', type=float, nargs=2, default=[0.4, 1.6], help='of every scale')
    add('--popsize', type=int, default=30, help='population size per variable')
    add('--maxiter', type=int, default=1000, help='maximum number of generations')
    add('--seed', type=int, default=0, help='random seed')
    anchors = parser.add_argument_group('anchors')
    add = anchors.add_argument
    add(
        '--detector',
        choices=list(DETECTORS),
        default='retinanet',
        help='whose config the anchors are for: its head, strides, sizes and image size',
    )
    add('--sizes', type=float, nargs='+', help="px, of each level (default: the detector's)")
    add(
        '--strides',
        type=int,
        nargs='+',
        help="px, of each level of the head (default: the detector's: for retinanet "
        'P3 to P7, 8 to 128; for faster-rcnn P2 to P6, 4 to 64)',
    )
    add(
        '--image-size',
        type=int,
        help="px, long side of the images after resizing (default: the detector's)",
    )
    add(
        '--positions',
        choices=['aligned', 'grid'],
        default='aligned',
        help='centers of anchors: aligned with the box, or at the multiples of the strides',
    )
    parser.add_argument('--json', help='output JSON file')
    parser.add_argument('--out-image', help='output plot of box shapes and anchors, e.g. PNG')
    return parser.parse_args(argv)


def check_args(args):
    """Complete the options, and check those that the search itself does not check."""
    detector = DETECTORS[args.detector]
    args.sizes = args.sizes or list(detector.sizes)
    args.image_size = detector.image_size if args.image_size is None else args.image_size
    check_range('--ratio-pairs', args.ratio_pairs, 0, LARGEST_COUNT)
    check_range('--scales', args.scales, 1, LARGEST_COUNT)
    check_range('--popsize', args.popsize, 1, LARGEST_POPULATION)
    check_range('--maxiter', args.maxiter, 1)
    check_range('--seed', args.seed, 0)
    check_range('--image-size', args.image_size, 1, LARGEST_SIDE)
    if args.ratio_bounds is None:
        # 1 to 4 in equal factors; each inner edge is the end of a range and the start of the next
        edges = np.geomspace(1, LARGEST_RATIO, args.ratio_pairs + 1)
        args.ratio_bounds = np.repeat(edges, 2)[1:-1].tolist()
    if len(args.ratio_bounds) != 2 * args.ratio_pairs:
        raise UserError(
            f'--ratio-bounds has {len(args.ratio_bounds)} number(s), {args.ratio_pairs} '
            f'ratio pair(s) need {2 * args.ratio_pairs}: the minimum and the maximum of each'
        )
    if args.strides is None:
        if len(args.sizes) != len(detector.strides):
            raise UserError(
                f'{args.detector} has {len(detector.strides)} levels: give so many --sizes, or '
                'give --strides, one for each size'
            )
        args.strides = list(detector.strides)
    if len(args.strides) != len(args.sizes):
        raise UserError(
            f'{len(args.sizes)} --sizes need as many --strides, not {len(args.strides)}'
        )
    if args.out_image:
        check_format(args.out_image)


def check_format(path):
    """Raise an error for a plot whose suffix is no format of matplotlib."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # slow, and needed for this alone

    formats = FigureCanvasAgg.get_supported_filetypes()
    if Path(path).suffix.lstrip('.').lower() not in formats:
        raise UserError(f'--out-image {path} must end in one of {", ".join(formats)}')


def read_boxes(path, image_size):
    """Read the boxes of a COCO file, resized as mmdet's Resize does with keep_ratio.

    Args:
        path (str | Path): The file.
        image_size (int): Long side of the images after resizing, px.

    Raises:
        UserError: If it is no COCO file, or has no box to fit anchors to.
    """
    data = read_json(path)
    truth = coco_ground_truth(data, path)
    # (images, 2): width and height before and after resizing
    original = np.array([image_extent(image, path) for image in data['images']]).reshape(-1, 2)
    # (images, 1): the long side becomes image_size
    scale = image_size / original.max(axis=1, keepdims=True)
    # mmcv rounds the new width and height, and mmdet scales boxes by what they come to.
    resized = np.maximum(np.floor(original * scale + 0.5), 1)
    case = truth.lesions.case
    # case is each lesion's image: rows of (images, 2) become (lesions, 4), x and y twice
    corners = truth.lesions.geometry * np.tile(resized / original, 2)[case]
    ignored = truth.lesions.ignore
    too_small = ~ignored & ((corners[:, 2:] - corners[:, :2]).min(axis=1) < LEAST_SIDE)
    kept = ~ignored & ~too_small
    if not kept.any():
        raise UserError(
            f'{path} has no box to fit anchors to: of {len(kept)}, {ignored.sum()} are crowd or '
            f'ignored and {too_small.sum()} under {LEAST_SIDE} px wide or high'
        )
    return Boxes(
        corners=corners[kept],
        extents=resized[case[kept]],
        num_ignored=int(ignored.sum()),
        num_too_small=int(too_small.sum()),
    )


def image_extent(image, path):
    """Return width and height of a COCO image entry, px."""
    extent = image.get('width'), image.get('height')
    if not all(isinstance(side, (int, float)) and 0 < side <= LARGEST_SIDE for side in extent):
        raise UserError(f'{path}: image {image["id"]} needs a positive "width" and "height" in px')
    return extent


def search(overlap, args):
    """Run the search that the options describe, with a line of progress."""
    with tqdm(desc='differential evolution', unit=' generations') as progress:
        # scipy calls it after each generation; 1 and more is converged
        def advance(variables, convergence):
            progress.set_postfix(convergence=f'{min(convergence, 1):.0%}', refresh=False)
            progress.update()

        return search_anchors(
            overlap,
            np.reshape(args.ratio_bounds, (-1, 2)),
            [args.scale_bounds] * args.scales,
            args.objective,
            args.seed,
            args.popsize,
            args.maxiter,
            advance,
        )


def fit(ratio_pairs, scales, iou):
    """Return the figures of one set of anchors."""
    return dict(
        ratios=anchor_ratios(ratio_pairs),
        scales=list(scales),
        mean_iou=float(iou.mean()),
        unmatched=int((iou < MATCHED_IOU).sum()),
    )


def config_text(result, args):
    """Return the lines to put below ``_base_`` of a config, to four digits."""

    def listed(values):
        return ', '.join(f'{value:.4g}' for value in values)

    detector = DETECTORS[args.detector]
    fields = ['_delete_=True', "type='AnchorGenerator'"]
    for name in ('strides', 'sizes', 'scales', 'ratios'):
        values = result[name] if name in result else getattr(args, name)
        fields.append(f'{"base_sizes" if name == "sizes" else name}=[{listed(values)}]')
    if detector.center:
        centers = [stride * detector.center for stride in args.strides]
        pairs = [f'({center:g}, {center:g})' for center in centers]
        fields.append(f'centers=[{", ".join(pairs)}]')
    fields = ',\n            '.join(fields)
    return (
        f'model = dict(\n    {detector.head}=dict(\n        anchor_generator=dict(\n'
        f'            {fields})))'
    )


def summary(result, before, args):
    """Return the text to print."""
    count = result['num_boxes']
    lines = [
        f'{count} boxes of {args.ann}, long side of images {args.image_size} px',
        f'left out: {result["num_ignored"]} crowd or ignored boxes and '
        f'{result["num_too_small"]} under {LEAST_SIDE} px wide or high',
        f'{"anchors":12}{"mean IoU":>10}{f"under {MATCHED_IOU} IoU":>20}',
    ]
    for name, row in (('RetinaNet', before), ('optimized', result)):
        share = f'{row["unmatched"]} ({row["unmatched"] / count:.1%})'
        lines.append(f'{name:12}{row["mean_iou"]:10.4f}{share:>20}')
    lines.append(
        f'{result["num_evaluations"]} evaluations in {result["seconds"]:.2f} s, seed {args.seed}'
    )
    lines.append(config_text(result, args))
    return '\n'.join(lines)


def write(result, panels, shapes, args):
    """Write the files given by ``--json`` and ``--out-image``."""
    try:
        if args.json:
            write_json(result, args.json)
        if args.out_image:
            draw_anchor_shapes(shapes, panels, args.out_image)
    except OSError as error:
        raise UserError(f'{error.filename}: {error.strerror}; name another output file') from None


@cli
def main(argv=None):
    args = parse_args(argv)
    check_args(args)
    boxes = read_boxes(args.ann, args.image_size)
    shapes = boxes.corners[:, 2:] - boxes.corners[:, :2]  # (n, 2) width and height
    if args.positions == 'grid':
        center = DETECTORS[args.detector].center
        overlap = GridOverlap(boxes.corners, boxes.extents, args.sizes, args.strides, center)
    else:
        overlap = AlignedOverlap(shapes, args.sizes)
    found = search(overlap, args)
    panels, fits = [], []
    for name, pairs, scales in (
        ('RetinaNet', RETINANET_RATIO_PAIRS, RETINANET_SCALES),
        ('optimized', found.ratio_pairs, found.scales),
    ):
        iou = overlap.best_iou(pairs, scales)
        fits.append(fit(pairs, scales, iou))
        # (levels, scales, ratios, 2) to one row per anchor, width and height
        anchors = anchor_shapes(pairs, scales, args.sizes).reshape(-1, 2)
        panels.append(AnchorPanel(name, anchors, iou))
    before, after = fits
    result = dict(
        **after,
        num_evaluations=found.num_evaluations,
        seconds=found.seconds,
        converged=found.converged,
        doubts=found.doubts,
        before=before,
        num_boxes=len(shapes),
        num_ignored=boxes.num_ignored,
        num_too_small=boxes.num_too_small,
        settings={key: value for key, value in vars(args).items() if key != 'json'},
    )
    write(result, panels, shapes, args)
    print(summary(result, before, args))
    doubts = list(found.doubts)
    if not found.converged:
        doubts.append(f'not converged after {args.maxiter} generations: raise --maxiter')
    for doubt in doubts:
        print(f'warning: {doubt}', file=sys.stderr)


if __name__ == '__main__':
    main()
