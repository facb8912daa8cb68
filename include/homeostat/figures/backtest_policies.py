"""Figure of backtest policies over time: the score of each, and when it retrained."""

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
    new_figure,
    placeholder,
    plain_axes,
    title,
    to_png,
)

#: Names of the policies in legends and tables.
POLICY_NAMES = {
    "frozen": "never retrain",
    "always": "every window",
    "every_4": "every 4th window",
    "baseline": "baseline",
    "homeostat": "Homeostat",
    "tuned_period": "tuned period",
    "cara": "CARA",
    "upf": "UPF",
    "cusum": "CUSUM",
}
_LINE_STYLES: dict[str, dict[str, Any]] = {
    "frozen": {"color": REFERENCE, "linewidth": 1.4},
    "always": {"color": "#2da44e", "linewidth": 1.1, "linestyle": (0, (4, 2))},
    "every_4": {"color": "#8250df", "linewidth": 1.0, "linestyle": (0, (1, 1.3))},
    "baseline": {"color": "#bf8700", "linewidth": 1.2},
    "homeostat": {"color": CURRENT, "linewidth": 2.2, "zorder": 5},
}
# Policies of the literature, in this order; others have the last style.
_OTHERS: tuple[dict[str, Any], ...] = tuple(
    {"color": color, "linewidth": 0.9, "linestyle": (0, (5, 1.2, 1, 1.2))}
    for color in ("#0e7490", "#be185d", "#4d7c0f", "#57606a")
)


def policies_over_time(policies: Mapping[str, Mapping[str, Any]], score_title: str) -> bytes:
    """Draw every policy's score over time, and below it the retrains at the end of each window.

    Scores of single windows scatter, so a line is the mean over the last few windows, weighted by their rows;
    the subtitle says how many.

    Parameters
    ----------
    policies
        By name, with ``score``, ``retrains`` and ``per_window``: entries with ``end``, ``rows``, ``score``,
        ``event``, ``outcome`` and ``reason``, oldest first, of the same windows in every policy.
    """
    windows = {name: policy["per_window"] for name, policy in policies.items()}
    if not any(window["score"] is not None for found in windows.values() for window in found):
        return placeholder("no window with a score")
    ends = [datetime.fromisoformat(window["end"]) for window in next(iter(windows.values()))]
    span = max(1, round(len(ends) / 12))

    fig = new_figure(9.2, 3.6 + 0.27 * len(windows))
    above, below = fig.subplots(2, 1, sharex=True, height_ratios=[3.4, 0.27 * len(windows) + 0.25])
    for name, found in windows.items():
        above.plot(ends, smooth(found, span), label=_label(name, policies[name]), **_line_style(name))
    plain_axes(above, grid="y")
    over = f"mean over the last {span} windows" if span > 1 else "window by window"
    title(above, f"{score_title[:1].upper()}{score_title[1:]} over time", small=over)
    above.legend(
        fontsize=7.5, frameon=False, ncols=1, loc="center left", bbox_to_anchor=(1.0, 0.5), labelcolor=INK,
        handlelength=2.2, title="score, retrains", title_fontsize=7.5, alignment="left",
    )  # fmt: skip
    _events(below, ends, windows)
    _times(below)
    return to_png(fig)


def smooth(windows: Sequence[Mapping[str, Any]], span: int) -> np.ndarray:
    """Trailing mean over ``span`` windows by their rows; NaN while none of them has a score."""
    scores = np.array([np.nan if window["score"] is None else window["score"] for window in windows], float)
    rows = np.array([window["rows"] for window in windows], float) * np.isfinite(scores)
    worth = np.where(np.isfinite(scores), scores, 0.0) * rows
    kernel = np.ones(span)
    weight, total = (np.convolve(values, kernel)[: len(windows)] for values in (rows, worth))
    mean: np.ndarray = np.divide(total, weight, out=np.full(len(windows), np.nan), where=weight > 0)
    return mean


def _line_style(name: str) -> dict[str, Any]:
    if name in _LINE_STYLES:
        return _LINE_STYLES[name]
    others = [each for each in POLICY_NAMES if each not in _LINE_STYLES]
    return _OTHERS[others.index(name) if name in others else -1]


def _label(name: str, policy: Mapping[str, Any]) -> str:
    score = policy["score"]
    value = "-" if score is None else f"{score:.3f}" if abs(score) < 10 else f"{score:.4g}"
    return f"{POLICY_NAMES.get(name, name)}: {value}, {policy['retrains']}"


def _events(axes: Any, ends: Sequence[datetime], windows: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Draw one lane per policy: a filled mark for a promoted version, a red cross for a refused one.

    A probe that no retrain followed is a small ring.
    """
    used = set()
    lanes = list(windows)
    for lane, name in enumerate(lanes):
        color = _line_style(name)["color"]
        styles: dict[str, dict[str, Any]] = {
            "promoted": {"marker": "o", "s": 17, "color": color, "linewidths": 0},
            "reinstated": {"marker": "D", "s": 19, "facecolors": "white", "edgecolors": color},
            "refused": {"marker": "x", "s": 17, "color": ALERT, "linewidths": 1.1},
            "under way": {"marker": ">", "s": 14, "color": FAINT, "linewidths": 0},
            "probe only": {"marker": "o", "s": 7, "facecolors": "none", "edgecolors": FAINT},
        }
        at: dict[str, list[datetime]] = {kind: [] for kind in styles}
        for end, window in zip(ends, windows[name], strict=True):
            if window["event"] is not None:
                at[_mark(window)].append(end)
        for kind, places in at.items():
            if places:
                axes.scatter(places, [lane] * len(places), **styles[kind])
                used.add(kind)
    axes.set_yticks(range(len(lanes)), [POLICY_NAMES.get(name, name) for name in lanes])
    axes.set_ylim(len(lanes) - 0.4, -0.6)
    plain_axes(axes)
    for lane in range(len(lanes)):
        axes.axhline(lane, color=GRID, linewidth=0.7, zorder=0)
    _key(axes, sorted(used))


def _mark(window: Mapping[str, Any]) -> str:
    """Return what a window's event is marked as."""
    if window["event"] == "probe":
        return "probe only"
    if window["outcome"].startswith("promoted"):
        return "reinstated" if window["event"] == "reinstate" else "promoted"
    return "under way" if window["outcome"] == "under way" else "refused"


def _key(axes: Any, used: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    styles: dict[str, dict[str, Any]] = {
        "promoted": {"marker": "o", "color": FAINT, "markersize": 4.2},
        "reinstated": {"marker": "D", "markerfacecolor": "white", "color": FAINT, "markersize": 4},
        "refused": {"marker": "x", "color": ALERT, "markersize": 4.2},
        "under way": {"marker": ">", "color": FAINT, "markersize": 3.7},
        "probe only": {"marker": "o", "markerfacecolor": "none", "color": FAINT, "markersize": 2.7},
    }
    handles = [Line2D([], [], linestyle="none", label=kind, **styles[kind]) for kind in used]
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
