"""FROC by the rules of the public lesion detection benchmarks, from files alone."""

import argparse
import sys
from pathlib import Path

from mmlesion.evaluation.groups import group_lesions
from mmlesion.evaluation.merging import luna16_scan_warnings, pool_luna16_predictions
from mmlesion.evaluation.tables import coverage, coverage_warnings, froc_table
from mmlesion.froc import (
    OVERLAPS,
    TNP_SENSITIVITY,
    MatchedDetections,
    deeplesion_protocol,
    froc_cases,
    lens_protocol,
    luna16_protocol,
    summarize_froc,
    true_negative_patients,
)
from mmlesion.io.cases import SUFFIX, write_cases
from mmlesion.io.checks import some_names
from mmlesion.io.coco import box_warnings, coco_ground_truth, read_coco_results
from mmlesion.io.json_files import read_json, write_json
from mmlesion.io.luna16 import read_luna16_ground_truth
from mmlesion.io.sub_volumes import read_lens_ground_truth, read_lens_predictions
from mmlesion.report.froc_report import write_froc_report
from mmlesion.report.page import check_html_name
from mmlesion.report.shown_test_set import LENS_SUB_VOLUMES, LUNA16_SCANS, Slices
from mmlesion.utils import UserError, check_draws, check_range, cli
from mmlesion.visualization.froc_plots import draw_froc


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__)
    protocols = parser.add_subparsers(dest='protocol', required=True)
    deeplesion = protocols.add_parser(
        'deeplesion', help="2D boxes on key slices, 3DCE's rules; class-agnostic"
    )
    deeplesion.add_argument('--gt', required=True, help='COCO annotation file')
    deeplesion.add_argument('--pred', required=True, help='COCO results file')
    _add_overlap(deeplesion, 'iou', 0.5)
    deeplesion.add_argument('--images', help='folder of the slices, for --report')
    lens = protocols.add_parser('lens', help="3D boxes in sub-volumes, LENS' rules")
    lens.add_argument('--gt', required=True, help='manual annotation, .json or .pkl')
    lens.add_argument('--split', choices=['val', 'test'], help='split of the annotation')
    lens.add_argument(
        '--pred', required=True, help='{sub-volume: [[x1, y1, z1, x2, y2, z2, score], ...]}'
    )
    _add_overlap(lens, 'iobb', 0.3)
    luna16 = protocols.add_parser('luna16', help='marks in scans, the rules of LUNA16')
    luna16.add_argument('--gt', required=True, help='annotations.csv')
    luna16.add_argument('--excluded', required=True, help='annotations_excluded.csv')
    luna16.add_argument('--series', required=True, help='seriesuids.csv')
    luna16.add_argument(
        '--pred',
        required=True,
        nargs='+',
        metavar='CSV',
        help='submission.csv, in world mm; those of several folds are pooled',
    )
    luna16.add_argument(
        '--tnp-sensitivity',
        type=float,
        default=TNP_SENSITIVITY,
        help='sensitivity for the True Negative Patient score (default: %(default)s)',
    )
    for protocol in (deeplesion, lens, luna16):
        protocol.add_argument('--out', required=True, help='folder for froc.json and froc.png')
        protocol.add_argument(
            '--bootstrap',
            type=int,
            default=0,
            metavar='N',
            help='bootstrap samples for confidence intervals',
        )
        protocol.add_argument('--seed', type=int, default=0, help='random seed')
        protocol.add_argument(
            '--groups',
            nargs='+',
            default=[],
            metavar='FIELD',
            help='also report groups of lesions, by fields of the annotations such as lesion_type, '
            'diameter, organ; numbers may have cut points, as in volume_ml:1,10',
        )
        protocol.add_argument(
            '--report',
            metavar='HTML',
            help='also write the page of report.py in one file: curve, groups and pictures, or, '
            'of scans, tables',
        )
    args = parser.parse_args(argv)
    check_report_options(args)
    return args


def check_report_options(args):
    if args.report is None:
        return
    check_html_name('--report', args.report)
    if args.protocol == 'deeplesion' and args.images is None:
        raise UserError('--report shows slices: give their folder as --images')


def _add_overlap(parser, metric, threshold):
    parser.add_argument('--overlap', choices=OVERLAPS, default=metric)
    parser.add_argument(
        '--threshold', type=float, default=threshold, help='minimum overlap of a match'
    )


