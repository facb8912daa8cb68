"""What a backtest's scores are worth: skill, regret, and a recommendation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from homeostat.backtesting.fixed_policies import run_schedule
from homeostat.backtesting.policy_comparison import Comparison, compare_costs, later_objective
from homeostat.backtesting.policy_run import PolicyRun
from homeostat.backtesting.prediction_cache import PredictionCache
from homeostat.backtesting.recommendation import PolicyWorth, Recommendation, recommend
from homeostat.backtesting.schedule import (
    COMPARATORS,
    Difference,
    Limit,
    Schedule,
    ScoreMatrix,
    objective,
    tuning_windows,
)
from homeostat.backtesting.version_builder import VersionBuilder, known_before
from homeostat.core.performance import higher_is_better

#: What a retrain may cost by default, in points of the metric over one window.
RETRAIN_COST = 0.005
_CALENDARS = {"always": "every window", "every_4": "every 4th window"}
#: Metrics whose mean over windows, weighted by their rows, is the score over all rows.
_ADDITIVE = ("accuracy", "mae")


@dataclass(frozen=True, slots=True)
class Assessment:
    """Homeostat between an even schedule and the best in hindsight, with a recommendation.

    ``cost`` is what a retrain may cost over one window, in the score's own unit. ``even_score`` and
    ``hindsight_score`` are scores over all rows. ``objectives`` has every policy's mean loss with the cost of
    its retrains, ``later`` the same on the windows that no policy is tuned on.
    """

    score_name: str
    matrix: ScoreMatrix
    limit: Limit
    even_score: float | None
    hindsight_score: float | None
    objectives: dict[str, float]
    later: dict[str, float]
    comparison: Comparison
    worth: dict[str, PolicyWorth]
    unit: str
    recommendation: Recommendation

    def score_of(self, loss: float) -> float:
        """Return a mean loss as a score."""
        return 1.0 - loss if higher_is_better(self.score_name) else loss

    @property
    def measure(self) -> str:
        """Say which score the schedules are compared by."""
        if self.score_name in _ADDITIVE:
            return f"{self.score_name} over all rows"
        return f"mean of the windows' {self.score_name}, weighted by their rows"

    @property
    def sentence(self) -> str:
        """Say how near Homeostat's retrains come to the best schedule in hindsight."""
        limit, best = self.limit, len(self.limit.cheapest)
        if not limit.retrains:
            skill = ""
        elif limit.skill is None or self.even_score is None or self.hindsight_score is None:
            skill = "As many retrains spread evenly are as good as the best schedule in hindsight. "
        else:
            skill = (
                f"With as many retrains, the best schedule in hindsight scores {self.hindsight_score:.4g}, "
                f"spread evenly they score {self.even_score:.4g}: Homeostat's skill is {limit.skill:.0%}. "
            )
        return (
            f"{skill}At a cost of {limit.cost:.4g} per retrain and window its regret is {limit.regret:.4f}, "
            f"against the best schedule of {best} {'retrain' if best == 1 else 'retrains'}."
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        limit = self.limit
        return {
            "measure": self.measure,
            "cost": limit.cost,
            "retrains": limit.retrains,
            "homeostat": self.score_of(limit.loss),
            "even": {"score": self.score_of(limit.even_loss), "windows": list(limit.even)},
            "hindsight": {"score": self.score_of(limit.hindsight_loss), "windows": list(limit.hindsight)},
            "skill": limit.skill,
            "best_at_cost": {
                "score": self.score_of(limit.cheapest_loss),
                "retrains": len(limit.cheapest),
                "windows": list(limit.cheapest),
            },
            "regret": limit.regret,
            "objectives": self.objectives,
            "later": {"first_window": tuning_windows(self.matrix), "objectives": self.later},
            "comparison": [
                {"cost": cost, "policies": {name: each.to_json() for name, each in found.items()}}
                for cost, found in self.comparison.items()
            ],
            "unit": self.unit,
            "worth": {name: worth.to_json() for name, worth in self.worth.items()},
        }


def assess(
    runs: Mapping[str, PolicyRun], cache: PredictionCache, builder: VersionBuilder, cost: float
) -> Assessment:
    """Compare Homeostat's run with schedules of the versions that are trained after every window.

    Parameters
    ----------
    cost
        What a retrain may cost over one window: in points of the score, for a regression as a share of the
        first version's error on its holdout (or, without that, of its error in all windows).
    """
    losses = {name: window_losses(run, cache.score_name) for name, run in runs.items()}
    counted = np.isfinite(np.array(list(losses.values()))).all(axis=0)
    matrix = builder.matrix(counted)
    weights = matrix.weights
    losses = {name: np.where(weights > 0, found, 0.0) for name, found in losses.items()}
    means = {name: float(weights @ found) for name, found in losses.items()}
    relative = not higher_is_better(cache.score_name)
    scale = loss_scale(cache, builder, means["frozen"])
    in_loss = cost * scale
    per_point = scale / 100
    windows = matrix.windows

    def worth(name: str, title: str) -> PolicyWorth:
        retrains, own = runs[name].retrains, runs["homeostat"].retrains
        fee, difference = in_loss * retrains / windows, in_loss * (own - retrains) / windows
        frozen, found, homeostat = (losses[each] / per_point for each in ("frozen", name, "homeostat"))
        return PolicyWorth(
            title=title,
            retrains=retrains,
            gain=(means["frozen"] - means[name]) / per_point,
            net=Difference.of(frozen, found, weights, fee / per_point),
            ahead=Difference.of(found, homeostat, weights, difference / per_point),
        )

    own = worth("homeostat", "Homeostat")
    calendars = {name: worth(name, title) for name, title in _CALENDARS.items()}
    limit = Limit.of(matrix, means["homeostat"], runs["homeostat"].retrains, in_loss)
    unit = "% of the error" if relative else "points"
    return Assessment(
        score_name=cache.score_name,
        matrix=matrix,
        limit=limit,
        even_score=_score(limit.even, matrix, cache, builder),
        hindsight_score=_score(limit.hindsight, matrix, cache, builder),
        objectives={
            name: objective(mean, runs[name].retrains, windows, in_loss) for name, mean in means.items()
        },
        later={name: later_objective(found, runs[name], matrix, in_loss) for name, found in losses.items()},
        comparison=compare_costs(
            {name: (mean, runs[name].retrains) for name, mean in means.items()},
            matrix,
            scale,
            higher=not relative,
        ),
        worth={"homeostat": own, **calendars},
        unit=unit,
        recommendation=recommend(
            own, calendars, unit=unit, windows=int((weights > 0).sum()), least=max(100 * cost, 0.5)
        ),
    )


def run_comparators(
    names: Sequence[str], cache: PredictionCache, builder: VersionBuilder, cost: float
) -> dict[str, PolicyRun]:
    """Replay policies of the literature; they decide from the matrix of losses and fit nothing more."""
    if not names:
        return {}
    matrix = builder.matrix(np.ones(len(cache.history.windows), dtype=bool))
    in_loss = cost * loss_scale(cache, builder, matrix.loss(()))
    return {
        name: run_schedule(
            COMPARATORS[name](matrix, in_loss), f"{name} decided", cache, builder, lambda: None
        )
        for name in names
    }


def loss_scale(cache: PredictionCache, builder: VersionBuilder, otherwise: float) -> float:
    """Return the loss that a cost of 1 stands for: 1, for a regression the reference error."""
    if higher_is_better(cache.score_name):
        return 1.0
    return reference_error(cache, builder, otherwise)


def window_losses(run: PolicyRun, score_name: str) -> np.ndarray:
    """Return a policy's loss in each window, shape (W,); NaN without a score."""
    scores = np.array([np.nan if each.score is None else each.score for each in run.results])
    return 1.0 - scores if higher_is_better(score_name) else scores


def reference_error(cache: PredictionCache, builder: VersionBuilder, otherwise: float) -> float:
    """Return the first version's error on its holdout, or ``otherwise`` where it has none above 0."""
    first = builder.build(cache.history.reference_end)
    return first.holdout_score or otherwise or 1.0


def _score(
    schedule: Schedule, matrix: ScoreMatrix, cache: PredictionCache, builder: VersionBuilder
) -> float | None:
    """Return the score over all rows."""
    history = cache.history
    keys = [builder.build(known_before(history, int(version))).key for version in matrix.serving(schedule)]
    return cache.score(cache.predictions(key, index) for index, key in enumerate(keys))
