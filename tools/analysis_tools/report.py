"""Write an HTML report of the results on annotated slices: one file, which needs no network.

    report.py --gt val.json --images Images_png --out report.html \
        --pred FPN=work_dirs/fpn/froc.bbox.json TRPN=work_dirs/trpn/froc.bbox.json

It has the FROC curves with bands, an operating point to choose with a slider, groups of lesions,
the histogram of scores, and the worst false positives, missed lesions and doubtful matches as
pictures; several runs are compared with the first.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mmlesion.evaluation.groups import group_lesions
from mmlesion.froc import (
    OVERLAPS,
    PER_IMAGE_FP_RATES,
    OverlapCriterion,
    Protocol,
)
from mmlesion.io.coco import coco_ground_truth, read_results_of
from mmlesion.io.json_files import read_json
from mmlesion.report.froc_report import write_froc_report
from mmlesion.report.page import check_html_name
from mmlesion.report.shown_test_set import Slices
from mmlesion.utils import UserError, check_draws, check_range, cli


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--gt', required=True, help='COCO annotation file')
    parser.add_argument(
        '--pred',
        required=True,
        nargs='+',
        metavar='[NAME=]FILE',
        help='COCO results of one or more runs, such as the froc.bbox.json of FROCMetric',
    )
    parser.add_argument('--images', required=True, help='folder of the slices')
    parser.add_argument('--out', required=True, help='HTML file to write')
    parser.add_argument('--title', default='Lesion detection', help='title of the page')
    parser.add_argument(
        '--groups',
        nargs='+',
        default=[],
        metavar='FIELD',
        help='groups of lesions, by fields of the annotations, as in eval_froc.py',
    )
    parser.add_argument(
        '--num',
        type=int,
        default=24,
        help='most slices per run for each of false positives, missed lesions and doubtful '
        'matches (default: 24)',
    )
    parser.add_argument(
        '--draws', type=int, default=1000, help='bootstrap samples of patients (default: 1000)'
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
    check_range('--num', args.num, 1)
    check_draws('--draws', args.draws, 1)
    check_html_name('--out', args.out)
    return args


def named_files(texts: list[str]) -> dict[str, str]:
    """Split ``NAME=FILE``; a file without a name has that of its folder."""
    files: dict[str, str] = {}
    for text in texts:
        name, equals, path = text.partition('=')
        if not equals:
            name, path = Path(text).absolute().parent.name, text
        if name in files:
            raise UserError(f'--pred: two runs are called {name}: name them, as in A={path}')
        files[name] = path
    return files


@cli
def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    content = read_json(args.gt)
    truth = coco_ground_truth(content, args.gt)
    if truth.lesions.ignore.all():
        raise UserError(f'{args.gt} has no lesions that count, so there is no sensitivity')
    groups = group_lesions(truth.lesions.attributes, args.groups, args.gt)
    criterion = OverlapCriterion(args.overlap, args.threshold, args.inclusive)
    runs = {}
    for name, path in named_files(args.pred).items():
        runs[name] = read_results_of(path, truth).detections
    page = write_froc_report(
        runs,
        truth,
        Protocol(criterion, PER_IMAGE_FP_RATES),
        Slices(content['images'], args.images, args.num),
        groups,
        args.out,
        args.title,
        args.draws,
    )
    size = Path(args.out).stat().st_size / 1e6
    print(f'{len(runs)} runs, {len(page["pictures"])} slices: {args.out} ({size:.1f} MB)')


if __name__ == '__main__':
    main()
