"""How long a rollout would take at the traffic of a history."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from homeostat.backtesting.run import BacktestResult
from homeostat.backtesting.windows import SplitHistory
from homeostat.core.rollout import Plan, RolloutPace, TrafficRate


def with_pace(result: BacktestResult, given: TrafficRate | None = None) -> BacktestResult:
    """Return the result with the pace of a rollout, and a note that describes it.

    Unchanged for a model that no gateway serves: it has no rollouts.

    Parameters
    ----------
    given
        The traffic to expect (default: the history's own). The replay keeps the times of the rows.
    """
    if result.config.serve == "none":
        return result
    own = history_rate(result.history)
    pace = RolloutPace.of(Plan.of(result.config), given or own)
    note = f"a rollout {pace.sentence}"
    if pace.remedy:
        note += f". To make it fit: {pace.remedy}"
    if given is not None:
        note += f". The replay keeps {own}"
    return replace(result, pace=pace, notes=[*result.notes, note])


def history_rate(history: SplitHistory) -> TrafficRate:
    """Return the rows an hour between the first and the last row, gaps included."""
    times = history.original_times
    hours = (times.iloc[-1] - times.iloc[0]) / timedelta(hours=1)
    # Rows of less than an hour are not extrapolated.
    return TrafficRate((len(times) - 1) / max(1.0, hours), "in this history")
