"""Runs of mmengine's runner from the command line, with the options of mmdet's tools.

torch and mmdet are imported when a run begins: a tool's ``--help`` needs neither.
"""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmengine.config import Config, DictAction

from mmlesion.utils import UserError
from mmlesion.utils.configs import load_config
from mmlesion.utils.processes import end_with_parent

if TYPE_CHECKING:
    from mmengine.runner import Runner


def add_run_options(parser: ArgumentParser) -> None:
    """Add the options that all of mmdet's tools have."""
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--work-dir', help='folder for logs, checkpoints and results (default: work_dirs/<config>)'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='overrides of the config, key=value; of a list key="[a,b]" or key=a,b, nested '
        'key="[(a,b),(c,d)]", in quotation marks and without blanks',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='what has started several processes (default: none)',
    )
    # torch.distributed.launch passes either
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)


def add_training_options(parser: ArgumentParser) -> None:
    """Add the options of mmdet's ``tools/train.py``."""
    add_run_options(parser)
    parser.add_argument('--amp', action='store_true', help='train with automatic mixed precision')
    parser.add_argument(
        '--auto-scale-lr', action='store_true', help='scale the learning rate with the batch size'
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='continue from this checkpoint; without one, from the newest in the work folder',
    )


def load_run_config(args: Namespace, needed: Sequence[str] = ('model',)) -> Config:
    """Load the config of a run, with what :func:`add_run_options` has read.

    Args:
        args: The options.
        needed: Parts that the config must have.

    Raises:
        UserError: As :func:`~mmlesion.utils.configs.load_config` does.
    """
    # before the config is read, so that what is not installed is named first
    from mmdet.utils import setup_cache_size_limit_of_dynamo

    setup_cache_size_limit_of_dynamo()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = load_config(args.config, args.cfg_options, needed)
    cfg.launcher = args.launcher
    default = f'./work_dirs/{Path(args.config).stem}'
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or default
    return cfg


def build_runner(cfg: Config) -> Runner:
    """Build the runner of a config; of one that names none :class:`LesionRunner`."""
    from mmengine.registry import RUNNERS

    end_with_parent()
    cfg.setdefault('runner_type', 'LesionRunner')
    return RUNNERS.build(cfg)


def train(cfg: Config, args: Namespace) -> None:
    """Train with what :func:`add_training_options` has read.

    Args:
        cfg: Of :func:`load_run_config`.
        args: The options.

    Raises:
        UserError: If an option does not fit the config.
    """
    from mmlesion.utils.processes import leave_process_group

    if args.amp:
        cfg.optim_wrapper.update(type='AmpOptimWrapper', loss_scale='dynamic')
    if args.auto_scale_lr:
        if not {'enable', 'base_batch_size'} <= cfg.get('auto_scale_lr', {}).keys():
            raise UserError('--auto-scale-lr: the config has no auto_scale_lr.base_batch_size')
        cfg.auto_scale_lr.enable = True
    if args.resume is not None:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
    build_runner(cfg).train()
    leave_process_group()
