"""Why performance is not computable or an estimate abstains: a word for programs, a sentence for people.

docs/reasons.md explains each word; tests/docs/test_reasons.py compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class PerformanceReason(StrEnum):
    """Why the performance of a window is not computable."""

    NO_BATCHES = "no_batches"
    UNDEFINED_SCORE = "undefined_score"
    NO_BASELINE = "no_baseline"
    NO_FINITE_SCORE = "no_finite_score"
    TOO_FEW_LABELLED_ROWS = "too_few_labelled_rows"


class AbstainReason(StrEnum):
    """Why the accuracy of a window cannot be estimated."""

    REGRESSION_MODEL = "regression_model"
    NO_PROBABILITIES = "no_probabilities"
    NO_CALIBRATION_COUNTS = "no_calibration_counts"
    HOLDOUT_TOO_SMALL = "holdout_too_small"
    HOLDOUT_ONE_SIDED = "holdout_one_sided"
    CONFIDENCE_UNINFORMATIVE = "confidence_uninformative"
    CALIBRATION_ERROR = "calibration_error"
    TOO_FEW_PREDICTIONS = "too_few_predictions"
    MISSING_CONFIDENCE = "missing_confidence"
    OUTSIDE_HOLDOUT = "outside_holdout"
    LABELS_CONTRADICT = "labels_contradict"


#: The sentence of each reason; :meth:`NotComputable.of` fills in the values.
SENTENCES: Mapping[PerformanceReason | AbstainReason, str] = {
    PerformanceReason.NO_BATCHES: "no batch of this version has been scored",
    PerformanceReason.UNDEFINED_SCORE: "the newest labelled rows have no score: {why}",
    PerformanceReason.NO_BASELINE: "the version's own baseline was not recorded",
    PerformanceReason.NO_FINITE_SCORE: "none of {batches} scores is a finite number",
    PerformanceReason.TOO_FEW_LABELLED_ROWS: "only {rows} labelled rows; monitor.min_rows is {min_rows}",
    AbstainReason.REGRESSION_MODEL: "a regression model gives no confidence to estimate from",
    AbstainReason.NO_PROBABILITIES: "this model gives no probabilities to estimate from",
    AbstainReason.NO_CALIBRATION_COUNTS: (
        "version {version} was registered without its holdout's calibration counts; the next version will "
        "have them"
    ),
    AbstainReason.HOLDOUT_TOO_SMALL: (
        "not calibrated: the holdout has {rows} labelled predictions, {least} are needed"
    ),
    AbstainReason.HOLDOUT_ONE_SIDED: "not calibrated: none of the holdout's {rows} predictions was {kind}",
    AbstainReason.CONFIDENCE_UNINFORMATIVE: (
        "not calibrated: the confidence does not separate right from wrong predictions "
        "(area under the curve {area:.2f} on the holdout)"
    ),
    AbstainReason.CALIBRATION_ERROR: (
        "not calibrated: accuracy does not rise with the confidence on the holdout "
        "(an error of {error:.3f} is left, at most {most:g} is allowed)"
    ),
    AbstainReason.TOO_FEW_PREDICTIONS: (
        "{rows} predictions of this window have a confidence, an estimate needs {least}"
    ),
    AbstainReason.MISSING_CONFIDENCE: "{share:.1%} of the predictions have no confidence",
    AbstainReason.OUTSIDE_HOLDOUT: "the confidences are where the holdout had few or no rows: {detail}",
    AbstainReason.LABELS_CONTRADICT: (
        "labels contradict the estimate (concept drift): of {rows} labelled predictions {right:.1%} were "
        "right, their confidence predicted {low:.1%} to {high:.1%}"
    ),
}


@dataclass(frozen=True, slots=True)
class NotComputable:
    """A reason with its sentence."""

    reason: PerformanceReason | AbstainReason
    sentence: str

    @classmethod
    def of(cls, reason: PerformanceReason | AbstainReason, **values: object) -> NotComputable:
        """Fill the values into the reason's sentence."""
        return cls(reason, SENTENCES[reason].format(**values))
