"""Plots of the relations between the regions of an image."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mmlesion.io.atomic import atomic_write

REGION_COLOR = 'cyan'
EDGE_COLOR = 'gold'
TRUTH_COLOR = 'red'
WIDEST = 3.0  # points
_SIDE = 6.0  # inches


class Edges(NamedTuple):
    """Edges of a graph of regions.

    Args:
        regions: (k, 2) the regions of each edge, the lesser index first.
        weights: (k,).
    """

    regions: np.ndarray
    weights: np.ndarray


def strongest_edges(relation: np.ndarray, num_edges: int) -> Edges:
    """Find the edges with the greatest weights.

    E of ElixirNet's equation 2 is normalized by rows, so that an edge has one weight in each
    direction. The graph is drawn undirected, as in the paper: by the mean of the two, and without
    self-loops.

    Args:
        relation: E (n, n).
        num_edges: At most so many.

    Returns:
        Edges: k edges, in descending order of weight.
    """
    # every pair of regions once
    first, second = np.triu_indices(len(relation), 1)
    weights = (relation[first, second] + relation[second, first]) / 2
    order = np.argsort(-weights, kind='stable')[:num_edges]
    return Edges(np.stack([first, second], 1)[order], weights[order])


def draw_relations(
    picture: np.ndarray,
    boxes: np.ndarray,
    relation: np.ndarray,
    truth: np.ndarray,
    path: str | Path,
    num_edges: int = 100,
) -> None:
    """Draw regions as points at their centers and the strongest relations as connecting lines.

    The width of a line is proportional to its weight. ElixirNet, Figure 5.

    Args:
        picture: (H, W, 3) uint8 RGB slice.
        boxes: (n, 4) regions x1, y1, x2, y2 in px of the picture; pixel k extends from k
            to k + 1.
        relation: (n, n) their relations E.
        truth: (m, 4) boxes of lesions, drawn in red.
        path: Output file; its suffix determines the format.
        num_edges: Maximum number of edges. Defaults to 100.
    """
    height, width = picture.shape[:2]
    figure = Figure(figsize=(_SIDE, _SIDE * height / width), dpi=150)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(picture, extent=(0, width, height, 0))
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    edges = strongest_edges(relation, num_edges)
    # relative to the strongest; the floor avoids 0 / 0 without edges
    widths = WIDEST * edges.weights / edges.weights.max(initial=1e-12)
    lines = LineCollection(centers[edges.regions], linewidths=widths, colors=EDGE_COLOR, alpha=0.6)
    axes.add_collection(lines)
    axes.plot(centers[:, 0], centers[:, 1], '.', color=REGION_COLOR, markersize=4)
    for x1, y1, x2, y2 in truth:
        box = Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=TRUTH_COLOR, linewidth=2)
        axes.add_patch(box)
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    with atomic_write(path) as temporary:
        figure.savefig(temporary)
