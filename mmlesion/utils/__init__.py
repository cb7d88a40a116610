"""Utilities: errors, parallel execution and mmdet's tools."""

from .errors import OutputError, UserError, cli
from .parallel import run_parallel

__all__ = ['OutputError', 'UserError', 'cli', 'run_parallel']
