"""Write a synthetic CT data set in DeepLesion's layout (see docs/datasets.md)."""

import argparse
import os

from mmlesion.datasets.phantom import PatientOptions, make_deeplesion_phantom
from mmlesion.utils import cli


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--out', required=True, help='folder to make')
    parser.add_argument(
        '--patients',
        type=int,
        nargs=3,
        default=(24, 8, 8),
        metavar=('TRAIN', 'VAL', 'TEST'),
        help='patients of each split (24 8 8)',
    )
    parser.add_argument('--size', type=int, default=256, help='rows and columns, px (256)')
    parser.add_argument('--seed', type=int, default=0, help='the same seed, the same bytes (0)')
    parser.add_argument(
        '--workers', type=int, default=os.cpu_count() or 1, help='processes (one a core)'
    )
    parser.add_argument(
        '--lesion-scale', type=float, default=1.0, help="factor on DeepLesion's lesion sizes (1)"
    )
    parser.add_argument(
        '--slice-intervals',
        type=float,
        nargs='+',
        default=(1.0, 2.0, 5.0),
        help='mm, each equally likely (1 2 5)',
    )
    parser.add_argument(
        '--context-mm',
        type=float,
        default=8.0,
        help='height kept above and below a key slice; DeepLesion has 30 (8)',
    )
    parser.add_argument(
        '--unannotated',
        type=float,
        default=0.15,
        help='chance that a level has a lesion that is not annotated (0.15)',
    )
    parser.add_argument(
        '--noisy', type=float, default=0.03, help='chance that a level has a noisy row (0.03)'
    )
    parser.add_argument('--overwrite', action='store_true', help='replace an existing folder')
    return parser.parse_args()


@cli
def main():
    args = parse_args()
    options = PatientOptions(
        size=args.size,
        lesion_scale=args.lesion_scale,
        slice_intervals=tuple(args.slice_intervals),
        unannotated=args.unannotated,
    )
    make_deeplesion_phantom(
        args.out,
        patients=tuple(args.patients),
        seed=args.seed,
        context_mm=args.context_mm,
        noisy=args.noisy,
        workers=args.workers,
        overwrite=args.overwrite,
        options=options,
    )
    print(f'{sum(args.patients)} patients in {args.out}')


if __name__ == '__main__':
    main()
