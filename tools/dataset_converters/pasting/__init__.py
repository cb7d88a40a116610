"""Real nodules in whole chest CTs, pasted where there is room."""

from .nodules import (
    Chest,
    Nodule,
    paste,
    paste_many,
    read_chests,
    read_cube,
    read_nodules,
    turned,
)

__all__ = [
    'Chest',
    'Nodule',
    'paste',
    'paste_many',
    'read_chests',
    'read_cube',
    'read_nodules',
    'turned',
]
