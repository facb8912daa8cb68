"""What came of each row, and of all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one row.

    ``at`` is the row's own time, ``wall`` the wall-clock time of the answer (seconds since the epoch).
    ``right`` says whether a class was called right: None for regression, without a label, and when the
    request failed. ``fell_back_from`` is the version that was asked first, when another had to answer.
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
    """What came of a replay. Counts are of rows; latencies (milliseconds) of answered requests."""

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
    answers: tuple[Answer, ...] = field(repr=False, default=())

    def to_json(self) -> dict[str, Any]:
        """Everything but the single answers, as plain JSON."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "answers"}

    def sentence(self) -> str:
        """One line for a person."""
        parts = [f"{self.sent} rows sent in {self.seconds:.1f} s, {self.failed} failed"]
        if self.p50_ms is not None and self.p99_ms is not None:
            parts.append(f"latency {self.p50_ms:.1f} ms (p99 {self.p99_ms:.1f} ms)")
        if self.accuracy is not None:
            parts.append(f"accuracy {self.accuracy:.3f}")
        if self.mae is not None:
            parts.append(f"mean absolute error {self.mae:.4g}")
        parts.append(
            f"{self.labels} labels" + (f", {self.labels_failed} refused" if self.labels_failed else "")
        )
        parts.extend(f"{count} x {problem}" for problem, count in list(self.problems.items())[:3])
        return "; ".join(parts)


def summarise(
    answers: Sequence[Answer],
    *,
    regression: bool,
    labels: int,
    labels_failed: int,
    label_problems: Mapping[str, int],
    seconds: float,
    stopped: bool,
) -> ReplayReport:
    """Count. Latency is that of answered requests, accuracy that of answered rows with a label."""
    good = [answer for answer in answers if answer.ok]
    latencies = [answer.latency_ms for answer in good]
    p50, p99 = (round(float(q), 3) for q in np.percentile(latencies, [50, 99])) if latencies else (None, None)
    right = [answer.right for answer in good if answer.right is not None]
    misses = [
        abs(answer.prediction - answer.label)
        for answer in good
        if regression and answer.prediction is not None and answer.label is not None
    ]
    problems = Counter(answer.problem for answer in answers if answer.problem) + Counter(label_problems)
    return ReplayReport(
        sent=len(answers),
        failed=len(answers) - len(good),
        labels=labels,
        labels_failed=labels_failed,
        by_version=dict(Counter(answer.version for answer in good)),
        by_variant=dict(Counter(answer.variant for answer in good)),
        p50_ms=p50,
        p99_ms=p99,
        accuracy=round(sum(right) / len(right), 6) if right else None,
        mae=float(np.mean(misses)) if misses else None,
        problems=dict(problems.most_common()),
        seconds=round(seconds, 3),
        stopped=stopped,
        answers=tuple(answers),
    )
