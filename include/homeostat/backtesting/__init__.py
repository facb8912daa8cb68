"""Backtest: replay a model's history under several retraining policies, and score each of them."""

from homeostat.backtesting.assessment import RETRAIN_COST, Assessment
from homeostat.backtesting.policy_run import PolicyRun, WindowResult
from homeostat.backtesting.report import (
    EventOutcome,
    event_outcome,
    events,
    format_score,
    gain,
    score_gain,
    summarize,
    to_json,
)
from homeostat.backtesting.rollout_pace import with_pace
from homeostat.backtesting.run import POLICIES, BacktestResult, PolicyOutcome, run_backtest
from homeostat.backtesting.shifts import run_shifts
from homeostat.backtesting.windows import median_spacing, parse_windows, split_history

__all__ = [
    "POLICIES",
    "RETRAIN_COST",
    "Assessment",
    "BacktestResult",
    "EventOutcome",
    "PolicyOutcome",
    "PolicyRun",
    "WindowResult",
    "event_outcome",
    "events",
    "format_score",
    "gain",
    "median_spacing",
    "parse_windows",
    "run_backtest",
    "run_shifts",
    "score_gain",
    "split_history",
    "summarize",
    "to_json",
    "with_pace",
]
