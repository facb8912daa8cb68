"""The metrics of a training run in MLflow, named so that what matters comes first.

MLflow sorts metrics by name and shows those with a slash in groups of their own. So the score that the gate
decides by is ``score``, and all others are in groups that come after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from homeostat.bundle.evaluate import Evaluation


def shown_metrics(
    metric: str,
    mine: Evaluation,
    theirs: Evaluation | None,
    latency: Mapping[str, float],
    champion_latency: Mapping[str, float],
) -> dict[str, float]:
    """Return ``score``, ``score_champion``, and the groups ``scores``, ``scores_champion`` and ``speed``.

    Parameters
    ----------
    metric
        The metric of model.yaml, by which the gate compares candidate and champion.
    theirs
        The champion on the same holdout; None for a first version.
    """
    champion = theirs.metrics if theirs is not None else {}
    first = {"score": mine.metrics.get(metric), "score_champion": champion.get(metric)}
    return {
        **{name: value for name, value in first.items() if value is not None},
        **{f"scores/{name}": value for name, value in mine.metrics.items()},
        "scores/nan_rate": mine.nan_rate,
        **{f"scores_champion/{name}": value for name, value in champion.items()},
        "speed/p99_latency_ms": latency["p99_latency_ms"],
        **{f"speed_champion/{name}": value for name, value in champion_latency.items()},
    }
