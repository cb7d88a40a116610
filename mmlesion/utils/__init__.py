"""Utilities: errors, parallel execution and mmdet's tools."""

from .errors import OptionError, OutputError, UserError, cli
from .parallel import run_parallel

__all__ = ['OptionError', 'OutputError', 'UserError', 'cli', 'run_parallel']
