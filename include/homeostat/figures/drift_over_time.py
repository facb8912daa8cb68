"""Figure of drift per feature over time: one row per feature, one column per window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from homeostat.core.drift import DriftReport, FeatureVerdict
from homeostat.figures.style import ALERT, FAINT, GRID, INK, new_figure, placeholder, shorten, to_png

_ROWS, _WINDOWS = 30, 72


def drift_over_time(reports: Sequence[Mapping[str, Any]]) -> bytes:
    """Draw the effect of every feature in every window, with alerts marked.

    Parameters
    ----------
    reports
        Drift reports as plain JSON with their ``window_end``, oldest first. The last 72 are drawn; of more
        than 30 features, those with the largest effects.
    """
    read = [
        (datetime.fromisoformat(raw["window_end"]), DriftReport.from_json(raw)) for raw in reports[-_WINDOWS:]
    ]
    inputs = _names(report.features for _, report in read)
    outputs = _names(report.outputs for _, report in read)
    if not inputs:
        return placeholder("no window with features to compare yet")
    windows = [{v.name: v for v in (*report.features, *report.outputs)} for _, report in read]
    chosen = _most_moved(inputs, windows)
    names = [*chosen, *outputs]
    effects = np.array([[_effect(window.get(name)) for window in windows] for name in names])
    top = max(0.5, float(np.nanmax(effects, initial=0.0)))

    fig = new_figure(min(11.0, 3.6 + 0.16 * max(len(read), 14)), 1.5 + 0.24 * len(names))
    axes = fig.add_subplot()
    axes.set_facecolor("#f3f4f6")
    image = axes.imshow(effects, cmap="Blues", vmin=0, vmax=top, aspect="auto", interpolation="nearest")
    _marks(axes, names, windows)
    axes.set_yticks(range(len(names)), [shorten(name) for name in names])
    _times(axes, [moment for moment, _ in read])
    for spine in axes.spines.values():
        spine.set_color(GRID)
    if outputs:
        axes.axhline(len(chosen) - 0.5, color=INK, linewidth=1.2)
    bar = fig.colorbar(image, ax=axes, fraction=0.03, pad=0.015)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=7.5, colors=FAINT, length=2)
    bar.set_label("effect (KS or Cramér's V)", fontsize=7.5, color=FAINT)
    left_out = f" ({len(chosen)} of {len(inputs)} features)" if len(chosen) < len(inputs) else ""
    axes.set_title(f"Drift per feature{left_out}", loc="left", fontsize=9.5, color=INK, fontweight="bold")
    return to_png(fig)


def _names(verdicts: Any) -> list[str]:
    return list(dict.fromkeys(verdict.name for window in verdicts for verdict in window))


def _effect(verdict: FeatureVerdict | None) -> float:
    found = verdict.effect if verdict is not None else None
    return np.nan if found is None else float(found)


def _most_moved(names: list[str], windows: Sequence[Mapping[str, FeatureVerdict]]) -> list[str]:
    """Return the features with the largest effects, in the order of the model."""
    moved = {name: np.nan_to_num([_effect(window.get(name)) for window in windows]).max() for name in names}
    most = set(sorted(names, key=lambda name: -moved[name])[:_ROWS])
    return [name for name in names if name in most]


def _marks(axes: Any, names: Sequence[str], windows: Sequence[Mapping[str, FeatureVerdict]]) -> None:
    """Draw a red dot for an alert, and a grey dash for an effect that cannot be computed."""
    found: dict[str, list[tuple[int, int]]] = {"alert": [], "not_computable": []}
    for column, window in enumerate(windows):
        for row, name in enumerate(names):
            verdict = window[name].verdict if name in window else "not_computable"
            if verdict in found:
                found[verdict].append((column, row))
    styles = {
        "alert": {"marker": "o", "s": 20, "color": ALERT, "edgecolors": "white", "linewidths": 0.7},
        "not_computable": {"marker": "_", "s": 18, "color": FAINT, "linewidths": 0.8},
    }
    labels = {"alert": "alert", "not_computable": "not computable"}
    for kind, places in found.items():
        if places:
            x, y = zip(*places, strict=True)
            axes.scatter(x, y, label=labels[kind], **styles[kind])
    if any(found.values()):
        axes.legend(
            fontsize=7.5, frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1.0, 1.0),
            borderaxespad=0.1, labelcolor=FAINT, handletextpad=0.2, columnspacing=1.0,
        )  # fmt: skip


def _times(axes: Any, moments: Sequence[datetime]) -> None:
    step = max(1, -(-len(moments) // 8))
    at = list(range(0, len(moments), step))
    spans_days = len(moments) > 1 and (moments[-1] - moments[0]).days >= len(moments)
    form = "%d %b" if spans_days else "%d %b\n%H:%M"
    axes.set_xticks(at, [format(moments[i], form) for i in at])
    axes.set_xlim(-0.5, len(moments) - 0.5)
    axes.set_xlabel("end of window (UTC)", fontsize=8, color=FAINT)
    axes.tick_params(labelsize=8, colors=INK, length=2)
