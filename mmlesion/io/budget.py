"""How much memory may be made of a file's bytes.

A file that names one piece of its data many times can ask for any amount of memory: a few bytes
name a copy of a megabyte. A :class:`Budget` bounds what is made by what the file holds.
"""

from __future__ import annotations

from typing import Any

from mmlesion.utils import UserError

_SMALL = 1 << 20  # bytes, for which files of a few values need no care


class Budget:
    """Bytes that may be made of a file's bytes.

    Args:
        times (int): How often each byte may be used.
        size (int): Bytes of the file.
    """

    def __init__(self, times: int, size: int) -> None:
        self.times, self.left = times, times * size + _SMALL

    def spend(self, size: int) -> None:
        """Take bytes from the budget.

        Raises:
            UserError: If it is spent.
        """
        self.left -= size
        if self.left < 0:
            raise UserError(f'it uses its own data over {self.times} times, as no program writes')


def weight_of(value: Any) -> int:
    """Return about the bytes that a copy of a value takes, without those of its items."""
    if isinstance(value, (str, bytes, bytearray)):
        return len(value)
    if isinstance(value, (tuple, list, dict, set, frozenset)):
        return 16 * len(value)
    return getattr(value, 'nbytes', 0)


def weight_of_parts(value: Any) -> int:
    """Return about the bytes that copies of the items of a tuple or dictionary take."""
    parts = value.values() if isinstance(value, dict) else value
    return sum(map(weight_of, parts)) if isinstance(value, (dict, tuple)) else 0
