"""Schedules of retrains on a matrix of losses, versions by windows: the best ones, and those of papers."""

from homeostat.backtesting.schedule.best import (
    best_schedule,
    cheapest_schedule,
    even_schedule,
    objective,
    periodic_schedule,
)
from homeostat.backtesting.schedule.comparators import COMPARATORS
from homeostat.backtesting.schedule.limit import Difference, Limit
from homeostat.backtesting.schedule.score_matrix import Schedule, ScoreMatrix
from homeostat.backtesting.schedule.simulate import tuning_windows

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
