"""FROC plots."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from mmlesion.io.atomic import atomic_write

from .figures import new_figure
from .froc_axes import add_legend, draw_band, look_of, set_up_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
