"""Utilities: errors, parallel execution and mmdet's tools."""

from .errors import OutputError, UserError, cli
from .parallel import run_parallel
from .setup_env import register_all_modules

__all__ = ['OutputError', 'UserError', 'cli', 'register_all_modules', 'run_parallel']
