"""Utilities: errors, parallel execution and mmdet's tools."""

from .errors import OptionError, OutputError, UserError, cli
from .options import check_draws, check_range
from .parallel import run_parallel

__all__ = [
    'OptionError',
    'OutputError',
    'UserError',
    'check_draws',
    'check_range',
    'cli',
    'run_parallel',
]
