from .checkpoint import load_from_local
from .hooks import *  # noqa: F401, F403

__all__ = ['load_from_local']
