from .errors import UserError, cli
from .files import atomic_folder, atomic_write, path_under
from .parallel import run_parallel

__all__ = ['UserError', 'atomic_folder', 'atomic_write', 'cli', 'path_under', 'run_parallel']
