"""Numbers of whole columns of text, as Python reads and rounds them."""

from __future__ import annotations

import warnings

import numpy as np


def split_numbers(text: bytes) -> np.ndarray:
    """Return the numbers (n,) of a text with commas between; none if something else is there."""
    # white space dropped, an empty place shows as two commas or one at an end
    close = text.translate(None, b' \t\r\n\x0b\x0c')
    if b',,' in close or close.startswith(b',') or close.endswith(b','):
        return np.empty(0)  # NumPy would make up a number
    with warnings.catch_warnings():
        warnings.simplefilter('error', DeprecationWarning)  # which older versions give instead
        try:
            return np.fromstring(text.decode('ascii'), sep=',')
        except (ValueError, DeprecationWarning):
            return np.empty(0)


def round_columns(values: np.ndarray, decimals: int = 6) -> np.ndarray:
    """Round each number to the float that Python's round gives, which NumPy's does not always.

    A whole number divided by a power of ten is the float that is nearest to that decimal number.
    Where it is in doubt which of two whole numbers is nearer, or they are too large to be exact,
    Python itself rounds.

    Args:
        values (ndarray): Finite numbers.
        decimals (int): Defaults to 6.
    """
    scaled = values * 10.0**decimals
    whole = np.rint(scaled)
    rounded = whole / 10.0**decimals
    in_doubt = (np.abs(scaled - whole) > 0.499) | (np.abs(scaled) > 1e11)
    rounded[in_doubt] = [round(value, decimals) for value in values[in_doubt].tolist()]
    return rounded
