"""Export the results of infer.py to DICOM and 3D Slicer.

    export_lesions.py RESULTS --formats dicom-seg dicom-sr slicer --out DIR

writes lesions.seg.dcm (Segmentation), lesions.sr.dcm (Structured Report, TID 1500) and
lesions.mrk.json (markups). DICOM objects refer to the DICOM series that infer.py has read, and need
the package's extra "dicom". For research; no result is for diagnosis.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from mmlesion.export.dicom_seg import write_dicom_seg
from mmlesion.export.dicom_sr import write_dicom_sr
from mmlesion.export.slicer_markups import grid_to_world, write_markups
from mmlesion.export.source_series import complete_headers, read_source_series, require_highdicom
from mmlesion.io.atomic import atomic_write
from mmlesion.io.results import Results, read_label_map, read_results
from mmlesion.utils import UserError, check_range, cli

FORMATS = 'dicom-seg', 'dicom-sr', 'slicer'


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('results', help='folder that infer.py has written')
    parser.add_argument('--formats', nargs='+', choices=FORMATS, default=FORMATS)
    parser.add_argument('--out', help='folder to write to (default: that of the results)')
    parser.add_argument(
        '--dicom', metavar='DIR', help='folder of the DICOM series (default: as infer.py read it)'
    )
    parser.add_argument('--series', metavar='UID', help='series to take, if DIR has several')
    parser.add_argument(
        '--score-thr', type=float, default=0.0, help='lowest score to export (default: all)'
    )
    return parser.parse_args(argv)


def export(results: Results, args: argparse.Namespace) -> list[Path]:
    """Write the asked-for files, all or none, and return their paths."""
    out = Path(args.out or args.results)
    # DICOM objects refer to the slices themselves; markups only if these are named
    wants_dicom = any(name.startswith('dicom') for name in args.formats)
    source = None
    if 'dicom-sr' in args.formats:
        check_slice_axis(results)
    if wants_dicom:
        require_highdicom()
    if wants_dicom or args.dicom:
        source = read_source_series(results, args.dicom, args.series)
    if wants_dicom:
        complete_headers(source)
    write: dict[str, Callable[[Path], None]] = {}
    if 'slicer' in args.formats:
        to_world = source.stack.to_world if source else grid_to_world(results.volume)
        write['lesions.mrk.json'] = partial(write_markups, results, to_world)
    if wants_dicom:
        labels = read_label_map(results)
        for name, function in (('dicom-seg', write_dicom_seg), ('dicom-sr', write_dicom_sr)):
            if name in args.formats:
                write[f'lesions.{name[6:]}.dcm'] = partial(function, results, labels, source)
    # all are renamed at the end, or none
    with ExitStack() as files:
        for name, function in write.items():
            function(files.enter_context(atomic_write(out / name)))
    return [out / name for name in write]


def check_slice_axis(results: Results) -> None:
    """Refuse results whose key slices are no slices of the series."""
    axis = results.volume['slice_axis']
    if axis != 'k':
        raise UserError(
            f'{results.folder}: the lesions were measured on slices along {axis}, and a Structured '
            'Report outlines them on slices of the series, along k: export them with --formats '
            'dicom-seg slicer'
        )


@cli
def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    check_range('--score-thr', args.score_thr, 0, 2)  # calibrated scores go up to 2
    results = read_results(args.results, args.score_thr)
    if not results.lesions:
        raise UserError(f'{args.results} has no lesion with a score of {args.score_thr:g} or more')
    for path in export(results, args):
        print(f'{len(results.lesions)} lesions: {path}')


if __name__ == '__main__':
    main()
