"""Figures to draw into, of matplotlib's object interface."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(**options: Any) -> Figure:
    """Return an empty figure that can be saved, without touching pyplot's state.

    Args:
        **options: Of :class:`matplotlib.figure.Figure`.
    """
    # Imported here: it takes longer than all else that a tool does which then draws nothing.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(**options)
    FigureCanvasAgg(figure)
    return figure
