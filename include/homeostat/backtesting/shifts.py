"""The same backtest with windows that start a part of a window later: how much the figures depend on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self

import numpy as np
import pandas as pd

from homeostat.backtesting.run import BacktestResult


@dataclass(frozen=True, slots=True)
class Band:
    """Values of one figure over all starts, the unshifted first; None where a start has none."""

    values: tuple[float | None, ...]

    @property
    def known(self) -> np.ndarray:
        """Return the values that there are."""
        return np.array([value for value in self.values if value is not None], dtype=np.float64)

    @property
    def mean(self) -> float | None:
        """Return their mean."""
        return float(self.known.mean()) if len(self.known) else None

    @property
    def spread(self) -> float | None:
        """Return their standard deviation (n - 1); None for fewer than two."""
        return float(self.known.std(ddof=1)) if len(self.known) > 1 else None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {"values": list(self.values), "mean": self.mean, "spread": self.spread}


@dataclass(frozen=True, slots=True)
class Shifts:
    """Scores and retrains of every policy, and Homeostat's skill and regret, over all starts."""

    scores: Mapping[str, Band]
    retrains: Mapping[str, Band]
    skill: Band
    regret: Band

    @classmethod
    def of(cls, results: list[BacktestResult]) -> Self:
        """Collect the figures of backtests of the same policies."""
        names = results[0].outcomes
        limits = [result.assessment.limit for result in results]
        return cls(
            scores={name: Band(tuple(result.outcomes[name].score for result in results)) for name in names},
            retrains={
                name: Band(tuple(float(result.outcomes[name].run.retrains) for result in results))
                for name in names
            },
            skill=Band(tuple(limit.skill for limit in limits)),
            regret=Band(tuple(limit.regret for limit in limits)),
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {
            "starts": len(self.regret.values),
            "scores": {name: band.to_json() for name, band in self.scores.items()},
            "retrains": {name: band.to_json() for name, band in self.retrains.items()},
            "skill": self.skill.to_json(),
            "regret": self.regret.to_json(),
        }

    def sentence(self, format_score: Callable[[float | None], str]) -> str:
        """Say the mean and the spread of Homeostat's score, and of retraining after every window."""
        own, always, skill = self.scores["homeostat"], self.scores["always"], self.skill
        text = (
            f"Over {len(self.regret.values)} starts of the windows, Homeostat scores "
            f"{format_score(own.mean)} "
            f"(standard deviation {format_score(own.spread)}), every window {format_score(always.mean)} "
            f"({format_score(always.spread)})"
        )
        return f"{text}." if skill.mean is None else f"{text}; its mean skill is {skill.mean:.0%}."


def shifted_rows(rows: pd.DataFrame, timestamp: str, length: int | timedelta, share: float) -> pd.DataFrame:
    """Leave out the first rows, so that all windows start this share of a window later.

    Parameters
    ----------
    rows
        Sorted by ``timestamp``.
    length
        Of a window: a number of rows, or a duration.
    share
        In [0, 1).
    """
    if isinstance(length, int):
        return rows.iloc[round(share * length) :].reset_index(drop=True)
    begin = rows[timestamp].iloc[0] + share * length
    later: pd.DataFrame = rows[rows[timestamp] >= begin]
    return later.reset_index(drop=True)


def run_shifts(
    result: BacktestResult,
    rows: pd.DataFrame,
    length: int | timedelta,
    shifts: int,
    run: Callable[[pd.DataFrame], BacktestResult],
) -> Shifts:
    """Run the backtest again for so many starts, spread evenly over a window.

    Parameters
    ----------
    result
        The backtest of all rows.
    run
        Runs the backtest of these rows, with the same settings.
    """
    stamp = result.config.columns.timestamp
    shares = [number / (shifts + 1) for number in range(1, shifts + 1)]
    return Shifts.of([result, *(run(shifted_rows(rows, stamp, length, share)) for share in shares)])
