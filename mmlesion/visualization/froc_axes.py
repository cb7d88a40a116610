"""What all FROC plots have: the axes, a look for each run that needs no color, and bands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINES = ('-', '--', '-.', ':')
MARKERS = ('o', 's', '^', 'D', 'v', 'P', 'X')
LEGEND_COLUMNS = 2


def look_of(number: int) -> dict[str, Any]:
    """Return color, line and marker of a run: no two of the first 28 have the same line and marker.

    Args:
        number: Of the run, from 0.
    """
    return {
        'color': f'C{number % 10}',
        'linestyle': LINES[number % len(LINES)],
        'marker': MARKERS[number % len(MARKERS)],
        'markersize': 4,
    }


def draw_band(
    axes: Axes,
    fp_rates: Sequence[float] | np.ndarray,
    lower: Sequence[float] | np.ndarray,
    upper: Sequence[float] | np.ndarray,
    color: str,
) -> None:
    """Fill the confidence interval of a curve, and mark it at each level.

    Args:
        axes: Where.
        fp_rates: (l,) false positives per case.
        lower: (l,) lower bounds of sensitivity.
        upper: (l,) upper bounds.
        color: Of the curve.
    """
    axes.fill_between(fp_rates, lower, upper, color=color, alpha=0.12, linewidth=0)
    axes.vlines(fp_rates, lower, upper, color=color, linewidth=1, alpha=0.5)


def set_up_axes(axes: Axes, fp_rates: Sequence[float] | np.ndarray) -> None:
    """Put the levels on a logarithmic axis of false positives, sensitivity from 0 to 1 beside it.

    Args:
        axes: Where.
        fp_rates: (l,) false positives per case, in ascending order.
    """
    axes.set_xscale('log', base=2)
    axes.set_xlim(fp_rates[0] / 1.5, fp_rates[-1] * 1.5)
    axes.set_xticks(fp_rates, [f'{fp_rate:g}' for fp_rate in fp_rates])
    axes.set_xticks([], minor=True)
    axes.set_ylim(0, 1)
    axes.set_yticks([tenth / 10 for tenth in range(11)])
    axes.set(xlabel='false positives per image or scan', ylabel='sensitivity')
    axes.grid(alpha=0.4)


def add_legend(figure: Figure, axes: Axes) -> None:
    """Put the legend below the axes, where it hides no curve however many there are."""
    handles, labels = axes.get_legend_handles_labels()
    columns = min(LEGEND_COLUMNS, len(labels))
    figure.legend(handles, labels, loc='outside lower left', ncols=columns, fontsize='small')
