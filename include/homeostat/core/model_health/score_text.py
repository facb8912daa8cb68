"""The score of a version in words: the mean of the last checks, which decides, and the newest one."""

from __future__ import annotations

from typing import Any

from homeostat.core.performance import PerformanceReport


def describe_score(report: PerformanceReport, newest: float | None) -> str:
    """Return ``accuracy 0.589 over the last 6 checks, newest 0.22``; "" without a score.

    Parameters
    ----------
    report
        Performance at the last check; its ``score`` is the mean of the last checks that had labels.
    newest
        The score of the newest check alone (``score`` of its WindowRecord); None where it had no labels.
    """
    if report.score is None:
        return ""
    mean = f"{report.metric_title or report.metric} {report.score:.3g}"
    if report.batches < 2:
        return mean
    lately = "" if newest is None else f", newest {newest:.3g}"
    return f"{mean} over the last {report.batches} checks{lately}"


def score_json(report: PerformanceReport, newest: float | None) -> dict[str, Any]:
    """Return the same as plain JSON: the sentence's text and its figures."""
    return {
        "text": describe_score(report, newest),
        "metric": report.metric_title or report.metric,
        "mean": report.score,
        "checks": report.batches,
        "newest": newest,
        "baseline": report.baseline,
    }
