"""Performance of one window: pass, alert, pending or not computable, with a reason."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from typing import Any, Literal

from homeostat.config.model import ModelConfig
from homeostat.core.performance.decay import BATCHES, RELATIVE, decay
from homeostat.core.performance.estimate import Estimate

#: A decay of so many standard errors is more than chance (one-sided 95 %), ...
SURE = 1.64
#: ... and of so many is so however often one looks (one-sided 99.9 %).
BEYOND_DOUBT = 3.0

Verdict = Literal["pass", "alert", "pending", "not_computable"]


@dataclass(frozen=True, slots=True)
class BatchScore:
    """The score of one batch of labelled rows."""

    window_end: datetime
    score: float
    rows: int


@dataclass(frozen=True, slots=True)
class Baseline:
    """A version's score on its holdout, the holdout's rows, and the variance that one row adds to a score.

    See :class:`homeostat.training.Evaluation` for ``variance``; None where it is not known.
    """

    score: float | None
    rows: int = 0
    variance: float | None = None


@dataclass(frozen=True, slots=True)
class PerformanceReport:
    """What the labels say. ``score`` is the mean of the last ten batches, ``decay`` positive when worse.

    ``error`` is the standard error of ``decay``, None where the holdout could not tell how scores scatter.
    ``hurt`` says that rows since the inputs began to drift are answered worse than the baseline, beyond doubt
    and by more than ``gate.max_regression``, whether or not that is ``decay`` yet. ``short`` says that the
    last batches lie ``trigger.decay`` below the best that a champion of this model was good for, more than
    chance gives: a version that was made in bad times has a baseline that hides it.

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
    error: float | None = None
    hurt: bool = False
    short: bool = False
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
    baseline: Baseline | float | None,
    scores: Sequence[BatchScore],
    pending: bool,  # noqa: FBT001  # the contract between the rooms has it fourth
    *,
    metric: str | None = None,
    since_drift: Sequence[BatchScore] = (),
    best: float | None = None,
) -> PerformanceReport:
    """Hold the last batches against the version's own baseline.

    A loss of ``trigger.decay`` is an alert only when it is more than chance gives: with n rows in the
    batches, N in the holdout and v the variance that one row adds, its standard error is
    sqrt(v (1/n + 1/N)), and it has to be 1.64 of them (one-sided 95 %).

    Parameters
    ----------
    baseline
        The version's score on its holdout, and how scores scatter there; None when it was not recorded.
    scores
        Batches of this version, in any order. The latest count: those of two windows, at most ten.
    pending
        Labels of this window have not all come: no verdict yet, and not healthy either.
    metric
        The one that was scored, where it is not ``config.metric``.
    since_drift
        Batches of rows from the inputs' first drifted window on; see ``hurt``.
    best
        The best baseline of this model's champions; see ``short``.
    """
    metric = metric or config.metric
    known = baseline if isinstance(baseline, Baseline) else Baseline(baseline)
    span = max(1, min(BATCHES, 2 * (config.monitor.window // config.monitor.every)))
    last = sorted(scores, key=lambda batch: batch.window_end)[-span:]
    rows = _rows(last)
    mean = _mean(last)
    lost = _lost(known, last, metric)
    error = _error(known, last, metric)
    critical = False
    verdict: Verdict
    if pending:
        verdict, reason = "pending", "labels of this window have not come yet"
    elif lost is None or rows < config.monitor.min_rows:
        verdict, reason = "not_computable", _lacking(last, known.score, mean, rows, config)
    else:
        reason = f"{metric} {mean:.4g} over {len(last)} batches, baseline {known.score:.4g}: decay {lost:.3g}"
        if error is not None:
            reason += f" with a standard error of {error:.2g}"
        sure = error is None or lost >= SURE * error
        critical = sure and lost >= config.trigger.critical_decay
        verdict = "alert" if sure and lost >= config.trigger.decay else "pass"
        if verdict == "alert":
            limit = config.trigger.critical_decay if critical else config.trigger.decay
            reason += f", {'critical' if critical else 'too much'} from {limit:g} on"
        elif not sure and lost >= config.trigger.decay:
            reason += ", which may be chance"
    shown = lost if verdict in ("pass", "alert") else None
    return PerformanceReport(
        verdict, reason, metric, mean, known.score, shown, critical, len(last), rows, error,
        _hurt(config, known, since_drift, metric),
        _short(config, known, best, last, metric),
    )  # fmt: skip


def _hurt(config: ModelConfig, baseline: Baseline, batches: Sequence[BatchScore], metric: str) -> bool:
    lost, error = _lost(baseline, batches, metric), _error(baseline, batches, metric)
    if lost is None or error is None or _rows(batches) < config.monitor.min_rows:
        return False
    return lost > config.gate.max_regression and lost >= BEYOND_DOUBT * error


def _short(
    config: ModelConfig, own: Baseline, best: float | None, batches: Sequence[BatchScore], metric: str
) -> bool:
    if best is None:
        return False
    wanted = Baseline(best, own.rows, own.variance)
    lost, error = _lost(wanted, batches, metric), _error(wanted, batches, metric)
    if lost is None or error is None or _rows(batches) < config.monitor.min_rows:
        return False
    return lost >= config.trigger.decay and lost >= SURE * error


def _lost(baseline: Baseline, batches: Sequence[BatchScore], metric: str) -> float | None:
    """Decay of the batches' mean, each batch weighing as much as its rows."""
    mean = _mean(batches)
    return None if mean is None or baseline.score is None else decay(baseline.score, [mean], metric)


def _error(baseline: Baseline, batches: Sequence[BatchScore], metric: str) -> float | None:
    rows = _rows(batches)
    if baseline.variance is None or baseline.score is None or not rows or not baseline.rows:
        return None
    error = math.sqrt(baseline.variance * (1 / rows + 1 / baseline.rows))
    return error / max(abs(baseline.score), 1e-12) if metric in RELATIVE else error


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


def _rows(batches: Sequence[BatchScore]) -> int:
    """Rows that a score is over; one that is no number is over none."""
    return sum(batch.rows for batch in batches if math.isfinite(batch.score))


def _mean(batches: Sequence[BatchScore]) -> float | None:
    finite = [batch for batch in batches if math.isfinite(batch.score) and batch.rows > 0]
    rows = sum(batch.rows for batch in finite)
    return math.fsum(batch.score * batch.rows for batch in finite) / rows if rows else None
