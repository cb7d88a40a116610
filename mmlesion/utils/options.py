"""Checks of options of the tools and components."""

from __future__ import annotations

import math

from .errors import UserError

MAX_DRAWS = 1_000_000
"""Of a bootstrap, whose scores of all draws are in memory at once."""


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
