from .errors import UserError, cli
from .files import atomic_write, path_under

__all__ = ['UserError', 'atomic_write', 'cli', 'path_under']
