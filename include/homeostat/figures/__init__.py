"""Figures as PNG bytes, from evaluations, drift reports, profiles and backtests; and HTML pages."""

from homeostat.figures.accuracy_over_time import accuracy_over_time
from homeostat.figures.backtest_policies import POLICY_NAMES, policies_over_time, smooth
from homeostat.figures.drift_over_time import drift_over_time
from homeostat.figures.model_comparison import calibration, confusion, evaluation, residuals
from homeostat.figures.reference_vs_window import reference_vs_window

__all__ = [
    "POLICY_NAMES",
    "accuracy_over_time",
    "calibration",
    "confusion",
    "drift_over_time",
    "evaluation",
    "policies_over_time",
    "reference_vs_window",
    "residuals",
    "smooth",
]
