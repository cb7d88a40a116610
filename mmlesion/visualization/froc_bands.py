"""FROC plots of several rows with confidence bands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmlesion.io.atomic import atomic_write

from .figures import new_figure
from .froc_axes import add_legend, draw_band, look_of, set_up_axes

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes

    from mmlesion.froc.comparison import Comparison


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
