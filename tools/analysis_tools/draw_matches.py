"""Draw true positives, false positives and missed lesions on slices, at one operating point.

Detections are matched as in eval_froc.py deeplesion: class-agnostic, on the whole dataset. Slices
are chosen by their findings, the highest score or the largest lesion first, one per patient.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np

from mmlesion.froc import (
    OVERLAPS,
    Outcomes,
    OverlapCriterion,
    outcomes_at,
    pick_in_turn,
    threshold_at,
)
from mmlesion.io.coco import coco_ground_truth, read_results_of
from mmlesion.io.json_files import read_json
from mmlesion.io.schema import display_window, path_under
from mmlesion.io.slices import read_hu
from mmlesion.report.matched_run import lesion_areas
from mmlesion.structures import GroundTruth, Predictions, file_shift
from mmlesion.utils import UserError, cli
from mmlesion.visualization.match_panels import Panel, PanelBox, draw_match_panels

CASES = {
    'mixed': ('found', 'missed', 'false-positives'),
    'found': ('found',),
    'missed': ('missed',),
    'false-positives': ('false-positives',),
}
FORMATS = ('.png', '.jpg', '.pdf', '.svg')


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--gt', required=True, help='COCO annotation file')
    parser.add_argument(
        '--pred', required=True, help='COCO results file, such as the froc.bbox.json of FROCMetric'
    )
    parser.add_argument('--images', required=True, help='folder of the slices')
    parser.add_argument('--out', required=True, help=f'picture to write, {", ".join(FORMATS)}')
    point = parser.add_mutually_exclusive_group()
    point.add_argument(
        '--fp-per-image',
        type=float,
        default=1.0,
        help='operating point: the score threshold with so many false positives (default: 1)',
    )
    point.add_argument('--score-thr', type=float, help='operating point: the score threshold')
    parser.add_argument(
        '--cases',
        choices=CASES,
        default='mixed',
        help='slices with true positives (found), missed lesions or false positives; '
        'mixed: as many of each (default)',
    )
    parser.add_argument('--num', type=int, default=12, help='most slices (default: 12)')
    parser.add_argument(
        '--window',
        nargs=2,
        type=float,
        metavar=('LOW', 'HIGH'),
        help="HU (default: the first of the image's windows)",
    )
    parser.add_argument(
        '--size', type=int, default=300, help='px of a slice in the picture (default: 300)'
    )
    parser.add_argument('--overlap', choices=OVERLAPS, default='iou')
    parser.add_argument(
        '--threshold', type=float, default=0.5, help='minimum overlap of a match (default: 0.5)'
    )
    parser.add_argument(
        '--inclusive',
        action=argparse.BooleanOptionalAction,
        default=True,
        help="whether a box's last px is in it (default: yes, as in FROCMetric and eval_froc.py)",
    )
    args = parser.parse_args(argv)
    check(args)
    return args


def check(args: argparse.Namespace) -> None:
    """Raise UserError if an option is out of its range."""
    if args.num < 1:
        raise UserError(f'--num is {args.num}: give a number from 1 on')
    if not 50 <= args.size <= 2000:
        raise UserError(f'--size is {args.size}: give 50 to 2000 px')
    if not args.fp_per_image > 0:
        raise UserError(f'--fp-per-image is {args.fp_per_image}: give a number over 0')
    if args.score_thr is not None and math.isnan(args.score_thr):
        raise UserError('--score-thr is nan: give a number')
    if args.window and not args.window[0] < args.window[1]:
        raise UserError(f'--window is {args.window}: give a lower and an upper HU')
    if Path(args.out).suffix.lower() not in FORMATS:
        raise UserError(f'--out is {args.out}: give a file name in {", ".join(FORMATS)}')


def read_predictions(path: str, truth: GroundTruth) -> Predictions:
    """Read detections, all of which must be of listed images."""
    predictions = read_results_of(path, truth)
    if not len(predictions.detections):
        raise UserError(f'{path} has no detections: give the results of a model that finds some')
    return predictions


def rank(outcomes: Outcomes, truth: GroundTruth, images: list[dict]) -> dict[str, list[int]]:
    """Rank images by their findings, the most instructive first.

    Returns:
        dict[str, list[int]]: Indices of images: ``found`` and ``false-positives`` in descending
        order of score, ``missed`` in descending order of the lesion's area, in mm² where images
        have ``spacing``.
    """
    # An image with several findings is listed several times; who picks takes it once.
    lesions, detected = truth.lesions, outcomes.detections.case
    area = lesion_areas(truth, images)
    missed = np.flatnonzero(outcomes.missed)
    largest_first = missed[np.argsort(-area[missed], kind='stable')]
    return {
        'found': detected[outcomes.true_positive].tolist(),
        'missed': lesions.case[largest_first].tolist(),
        'false-positives': detected[outcomes.false_positive].tolist(),
    }


def boxes_of(index: int, outcomes: Outcomes, truth: GroundTruth, image: dict) -> list[PanelBox]:
    """Return the boxes on one image, in mmdet's frame."""
    # Detections and lesions are in the file's frame, pictures in mmdet's.
    shift = file_shift(image)
    lesions, detections = truth.lesions, outcomes.detections
    here = lesions.case == index
    boxes = []
    for kind, member in (('ignored', lesions.ignore), ('missed', outcomes.missed)):
        boxes += [PanelBox(kind, bbox) for bbox in lesions.geometry[here & member] + shift]
    for number in np.flatnonzero(detections.case == index):
        kind = 'neutral'  # such as one that matches an ignored lesion
        if outcomes.true_positive[number]:
            kind = 'true_positive'
        elif outcomes.false_positive[number]:
            kind = 'false_positive'
        score = float(detections.score[number])
        boxes.append(PanelBox(kind, detections.geometry[number] + shift, score))
    return boxes


