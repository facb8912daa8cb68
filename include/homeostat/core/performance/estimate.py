"""Estimate the accuracy from the confidence of predictions, without labels; abstain where it cannot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from homeostat.core.performance.calibration import Calibration, calibrate, separation
from homeostat.core.performance.reasons import AbstainReason, NotComputable
from homeostat.core.profile import CalibrationCounts, FeatureCounts

#: The fewest labelled holdout predictions for a calibration.
MIN_HOLDOUT = 200
#: The fewest effective holdout rows at the window's confidences.
MIN_EFFECTIVE = 50
#: The fewest predictions, or labels, of a window.
MIN_PREDICTIONS = 30
#: The confidence must separate right from wrong predictions by so many standard errors (one-sided 95 %).
MIN_Z = 1.645
#: The largest error that recalibration may leave, root mean square.
MAX_ERROR = 0.05
#: Shares of the predictions that may have no confidence, or one beyond the holdout's range.
MAX_MISSING_SHARE, MAX_BEYOND_SHARE = 0.05, 0.1
#: How far from the holdout's confidences the window's may be on average.
MAX_DISTANCE = 0.05
# Labels contradict the estimate outside an interval of this level, and by at least this much: the test runs
# at every window, and no calibration is exact.
_CONTRADICTION_LEVEL, _MIN_CONTRADICTION = 0.99, 0.02


@dataclass(frozen=True, slots=True)
class Estimate:
    """The estimated accuracy of a window's predictions; ``value`` is None when it abstains.

    ``low`` and ``high`` bound the accuracy that the labels of these ``rows`` should show; ``baseline`` is the
    accuracy on the holdout. Always the accuracy, whatever ``gate.metric`` is. ``reason_code`` is the
    word of :class:`~homeostat.core.performance.reasons.AbstainReason`; "" with a value.
    """

    value: float | None
    low: float | None
    high: float | None
    reason: str
    rows: int = 0
    baseline: float | None = None
    reason_code: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON: no NaN, no numpy."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Estimate:
        """Read what :meth:`to_json` wrote; unknown keys are ignored."""
        return cls(**{f.name: raw[f.name] for f in fields(cls) if f.name in raw})


def abstain(why: NotComputable, *, rows: int = 0, baseline: float | None = None) -> Estimate:
    """Return an estimate without a value, and why."""
    return Estimate(None, None, None, why.sentence, rows, baseline, str(why.reason))


def estimate(
    holdout: CalibrationCounts,
    window: FeatureCounts,
    *,
    labelled: Sequence[CalibrationCounts] = (),
    level: float = 0.95,
) -> Estimate:
    """Estimate the accuracy of predictions from their confidence alone.

    The holdout gives the share of right predictions at each confidence (isotonic regression), the window how
    often each confidence occurs; see :meth:`Calibration.interval` for the formula. This is what
    NannyML calls confidence-based performance estimation (CBPE), for the accuracy and on counts. The
    plain difference of mean confidences (D. Guillory et al., "Predicting with confidence on unseen
    distributions", 2021) needs the probabilities to be calibrated already; this does not.

    It detects inputs that moved to where the model is less (or more) confident (covariate shift). It cannot
    detect a changed relation between inputs and labels (concept drift), which leaves the confidence as it
    was. Labels that have arrived are therefore compared with the estimate for their own rows: it abstains
    once they contradict it. Where they only vary more than independent rows would, the interval widens.

    Parameters
    ----------
    holdout
        The version's labelled holdout, on the edges of its confidence.
    window
        The confidences of the predictions to estimate, on the same edges.
    labelled
        The last labelled batches, oldest first; the last one and all together are compared with
        the estimate.
    level
        Of the interval.

    Returns
    -------
    Estimate
        Abstains, with the reason, when there are too few rows on either side, when the confidence does not
        separate right from wrong predictions, when the window's confidences are where the holdout had few
        rows, and when labels contradict it.
    """
    if holdout.right.edges != window.edges:
        msg = "holdout and window were counted on different edges: count the window on the reference's"
        raise ValueError(msg)
    rows = window.binned
    baseline = holdout.right.binned / holdout.rows if holdout.rows else None
    why = _uncalibrated(holdout)
    if why:
        return abstain(why, rows=rows, baseline=baseline)
    calibration = calibrate(holdout)
    why = (
        _miscalibrated(calibration)
        or _too_few_predictions(window)
        or _outside_holdout(calibration, window)
        or _contradicted(calibration, labelled)
    )
    if why:
        return abstain(why, rows=rows, baseline=baseline)
    enough = [batch for batch in labelled if batch.rows >= MIN_PREDICTIONS]
    found = calibration.interval(window, level, calibration.dispersion(enough))
    reason = (
        f"accuracy {found.value:.3f} ({found.low:.3f} to {found.high:.3f}) from the confidence of {rows} "
        f"predictions, "
        f"{baseline:.3f} on the holdout"
    )
    return Estimate(found.value, found.low, found.high, reason, rows, baseline)


def _uncalibrated(holdout: CalibrationCounts) -> NotComputable | None:
    if holdout.rows < MIN_HOLDOUT:
        return NotComputable.of(AbstainReason.HOLDOUT_TOO_SMALL, rows=holdout.rows, least=MIN_HOLDOUT)
    for counts, kind in ((holdout.wrong, "wrong"), (holdout.right, "right")):
        if not counts.binned:
            return NotComputable.of(AbstainReason.HOLDOUT_ONE_SIDED, rows=holdout.rows, kind=kind)
    area, z = separation(holdout)
    return NotComputable.of(AbstainReason.CONFIDENCE_UNINFORMATIVE, area=area) if z < MIN_Z else None


def _miscalibrated(calibration: Calibration) -> NotComputable | None:
    error = calibration.error()
    if error <= MAX_ERROR:
        return None
    return NotComputable.of(AbstainReason.CALIBRATION_ERROR, error=error, most=MAX_ERROR)


def _too_few_predictions(window: FeatureCounts) -> NotComputable | None:
    if window.binned < MIN_PREDICTIONS:
        return NotComputable.of(AbstainReason.TOO_FEW_PREDICTIONS, rows=window.binned, least=MIN_PREDICTIONS)
    missing = (window.missing + window.unseen) / window.rows
    if missing <= MAX_MISSING_SHARE:
        return None
    return NotComputable.of(AbstainReason.MISSING_CONFIDENCE, share=missing)


def _outside_holdout(calibration: Calibration, window: FeatureCounts) -> NotComputable | None:
    beyond = float(window.slots[0] + window.slots[-1]) / window.binned
    if beyond > MAX_BEYOND_SHARE:
        detail = f"{beyond:.1%} are beyond its range, at most {MAX_BEYOND_SHARE:.0%} may be"
        return NotComputable.of(AbstainReason.OUTSIDE_HOLDOUT, detail=detail)
    distance, effective = calibration.distance(window), calibration.effective_rows(window)
    if distance > MAX_DISTANCE:
        detail = f"on average up to {distance:.2f} away, at most {MAX_DISTANCE:g} is allowed"
        return NotComputable.of(AbstainReason.OUTSIDE_HOLDOUT, detail=detail)
    if effective < MIN_EFFECTIVE:
        detail = f"its predictions there count as {effective:.0f} rows, {MIN_EFFECTIVE} are needed"
        return NotComputable.of(AbstainReason.OUTSIDE_HOLDOUT, detail=detail)
    return None


def _contradicted(calibration: Calibration, labelled: Sequence[CalibrationCounts]) -> NotComputable | None:
    """Compare the last labelled batch, and all batches together, with the estimate for their own rows."""
    if not labelled:
        return None
    total = labelled[0]
    for batch in labelled[1:]:
        total += batch
    for found in (labelled[-1], total):
        if found.rows < MIN_PREDICTIONS:
            continue
        expected = calibration.interval(found.total, _CONTRADICTION_LEVEL)
        right = found.right.binned / found.rows
        inside = expected.low <= right <= expected.high
        if not inside and abs(right - expected.value) > _MIN_CONTRADICTION:
            return NotComputable.of(
                AbstainReason.LABELS_CONTRADICT,
                rows=found.rows,
                right=right,
                low=expected.low,
                high=expected.high,
            )
    return None
