"""Performance without labels: what the answers' own confidence says, and when it says nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from homeostat.core.performance.calibration import Calibration, calibrate, separation
from homeostat.core.profile import Counts, Outcomes

#: Fewer labelled answers of the holdout are no calibration, ...
MIN_HOLDOUT = 200
#: ... and no more are as few if they weigh as little as this many where the window lies.
MIN_EFFECTIVE = 50
#: Fewer answers, or labels, are no evidence.
MIN_ANSWERS = 30
#: What recalibration may leave, root mean square.
MAX_ERROR = 0.05
#: Share of the answers that may lack a confidence, or have one beyond any of the holdout's.
MAX_BLANK, MAX_BEYOND = 0.05, 0.1
#: How far from the holdout's confidences the window's may lie on average.
MAX_DISTANCE = 0.05
# Labels contradict from this level on and by this much: every window is asked, and no calibration is exact.
_CONTRADICTION, _GAP = 0.99, 0.02


@dataclass(frozen=True, slots=True)
class Estimate:
    """The accuracy that a window's answers should turn out to have; ``value`` is None when it abstains.

    ``low`` and ``high`` hold the accuracy that the labels of these ``rows`` will show; ``baseline`` is the
    accuracy on the holdout that it was learnt from. It is the accuracy, whatever metric the gate has.
    """

    value: float | None
    low: float | None
    high: float | None
    reason: str
    rows: int = 0
    baseline: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON: no NaN, no numpy."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Estimate:
        """Read what :meth:`to_json` wrote; unknown keys are passed over."""
        return cls(**{f.name: raw[f.name] for f in fields(cls) if f.name in raw})


def abstain(reason: str, *, rows: int = 0, baseline: float | None = None) -> Estimate:
    """No estimate, and why."""
    return Estimate(None, None, None, reason, rows, baseline)


def estimate(
    holdout: Outcomes,
    window: Counts,
    *,
    labelled: Sequence[Outcomes] = (),
    level: float = 0.95,
) -> Estimate:
    """Estimate the accuracy of answers from their confidence alone.

    The holdout says how often answers of each confidence are right (isotonic regression), the window how
    often each confidence is given; see :meth:`Calibration.expect` for the formula. This is what
    NannyML calls confidence-based performance estimation (CBPE), for the accuracy and on counts. The
    plain difference of mean confidences (D. Guillory et al., "Predicting with confidence on unseen
    distributions", 2021) needs the probabilities to be calibrated already; this does not.

    It sees inputs that moved to where the model is less (or more) sure. It never sees a changed
    meaning, for which a model is as sure as ever: labels that did arrive are therefore held
    against the estimate for their own rows, and it abstains once they contradict it; where they only
    scatter more than chance allows, the interval widens by as much. Until labels come it is a promise
    on the holdout's word.

    Parameters
    ----------
    holdout
        The version's labelled holdout, on the frame of its confidence.
    window
        The confidences of the answers to estimate, on the same frame.
    labelled
        The last labelled batches, oldest first; the last one and all together are asked.
    level
        Of the interval.

    Returns
    -------
    Estimate
        Abstains, with the reason, when there are too few rows on either side, when the confidence tells
        nothing about being right or does not rise with it, when the window's confidences lie where
        the holdout had next to none, and when labels contradict it.
    """
    if holdout.right.frame != window.frame:
        msg = "holdout and window were counted on different frames: count the window on the reference's"
        raise ValueError(msg)
    rows = window.placed
    baseline = holdout.right.placed / holdout.rows if holdout.rows else None
    why_not = _uncalibrated(holdout)
    if why_not:
        return abstain(why_not, rows=rows, baseline=baseline)
    calibration = calibrate(holdout)
    why_not = (
        _miscalibrated(calibration)
        or _too_few(window)
        or _elsewhere(calibration, window)
        or _contradicted(calibration, labelled)
    )
    if why_not:
        return abstain(why_not, rows=rows, baseline=baseline)
    enough = [batch for batch in labelled if batch.rows >= MIN_ANSWERS]
    value, low, high = calibration.expect(window, level, calibration.dispersion(enough))
    reason = (
        f"accuracy {value:.3f} ({low:.3f} to {high:.3f}) from the confidence of {rows} answers, "
        f"{baseline:.3f} on the holdout"
    )
    return Estimate(value, low, high, reason, rows, baseline)


def _uncalibrated(holdout: Outcomes) -> str:
    if holdout.rows < MIN_HOLDOUT:
        return f"not calibrated: the holdout has {holdout.rows} labelled answers, {MIN_HOLDOUT} are needed"
    for counts, kind in ((holdout.wrong, "wrong"), (holdout.right, "right")):
        if not counts.placed:
            return f"not calibrated: none of the holdout's {holdout.rows} answers was {kind}"
    area, z = separation(holdout)
    if z < 1.645:
        return (
            "not calibrated: the confidence does not tell right answers from wrong ones "
            f"(area under the curve {area:.2f} on the holdout)"
        )
    return ""


def _miscalibrated(calibration: Calibration) -> str:
    error = calibration.error()
    if error <= MAX_ERROR:
        return ""
    return (
        "not calibrated: more confidence does not mean more right answers on the holdout "
        f"(an error of {error:.3f} is left, at most {MAX_ERROR:g})"
    )


def _too_few(window: Counts) -> str:
    if window.placed < MIN_ANSWERS:
        return f"only {window.placed} answers with a confidence, {MIN_ANSWERS} are needed"
    blank = (window.missing + window.unseen) / window.rows
    return f"{blank:.1%} of the answers have no confidence" if blank > MAX_BLANK else ""


def _elsewhere(calibration: Calibration, window: Counts) -> str:
    beyond = float(window.slots[0] + window.slots[-1]) / window.placed
    if beyond > MAX_BEYOND:
        return f"{beyond:.1%} of the confidences lie beyond any of the holdout's"
    distance, effective = calibration.distance(window), calibration.effective_rows(window)
    if distance > MAX_DISTANCE:
        return (
            "the confidences lie where the holdout had next to none: "
            f"on average up to {distance:.2f} away, at most {MAX_DISTANCE:g}"
        )
    if effective < MIN_EFFECTIVE:
        return (
            "the confidences lie where the holdout had next to none: "
            f"its answers there are worth {effective:.0f} rows, {MIN_EFFECTIVE} are needed"
        )
    return ""


def _contradicted(calibration: Calibration, labelled: Sequence[Outcomes]) -> str:
    if not labelled:
        return ""
    together = labelled[0]
    for batch in labelled[1:]:
        together += batch
    for found in (labelled[-1], together):
        if found.rows < MIN_ANSWERS:
            continue
        value, low, high = calibration.expect(found.both, _CONTRADICTION)
        shown = found.right.placed / found.rows
        if not low <= shown <= high and abs(shown - value) > _GAP:
            return (
                f"the concept has moved: of {found.rows} answers whose labels have come {shown:.1%} were "
                f"right, where their confidence promised {low:.1%} to {high:.1%}"
            )
    return ""