def read_panel(image: dict, boxes: list[PanelBox], args: argparse.Namespace) -> Panel:
    """Read the slice of an image."""
    if 'file_name' not in image:
        raise UserError(f'{args.gt}: image {image["id"]} has no "file_name"')
    path = path_under(args.images, image['file_name'])
    try:
        slice_hu = read_hu(path)
    except FileNotFoundError:
        raise UserError(f'{path}: no such slice; give the folder of slices as --images') from None
    window = args.window or display_window(image)
    return Panel(slice_hu, window, image.get('spacing', (1, 1)), image['file_name'], boxes)


def describe(outcomes: Outcomes, truth: GroundTruth, score_thr: float) -> str:
    """Describe the operating point in a line."""
    counted = int((~truth.lesions.ignore).sum())
    found = counted - int(outcomes.missed.sum())
    rate = outcomes.false_positive.sum() / len(truth.cases)
    return (
        f'score ≥ {score_thr:.3f}: {found} of {counted} lesions found, '
        f'{rate:.2f} false positives per image on {len(truth.cases)} images'
    )


@cli
def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    content = read_json(args.gt)
    truth = coco_ground_truth(content, args.gt)
    detections = read_predictions(args.pred, truth).detections
    criterion = OverlapCriterion(args.overlap, args.threshold, args.inclusive)
    score_thr = args.score_thr
    if score_thr is None:
        rate = args.fp_per_image
        score_thr = threshold_at(detections, truth.lesions, len(truth.cases), criterion, rate)
    if score_thr is None:
        raise UserError(
            f'the highest score makes more than {args.fp_per_image:g} false positives per image: '
            'give a higher --fp-per-image, or --score-thr'
        )
    outcomes = outcomes_at(detections, truth.lesions, criterion, score_thr)
    images = content['images']
    rankings = rank(outcomes, truth, images)
    chosen = [rankings[name] for name in CASES[args.cases]]
    picked = pick_in_turn(chosen, truth.patients, args.num)
    caption = describe(outcomes, truth, score_thr)
    if not picked:
        raise UserError(f'no slices to draw with --cases {args.cases} at {caption}: choose others')
    panels = []
    for index in picked:
        boxes = boxes_of(index, outcomes, truth, images[index])
        panels.append(read_panel(images[index], boxes, args))
    draw_match_panels(panels, caption, args.out, args.size)
    print(f'{caption}; {len(panels)} slices drawn to {args.out}')


if __name__ == '__main__':
    main()
