"""Policies over time: how good each one's answers were, and when it retrained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from homeostat.figures.style import (
    ALERT,
    CURRENT,
    FAINT,
    GRID,
    INK,
    REFERENCE,
    figure,
    nothing,
    png,
    quiet,
    title,
)

#: What people call the policies, and how their lines look.
NAMES = {
    "frozen": "never retrain",
    "always": "every window",
    "every_4": "every 4th window",
    "article": "the article's",
    "homeostat": "Homeostat",
}
_LOOKS: dict[str, dict[str, Any]] = {
    "frozen": {"color": REFERENCE, "linewidth": 1.4},
    "always": {"color": "#2da44e", "linewidth": 1.1, "linestyle": (0, (4, 2))},
    "every_4": {"color": "#8250df", "linewidth": 1.0, "linestyle": (0, (1, 1.3))},
    "article": {"color": "#bf8700", "linewidth": 1.2},
    "homeostat": {"color": CURRENT, "linewidth": 2.2, "zorder": 5},
}
_OTHER: dict[str, Any] = {"color": INK, "linewidth": 1.0}


def policies_over_time(policies: Mapping[str, Mapping[str, Any]], score_name: str) -> bytes:
    """Draw every policy's score over time, and below it what it did at which window's end.

    Scores of single windows scatter, so a line is the mean over the last few, each weighing as many rows as
    it has; how many they are stands in the picture.

    Parameters
    ----------
    policies
        By name, with ``score``, ``retrains`` and ``per_window``: entries with ``end``, ``rows``, ``score``,
        ``event``, ``promoted`` and ``reason``, oldest first, of the same windows in every policy.
    """
    turns = {name: policy["per_window"] for name, policy in policies.items()}
    if not any(turn["score"] is not None for found in turns.values() for turn in found):
        return nothing("no window with a score")
    ends = [datetime.fromisoformat(turn["end"]) for turn in next(iter(turns.values()))]
    span = max(1, round(len(ends) / 12))

    fig = figure(9.2, 3.6 + 0.27 * len(turns))
    above, below = fig.subplots(2, 1, sharex=True, height_ratios=[3.4, 0.27 * len(turns) + 0.25])
    for name, found in turns.items():
        above.plot(ends, smooth(found, span), label=_label(name, policies[name]), **_LOOKS.get(name, _OTHER))
    quiet(above, grid="y")
    shown = score_name.replace("_", " ")
    over = f"mean over the last {span} windows" if span > 1 else "window by window"
    title(above, f"{shown[:1].upper()}{shown[1:]} over time", small=over)
    above.legend(
        fontsize=7.5, frameon=False, ncols=1, loc="center left", bbox_to_anchor=(1.0, 0.5), labelcolor=INK,
        handlelength=2.2, title="score, retrains", title_fontsize=7.5, alignment="left",
    )  # fmt: skip
    _events(below, ends, turns)
    _times(below)
    return png(fig)


def smooth(turns: Sequence[Mapping[str, Any]], span: int) -> np.ndarray:
    """Trailing mean over ``span`` windows by their rows; NaN while none of them has a score."""
    scores = np.array([np.nan if turn["score"] is None else turn["score"] for turn in turns], float)
    rows = np.array([turn["rows"] for turn in turns], float) * np.isfinite(scores)
    worth = np.where(np.isfinite(scores), scores, 0.0) * rows
    kernel = np.ones(span)
    weight, total = (np.convolve(values, kernel)[: len(turns)] for values in (rows, worth))
    mean: np.ndarray = np.divide(total, weight, out=np.full(len(turns), np.nan), where=weight > 0)
    return mean


def _label(name: str, policy: Mapping[str, Any]) -> str:
    score = policy["score"]
    value = "-" if score is None else f"{score:.3f}" if abs(score) < 10 else f"{score:.4g}"
    return f"{NAMES.get(name, name)}: {value}, {policy['retrains']}"


def _events(axes: Any, ends: Sequence[datetime], turns: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """One lane a policy: filled where another version took over, a red cross where it was refused."""
    used = set()
    lanes = list(turns)
    for lane, name in enumerate(lanes):
        color = _LOOKS.get(name, _OTHER)["color"]
        looks: dict[str, dict[str, Any]] = {
            "promoted": {"marker": "o", "s": 17, "color": color, "linewidths": 0},
            "former champion back": {"marker": "D", "s": 19, "facecolors": "white", "edgecolors": color},
            "refused": {"marker": "x", "s": 17, "color": ALERT, "linewidths": 1.1},
        }
        at: dict[str, list[datetime]] = {kind: [] for kind in looks}
        for end, turn in zip(ends, turns[name], strict=True):
            if turn["event"] is not None:
                back = "former champion back" if turn["event"] == "recall" else "promoted"
                at[back if turn["promoted"] else "refused"].append(end)
        for kind, places in at.items():
            if places:
                axes.scatter(places, [lane] * len(places), **looks[kind])
                used.add(kind)
    axes.set_yticks(range(len(lanes)), [NAMES.get(name, name) for name in lanes])
    axes.set_ylim(len(lanes) - 0.4, -0.6)
    quiet(axes)
    for lane in range(len(lanes)):
        axes.axhline(lane, color=GRID, linewidth=0.7, zorder=0)
    _key(axes, sorted(used))


def _key(axes: Any, used: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    looks: dict[str, dict[str, Any]] = {
        "promoted": {"marker": "o", "color": FAINT, "markersize": 4.2},
        "former champion back": {"marker": "D", "markerfacecolor": "white", "color": FAINT, "markersize": 4},
        "refused": {"marker": "x", "color": ALERT, "markersize": 4.2},
    }
    handles = [Line2D([], [], linestyle="none", label=kind, **looks[kind]) for kind in used]
    if handles:
        axes.legend(
            handles=handles, fontsize=7.5, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5),
            labelcolor=INK, handletextpad=0.3, title="retrain", title_fontsize=7.5, alignment="left",
        )  # fmt: skip


def _times(axes: Any) -> None:
    from matplotlib import dates

    locator: Any = dates.AutoDateLocator(minticks=4, maxticks=9)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.set_xlabel("end of window (UTC)", fontsize=8, color=FAINT)
