"""Utilities: errors, parallel execution and mmdet's tools."""

from .errors import OptionError, OutputError, UserError, cli
from .parallel import run_parallel
from .setup_env import register_all_modules

__all__ = [
    'OptionError',
    'OutputError',
    'UserError',
    'cli',
    'register_all_modules',
    'run_parallel',
]
