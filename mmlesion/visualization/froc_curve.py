"""FROC plots."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from mmlesion.io.atomic import atomic_write

from .figures import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_froc(results: Mapping, path: str | Path) -> None:
    """Draw the FROC curves of one or several evaluations.

    The axis of false positives is logarithmic; the levels are marked, as are their confidence
    intervals where a result has them. The legend has the sensitivity at each level for a single
    curve, and for several their means.

    Args:
        results (dict | dict[str, dict]): What
            :func:`~mmlesion.evaluation.functional.evaluate_froc` returns, or several by name.
        path (str | Path): Output file; its suffix determines the format.
    """
    if 'fp_levels' in results:
        results = {'': results}
    figure = new_figure(figsize=(6.4, 4.8), dpi=150, layout='constrained')
    axes = figure.add_subplot()
    for name, result in results.items():
        _draw_one(axes, name, result, details=len(results) == 1)
    all_levels = chain.from_iterable(result['fp_levels'] for result in results.values())
    levels = sorted(set(all_levels))
    axes.set_xscale('log', base=2)
    axes.set_xlim(levels[0] / 2, levels[-1] * 2)
    axes.set_xticks(levels, [f'{level:g}' for level in levels])
    axes.set_xticks([], minor=True)
    axes.set_ylim(0, 1)
    axes.set(xlabel='false positives per image or scan', ylabel='sensitivity')
    axes.grid(alpha=0.4)
    if len(results) == 1:
        axes.legend(loc='best', fontsize='small')
    else:
        # beside the axes, where it hides no curve however many there are
        figure.legend(loc='outside right upper', fontsize='small')
    with atomic_write(path) as temporary:
        figure.savefig(temporary)


def _draw_one(axes: Axes, name: str, result: Mapping, details: bool) -> None:
    lines = [f'{name} mean {result["mean"]:.3f}'.strip()]
    if details:
        at_levels = zip(result['fp_levels'], result['sensitivity'])
        lines += [f'{sensitivity:.3f} at {level:g}' for level, sensitivity in at_levels]
    curve = result['curve']
    (line,) = axes.plot(curve['fp'], curve['sensitivity'], linewidth=1.5)
    axes.plot(
        result['fp_levels'],
        result['sensitivity'],
        'o',
        color=line.get_color(),
        markersize=4,
        label='\n'.join(lines),
    )
    if interval := result.get('confidence_interval'):
        levels, low, high = result['fp_levels'], interval['lower'], interval['upper']
        axes.vlines(levels, low, high, color=line.get_color(), linewidth=1, alpha=0.7)
