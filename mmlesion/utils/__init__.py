"""Utilities: errors, parallel execution and what command-line tools share."""

from .command_line import cli
from .configs import register_all_modules
from .errors import OptionError, OutputError, UserError, check_draws, check_range, printable
from .parallel import run_parallel

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
