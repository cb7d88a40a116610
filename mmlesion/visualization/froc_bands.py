"""FROC plots of several rows with confidence bands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmlesion.io.atomic import atomic_write

from .figures import new_figure

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes

    from mmlesion.evaluation.functional.comparison import Comparison


def draw_comparison(
    comparison: Comparison, fp_rates: Sequence[float] | np.ndarray, path: str | Path
) -> None:
    """Draw sensitivity at each FP rate with a band for each row, and the differences beside it.

    Args:
        comparison (Comparison): The result of
            :func:`~mmlesion.evaluation.functional.compare_rows`.
        fp_rates (Sequence[float]): (l,) false positives per case.
        path (str | Path): The plot to write; its suffix determines the format.
    """
    figure = new_figure(figsize=(11, 4.8), dpi=130, layout='constrained')
    curves, differences = figure.subplots(1, 2, width_ratios=(3, 2))
    colors = {name: f'C{number % 10}' for number, name in enumerate(comparison.rows)}
    for name, row in comparison.rows.items():
        # the last column is the mean over the FP rates
        label = f'{name}: {row.value[-1]:.3f}'
        curves.plot(fp_rates, row.value[:-1], 'o-', markersize=3, color=colors[name], label=label)
        curves.fill_between(
            fp_rates, row.lower[:-1], row.upper[:-1], color=colors[name], alpha=0.12, linewidth=0
        )
    _fp_rates_axis(curves, fp_rates)
    curves.set_ylim(0, 1)
    curves.set(xlabel='false positives per image or scan', ylabel='sensitivity')
    curves.legend(loc='upper left', bbox_to_anchor=(0, -0.14), ncols=2, fontsize='small')
    _draw_differences(differences, comparison, colors)
    with atomic_write(path) as temporary:
        figure.savefig(temporary)


def _fp_rates_axis(axes: Axes, fp_rates: Sequence[float] | np.ndarray) -> None:
    axes.set_xscale('log', base=2)
    axes.set_xticks(fp_rates, [f'{fp_rate:g}' for fp_rate in fp_rates])
    axes.set_xticks([], minor=True)
    axes.grid(alpha=0.4)


def _draw_differences(axes: Axes, comparison: Comparison, colors: Mapping[str, str]) -> None:
    """Plot differences in mean sensitivity with their intervals, the first row at the top."""
    names = list(comparison.differences)
    for place, name in enumerate(names):
        one = comparison.differences[name]
        axes.hlines(place, one.lower[-1], one.upper[-1], color=colors[name], linewidth=2)
        axes.plot(one.value[-1], place, 'o', color=colors[name])
    axes.axvline(0, color='black', linewidth=1)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(alpha=0.4, axis='x')
    axes.set_xlabel(f'mean sensitivity, difference from {comparison.reference}')
