"""Performance of one window: pass, alert, pending or not computable, with a reason."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from typing import Any, Literal

from homeostat.config.model import ModelConfig
from homeostat.performance.decay import BATCHES, decay
from homeostat.performance.estimate import Estimate

Verdict = Literal["pass", "alert", "pending", "not_computable"]


@dataclass(frozen=True, slots=True)
class BatchScore:
    """The score of one batch of labelled rows."""

    window_end: datetime
    score: float
    rows: int


@dataclass(frozen=True, slots=True)
class PerformanceReport:
    """What the labels say. ``score`` is the mean of the last ten batches, ``decay`` positive when worse.

    ``estimate`` is what the confidence of the window's own answers says, whose labels may be long in coming;
    it changes no verdict: pending stays pending.
    """

    verdict: Verdict
    reason: str
    metric: str
    score: float | None
    baseline: float | None
    decay: float | None
    critical: bool = False
    batches: int = 0
    rows: int = 0
    estimate: Estimate | None = None

    def with_estimate(self, estimate: Estimate | None) -> PerformanceReport:
        """The same report with this estimate."""
        return replace(self, estimate=estimate)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON: no NaN, no numpy."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> PerformanceReport:
        """Read what :meth:`to_json` wrote; unknown keys are passed over."""
        report = cls(**{f.name: raw[f.name] for f in fields(cls) if f.name in raw and f.name != "estimate"})
        estimated = raw.get("estimate")
        return report.with_estimate(None if estimated is None else Estimate.from_json(estimated))


def assess(
    config: ModelConfig,
    baseline: float | None,
    scores: Sequence[BatchScore],
    pending: bool,  # noqa: FBT001  # the contract between the rooms has it fourth
    *,
    metric: str | None = None,
) -> PerformanceReport:
    """Hold the last batches against the version's own baseline.

    Parameters
    ----------
    baseline
        The version's score on its holdout; None when it was not recorded.
    scores
        Batches of this version, in any order; the ten latest count.
    pending
        Labels of this window have not all come: no verdict yet, and not healthy either.
    metric
        The one that was scored, where it is not ``config.metric``.
    """
    metric = metric or config.metric
    last = sorted(scores, key=lambda batch: batch.window_end)[-BATCHES:]
    rows = sum(batch.rows for batch in last)
    mean = _mean([batch.score for batch in last])
    lost = None if baseline is None else decay(baseline, [batch.score for batch in last], metric)
    critical = False
    verdict: Verdict
    if pending:
        verdict, reason = "pending", "labels of this window have not come yet"
    elif lost is None or rows < config.monitor.min_rows:
        verdict, reason = "not_computable", _lacking(last, baseline, mean, rows, config)
    else:
        reason = f"{metric} {mean:.4g} over {len(last)} batches, baseline {baseline:.4g}: decay {lost:.3g}"
        critical = lost >= config.trigger.critical_decay
        verdict = "alert" if lost >= config.trigger.decay else "pass"
        if verdict == "alert":
            limit = config.trigger.critical_decay if critical else config.trigger.decay
            reason += f", {'critical' if critical else 'too much'} from {limit:g} on"
    shown = lost if verdict in ("pass", "alert") else None
    return PerformanceReport(verdict, reason, metric, mean, baseline, shown, critical, len(last), rows)


def _lacking(
    last: Sequence[BatchScore], baseline: float | None, mean: float | None, rows: int, config: ModelConfig
) -> str:
    if not last:
        return "no batch of this version has been scored"
    if baseline is None or not math.isfinite(baseline):
        return "the version's own baseline was not recorded"
    if mean is None:
        return f"none of {len(last)} scores is a finite number"
    return f"only {rows} labelled rows, monitor.min_rows asks for {config.monitor.min_rows}"


def _mean(values: Sequence[float]) -> float | None:
    finite = [value for value in values if math.isfinite(value)]
    return math.fsum(finite) / len(finite) if finite else None
