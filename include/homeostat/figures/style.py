"""The style of all figures, without pyplot, whose global state is not thread-safe."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

#: Reference and champion are grey, the current window and the candidate blue, alerts red.
REFERENCE, CURRENT, ALERT = "#8c959f", "#1f6feb", "#cf222e"
INK, FAINT, GRID = "#24292f", "#57606a", "#e5e8eb"
DPI = 110


def new_figure(width: float, height: float) -> Any:
    """Return an empty matplotlib Figure of this size in inches, drawn by Agg."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.09, h_pad=0.09)
    fig = Figure(figsize=(width, height), dpi=DPI, layout=layout, facecolor="white")
    FigureCanvasAgg(fig)
    return fig


def plain_axes(axes: Any, *, grid: str | None = None) -> None:
    """Hide two spines, lighten the ticks, and draw a faint grid along one axis if asked for."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(GRID)
    axes.tick_params(labelsize=8, colors=FAINT, length=2)
    axes.set_axisbelow(True)
    if grid:
        axes.grid(axis=grid, color=GRID, linewidth=0.8)


def title(axes: Any, text: str, *, small: str = "", color: str = INK) -> None:
    """Draw a title at the left, and a smaller line of numbers under it."""
    axes.set_title(text, loc="left", fontsize=9.5, color=color, fontweight="bold", pad=16 if small else 6)
    if small:
        axes.text(
            0, 1.015, small, transform=axes.transAxes, fontsize=7.5, color=FAINT, ha="left", va="bottom"
        )


def shorten(text: str, length: int = 18) -> str:
    """Shorten a label to ``length``; escapes dollar signs, which matplotlib reads as mathematics."""
    text = text if len(text) <= length else text[: length - 1] + "…"
    return text.replace("$", r"\$")


def placeholder(text: str) -> bytes:
    """Return a small figure with a text that says why there is nothing to draw."""
    fig = new_figure(5.0, 1.2)
    axes = fig.add_subplot()
    axes.axis("off")
    axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=9, color=FAINT, transform=axes.transAxes)
    return to_png(fig)


def to_png(fig: Any) -> bytes:
    """Return the figure as PNG bytes with 128 colours; the same figure gives the same bytes."""
    from PIL import Image

    fig.canvas.draw()
    # One figure is stored for every model and hour: a palette reduces it to a third of its size.
    picture = Image.fromarray(np.asarray(fig.canvas.buffer_rgba())[..., :3])
    buffer = io.BytesIO()
    picture.quantize(128, dither=Image.Dither.NONE).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
