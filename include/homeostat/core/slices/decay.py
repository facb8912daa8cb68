"""Decay of slices: the mean loss of each against the same slice of the version's holdout."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from scipy import stats

from homeostat.config.model import ModelConfig
from homeostat.core.drift import benjamini_hochberg
from homeostat.core.performance import BATCHES, decay, row_variance
from homeostat.core.profile import MIN_SLICE_ROWS
from homeostat.core.slices.losses import LossSums, add_steps

#: The corrected p-value below which decay is significant: three standard errors (one-sided 99.87 %), since
#: the test runs at every window.
SIGNIFICANCE = 0.00135

SliceVerdict = Literal["pass", "alert", "pending", "not_computable"]


@dataclass(frozen=True, slots=True)
class SliceBaseline:
    """A slice's losses on the holdout.

    ``inflation`` is how many times as much a mean of them varies as one of independent rows, 1 or more:
    errors of neighbouring rows are correlated, see :func:`homeostat.core.performance.row_variance`.
    """

    losses: LossSums
    inflation: float = 1.0

    @classmethod
    def of(cls, losses: np.ndarray) -> Self:
        """Sum the losses of the slice's holdout rows, in time order, shape (n,)."""
        sums = LossSums.of(losses)
        inflation = row_variance(losses) / sums.variance if sums.variance > 0 else 1.0
        return cls(sums, max(1.0, inflation))

    def to_json(self) -> list[float]:
        """Return the sums, then the inflation."""
        return [*self.losses.to_json(), round(self.inflation, 4)]

    @classmethod
    def from_json(cls, raw: list[float]) -> Self:
        """Read what :meth:`to_json` wrote."""
        return cls(LossSums.from_json(raw[:3]), float(raw[3]))


@dataclass(frozen=True, slots=True)
class SliceScore:
    """How well a slice is predicted: accuracy or mean absolute error of its last labelled rows.

    Positive ``decay`` is worse, in the units of ``trigger.decay``. ``p_value`` is corrected over the slices;
    None where it was not computed.
    """

    verdict: SliceVerdict
    reason: str
    score: float | None = None
    baseline: float | None = None
    decay: float | None = None
    p_value: float | None = None
    rows: int = 0


def assess_slices(
    config: ModelConfig,
    names: Iterable[str],
    baselines: Mapping[str, SliceBaseline],
    newest_first: list[Mapping[str, LossSums]],
) -> dict[str, SliceScore]:
    """Compare the last labelled rows of each slice with the version's holdout.

    A slice alerts when it lost ``trigger.decay`` or more *and* its p-value, corrected over all slices
    (Benjamini and Hochberg), is below :data:`SIGNIFICANCE`. With fewer than 30 rows in the holdout or in the
    last steps it is not computable.

    Parameters
    ----------
    names
        The slices, rests included.
    newest_first
        The losses of each step of this version within the last two windows. The ten newest count in any
        case (fewer where two windows have fewer), earlier ones until the slice has ``monitor.min_rows`` rows.
    """
    binary = config.task == "classification"
    least = max(1, min(BATCHES, 2 * (config.monitor.window // config.monitor.every)))
    enough = max(config.monitor.min_rows, MIN_SLICE_ROWS)
    recent = {name: add_steps(newest_first, name, least=least, enough=enough) for name in names}
    reasons = {name: _not_computable(baselines, name, losses) for name, losses in recent.items()}
    known = [name for name, reason in reasons.items() if not reason]
    raw = [decay_p_value(baselines[name], recent[name], binary=binary) for name in known]
    corrected = dict(zip(known, benjamini_hochberg(raw), strict=True))
    found = {}
    for name, losses in recent.items():
        if name in corrected:
            found[name] = _scored(config, baselines[name].losses, losses, corrected[name])
            continue
        verdict: SliceVerdict = "pending" if name in baselines and not losses.rows else "not_computable"
        found[name] = SliceScore(verdict, reasons[name], _score(losses, binary=binary), rows=losses.rows)
    return found


def decay_p_value(baseline: SliceBaseline, recent: LossSums, *, binary: bool) -> float:
    """Return the chance that a slice which is predicted as well as on the holdout looks this bad or worse.

    Losses of 0 and 1: R. A. Fisher's exact test, since the tail of a normal distribution is far too thin for
    30 rows with two errors. Other losses: Student's test with the variance of both samples. Both count rows
    divided by the inflation, rounded against an alarm.
    """
    inflation, known = baseline.inflation, baseline.losses
    rows, held = recent.rows / inflation, known.rows / inflation
    if binary:
        wrong, held_wrong = math.floor(recent.total / inflation), math.ceil(known.total / inflation)
        n, m = math.ceil(rows), max(math.floor(held), held_wrong)
        return float(stats.hypergeom.sf(wrong - 1, n + m, min(wrong, n) + held_wrong, n))
    freedom = max(rows + held - 2, 1.0)
    pooled = (rows * recent.variance + held * known.variance) / freedom
    error = math.sqrt(pooled * (1 / rows + 1 / held))
    difference = (recent.mean or 0.0) - (known.mean or 0.0)
    if error == 0:
        return 0.0 if difference > 0 else 1.0
    return float(stats.t.sf(difference / error, freedom))


def _not_computable(baselines: Mapping[str, SliceBaseline], name: str, recent: LossSums) -> str:
    """Return why a slice cannot be assessed; "" where it can."""
    if name not in baselines:
        return "the version was registered without this slice's score on its holdout"
    held = baselines[name].losses.rows
    if held < MIN_SLICE_ROWS:
        return f"only {held} rows in the version's holdout, {MIN_SLICE_ROWS} are needed"
    if not recent.rows:
        return "no labelled rows yet"
    if recent.rows < MIN_SLICE_ROWS:
        return f"only {recent.rows} labelled rows, {MIN_SLICE_ROWS} are needed"
    return ""


def _scored(config: ModelConfig, baseline: LossSums, recent: LossSums, p_value: float | None) -> SliceScore:
    binary, metric = config.task == "classification", config.slice_metric
    before, now = _score(baseline, binary=binary), _score(recent, binary=binary)
    lost = None if before is None or now is None else decay(before, [now], metric)
    if before is None or now is None or lost is None or p_value is None:
        return SliceScore("not_computable", "no loss is a finite number", rows=recent.rows)
    limit = config.trigger.decay
    reason = f"{metric} {now:.4g} over {recent.rows} rows, baseline {before:.4g}: decay {lost:.3g}"
    alert = lost >= limit and p_value < SIGNIFICANCE
    if alert:
        reason += f", at or above trigger.decay ({limit:g}), corrected p {p_value:.2g}"
    elif lost >= limit:
        reason += f", at or above trigger.decay ({limit:g}), but not significant (corrected p {p_value:.2g})"
    return SliceScore("alert" if alert else "pass", reason, now, before, lost, p_value, recent.rows)


def _score(losses: LossSums, *, binary: bool) -> float | None:
    """Return accuracy or mean absolute error; None without rows."""
    mean = losses.mean
    return None if mean is None else 1.0 - mean if binary else mean
