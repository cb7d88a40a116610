"""Test a detector, with the options of mmdet's tools/test.py, and write the page of its results."""

import argparse
from copy import deepcopy
from pathlib import Path

import mmlesion  # noqa: F401 (registers mmlesion's components)
from mmlesion.utils import UserError, cli


def parse_args():
    from mmlesion.apis.runs import add_run_options

    parser = argparse.ArgumentParser(description=__doc__)
    add_run_options(parser)
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--out', help='pickle file for the predictions')
    parser.add_argument('--show', action='store_true', help='show predictions in a window')
    parser.add_argument('--show-dir', help='folder for pictures, in <work dir>/<timestamp>')
    parser.add_argument(
        '--wait-time', type=float, default=2, help='seconds that --show shows each (default: 2)'
    )
    parser.add_argument('--tta', action='store_true', help='test with augmentation')
    parser.add_argument(
        '--report',
        nargs='?',
        const='',
        metavar='HTML',
        help='also write the page of report.py, for a detector of slices (default: report.html in '
        'the work dir)',
    )
    parser.add_argument(
        '--groups',
        nargs='+',
        default=[],
        metavar='FIELD',
        help='groups of lesions on that page, by fields of the annotations',
    )
    args = parser.parse_args()
    if args.groups and args.report is None:
        raise UserError('--groups is of the page: give --report too')
    if args.out and not args.out.endswith(('.pkl', '.pickle')):
        raise UserError(f'--out {args.out}: it must be a pkl file')
    return args


def augment(cfg):
    """Test with the config's augmentation, or as mmdet's tool does with a flip."""
    from mmengine.config import ConfigDict

    from mmlesion.utils.configs import innermost_dataset

    nms = dict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=100)
    model = cfg.get('tta_model', dict(type='DetTTAModel', tta_cfg=nms))
    pipeline = cfg.get('tta_pipeline')
    if pipeline is None:
        names = 'img_id img_path ori_shape img_shape scale_factor flip flip_direction'
        flips = [dict(type='RandomFlip', prob=prob) for prob in (1.0, 0.0)]
        packed = [dict(type='PackDetInputs', meta_keys=tuple(names.split()))]
        pipeline = deepcopy(innermost_dataset(cfg.test_dataloader)['pipeline'])
        pipeline[-1] = dict(type='TestTimeAug', transforms=[flips, packed])
    cfg.model = ConfigDict(**model, module=cfg.model)
    cfg.test_dataloader.dataset.pipeline = pipeline


def prepare_report(args, cfg):
    """Let the metric write its detections; return what the page needs, and the page's path."""
    from mmlesion.report.page import check_html_name
    from mmlesion.report.tested_config import read_tested_config

    if args.report:
        check_html_name('--report', args.report)
    out = Path(args.report or f'{cfg.work_dir}/report.html')
    tested = read_tested_config(cfg, Path(args.config).stem, out, args.groups)
    cfg.merge_from_dict(tested.options)
    return tested, out


@cli
def main():
    args = parse_args()
    from mmlesion.apis.runs import build_runner, load_run_config

    cfg = load_run_config(args, ['model', 'test_dataloader'])
    cfg.load_from = args.checkpoint
    report = None if args.report is None else prepare_report(args, cfg)
    if args.show or args.show_dir:
        from mmdet.engine.hooks.utils import trigger_visualization_hook

        cfg = trigger_visualization_hook(cfg, args)
    if args.tta:
        augment(cfg)
    runner = build_runner(cfg)
    if args.out:
        from mmlesion.evaluation import DumpLesionResults

        runner.test_evaluator.metrics.append(DumpLesionResults(out_file_path=args.out))
    runner.test()
    if report is not None and runner.rank == 0:
        from mmlesion.report.tested_config import write_tested_report

        write_tested_report(*report)
        print(f'report: {report[1]}')
    del runner
    from mmlesion.utils.processes import leave_process_group

    leave_process_group()


if __name__ == '__main__':
    main()
