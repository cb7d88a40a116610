"""Detect lesions in CT volumes: JSON, CSV, label map and overlay images (docs/inference.md).

Without a config and a checkpoint, lung nodules in chest CTs by the detector that comes along.
"""

import argparse
from pathlib import Path

from mmlesion.apis.lesions import SCORE_THR, SLICE_BATCH
from mmlesion.io.volume_list import list_volumes
from mmlesion.utils import UserError, check_range, cli, printable
from mmlesion.utils.memory import keep_freed_memory


def parse_args():
    from mmengine.config import DictAction  # or it is told in one line what to install

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'volume',
        help='NIfTI, MHD or MHA file, or folder of a DICOM series; or many: a folder of files or '
        'of DICOM studies, a quoted pattern with *, or a CSV file with a column "volume"',
    )
    parser.add_argument('config', nargs='?', help='config file of another detector')
    parser.add_argument('checkpoint', nargs='?', help='checkpoint file of that detector')
    parser.add_argument('--out', required=True, help='output folder, created if missing')
    parser.add_argument('--device', help='such as cuda:0 or cpu (default: the available device)')
    parser.add_argument(
        '--batch-size',
        type=at_least(1),
        help=f'slices per batch (default: {SLICE_BATCH}), or windows of a volumetric detector '
        "(default: the config's)",
    )
    parser.add_argument(
        '--score-thr',
        '--pred-score-thr',
        type=float,
        help='minimum score of a lesion, the highest of its boxes (default: the visualization '
        f'threshold of the config, or {SCORE_THR} if it has none)',
    )
    parser.add_argument(
        '--iou-thr',
        type=float,
        default=0.5,
        help='boxes of consecutive slices are one lesion above this IoU (default: 0.5); '
        'not used by volumetric detectors',
    )
    parser.add_argument(
        '--box-margin',
        type=float,
        help='mm by which boxes exceed lesions on each side, subtracted for the diameter '
        "(default: what the config's dataset says, 4 for DeepLesion's padded boxes, or 0)",
    )
    parser.add_argument(
        '--any-scan',
        action='store_true',
        help='also take scans unlike those that the detector was trained on: whole slices for a '
        'detector of windows, other pixel sizes',
    )
    parser.add_argument(
        '--lungs',
        metavar='MASK',
        help="mask of the lungs on the volume's grid, for a detector trained on LUNA16 (default: "
        'segment the lungs by thresholds)',
    )
    parser.add_argument('--series', help='Series Instance UID to take from a DICOM folder')
    parser.add_argument(
        '--max-overlays',
        type=at_least(0),
        default=50,
        help='maximum number of overlay images (default: 50)',
    )
    parser.add_argument(
        '--report',
        action='store_true',
        help='also write report.html of each volume: the lesions beside a viewer of the slices, in '
        'one file without network',
    )
    parser.add_argument('--no-overlay', action='store_true', help='draw no overlay images')
    parser.add_argument(
        '--amp',
        action='store_true',
        help='compute features in half precision: float16 on a GPU, bfloat16 on a processor',
    )
    parser.add_argument(
        '--channels-last', action='store_true', help='keep feature maps with channels last'
    )
    parser.add_argument(
        '--fuse-conv-bn',
        action='store_true',
        help='make batch normalization a part of the convolutions of the backbone',
    )
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, help='config overrides, key=value'
    )
    return parser.parse_args()


def at_least(lowest):
    def count(text):
        value = int(text)
        if value < lowest:
            raise argparse.ArgumentTypeError(f'must be at least {lowest}')
        return value

    return count


def report(lesions, out_dir):
    print(f'{len(lesions)} lesions written to {out_dir}')
    if lesions:
        print(f'{"id":>4} {"score":>6} {"diameters mm":>13}  center x, y, z in mm (LPS)  label')
    for lesion in lesions[:10]:
        center = ', '.join(f'{value:.1f}' for value in lesion.center_mm)
        diameters = f'{lesion.diameter_mm:.1f} x {lesion.short_diameter_mm:.1f}'
        numbers = f'{lesion.id:4} {lesion.score:6.3f} {diameters:>13}'
        print(printable(f'{numbers}  {center:26}  {lesion.label}'))


def report_many(statuses, out_dir):
    counts = {}
    for one in statuses:
        counts[one.status] = counts.get(one.status, 0) + 1
    listed = ', '.join(f'{count} {status}' for status, count in counts.items())
    lesions = sum(one.lesions or 0 for one in statuses)
    print(f'{len(statuses)} volumes ({listed}), {lesions} lesions: {out_dir}/lesions.csv')
    if 'failed' in counts:
        raise UserError(
            f'{counts["failed"]} of {len(statuses)} volumes failed: {out_dir}/volumes.csv says '
            'why; the same command tries these again'
        )


def complete_reports(folders):
    """Write the page of each folder of results that an earlier run has left without one."""
    from mmlesion.report.volume_report import NAME, write_volume_report

    for folder in folders:
        path = Path(folder) / NAME
        if not path.is_file():
            write_volume_report(folder)
        print(f'report: {path} ({path.stat().st_size / 1e6:.1f} MB)')


def check_args(args):
    if args.config is not None and args.checkpoint is None:
        raise UserError(f'give the checkpoint of {args.config}, too')
    if args.score_thr is not None:
        check_range('--score-thr', args.score_thr, 0, 2)  # calibrated scores go up to 2
    if args.box_margin is not None:
        check_range('--box-margin', args.box_margin, 0)
    check_range('--iou-thr', args.iou_thr, 0, 1)


@cli
def main():
    args = parse_args()
    check_args(args)
    volumes = list_volumes(args.volume)
    # a mask and a series belong to one volume
    if volumes is not None and (args.lungs or args.series):
        raise UserError('--lungs and --series are for a single volume: leave them out')
    # with torch, which --help does without
    from mmlesion.apis import LesionInferencer
    from mmlesion.apis.many_volumes import detect_many
    from mmlesion.apis.shipped_detector import read_card, shipped_detector
    from mmlesion.apis.speed import Speed

    # before the first large block is allocated
    keep_freed_memory()
    config, checkpoint = args.config, args.checkpoint
    if config is None:
        config, checkpoint = shipped_detector()
        print(f'{read_card()["says"]}: {Path(checkpoint).with_suffix(".json")}')
    inferencer = LesionInferencer(
        config,
        checkpoint,
        args.device,
        args.cfg_options,
        args.box_margin,
        args.any_scan,
        speed=Speed(args.amp, args.channels_last, args.fuse_conv_bn),
    )
    options = dict(
        batch_size=args.batch_size,
        pred_score_thr=args.score_thr,
        iou_thr=args.iou_thr,
        max_overlays=0 if args.no_overlay else args.max_overlays,
        report=args.report,
    )
    if volumes is None:
        lesions = inferencer(
            args.volume, out_dir=args.out, series=args.series, lungs=args.lungs, **options
        )
        report(lesions, args.out)
        if args.report:
            complete_reports([args.out])
    else:
        statuses = detect_many(inferencer, volumes, args.out, **options)
        if args.report:
            found = [Path(args.out) / one.name for one in statuses if one.status != 'failed']
            complete_reports(found)
        # last, as it ends with an error if a volume has failed
        report_many(statuses, args.out)


if __name__ == '__main__':
    main()
