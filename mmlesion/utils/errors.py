"""Errors that the command-line tools report in one line, and checks of numbers that raise them."""

from __future__ import annotations

import logging
import math

MAX_DRAWS = 1_000_000
"""Of a bootstrap, whose scores of all draws are in memory at once."""


class UserError(Exception):
    """Input that mmlesion cannot use. The message states what, where and what to do."""


class OptionError(UserError, ValueError):
    """An option of a config that a component cannot take.

    It is the one kind that constructors raise, so that every tool tells it in one line.

    Args:
        message: What is wrong, with the option's name.
        owner: The component, whose class is named first.
    """

    def __init__(self, message: str, owner: object = None) -> None:
        super().__init__(message if owner is None else f'{type(owner).__name__}: {message}')


class OutputError(OSError):
    """An output file that cannot be written. It ends a run, whereas a bad case is skipped."""

    def __str__(self) -> str:
        if self.filename is None:
            return super().__str__()
        return f'{self.filename} cannot be written: {self.strerror}'


def printable(text: str) -> str:
    """Return text without the characters by which a file's names could control a terminal."""
    return ''.join(one if one.isprintable() or one in '\n\t' else ascii(one)[1:-1] for one in text)


def _clean(record: logging.LogRecord) -> bool:
    record.msg, record.args = printable(record.getMessage()), ()
    return True


# warnings name files, and quote what is in them
logging.getLogger('mmlesion').addFilter(_clean)


def check_range(name: str, value: float, lowest: float, highest: float = math.inf) -> None:
    """Check an option's number.

    Args:
        name: The option's, for the message.
        value: What was given; NaN is in no range.
        lowest: The least that it may be.
        highest: The most that it may be. Defaults to infinity, anything finite.

    Raises:
        UserError: If it is outside.
    """
    try:
        # NaN fails the comparison, infinity the second condition
        if lowest <= value <= highest and math.isfinite(value):
            return
    except TypeError:  # text, for example
        pass
    wanted = f'at least {lowest:g}' if math.isinf(highest) else f'{lowest:g} to {highest:g}'
    raise UserError(f'{name} is {value!r:.80}: give {wanted}')


def check_draws(name: str, draws: int, lowest: int = 0) -> None:
    """Check the number of draws of a bootstrap; see :func:`check_range`."""
    check_range(name, draws, lowest, MAX_DRAWS)
