"""Backtest: replay a model's history under several retraining policies, and score each of them."""

from homeostat.backtest.policy_run import PolicyRun, WindowResult
from homeostat.backtest.report import (
    EventOutcome,
    event_outcome,
    events,
    format_score,
    gain,
    summarize,
    to_json,
)
from homeostat.backtest.rollout_pace import with_pace
from homeostat.backtest.run import POLICIES, BacktestResult, PolicyOutcome, run_backtest
from homeostat.backtest.windows import median_spacing, parse_windows, split_history

__all__ = [
    "POLICIES",
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
    "split_history",
    "summarize",
    "to_json",
    "with_pace",
]
