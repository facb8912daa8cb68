"""Schedules of retrains on a matrix of losses, versions by windows: the best ones, and those of papers."""

from homeostat.backtest.schedule.best import (
    best_schedule,
    cheapest_schedule,
    even_schedule,
    objective,
    periodic_schedule,
)
from homeostat.backtest.schedule.comparators import COMPARATORS
from homeostat.backtest.schedule.limit import Difference, Limit
from homeostat.backtest.schedule.score_matrix import Schedule, ScoreMatrix
from homeostat.backtest.schedule.simulate import tuning_windows

__all__ = [
    "COMPARATORS",
    "Difference",
    "Limit",
    "Schedule",
    "ScoreMatrix",
    "best_schedule",
    "cheapest_schedule",
    "even_schedule",
    "objective",
    "periodic_schedule",
    "tuning_windows",
]
