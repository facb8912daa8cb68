"""The past of a model as columns over its windows: what charts are drawn from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from homeostat.core.model_health.window_summary import FeatureEffect, WindowSummary
from homeostat.core.performance import higher_is_better, metric_range

#: Standard errors to either side of the score: 95 %.
_Z = 1.96
#: The picture of every feature's reference beside the newest window, among the files of the run of its day.
_REPORT = "reference_against_window.png"
_LETTERS = {"alert": "a", "pass": "p", "not_computable": "n"}
#: The heat map shows at most so many features, those with the largest effects.
MAX_FEATURES = 60


@dataclass(frozen=True, slots=True)
class Band:
    """A version that was champion from ``start`` until ``end``, by its windows."""

    version: str
    start: datetime
    end: datetime

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {"version": self.version, "start": self.start.isoformat(), "end": self.end.isoformat()}


def bands(windows: Sequence[WindowSummary]) -> list[Band]:
    """Return the champions in a row; a band begins with its first window's newest step."""
    found: list[Band] = []
    for window in windows:
        record = window.record
        if found and found[-1].version == record.version:
            found[-1] = Band(record.version, found[-1].start, record.window_end)
        else:
            start = record.window_end - window.every
            found.append(
                Band(record.version, max(start, found[-1].end) if found else start, record.window_end)
            )
    return found


def series(windows: Sequence[WindowSummary]) -> dict[str, list[Any]]:
    """Return one column of equal length per quantity; None where it was not recorded or not computable.

    ``time`` is the end of the window in seconds since 1970. ``score`` is the mean of the last batches, which
    decides, ``low`` and ``high`` its 95 % interval within the range of the metric, ``step_score`` the newest
    step alone. Scores by another metric than that of the newest window are None. ``rows``, ``p50_ms`` and
    ``p99_ms`` are of the step. ``report`` is the page of a window's figure: MLflow has one a day, the
    last that was drawn.
    """
    metric = windows[-1].performance.metric_title if windows else ""
    columns: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
    by_day = {_day(window): window for window in windows if window.record.has_figures(window.every)}
    drawn = list(by_day.values())
    for window in windows:
        same = window.performance.metric_title == metric
        for name, value in _row(window, same_metric=same).items():
            columns[name].append(value)
        columns["report"].append(_artifact(window.url, _REPORT) if window in drawn else "")
    return columns


_COLUMNS = (
    *("time", "version", "drift", "performance", "fired", "reason", "url", "report"),
    *("score", "low", "high", "step_score", "baseline", "estimate", "estimate_low", "estimate_high"),
    *("drifted_share", "window_rows", "rows", "p50_ms", "p99_ms"),
)


def _row(window: WindowSummary, *, same_metric: bool) -> dict[str, Any]:
    record, report, traffic = window.record, window.performance, window.traffic
    score = report.score if same_metric else None
    spread = None if score is None or window.score_error is None else _Z * window.score_error
    estimate = report.estimate if report.verdict == "pending" else None
    return {
        "time": record.window_end.timestamp(),
        "version": record.version,
        "drift": record.drift,
        "performance": record.performance,
        "fired": record.fired,
        "reason": window.sentence,
        "url": window.url,
        "score": score,
        "low": None if score is None or spread is None else _clipped(score - spread, report.metric),
        "high": None if score is None or spread is None else _clipped(score + spread, report.metric),
        "step_score": record.score if same_metric else None,
        "baseline": report.baseline if same_metric else None,
        "estimate": estimate.value if estimate else None,
        "estimate_low": estimate.low if estimate else None,
        "estimate_high": estimate.high if estimate else None,
        "drifted_share": record.drifted_share,
        "window_rows": record.rows,
        "rows": traffic.rows if traffic else None,
        "p50_ms": traffic.p50_ms if traffic else None,
        "p99_ms": traffic.p99_ms if traffic else None,
    }


def _day(window: WindowSummary) -> date:
    return window.record.window_end.astimezone(UTC).date()


def _clipped(value: float, metric: str) -> float:
    """Return the value within the range of the metric: an interval has no part that cannot be."""
    low, high = metric_range(metric)
    return min(max(value, -math.inf if low is None else low), math.inf if high is None else high)


def _artifact(url: str, name: str) -> str:
    """Return the page of a file of an MLflow run; "" for what is no run's page."""
    page, _, query = url.partition("?")
    return f"{page}/artifacts/{name}?{query}" if "/runs/" in page else ""


def metric_of(windows: Sequence[WindowSummary]) -> dict[str, Any] | None:
    """Return the metric of the newest window; None without one."""
    if not windows:
        return None
    report = windows[-1].performance
    title = report.metric_title or report.metric
    low, high = metric_range(report.metric)
    better = higher_is_better(report.metric)
    return {"name": report.metric, "title": title, "higher_is_better": better, "low": low, "high": high}


def heat_map(windows: Sequence[WindowSummary]) -> dict[str, Any]:
    """Return the effect and verdict of every feature in every window, features with large effects first.

    ``effects`` and ``verdicts`` have one value per window, in the order of :func:`series`. A verdict is one
    letter: ``a`` alert, ``p`` pass, ``n`` not computable, ``-`` the window did not compare the feature.
    """
    inputs = _rows([window.features for window in windows])
    outputs = _rows([window.outputs for window in windows])
    shown = inputs[:MAX_FEATURES]
    return {"features": shown, "outputs": outputs, "left_out": len(inputs) - len(shown)}


def slice_map(windows: Sequence[WindowSummary]) -> dict[str, Any]:
    """Return the watched slices: decay and verdict of each in every window, and the newest figures.

    ``slices`` has one row per slice of the newest window that watched any, the worst first, with the keys
    that :func:`heat_map` has of features; ``effects`` are the decay against the slice's own baseline.
    ``reason`` says what of them is not compared.
    """
    found = [window.slices for window in windows]
    newest = next((report for report in reversed(found) if report is not None), None)
    if newest is None:
        return {"slices": [], "metric": "", "reason": ""}
    by_window = [{each.name: each for each in report.results} if report else {} for report in found]
    rows = [
        {
            "name": each.name,
            "effects": [own[each.name].performance.decay if each.name in own else None for own in by_window],
            "verdicts": "".join(
                _LETTERS.get(own[each.name].performance.verdict, "n") if each.name in own else "-"
                for own in by_window
            ),
            "reason": each.performance.reason,
            "rows": each.drift.rows,
            "labelled_rows": each.performance.rows,
            "score": each.performance.score,
            "baseline": each.performance.baseline,
            "decay": each.performance.decay,
            "performance": each.performance.verdict,
            "drift": each.drift.verdict,
            "drifted": list(each.drift.drifted),
            "drift_reason": each.drift.reason,
        }
        for each in newest.results
    ]
    rows.sort(key=lambda row: (row["performance"] != "alert", row["drift"] != "alert"))
    return {"slices": rows, "metric": newest.metric, "reason": newest.reason}


def _rows(windows: Sequence[Mapping[str, FeatureEffect]]) -> list[dict[str, Any]]:
    names = dict.fromkeys(name for window in windows for name in window)
    rows = [
        {
            "name": name,
            "effects": [window[name].effect if name in window else None for window in windows],
            "verdicts": "".join(
                _LETTERS[window[name].verdict] if name in window else "-" for window in windows
            ),
            "reason": next((w[name].reason for w in reversed(windows) if name in w), ""),
        }
        for name in names
    ]
    return sorted(rows, key=lambda row: -max((e for e in row["effects"] if e is not None), default=0.0))
