"""Performance of one window: pass, alert, pending or not computable, with a reason."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from typing import Any, Literal

from homeostat.config.model import ModelConfig
from homeostat.config.positive_class import metric_title
from homeostat.core.performance.decay import BATCHES, RELATIVE, decay
from homeostat.core.performance.estimate import Estimate
from homeostat.core.performance.reasons import NotComputable, PerformanceReason

#: Decay of so many standard errors is significant (one-sided 95 %), ...
SIGNIFICANT_Z = 1.64
#: ... and of so many even when it is tested at every window (one-sided 99.9 %).
STRICT_Z = 3.0

PerformanceVerdict = Literal["pass", "alert", "pending", "not_computable"]

# Read what release 0.1 wrote.
_OLD_NAMES = {"degraded": "hurt", "below_best": "short"}


@dataclass(frozen=True, slots=True)
class BatchScore:
    """The score of one batch of labelled rows."""

    window_end: datetime
    score: float
    rows: int


@dataclass(frozen=True, slots=True)
class Baseline:
    """A version's score on its holdout, the holdout's rows, and the variance that one row adds to a score.

    See :class:`homeostat.bundle.evaluate.Evaluation` for ``variance``; None where it is not known.
    """

    score: float | None
    rows: int = 0
    variance: float | None = None


@dataclass(frozen=True, slots=True)
class PerformanceReport:
    """Performance from labels. ``score`` is the mean of the last ten batches; positive ``decay`` is worse.

    ``error`` is the standard error of ``decay``, None where the variance of scores is not known.
    ``degraded`` says that rows since the inputs began to drift score worse than the baseline by more than
    ``gate.max_regression`` and by at least 3 standard errors, whether or not that is ``decay`` yet.
    ``below_best`` says that the last batches are significantly worse, by ``trigger.decay`` or more, than the
    best baseline of this model's last champions: a version trained on bad data has a baseline that hides it.

    ``estimate`` comes from the confidence of the window's own predictions, whose labels may arrive late. It
    changes no verdict: pending stays pending. ``reason_code`` is the word of
    :class:`~homeostat.core.performance.reasons.PerformanceReason` when performance is not computable.
    ``metric_title`` is the metric's name for people, with the class that it is of.
    """

    verdict: PerformanceVerdict
    reason: str
    metric: str
    score: float | None
    baseline: float | None
    decay: float | None
    critical: bool = False
    batches: int = 0
    rows: int = 0
    error: float | None = None
    degraded: bool = False
    below_best: bool = False
    estimate: Estimate | None = None
    reason_code: str = ""
    metric_title: str = ""

    def with_estimate(self, estimate: Estimate | None) -> PerformanceReport:
        """Return the same report with this estimate."""
        return replace(self, estimate=estimate)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON: no NaN, no numpy."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> PerformanceReport:
        """Read what :meth:`to_json` wrote, now or in release 0.1; unknown keys are ignored."""
        raw = dict(raw) | {new: raw[old] for new, old in _OLD_NAMES.items() if old in raw and new not in raw}
        report = cls(**{f.name: raw[f.name] for f in fields(cls) if f.name in raw and f.name != "estimate"})
        estimated = raw.get("estimate")
        return report.with_estimate(None if estimated is None else Estimate.from_json(estimated))


def assess(
    config: ModelConfig,
    baseline: Baseline | float | None,
    scores: Sequence[BatchScore],
    pending: bool,  # noqa: FBT001  # the contract between the rooms has it fourth
    *,
    metric: str | None = None,
    since_drift: Sequence[BatchScore] = (),
    best: float | None = None,
    undefined: str = "",
) -> PerformanceReport:
    """Compare the last batches with the version's own baseline.

    A decay of ``trigger.decay`` is an alert only when it is significant: with n rows in the batches, N in the
    holdout and v the variance that one row adds, its standard error is sqrt(v (1/n + 1/N)), and decay must be
    at least 1.64 of them (one-sided 95 %).

    Parameters
    ----------
    baseline
        The version's score on its holdout; None when it was not recorded.
    scores
        Batches of this version, in any order. The latest count: those of two windows, at most ten.
    pending
        Labels of this window have not all arrived: neither an alert nor a pass.
    metric
        The metric of the scores, where it is not ``config.metric``.
    since_drift
        Batches of rows from the first drifted window on, for ``degraded``.
    best
        The best baseline of this model's last champions, for ``below_best``.
    undefined
        Why the newest labelled rows have no score.
    """
    metric = metric or config.metric
    own = baseline if isinstance(baseline, Baseline) else Baseline(baseline)
    latest = _latest(config, scores)
    lost = _Loss.of(own, latest, metric)
    report = PerformanceReport(
        verdict="pending",
        reason="labels of this window have not arrived yet",
        metric=metric,
        metric_title=metric_title(metric, config.columns.label.positive),
        score=lost.mean,
        baseline=own.score,
        decay=None,
        batches=len(latest),
        rows=lost.rows,
        error=lost.error,
        degraded=_is_degraded(config, _Loss.of(own, since_drift, metric)),
        below_best=best is not None
        and _is_below_best(config, _Loss.of(replace(own, score=best), latest, metric)),
    )
    if pending:
        return report
    if lost.decay is None or lost.rows < config.monitor.min_rows:
        why = _not_computable(config, own, latest, lost, undefined)
        return replace(report, verdict="not_computable", reason=why.sentence, reason_code=str(why.reason))
    return _with_verdict(config, report, lost.decay)


@dataclass(frozen=True, slots=True)
class _Loss:
    """Some batches against a baseline; a value is None where it cannot be computed."""

    rows: int
    mean: float | None
    decay: float | None
    error: float | None

    @classmethod
    def of(cls, baseline: Baseline, batches: Sequence[BatchScore], metric: str) -> _Loss:
        """Average the batches, each weighing as much as its rows; leave out scores that are not finite."""
        finite = [batch for batch in batches if math.isfinite(batch.score)]
        rows = sum(batch.rows for batch in finite)
        mean = math.fsum(b.score * b.rows for b in finite if b.rows > 0) / rows if rows else None
        lost = None
        if mean is not None and baseline.score is not None:
            lost = decay(baseline.score, [mean], metric)
        return cls(rows, mean, lost, _standard_error(baseline, rows, metric))

    def significant(self, z: float) -> bool:
        """Whether decay and its standard error are known and decay is at least z of them."""
        return self.decay is not None and self.error is not None and self.decay >= z * self.error


def _latest(config: ModelConfig, scores: Sequence[BatchScore]) -> list[BatchScore]:
    """Return the batches of the last two windows, at most ten."""
    span = max(1, min(BATCHES, 2 * (config.monitor.window // config.monitor.every)))
    return sorted(scores, key=lambda batch: batch.window_end)[-span:]


def _with_verdict(config: ModelConfig, report: PerformanceReport, lost: float) -> PerformanceReport:
    """Pass or alert; without a standard error, the trigger asks for several windows in a row instead."""
    limit, critical_limit = config.trigger.decay, config.trigger.critical_decay
    reason = (
        f"{report.metric_title} {report.score:.4g} over {report.batches} batches, "
        f"baseline {report.baseline:.4g}: decay {lost:.3g}"
    )
    if report.error is not None:
        reason += f" with a standard error of {report.error:.2g}"
    significant = report.error is None or lost >= SIGNIFICANT_Z * report.error
    critical = significant and lost >= critical_limit
    alert = significant and lost >= limit
    if critical:
        reason += f", at or above trigger.critical_decay ({critical_limit:g})"
    elif alert:
        reason += f", at or above trigger.decay ({limit:g})"
    elif lost >= limit:
        reason += f", at or above trigger.decay ({limit:g}), but not significant"
    return replace(report, verdict="alert" if alert else "pass", reason=reason, decay=lost, critical=critical)


def _is_degraded(config: ModelConfig, lost: _Loss) -> bool:
    return (
        lost.rows >= config.monitor.min_rows
        and lost.significant(STRICT_Z)
        and lost.decay is not None
        and lost.decay > config.gate.max_regression
    )


def _is_below_best(config: ModelConfig, lost: _Loss) -> bool:
    return (
        lost.rows >= config.monitor.min_rows
        and lost.significant(SIGNIFICANT_Z)
        and lost.decay is not None
        and lost.decay >= config.trigger.decay
    )


def _standard_error(baseline: Baseline, rows: int, metric: str) -> float | None:
    if baseline.variance is None or baseline.score is None or not rows or not baseline.rows:
        return None
    error = math.sqrt(baseline.variance * (1 / rows + 1 / baseline.rows))
    return error / max(abs(baseline.score), 1e-12) if metric in RELATIVE else error


def _not_computable(
    config: ModelConfig, own: Baseline, latest: Sequence[BatchScore], lost: _Loss, undefined: str
) -> NotComputable:
    if not latest and undefined:
        return NotComputable.of(PerformanceReason.UNDEFINED_SCORE, why=undefined)
    if not latest:
        return NotComputable.of(PerformanceReason.NO_BATCHES)
    if own.score is None or not math.isfinite(own.score):
        return NotComputable.of(PerformanceReason.NO_BASELINE)
    if lost.mean is None:
        return NotComputable.of(PerformanceReason.NO_FINITE_SCORE, batches=len(latest))
    return NotComputable.of(
        PerformanceReason.TOO_FEW_LABELLED_ROWS, rows=lost.rows, min_rows=config.monitor.min_rows
    )
