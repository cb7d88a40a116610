"""Plots of box shapes with overlaid anchors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mmlesion.io.atomic import atomic_write

from .figures import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MATCHED_IOU = 0.5


class AnchorPanel(NamedTuple):
    """A set of anchors and the boxes to fit.

    Args:
        title: Title of the set.
        anchors: (k, 2) width and height, px.
        iou: (n,) IoU of each box with its best anchor.
    """

    title: str
    anchors: np.ndarray
    iou: np.ndarray


def draw_anchor_shapes(shapes: np.ndarray, panels: Sequence[AnchorPanel], path: str | Path) -> None:
    """Plot width versus height of boxes, overlaid with sets of anchors in adjacent panels.

    Both axes are logarithmic. Boxes whose best anchor has an IoU below 0.5 are highlighted.

    Args:
        shapes: (n, 2) width and height of boxes, px.
        panels: The sets of anchors.
        path: Output file; its suffix determines the format.
    """
    # imported here for the reason that new_figure gives
    from matplotlib.ticker import NullFormatter, ScalarFormatter

    figure = new_figure(figsize=(5.2 * len(panels), 5.4), dpi=150, layout='constrained')
    all_axes = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    for axes, panel in zip(all_axes, panels):
        _draw_panel(axes, np.asarray(shapes), panel)
    for axis in (all_axes[0].xaxis, all_axes[0].yaxis):
        axis.set_major_formatter(ScalarFormatter())
        axis.set_minor_formatter(NullFormatter())
    all_axes[0].set_ylabel('height (px)')
    with atomic_write(path) as temporary:
        figure.savefig(temporary)


def _draw_panel(axes: Axes, shapes: np.ndarray, panel: AnchorPanel) -> None:
    matched = panel.iou >= MATCHED_IOU
    groups = (
        (matched, 'tab:blue', f'{matched.sum()} boxes with IoU of 0.5 or more'),
        (~matched, 'tab:orange', f'{(~matched).sum()} boxes under 0.5'),
    )
    for member, color, label in groups:
        width, height = shapes[member].T
        axes.scatter(width, height, s=3, color=color, alpha=0.4, linewidths=0, label=label)
    label = f'{len(panel.anchors)} anchors'
    width, height = np.asarray(panel.anchors).T
    axes.scatter(width, height, s=30, c='black', marker='+', lw=1, label=label)
    axes.set_xscale('log', base=2)
    axes.set_yscale('log', base=2)
    axes.set_aspect('equal')
    axes.set(title=f'{panel.title}, mean IoU {panel.iou.mean():.3f}', xlabel='width (px)')
    axes.grid(alpha=0.4)
    axes.legend(loc='upper left', fontsize='small', markerscale=1.5)
