"""Write an HTML report of a volume's lesions: one file, which needs no network.

    volume_report.py RESULTS

RESULTS is a folder that infer.py has written. The page has the lesions' table beside a viewer that
scrolls through the slices, with window presets, boxes, masks and measured diameters. infer.py
--report writes the same page. For research; no result is for diagnosis.
"""

from __future__ import annotations

import argparse

from mmlesion.report.page import MOST_VOXELS, check_html_name
from mmlesion.report.volume_report import write_volume_report
from mmlesion.utils import check_range, cli


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('results', help='folder that infer.py has written')
    parser.add_argument('--out', help='HTML file to write (default: report.html in the folder)')
    parser.add_argument('--volume', help='the CT volume, if it is not where infer.py has read it')
    parser.add_argument('--series', metavar='UID', help='series to take from a DICOM folder')
    parser.add_argument(
        '--score-thr', type=float, default=0.0, help='lowest score of a lesion (default: all)'
    )
    parser.add_argument(
        '--max-voxels',
        type=float,
        default=MOST_VOXELS,
        help='px of larger volumes are averaged (default: %(default).3g, about 40 MB of HTML)',
    )
    args = parser.parse_args(argv)
    check_range('--max-voxels', args.max_voxels, 1)
    if args.out is not None:
        check_html_name('--out', args.out)
    return args


@cli
def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    path = write_volume_report(
        args.results, args.out, args.volume, args.series, args.score_thr, int(args.max_voxels)
    )
    print(f'{path} ({path.stat().st_size / 1e6:.1f} MB)')


if __name__ == '__main__':
    main()
