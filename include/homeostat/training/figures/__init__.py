"""Small pictures that a person can compare: PNG bytes from evaluations, reports and profiles."""

from homeostat.training.figures.fitted import calibration, confusion, evaluation, residuals
from homeostat.training.figures.over_time import drift_over_time
from homeostat.training.figures.policies import NAMES, policies_over_time, smooth
from homeostat.training.figures.side_by_side import reference_vs_window

__all__ = [
    "NAMES",
    "calibration",
    "confusion",
    "drift_over_time",
    "evaluation",
    "policies_over_time",
    "reference_vs_window",
    "residuals",
    "smooth",
]
