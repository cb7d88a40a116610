"""What is irregular about the slices of a series, in words."""

from __future__ import annotations

import numpy as np

LEAST_TILT_DEG = 0.5
TOLERANCE = 0.1
"""Of the usual distance: how much others may differ."""
MOST_LISTED = 5


def describe_irregular(positions: np.ndarray, normal: np.ndarray) -> str:
    """Say how slices deviate from a regular stack.

    Args:
        positions (ndarray): (n, 3) mm of the first pixel of each slice, in their order.
        normal (ndarray): (3,) of the slices, of length 1.

    Returns:
        str: Such as 'the gantry is tilted by 15.0 degrees; 2 slices are missing (after slice 4)'.
    """
    steps = np.diff(positions, axis=0)
    # (n - 1,) mm along the normal from each slice to the next
    gaps = steps @ normal
    usual = float(np.median(gaps))
    parts = []
    # how far slices move within their plane from one to the next, relative to their distance
    shift = np.median(steps - gaps[:, None] * normal, axis=0) / usual
    tilt = float(np.degrees(np.arctan(np.linalg.norm(shift))))
    if tilt > LEAST_TILT_DEG:
        parts.append(f'the gantry is tilted by {tilt:.1f} degrees')
    ratio = gaps / usual
    # a gap of k usual distances, k > 1, is where k - 1 slices are missing
    whole = np.rint(ratio)
    after = np.flatnonzero((whole > 1) & (np.abs(ratio - whole) < TOLERANCE))
    if len(after):
        places = ', '.join(map(str, after[:MOST_LISTED])) + (', ...' * (len(after) > MOST_LISTED))
        count = int((whole[after] - 1).sum())
        parts.append(f'{count} slices are missing (after slice {places}; the first is 0)')
    others = np.delete(gaps, after)
    if len(others) and np.abs(others - usual).max() > TOLERANCE * abs(usual):
        parts.append(f'slices are {others.min():.2f} to {others.max():.2f} mm apart')
    return '; '.join(parts) or 'slices are unequally spaced'
