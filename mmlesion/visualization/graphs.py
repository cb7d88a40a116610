"""Graphs: the genotypes of auto-lesion blocks, and the relations between regions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from mmlesion.io.atomic import atomic_write

TITLES = dict(alb='auto-lesion block (ALB)', reduction='auto-lesion reduction block (ALBr)')
CURVE = 0.85
"""Height of an edge's arc, in halves of the distance between its ends."""


def draw_genotypes(
    genotypes: Mapping[str, Sequence[tuple]],
    strengths: Mapping[str, Sequence[float]] | None,
    path: str | Path,
) -> None:
    """Draw the cells of genotypes as graphs, one above the other.

    The nodes are the outputs of the two blocks before, a block's branches in their order and its
    output, the concatenation of all branches. An arc is an edge with its operation: above the nodes
    a branch's first one, below them its second.

    Args:
        genotypes: Of each kind of block, for each branch ``(input1,
            operation1, input2, operation2)``, see :func:`mmlesion.models.layers.check_genotype`.
        strengths: Weights of these operations in a search, two for
            each branch; None where there are none.
        path: Output file; its suffix determines the format.
    """
    with atomic_write(path) as temporary:
        _figure(genotypes, strengths).savefig(temporary)


def render_genotypes(
    genotypes: Mapping[str, Sequence[tuple]], strengths: Mapping[str, Sequence[float]] | None
) -> np.ndarray:
    """Render :func:`draw_genotypes` as an RGB image (H, W, 3), uint8."""
    canvas = _figure(genotypes, strengths).canvas
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _figure(
    genotypes: Mapping[str, Sequence[tuple]], strengths: Mapping[str, Sequence[float]] | None
) -> Figure:
    # The object interface, so that no state of pyplot's is touched and any thread may draw.
    figure = Figure(figsize=(11, 6.2 * len(genotypes)), dpi=100, layout='constrained')
    FigureCanvasAgg(figure)
    all_axes = figure.subplots(len(genotypes), squeeze=False)[:, 0]
    for axes, (kind, genotype) in zip(all_axes, genotypes.items()):
        axes.set_title(TITLES.get(kind, kind))
        _draw_cell(axes, genotype, strengths[kind] if strengths else None)
    return figure


def _draw_cell(axes: Axes, genotype: Sequence[tuple], strengths: Sequence[float] | None) -> None:
    output = len(genotype) + 1
    for branch, (source1, operation1, source2, operation2) in enumerate(genotype, 1):
        first, second = strengths[2 * branch - 2 : 2 * branch] if strengths else (None, None)
        _draw_edge(axes, source1, branch, operation1, first, upwards=True)
        _draw_edge(axes, source2, branch, operation2, second, upwards=False)
    _draw_nodes(axes, output)
    top = CURVE / 2 * output + 0.3
    axes.set(xlim=(-1.4, output + 0.4), ylim=(-top, top), aspect='equal')
    axes.set_axis_off()


def _draw_edge(
    axes: Axes, source: int, branch: int, operation: str, strength: float | None, upwards: bool
) -> None:
    """Draw an arc from one node to another, labeled at its highest point."""
    sign = 1 if upwards else -1
    arc = FancyArrowPatch(
        (source, 0),
        (branch, 0),
        connectionstyle=f'arc3,rad={-sign * CURVE}',
        arrowstyle='-|>',
        mutation_scale=14,
        shrinkB=14,
        color='tab:blue' if upwards else 'tab:orange',
    )
    axes.add_patch(arc)
    text = operation if strength is None else f'{operation}\n{strength:.3f}'
    # the highest point of the arc: half way, its height in proportion to its length
    x, y = (source + branch) / 2, sign * CURVE / 2 * (branch - source)
    box = dict(boxstyle='round,pad=0.1', facecolor='white', linewidth=0, alpha=0.9)
    axes.text(x, y, text, ha='center', va='center', fontsize=8, bbox=box, zorder=2)


def _draw_nodes(axes: Axes, output: int) -> None:
    around = FancyBboxPatch(
        (0.7, -0.22), output - 1.4, 0.44, boxstyle='round,pad=0.02', color='0.9', zorder=0
    )
    axes.add_patch(around)
    axes.annotate('', (output - 0.25, 0), (output - 0.66, 0), arrowprops=dict(arrowstyle='-|>'))
    branches = [f'branch {branch}' for branch in range(1, output)]
    names = ['block before\nthe last', 'last block'] + branches + ['output']
    box = dict(boxstyle='round', facecolor='white', edgecolor='black')
    for position, name in enumerate(names, -1):
        axes.text(position, 0, name, ha='center', va='center', fontsize=9, bbox=box, zorder=3)


REGION_COLOR = 'cyan'
EDGE_COLOR = 'gold'
TRUTH_COLOR = 'red'
WIDEST = 3.0  # points
_SIDE = 6.0  # inches


def strongest_edges(relation: np.ndarray, num_edges: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the edges with the greatest weights.

    E of ElixirNet's equation 2 is normalized by rows, so that an edge has one weight in each
    direction. The graph is drawn undirected, as in the paper: by the mean of the two, and without
    self-loops.

    Args:
        relation: E (n, n).
        num_edges: At most so many.

    Returns:
        tuple: The regions (k, 2) of each edge, the lesser index first, and the weights (k,), in
        descending order.
    """
    # every pair of regions once
    first, second = np.triu_indices(len(relation), 1)
    weights = (relation[first, second] + relation[second, first]) / 2
    order = np.argsort(-weights, kind='stable')[:num_edges]
    return (np.stack([first, second], 1)[order], weights[order])


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
    edges, weights = strongest_edges(relation, num_edges)
    # relative to the strongest; the floor avoids 0 / 0 without edges
    widths = WIDEST * weights / weights.max(initial=1e-12)
    lines = LineCollection(centers[edges], linewidths=widths, colors=EDGE_COLOR, alpha=0.6)
    axes.add_collection(lines)
    axes.plot(centers[:, 0], centers[:, 1], '.', color=REGION_COLOR, markersize=4)
    for x1, y1, x2, y2 in truth:
        box = Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=TRUTH_COLOR, linewidth=2)
        axes.add_patch(box)
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    with atomic_write(path) as temporary:
        figure.savefig(temporary)
