"""Write a synthetic CT dataset in a benchmark's layout (see docs/datasets.md)."""

import argparse
import os
from dataclasses import replace
from typing import Callable, NamedTuple

from phantom import (
    LUNA16_OPTIONS,
    PatientOptions,
    make_deeplesion_phantom,
    make_kits19_phantom,
    make_lits_phantom,
    make_luna16_phantom,
    make_nih_ln_phantom,
)

from mmlesion.utils import UserError, check_range, cli


class Layout(NamedTuple):
    """The writer of a layout, and its default numbers and kind of patients."""

    make: Callable
    counts: tuple
    options: PatientOptions = PatientOptions()


LAYOUTS = {
    'deeplesion': Layout(make_deeplesion_phantom, (24, 8, 8)),
    'kits19': Layout(make_kits19_phantom, (20, 2)),
    'lits': Layout(make_lits_phantom, (20, 2)),
    'luna16': Layout(make_luna16_phantom, (20, 10), LUNA16_OPTIONS),
    'nih_ln': Layout(make_nih_ln_phantom, (10, 10)),
}


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--out', required=True, help='folder to make')
    parser.add_argument(
        '--layout', choices=LAYOUTS, default='deeplesion', help='whose files to write (deeplesion)'
    )
    parser.add_argument(
        '--patients',
        type=int,
        nargs='+',
        metavar='COUNT',
        help='deeplesion: patients of the training, validation and test split (24 8 8); '
        'kits19 and lits: cases with and without a segmentation (20 2); '
        'luna16: scans with and without nodules (20 10); '
        'nih_ln: abdomens and mediastina (10 10)',
    )
    parser.add_argument('--size', type=int, help='rows and columns, px (256; luna16: 128)')
    parser.add_argument('--seed', type=int, default=0, help='the same seed, the same bytes (0)')
    parser.add_argument(
        '--workers', type=int, default=os.cpu_count() or 1, help='processes (one a core)'
    )
    parser.add_argument(
        '--lesion-scale',
        type=float,
        help="factor on DeepLesion's lesion sizes (1; luna16: 0.4)",
    )
    parser.add_argument(
        '--slice-intervals',
        type=float,
        nargs='+',
        help='mm, each equally likely (1 2 5; luna16: 1 1.25 2.5)',
    )
    parser.add_argument('--overwrite', action='store_true', help='replace an existing folder')
    group = parser.add_argument_group('of the layout deeplesion alone')
    group.add_argument(
        '--context-mm',
        type=float,
        help='height kept above and below a key slice; DeepLesion has 30 (8)',
    )
    group.add_argument(
        '--unannotated',
        type=float,
        help='chance that a level has a lesion that is not annotated (0.15)',
    )
    group.add_argument('--noisy', type=float, help='chance that a level has a noisy row (0.03)')
    return parser.parse_args()


def given(args, names):
    """Return the named options that are given, those without a default."""
    options = {}
    for name in names:
        if getattr(args, name) is not None:
            options[name] = getattr(args, name)
    return options


@cli
def main():
    args = parse_args()
    check_range('--seed', args.seed, 0)
    check_range('--workers', args.workers, 1)
    layout = LAYOUTS[args.layout]
    counts = tuple(args.patients or layout.counts)
    own = given(args, ('context_mm', 'unannotated', 'noisy'))
    if own and args.layout != 'deeplesion':
        flag = next(iter(own)).replace('_', '-')
        raise UserError(f'--{flag} is of --layout deeplesion: leave it out for {args.layout}')
    own.pop('unannotated', None)  # one of the options of patients, not of the layout's function
    names = ('size', 'lesion_scale', 'slice_intervals', 'unannotated')
    options = replace(layout.options, **given(args, names))
    layout.make(
        args.out,
        counts,
        seed=args.seed,
        workers=args.workers,
        overwrite=args.overwrite,
        options=options,
        **own,
    )
    print(f'{sum(counts)} patients in {args.out}')


if __name__ == '__main__':
    main()
