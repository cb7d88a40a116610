"""Test a detector: mmdet's tools/test.py, its options included, with mmlesion registered."""

import argparse
import os
import sys
from contextlib import contextmanager, nullcontext
from pathlib import Path

import mmlesion  # noqa: F401 (registers mmlesion's components)
from mmlesion.utils import UserError, cli

REPORT_HELP = """  --report [HTML]       also write the page of report.py, for a detector of slices
                        (default: report.html in the work dir)
  --groups FIELD [FIELD ...]
                        groups of lesions on that page, by fields of the annotations"""


def dump_lesion_results():
    """Let ``--out`` write what :class:`~mmlesion.evaluation.DumpLesionResults` keeps.

    What mmdet's tool takes would hold two full-size maps of each slice in memory.
    """
    import mmdet.evaluation

    from mmlesion.evaluation import DumpLesionResults

    mmdet.evaluation.DumpDetResults = DumpLesionResults


def take_report_options():
    """Take --report and --groups from the command line, which mmdet's tool does not know.

    Returns:
        Namespace: ``report``, the page, '' for the default, None without the option; ``groups``.
    """
    # without abbreviations, which might be options of mmdet's tool
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument('--report', nargs='?', const='')
    parser.add_argument('--groups', nargs='+', default=[])
    own, sys.argv[1:] = parser.parse_known_args()
    if own.groups and own.report is None:
        raise UserError('--groups is of the page: give --report too')
    return own


def prepare_report(report, groups):
    """Let the metric write its detections; return what the page needs, and the page's path."""
    from mmlesion.report.page import check_html_name
    from mmlesion.report.tested_config import read_tested_config
    from mmlesion.utils.configs import load_config
    from mmlesion.utils.mmdet_tools import tool_arguments

    if report:
        check_html_name('--report', report)
    args = tool_arguments('test.py')
    cfg = load_config(args.config, args.cfg_options, ['test_dataloader'])
    stem = Path(args.config).stem
    work_dir = args.work_dir or cfg.get('work_dir') or f'work_dirs/{stem}'
    out = Path(report or f'{work_dir}/report.html')
    tested = read_tested_config(cfg, stem, out, groups)
    return tested, out


@contextmanager
def options_of_config(options):
    """Build runners with these options, which on the command line would lose their blanks."""
    from mmengine.runner import Runner

    plain = Runner.__dict__['from_cfg']

    def from_cfg(cls, cfg):
        cfg.merge_from_dict(options)
        return plain.__func__(cls, cfg)

    Runner.from_cfg = classmethod(from_cfg)
    try:
        yield
    finally:
        Runner.from_cfg = plain


def is_first_process():
    return int(os.environ.get('RANK', os.environ.get('SLURM_PROCID', '0'))) == 0


@cli
def main():
    asks_for_help = {'-h', '--help'} & set(sys.argv[1:])
    own = take_report_options()
    prepared = None
    if own.report is not None and not asks_for_help:
        prepared = prepare_report(own.report, own.groups)
    from mmlesion.utils.mmdet_tools import run_mmdet_tool

    try:
        with options_of_config(prepared[0].options) if prepared else nullcontext():
            run_mmdet_tool('test.py', dump_lesion_results)
    finally:
        if asks_for_help:  # mmdet's parser has ended the process
            print(REPORT_HELP)
    if prepared is not None and is_first_process():
        from mmlesion.report.tested_config import write_tested_report

        write_tested_report(*prepared)
        print(f'report: {prepared[1]}')


if __name__ == '__main__':
    main()
