from .errors import OutputError, UserError, cli
from .files import atomic_folder, atomic_write, path_under
from .parallel import run_parallel

__all__ = [
    'OutputError',
    'UserError',
    'atomic_folder',
    'atomic_write',
    'cli',
    'path_under',
    'run_parallel',
]
