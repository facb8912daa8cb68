"""All policies beside those of the literature, at several costs of a retrain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from homeostat.backtesting.policy_run import PolicyRun
from homeostat.backtesting.schedule import COMPARATORS, ScoreMatrix, objective, tuning_windows

#: The costs that policies are compared at.
COSTS = (0.002, 0.005, 0.02)


@dataclass(frozen=True, slots=True)
class NetScore:
    """A policy's score less the cost of its retrains (for an error: plus), and their number."""

    net: float
    retrains: int

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {"net_score": self.net, "retrains": self.retrains}


#: By cost, then by policy.
Comparison = dict[float, dict[str, NetScore]]


def compare_costs(
    found: Mapping[str, tuple[float, int]], matrix: ScoreMatrix, scale: float, *, higher: bool
) -> Comparison:
    """Return every policy at each of :data:`COSTS`; {} without a policy of the literature.

    Those decide by the cost, and do so again for each; the others are the same at every cost.

    Parameters
    ----------
    found
        Mean loss and number of retrains of each policy.
    scale
        The loss that a cost of 1 stands for.
    higher
        Whether a larger score is a better one: 1 less the loss.
    """
    literature = [name for name in found if name in COMPARATORS]
    compared: Comparison = {}
    for cost in COSTS if literature else ():
        each = dict(found)
        for name in literature:
            schedule = COMPARATORS[name](matrix, cost * scale)
            each[name] = (matrix.loss(schedule), len(schedule))
        compared[cost] = {}
        for name, (loss, retrains) in each.items():
            total = objective(loss, retrains, matrix.windows, cost * scale)
            compared[cost][name] = NetScore(1.0 - total if higher else total, retrains)
    return compared


def later_objective(losses: np.ndarray, run: PolicyRun, matrix: ScoreMatrix, cost: float) -> float:
    """Return the objective on the windows after those that policies are tuned on."""
    first = tuning_windows(matrix)
    weights = matrix.weights[first:]
    if not weights.sum() > 0:
        return 0.0
    retrains = sum(result.fitted for result in run.results[first:])
    return objective(float(weights @ losses[first:] / weights.sum()), retrains, len(weights), cost)
