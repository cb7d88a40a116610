"""Merge the detections of two models: those that overlap are averaged.

Files are LUNA16 submissions (.csv), or COCO results or spheres as FROCMetric writes them
(<prefix>.bbox.json). Both are of one kind, and so is the output. Marks of a submission, which have
no size, are treated as cubes of 10 mm.
"""

import argparse

from mmlesion.evaluation.merging import MODES, merge_detections
from mmlesion.io.detections import detections_of, read_detections
from mmlesion.utils import UserError, cli


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('first', help='detections of one model')
    parser.add_argument('second', help='detections of the other')
    parser.add_argument('--out', required=True, help='file to write')
    parser.add_argument(
        '--mode',
        choices=MODES,
        default='union',
        help='keep or drop detections of only one model (default: union)',
    )
    parser.add_argument(
        '--iou-thr',
        type=float,
        default=0.1,
        help='IoU above which detections are paired (default: 0.1)',
    )
    return parser.parse_args(argv)


@cli
def main(argv=None):
    args = parse_args(argv)
    if not 0 <= args.iou_thr < 1:
        raise UserError(f'--iou-thr is {args.iou_thr}: give a number from 0 to below 1')
    files = [read_detections(path) for path in (args.first, args.second)]
    # an empty file may be of either kind
    kinds = {type(file) for file in files if file.names} or {type(files[0])}
    if len(kinds) > 1:
        raise UserError(
            f'{args.first} and {args.second} are of different kinds: give two of the same kind'
        )
    (kind,) = kinds
    # cases of both files are numbered alike: equal numbers are the same image or scan
    names, (first, second) = detections_of(files)
    merged = merge_detections(first, second, kind.boxes, args.mode, args.iou_thr)
    try:
        kind.write(args.out, names, merged)
    except OSError as error:
        raise UserError(f'{args.out}: {error.strerror}; name another file as --out') from None
    counts = f'{len(first.score)} and {len(second.score)} detections'
    print(f'{counts}, {args.mode} of {len(merged.score)} written to {args.out}')


if __name__ == '__main__':
    main()
