"""Utilities: errors, parallel execution and mmdet's tools."""

from .errors import OptionError, OutputError, UserError, cli, printable
from .options import check_draws, check_range
from .parallel import run_parallel
from .setup_env import register_all_modules

__all__ = [
    'OptionError',
    'OutputError',
    'UserError',
    'check_draws',
    'check_range',
    'cli',
    'printable',
    'register_all_modules',
    'run_parallel',
]
