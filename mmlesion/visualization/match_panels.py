"""Contact sheets of slices with true positives, false positives and missed lesions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mmlesion.io.atomic import atomic_write

from .figures import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DPI = 100
_GAP = 6  # px between panels
_TITLE = 18  # px above a panel
_FOOT = 44  # px below all panels
_FONT = 8  # points of the labels
_LINE = 11  # px, height of a label
_CHARACTER = 6.6  # px, width of a character of a label


class BoxStyle(NamedTuple):
    """Appearance of one kind of box; line and letters distinguish kinds without color."""

    color: str
    line: str | tuple
    letters: str
    meaning: str


STYLES = {
    'ignored': BoxStyle('0.65', 'solid', 'IGN', 'ignored ground truth'),
    'neutral': BoxStyle('0.65', (0, (5, 1.5, 1, 1.5)), 'N', 'detection that counts neither way'),
    'missed': BoxStyle('#ffd92f', (0, (1, 1)), 'FN', 'missed lesion'),
    'false_positive': BoxStyle('#ff4d4d', (0, (3.5, 1.8)), 'FP', 'false positive'),
    'true_positive': BoxStyle('#4dff4d', 'solid', 'TP', 'true positive'),
}
"""By kind, in the order in which they are drawn."""


class PanelBox(NamedTuple):
    """A box to draw.

    Args:
        kind: Of :data:`STYLES`.
        bbox: (4,) x1, y1, x2, y2 px; pixel n extends from n to n + 1.
        score: Of a detection.
    """

    kind: str
    bbox: np.ndarray
    score: float | None = None


class Panel(NamedTuple):
    """A slice with the boxes on it.

    Args:
        slice_hu: (H, W) HU.
        window: Lower and upper HU.
        spacing: x, y mm per px.
        title: Written above it.
        boxes: Its boxes.
    """

    slice_hu: np.ndarray
    window: Sequence[float]
    spacing: Sequence[float]
    title: str
    boxes: list[PanelBox]


def draw_match_panels(
    panels: Sequence[Panel], caption: str, path: str | Path, size: int = 300
) -> None:
    """Draw slices in a grid, each enlarged or reduced to the same length of its longer side.

    Args:
        panels: One or more slices, by rows.
        caption: Written below them, over the legend.
        path: Output file; its suffix determines the format.
        size: px of a panel's longer side. Defaults to 300.
    """
    columns = math.ceil(math.sqrt(len(panels)))
    rows = math.ceil(len(panels) / columns)
    width = columns * (size + _GAP) + _GAP
    height = rows * (size + _TITLE) + _FOOT
    figure = new_figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor='black')
    for number, panel in enumerate(panels):
        # px from the lower left corner of the figure, then as shares of it
        row, column = divmod(number, columns)
        left = _GAP + column * (size + _GAP)
        bottom = height - (row + 1) * (size + _TITLE)
        place = (left / width, bottom / height, size / width, size / height)
        _draw_panel(figure.add_axes(place), panel, size)
    _draw_foot(figure, panels, caption)
    # JPEG otherwise halves the resolution of color, which blurs thin lines
    options = {'.jpg': dict(quality=85, subsampling=0)}.get(Path(path).suffix.lower())
    with atomic_write(path) as temporary:
        figure.savefig(temporary, pil_kwargs=options)


def _draw_panel(axes: Axes, panel: Panel, size: int) -> None:
    from matplotlib.patches import Rectangle

    height, width = panel.slice_hu.shape
    spacing = np.asarray(panel.spacing, dtype=float)
    low, high = panel.window
    axes.imshow(
        panel.slice_hu,
        cmap='gray',
        vmin=low,
        vmax=high,
        extent=(0, width, height, 0),
        interpolation='bilinear',
    )
    axes.set(xlim=(0, width), ylim=(height, 0), aspect=spacing[1] / spacing[0])
    axes.set_axis_off()
    room = int(size / _CHARACTER)
    title = panel.title if len(panel.title) <= room else f'…{panel.title[1 - room :]}'
    axes.set_title(title, fontsize=_FONT, color='white', pad=3)
    boxes = sorted(panel.boxes, key=lambda box: list(STYLES).index(box.kind))
    for box in boxes:
        style, (x1, y1, x2, y2) = STYLES[box.kind], box.bbox
        look = dict(edgecolor=style.color, linestyle=style.line, linewidth=1.1, fill=False)
        axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, **look))
    # px of the picture per px of the slice: the longer side, in mm, has ``size``
    px_size = spacing * size / (spacing * (width, height)).max()
    _write_labels(axes, boxes, px_size, (width, height))


def _write_labels(
    axes: Axes, boxes: list[PanelBox], px_size: np.ndarray, slice_size: tuple
) -> None:
    """Write the labels next to their boxes, clear of other boxes and labels.

    Args:
        axes: The panel's.
        boxes: Its boxes.
        px_size: (2,) x, y px of the picture per px of the slice.
        slice_size: Its width and height, px.
    """
    from matplotlib.patheffects import withStroke

    outline = [withStroke(linewidth=1.6, foreground='black')]
    taken = [np.array(box.bbox, dtype=float) for box in boxes]
    # In reverse: the boxes drawn last matter most, and have the first choice of place.
    for box in reversed(boxes):
        style = STYLES[box.kind]
        text = style.letters if box.score is None else f'{style.letters} {box.score:.2f}'
        extent = np.array([len(text) * _CHARACTER, _LINE]) / px_size
        place = _free_place(box.bbox, extent, taken, slice_size)
        taken.append(np.concatenate([place, place + extent]))
        look = dict(color=style.color, fontsize=_FONT, path_effects=outline, clip_on=True)
        axes.text(place[0], place[1], text, ha='left', va='top', **look)


def _free_place(
    bbox: np.ndarray, extent: np.ndarray, taken: list[np.ndarray], slice_size: tuple
) -> np.ndarray:
    """Return the upper left corner of the first place around a box where its label is alone."""
    last = np.maximum(slice_size - extent, 0)  # beyond it a label leaves the slice
    places = [np.clip(place, 0, last) for place in _places_around(bbox, extent)]
    for place in places:
        if not _covers_any(place, place + extent, taken):
            return place
    return places[0]


def _places_around(bbox: np.ndarray, extent: np.ndarray) -> Iterator[tuple[float, float]]:
    """Yield upper left corners of a label, px of the slice, the nearest to the box first."""
    x1, y1, x2, y2 = bbox
    width, height = extent
    gap = height / 4
    # above and below, from the left and the right side; then beside the box
    for away in (gap, gap + height, gap + 2 * height):
        for x in (x1, x2 - width):
            yield x, y1 - height - away
            yield x, y2 + away
        yield x2 + away, (y1 + y2 - height) / 2
        yield x1 - width - away, (y1 + y2 - height) / 2


def _covers_any(low: np.ndarray, high: np.ndarray, taken: list[np.ndarray]) -> bool:
    return any((low < one[2:]).all() and (one[:2] < high).all() for one in taken)


def _draw_foot(figure: Figure, panels: Sequence[Panel], caption: str) -> None:
    from matplotlib.lines import Line2D

    boxes = chain.from_iterable(panel.boxes for panel in panels)
    seen = {box.kind for box in boxes}
    lines = []
    for kind, style in reversed(STYLES.items()):
        if kind in seen:
            look = dict(color=style.color, linestyle=style.line, linewidth=1.6)
            lines.append(Line2D([], [], label=f'{style.letters}  {style.meaning}', **look))
    figure.legend(
        handles=lines,
        loc='lower center',
        ncols=len(lines),
        title=caption,
        fontsize=_FONT,
        title_fontsize=_FONT + 1,
        labelcolor='white',
        frameon=False,
        borderpad=0.2,
        borderaxespad=0.2,
        handlelength=3,
    ).get_title().set_color('white')