def read(args):
    """Return ground truth, predictions and rules of the chosen protocol, and the COCO content."""
    if args.protocol == 'deeplesion':
        content = read_json(args.gt)
        truth = coco_ground_truth(content, args.gt)
        rules = deeplesion_protocol(args.overlap, args.threshold)
        return truth, read_coco_results(args.pred, truth.cases), rules, content
    if args.protocol == 'lens':
        truth = read_lens_ground_truth(args.gt, args.split)
        rules = lens_protocol(args.overlap, args.threshold)
        return truth, read_lens_predictions(args.pred, truth.cases), rules, None
    if not 0 < args.tnp_sensitivity <= 1:
        raise UserError(f'--tnp-sensitivity {args.tnp_sensitivity} must be over 0, at most 1')
    truth = read_luna16_ground_truth(args.gt, args.excluded, args.series)
    return truth, pool_luna16_predictions(args.pred, truth.cases), luna16_protocol(), None


def warnings(args, truth, predictions, content):
    """Return warnings about the ground truth and the predictions, one line each."""
    lines = coverage_warnings(truth, predictions)
    if args.protocol == 'deeplesion':
        lines += box_warnings(content, truth, args.gt)
    if args.protocol == 'luna16':
        lines += luna16_scan_warnings(args.gt, truth.cases)
    return lines


def write_report(args, truth, predictions, rules, groups, content):
    """Write the page of the run."""
    if args.protocol == 'deeplesion':
        test_set = Slices(content['images'], args.images)
    else:
        test_set = dict(lens=LENS_SUB_VOLUMES, luna16=LUNA16_SCANS)[args.protocol]
    first = args.pred[0] if args.protocol == 'luna16' else args.pred  # or several folds
    name = Path(first).absolute().parent.name
    runs = {name: predictions.detections}
    page = write_froc_report(runs, truth, rules, test_set, groups, args.report, name)
    print(f'{len(page["pictures"])} pictures: {args.report}')


@cli
def main(argv=None):
    args = parse_args(argv)
    check_draws('--bootstrap', args.bootstrap)
    check_range('--seed', args.seed, 0)
    truth, predictions, rules, content = read(args)
    if truth.lesions.ignore.all():
        raise UserError(f'{args.gt} has no lesions in the listed items, so there is no sensitivity')
    if predictions.unknown_cases and not len(predictions.detections):
        raise UserError(
            f'{args.pred} has detections of other items than {args.gt} alone '
            f'({some_names(predictions.unknown_cases, truth.cases)}): give those of one test set'
        )
    groups = group_lesions(truth.lesions.attributes, args.groups, args.gt)
    for line in warnings(args, truth, predictions, content):
        print(f'warning: {line}', file=sys.stderr)
    covered = coverage(truth, predictions)
    matched = MatchedDetections(predictions.detections, truth.lesions, len(truth.cases), rules)
    if args.report is None:
        del predictions, content  # as large as the files; matched has a copy of its own
    result = summarize_froc(matched, groups, args.bootstrap, args.seed)
    # LUNA16 has no overlap and no threshold
    names = [name for name in ('protocol', 'overlap', 'threshold') if name in args]
    settings = {name: getattr(args, name) for name in names}
    result = {**settings, **result, **covered}
    if args.protocol == 'luna16':
        result.update(true_negative_patients(matched, args.tnp_sensitivity))
    cases = froc_cases(matched, truth.cases, truth.patients)
    try:
        write_json(result, Path(args.out) / 'froc.json')
        write_cases(cases, Path(args.out) / f'froc{SUFFIX}')
        draw_froc(result, Path(args.out) / 'froc.png')
    except OSError as error:
        raise UserError(f'{args.out}: {error.strerror}; name another folder as --out') from None
    print(froc_table(result, args.protocol))
    print(
        f'{len(truth.cases)} items: {result["num_detections"]} detections, '
        f'{result["items_with_lesions"]} items with and '
        f'{result["items_without_lesions"]} without lesions, {result["seconds"]:.3f} s'
    )
    if 'TNP' in result:
        level = args.tnp_sensitivity
        print(f'True Negative Patient score at sensitivity {level}: {result["TNP"]:.4f}')
    if args.report is not None:
        write_report(args, truth, predictions, rules, groups, content)


if __name__ == '__main__':
    main()
