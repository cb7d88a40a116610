"""RECIST diameters of a mask (RECIST 1.1: the longest diameter, and the longest at right angles).

Points are x, y in px, and px n has its center at n, as in annotations (docs/datasets.md,
Coordinates).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import numpy as np
import scipy  # its parts are loaded when they are used
from contourpy import contour_generator

_LINES_PER_PX = 4  # across which the short diameter is sought


class Recist(NamedTuple):
    """Two diameters at right angles.

    Args:
        points: (4, 2) ends of the long diameter, then of the short one, px.
        diameters_mm: Long and short.
    """

    points: np.ndarray
    diameters_mm: tuple[float, float]


def measure_recist(
    mask: np.ndarray, spacing: Sequence[float] = (1.0, 1.0), corner: Sequence[int] = (0, 0)
) -> Recist:
    """Measure a mask's long and short diameter.

    The outline runs through the midpoints between px inside and outside, which measures ellipses
    of 4 to 60 px without shrinking them to px centers or growing them to px corners (within half a
    px on average). The long diameter joins its two points that lie farthest apart, and may leave a
    mask that is not convex; the short one is the longest chord at right angles to it that stays in
    the mask, sought on lines a quarter of a px apart. They need not cross.

    Args:
        mask: (H, W) bool, with at least one px.
        spacing: x, y mm per px.
        corner: x, y that the mask's first px has in the image.

    Returns:
        Recist: Points in px of the image.

    Raises:
        ValueError: If the mask is empty.
    """
    if not mask.any():
        raise ValueError('an empty mask has no diameters')
    outline = _outline(mask) * spacing
    start, end = _farthest_points(outline[:, 0])
    short_ends = _longest_chord_across(outline, start, end, min(spacing) / _LINES_PER_PX)
    ends = np.stack([[start, end], short_ends])
    lengths = np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1)
    return Recist(ends.reshape(4, 2) / spacing + corner, tuple(lengths.tolist()))


def _outline(mask: np.ndarray) -> np.ndarray:
    """Return (n, 2, 2) pieces, from and to, of the lines half way between px inside and outside."""
    lines = contour_generator(z=np.pad(mask, 1).astype(float)).lines(0.5)
    lines = cast('list[np.ndarray]', lines)  # as contourpy's default line type is 'separate'
    pieces = [np.stack([line[:-1], line[1:]], axis=1) for line in lines]
    # less the px that the mask was padded with: px n has its center at n again
    return np.concatenate(pieces) - 1


def _farthest_points(points: np.ndarray) -> np.ndarray:
    corners = points[scipy.spatial.ConvexHull(points).vertices]
    distance = scipy.spatial.distance
    distances = distance.squareform(distance.pdist(corners, 'sqeuclidean'))
    return corners[list(np.unravel_index(distances.argmax(), distances.shape))]


def _longest_chord_across(
    outline: np.ndarray, start: np.ndarray, end: np.ndarray, step: float
) -> np.ndarray:
    """Return the ends (2, 2) of the longest chord inside an outline at right angles to a line.

    Args:
        outline: (n, 2, 2) pieces, nothing of which reaches beyond ``start`` and ``end``.
        start: x, y where the line begins.
        end: x, y where it ends.
        step: Greatest distance of the chords that are tried; one is in the middle.

    Returns:
        ndarray: x, y of both ends.
    """
    length = np.linalg.norm(end - start)
    axes = np.stack([end - start, [start[1] - end[1], end[0] - start[0]]]) / length
    number = 2 * int(np.ceil(length / step / 2))
    # mm from ``start``: along the long diameter, and across it
    along, across = np.moveaxis((outline - start) @ axes.T, -1, 0)
    # Each piece meets the lines from its lower end on and before its upper end, so that every line
    # is met an even number of times: in, out, in, out.
    position = along * (number / length)
    first, stop = np.ceil(np.sort(position, axis=1)).clip(1, number).astype(int).T
    # One entry for each meeting: the number of the piece, and of the line, from first to stop - 1.
    count = stop - first
    piece = np.repeat(np.arange(len(outline)), count)
    line = np.arange(len(piece)) - np.repeat(np.cumsum(count) - stop, count)
    # where the piece meets the line: the share of the way from its one end to its other
    fraction = (line - position[piece, 0]) / (position[piece, 1] - position[piece, 0])
    height = across[piece, 0] + fraction * (across[piece, 1] - across[piece, 0])
    # by line, and on each line by height: entry and leave are the two ends of each chord
    order = np.lexsort((height, line))
    entry, leave = height[order[::2]], height[order[1::2]]
    line = line[order[::2]]
    # of chords as long as each other the one nearest to the middle
    longest = np.lexsort((np.abs(line - number / 2), -(leave - entry).round(6)))[0]
    # back from (along, across) to x, y; the rows of ``axes`` are unit vectors
    place = line[longest] * length / number
    return start + np.array([[place, entry[longest]], [place, leave[longest]]]) @ axes
