"""The result of each row, and the report over all rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class RowResult:
    """The result of one row.

    ``at`` is the row's own time, ``wall`` the wall-clock time of the response (seconds since the epoch).
    ``right`` is True for a correct class; None for regression, without a label, and for a failed request.
    ``fell_back_from`` is the version that failed when another one's prediction was served.
    """

    id: str
    at: datetime
    wall: float
    latency_ms: float
    ok: bool
    version: str = ""
    variant: str = ""
    prediction: Any = None
    label: Any = None
    right: bool | None = None
    fell_back_from: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """The result of a replay. Counts are rows; latencies (milliseconds) are of successful requests."""

    sent: int
    failed: int
    labels: int
    labels_failed: int
    by_version: dict[str, int]
    by_variant: dict[str, int]
    p50_ms: float | None
    p99_ms: float | None
    accuracy: float | None
    mae: float | None
    problems: dict[str, int]
    seconds: float
    stopped: bool
    results: tuple[RowResult, ...] = field(repr=False, default=())

    def to_json(self) -> dict[str, Any]:
        """Return everything except the single results as JSON."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "results"}

    def sentence(self) -> str:
        """Return the report as one line."""
        stopped = "stopped: " if self.stopped else ""
        parts = [f"{stopped}{self.sent} rows sent in {self.seconds:.1f} s, {self.failed} failed"]
        if self.p50_ms is not None and self.p99_ms is not None:
            parts.append(f"latency {self.p50_ms:.1f} ms (p99 {self.p99_ms:.1f} ms)")
        if self.accuracy is not None:
            parts.append(f"accuracy {self.accuracy:.3f}")
        if self.mae is not None:
            parts.append(f"mean absolute error {self.mae:.4g}")
        parts.append(
            f"{self.labels} labels" + (f", {self.labels_failed} rejected" if self.labels_failed else "")
        )
        parts.extend(f"{count} x {problem}" for problem, count in list(self.problems.items())[:3])
        return "; ".join(parts)


def summarise(
    results: Sequence[RowResult],
    *,
    regression: bool,
    labels: int,
    labels_failed: int,
    label_problems: Mapping[str, int],
    seconds: float,
    stopped: bool,
) -> ReplayReport:
    """Aggregate results. Latency is over successful requests, accuracy over predicted rows with a label."""
    successful = [result for result in results if result.ok]
    latencies = [result.latency_ms for result in successful]
    p50, p99 = (round(float(q), 3) for q in np.percentile(latencies, [50, 99])) if latencies else (None, None)
    right = [result.right for result in successful if result.right is not None]
    misses = [
        abs(result.prediction - result.label)
        for result in successful
        if regression and result.prediction is not None and result.label is not None
    ]
    problems = Counter(result.problem for result in results if result.problem) + Counter(label_problems)
    return ReplayReport(
        sent=len(results),
        failed=len(results) - len(successful),
        labels=labels,
        labels_failed=labels_failed,
        by_version=dict(Counter(result.version for result in successful)),
        by_variant=dict(Counter(result.variant for result in successful)),
        p50_ms=p50,
        p99_ms=p99,
        accuracy=round(sum(right) / len(right), 6) if right else None,
        mae=float(np.mean(misses)) if misses else None,
        problems=dict(problems.most_common()),
        seconds=round(seconds, 3),
        stopped=stopped,
        results=tuple(results),
    )
