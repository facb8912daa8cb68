"""Figure of the accuracy of what a model served, window by window, with what happened meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from homeostat.figures.style import (
    ALERT,
    CURRENT,
    FAINT,
    INK,
    new_figure,
    placeholder,
    plain_axes,
    title,
    to_png,
)


def accuracy_over_time(
    windows: Sequence[tuple[datetime, float]], events: Sequence[tuple[datetime, str, bool]]
) -> bytes:
    """Draw one point per window, and a line with a name for each event.

    Parameters
    ----------
    windows
        The end of each window and the share of its predictions that were right.
    events
        When, what, and whether it harms (drawn in red).
    """
    if not windows:
        return placeholder("no window with labels")
    from matplotlib import dates

    fig = new_figure(9.2, 3.4)
    axes = fig.add_subplot()
    axes.plot(
        [end for end, _ in windows],
        [share for _, share in windows],
        color=CURRENT,
        linewidth=1.8,
        marker="o",
        markersize=3.5,
    )
    lowest = min(share for _, share in windows)
    bottom = max(0.0, lowest - 0.1)
    axes.set_ylim(bottom, 1.0 + 0.3 * (1.0 - bottom))
    axes.set_yticks([tick / 10 for tick in range(11) if tick / 10 >= bottom])
    for number, (at, what, harms) in enumerate(sorted(events)):
        color = ALERT if harms else FAINT
        axes.axvline(at, color=color, linewidth=1.0, linestyle=(0, (3, 2)), zorder=1)
        height = 0.985 - 0.07 * (number % 4)  # neighbours lie at different heights
        axes.annotate(
            what,
            (at, height),
            xycoords=("data", "axes fraction"),
            xytext=(3, 0),
            textcoords="offset points",
            fontsize=7.5,
            color=color if harms else INK,
            va="top",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0},
        )
    plain_axes(axes, grid="y")
    title(axes, "Accuracy of the served predictions", small="each window's predictions against their labels")
    locator: Any = dates.AutoDateLocator(minticks=4, maxticks=9)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.xaxis.get_offset_text().set(fontsize=8, color=FAINT)
    axes.set_xlabel("end of window (UTC)", fontsize=8, color=FAINT)
    return to_png(fig)
