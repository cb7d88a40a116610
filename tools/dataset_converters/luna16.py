"""Convert LUNA16 to volumes of 1 mm that are cropped to the lungs, and luna16.json.

The schema is described in docs/datasets.md. Volumes that an earlier run has made of the same files
and options are kept, so that an interrupted run goes on where it was.
"""

import argparse
import os
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import NamedTuple

import SimpleITK as sitk
from terminaltables import AsciiTable

from mmlesion.datasets.conversion import add_skip_options, check_skipped
from mmlesion.datasets.luna16_files import (
    find_luna16_scans,
    read_luna16_findings,
    read_luna16_scan,
    read_lung_mask,
)
from mmlesion.datasets.lungs import OUTSIDE, LungRegion, cut_to_lungs
from mmlesion.datasets.volume_files import store_volume, write_annotations, write_volume
from mmlesion.io.atomic import atomic_write
from mmlesion.structures import Grid
from mmlesion.utils import UserError, cli, run_parallel

MASKS = 'seg-lungs-LUNA16'


class Converted(NamedTuple):
    """What became of a scan: its entry in the annotation file, or what is wrong with it."""

    entry: dict
    problem: str = None


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('root', help='the folder with subset0 to subset9')
    parser.add_argument('--out', required=True, help='folder for luna16.json and the volumes')
    parser.add_argument('--masks', help=f'the folder of lung masks (<root>/{MASKS})')
    parser.add_argument('--annotations', help='(<root>/annotations.csv)')
    parser.add_argument('--excluded', help='(<root>/annotations_excluded.csv)')
    parser.add_argument(
        '--margin', type=float, default=10.0, help='mm that are kept around the lungs (10)'
    )
    parser.add_argument(
        '--outside',
        choices=OUTSIDE,
        default='fill',
        help='what becomes of all that is neither lung nor near it: tissue, or it stays (fill)',
    )
    parser.add_argument(
        '--workers', type=int, default=os.cpu_count() or 1, help='processes (one a core)'
    )
    add_skip_options(parser, 'scan')
    args = parser.parse_args()
    args.masks = Path(args.masks or Path(args.root, MASKS))
    args.annotations = args.annotations or Path(args.root, 'annotations.csv')
    args.excluded = args.excluded or Path(args.root, 'annotations_excluded.csv')
    return args


@cli
def main():
    args = parse_args()
    region = LungRegion(args.margin, args.outside)
    if not args.masks.is_dir():
        raise UserError(f'{args.masks} is not a folder: give that of the lung masks by --masks')
    scans = find_luna16_scans(args.root)
    # now, so that a bad list is found at once
    read_luna16_findings(args.annotations, args.excluded, args.out, [scan.uid for scan in scans])
    convert = partial(
        convert_scan,
        masks=args.masks,
        out=args.out,
        region=region,
        strict=args.strict,
    )
    converted = run_parallel(convert, scans, args.workers, 'LUNA16', 'scan', resumable=True)
    volumes = [scan.entry for scan in converted if scan.entry is not None]
    problems = [scan.problem for scan in converted if scan.problem is not None]
    if not volumes:
        raise UserError(f'no scan can be used; the first: {problems[0]}')
    uids = [volume['series_uid'] for volume in volumes]
    findings = read_luna16_findings(args.annotations, args.excluded, args.out, uids)
    write(args.out, volumes, findings, problems, region)
    report(volumes, findings, problems)
    skipped = Path(args.out, 'skipped.txt')
    check_skipped(len(problems), len(scans), args.allow_skipped, 'scan', skipped)


def convert_scan(scan, masks, out, region, strict=False):
    """Make a scan's volume, if that is not done.

    Args:
        scan (LunaScan): The scan.
        masks (Path): The folder of lung masks.
        out (str | Path): The data set's folder.
        region (LungRegion): What is kept of it.
        strict (bool): Whether a scan that cannot be used is an error.

    Returns:
        Converted: Its entry, or its problem.

    Raises:
        UserError: With ``strict``, if the scan cannot be used.
    """
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)  # as there are several processes
    mask = masks / f'{scan.uid}.mhd'
    convert = partial(cut_scan, scan, mask, out, region)
    try:
        entry = store_volume(out, scan.uid, [scan.path, mask], region, convert)
    except UserError as error:
        if strict:
            raise UserError(f'{error}. Without --strict such scans are skipped') from None
        return Converted(None, f'{scan.uid}: {error}')
    return Converted({**entry, 'fold': scan.fold})


def cut_scan(scan, mask, out, region):
    """Cut a scan to its lungs, resample it to 1 mm and write it; see :func:`convert_scan`."""
    image = read_luna16_scan(scan.path)
    hu, grid = cut_to_lungs(image, read_lung_mask(mask, image), region)
    return write_volume(out, scan.uid, hu, grid)


def write(out, volumes, findings, problems, region):
    """Write ``luna16.json``; ``skipped.txt`` names every scan that was skipped."""
    skipped = Path(out, 'skipped.txt')
    if problems:
        with atomic_write(skipped) as temporary:
            temporary.write_text(''.join(f'{problem}\n' for problem in problems))
    else:
        skipped.unlink(missing_ok=True)
    write_annotations(
        Path(out, 'luna16.json'), volumes, findings, 'nodule', 'LUNA16', {'lungs': asdict(region)}
    )


def report(volumes, findings, problems):
    """Print what is in each subset, and what to know of it."""
    rows = {fold: [0, 0, 0] for fold in range(10)}
    outside = 0
    for volume, found in zip(volumes, findings):
        nodules = [finding for finding in found if not finding['ignore']]
        counts = (1, len(nodules), len(found) - len(nodules))
        rows[volume['fold']] = [sum(pair) for pair in zip(rows[volume['fold']], counts)]
        outside += count_outside(volume, nodules)
    table = [['subset', 'scans', 'nodules', 'excluded'], *([k, *v] for k, v in rows.items())]
    print(AsciiTable(table).table)
    for problem in problems:
        print(f'skipped: {problem}', file=sys.stderr)
    if missing := [fold for fold, counts in rows.items() if not counts[0]]:
        print(f'warning: there is no scan of the subsets {missing}', file=sys.stderr)
    if outside:
        print(
            f'warning: {outside} nodules lie outside of the volumes and cannot be found; a larger '
            '--margin keeps more',
            file=sys.stderr,
        )


def count_outside(volume, nodules):
    """How many nodules have their centre outside of a volume."""
    inside = Grid.from_annotation(volume).contains([nodule['center_mm'] for nodule in nodules])
    return int((~inside).sum())


if __name__ == '__main__':
    main()
