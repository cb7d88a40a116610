"""Plots of FROC curves, and of the differences between runs with their bands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmlesion.io.atomic import atomic_write

from .figures import new_figure

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mmlesion.froc.comparison import Comparison

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


def draw_froc(results: Mapping, path: str | Path) -> None:
    """Draw the FROC curves of one or several evaluations.

    The axis of false positives is logarithmic; the levels are marked, and confidence intervals
    where a result has them are bands. A single curve has the sensitivity at each level beside it;
    the legend below the axes has the means.

    Args:
        results: What
            :func:`~mmlesion.froc.evaluate_froc` returns, or several by name.
        path: Output file; its suffix determines the format.
    """
    if 'fp_levels' in results:
        results = {'': results}
    figure = new_figure(figsize=(6.4, 5.2), dpi=150, layout='constrained')
    axes = figure.add_subplot()
    for number, (name, result) in enumerate(results.items()):
        _draw_one(axes, name, result, number)
        if len(results) == 1:
            _write_levels(axes, result)
    # runs may have been evaluated at different levels
    all_levels = chain.from_iterable(result['fp_levels'] for result in results.values())
    set_up_axes(axes, sorted(set(all_levels)))
    add_legend(figure, axes)
    with atomic_write(path) as temporary:
        figure.savefig(temporary)


def _draw_one(axes: Axes, name: str, result: Mapping, number: int) -> None:
    look = look_of(number)
    curve, levels = result['curve'], result['fp_levels']
    line = {'color': look['color'], 'linestyle': look['linestyle'], 'linewidth': 1.5}
    axes.plot(curve['fp'], curve['sensitivity'], **line)
    label = f'{name} mean {result["mean"]:.3f}'.strip()
    if interval := result.get('confidence_interval'):
        draw_band(axes, levels, interval['lower'], interval['upper'], look['color'])
        label += ' ({:.3f} to {:.3f})'.format(*interval['mean'])
    axes.plot(levels, result['sensitivity'], **{**look, 'linestyle': 'none'})
    # The legend has the line of the curve with the marker of the levels.
    axes.plot([], [], label=label, **look)


def _write_levels(axes: Axes, result: Mapping) -> None:
    """Write the sensitivity at each level below its marker, or above where it is low."""
    for level, sensitivity in zip(result['fp_levels'], result['sensitivity']):
        below = sensitivity > 0.1
        axes.annotate(
            f'{sensitivity:.3f}',
            (level, sensitivity),
            xytext=(0, -8 if below else 8),
            textcoords='offset points',
            horizontalalignment='left' if below else 'right',
            verticalalignment='top' if below else 'bottom',
            fontsize='small',
            bbox={'boxstyle': 'square,pad=0.1', 'facecolor': 'white', 'alpha': 0.7, 'linewidth': 0},
        )


def draw_comparison(
    comparison: Comparison, fp_rates: Sequence[float] | np.ndarray, path: str | Path
) -> None:
    """Draw sensitivity at each FP rate with a band for each row, and the differences beside it.

    Args:
        comparison: The result of
            :func:`~mmlesion.froc.compare_rows`.
        fp_rates: (l,) false positives per case.
        path: The plot to write; its suffix determines the format.
    """
    figure = new_figure(figsize=(11, 4.8), dpi=130, layout='constrained')
    curves, differences = figure.subplots(1, 2, width_ratios=(3, 2))
    looks = {name: look_of(number) for number, name in enumerate(comparison.rows)}
    for name, row in comparison.rows.items():
        # the last column is the mean over the FP rates
        label = f'{name}: mean {row.value[-1]:.3f}'
        curves.plot(fp_rates, row.value[:-1], label=label, **looks[name])
        draw_band(curves, fp_rates, row.lower[:-1], row.upper[:-1], looks[name]['color'])
    set_up_axes(curves, fp_rates)
    add_legend(figure, curves)
    _draw_differences(differences, comparison, looks)
    with atomic_write(path) as temporary:
        figure.savefig(temporary)


def _draw_differences(axes: Axes, comparison: Comparison, looks: Mapping[str, dict]) -> None:
    """Plot differences in mean sensitivity with their intervals, the first row at the top."""
    names = list(comparison.differences)
    for place, name in enumerate(names):
        one = comparison.differences[name]
        axes.hlines(place, one.lower[-1], one.upper[-1], color=looks[name]['color'], linewidth=2)
        axes.plot(one.value[-1], place, **looks[name])
    axes.axvline(0, color='black', linewidth=1)
    axes.set_yticks(range(len(names)), names)
    # downwards: the first row at the top
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(alpha=0.4, axis='x')
    axes.set_xlabel(f'mean sensitivity, difference from {comparison.reference}')
