"""The candidate against the champion in every slice that the user named."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from homeostat.config import ModelConfig
from homeostat.core.gate.evidence import CheckResult, Evidence, known
from homeostat.core.gate.score_drop import regression, tolerated


def slices(evidence: Evidence, config: ModelConfig) -> CheckResult:
    """In no slice of ``gate.slices`` worse than the champion by more than ``gate.max_slice_regression``.

    A slice with too few rows for a score of either is passed over; a feature of which no slice could
    be compared is no evidence, and so no pass.
    """
    most = config.gate.max_slice_regression
    if not config.gate.slices:
        return CheckResult("slices", "pass", None, most, "gate.slices names none")
    if evidence.champion is None:
        return _first(evidence, config)
    worst, where = -math.inf, ""
    for feature in config.gate.slices:
        compared = dict(_compared(evidence, config, feature))
        if not compared:
            reason = f"no slice of {feature} has a score of candidate and champion"
            return CheckResult("slices", "not_computable", None, most, reason)
        name = max(compared, key=lambda key: compared[key])
        if compared[name] > worst:
            worst, where = compared[name], name
    value = worst if math.isfinite(worst) else None
    shown = f"worse by {worst:.4g}" if worst > 0 else f"better by {-worst:.4g}"
    reason = (
        f"{where} does worst against the champion: {config.metric} {shown}, at most {most:g} worse is allowed"
    )
    return CheckResult("slices", "pass" if tolerated(worst, most) else "alert", value, most, reason)


def _first(evidence: Evidence, config: ModelConfig) -> CheckResult:
    """Nobody to be compared with, but the slices must have been looked at."""
    most = config.gate.max_slice_regression
    for feature in config.gate.slices:
        if not any(_score(evidence.slices.get(name)) is not None for name in _of(evidence, feature)):
            reason = f"no slice of {feature} has a score"
            return CheckResult("slices", "not_computable", None, most, reason)
    return CheckResult("slices", "pass", None, most, "first version: no champion's slices to compare with")


def _of(evidence: Evidence, feature: str) -> list[str]:
    return [name for name in evidence.slices if name.startswith(f"{feature}=")]


def _compared(evidence: Evidence, config: ModelConfig, feature: str) -> Iterator[tuple[str, float]]:
    for name in _of(evidence, feature):
        mine, theirs = _score(evidence.slices[name]), _score(evidence.champion_slices.get(name))
        if mine is not None and theirs is not None:
            yield name, regression(config.metric, mine, theirs)


def _score(found: object) -> float | None:
    return known(found.get("score")) if isinstance(found, Mapping) else None
