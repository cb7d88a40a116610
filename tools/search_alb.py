"""Search the auto-lesion blocks of ElixirNet: writes genotypes.py, a config fragment.

Every other option is one of mmdet's tools/train.py: --resume, --amp, --launcher, --cfg-options.
"""

import argparse
import sys

import mmlesion  # noqa: F401 (registers mmlesion's components)
from mmlesion.utils import cli
from mmlesion.utils.mmdet_tools import run_mmdet_tool


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument('config', help='config with an ALBSearchLoop')
    parser.add_argument('--work-dir', help='folder for logs, checkpoints and the genotypes')
    parser.add_argument(
        '--strategy',
        choices=['gradient', 'random'],
        help="the paper's differentiable search, or random search with shared weights "
        '(default: that of the config)',
    )
    parser.add_argument(
        '--num-samples', type=int, help='number of genotypes that random search scores'
    )
    return parser.parse_known_args(argv)


def train_arguments(argv=None):
    """Turn this tool's options into those of mmdet's tools/train.py."""
    args, others = parse_args(argv)
    arguments = [args.config]
    if args.work_dir:
        arguments += ['--work-dir', args.work_dir]
    arguments += others
    settings = []
    if args.strategy is not None:
        settings.append(f'train_cfg.strategy={args.strategy}')
    if args.num_samples is not None:
        settings.append(f'train_cfg.num_samples={args.num_samples}')
    # last: --cfg-options takes whatever follows it
    return arguments + ['--cfg-options'] + settings if settings else arguments


@cli
def main():
    sys.argv[1:] = train_arguments()
    run_mmdet_tool('train.py')


if __name__ == '__main__':
    main()
