"""Compare candidate and champion in every slice of ``gate.slices``."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from homeostat.config import ModelConfig
from homeostat.core.gate.evidence import GateCheckResult, GateEvidence, finite_or_none
from homeostat.core.gate.score_drop import is_tolerated, score_drop


def slices(evidence: GateEvidence, config: ModelConfig) -> GateCheckResult:
    """In no slice of ``gate.slices`` worse than the champion by more than ``gate.max_slice_regression``.

    A slice without a score of either is skipped; a feature of which no slice can be compared makes the check
    not computable.
    """
    most = config.gate.max_slice_regression
    if not config.gate.slices:
        return GateCheckResult("slices", "pass", None, most, "gate.slices is empty")
    if evidence.champion is None:
        return _first(evidence, config)
    worst, where = -math.inf, ""
    for feature in config.gate.slices:
        compared = dict(_compared(evidence, config, feature))
        if not compared:
            reason = f"no slice of {feature} has a score of candidate and champion"
            return GateCheckResult("slices", "not_computable", None, most, reason)
        name = max(compared, key=lambda key: compared[key])
        if compared[name] > worst:
            worst, where = compared[name], name
    value = worst if math.isfinite(worst) else None
    shown = f"{worst:.4g} worse" if worst > 0 else f"{-worst:.4g} better"
    reason = (
        f"the worst slice is {where}: {config.metric_title} {shown} than the champion, "
        f"gate.max_slice_regression allows {most:g}"
    )
    return GateCheckResult("slices", "pass" if is_tolerated(worst, most) else "alert", value, most, reason)


def _first(evidence: GateEvidence, config: ModelConfig) -> GateCheckResult:
    """Check that the slices of a first version have scores; there is no champion to compare with."""
    most = config.gate.max_slice_regression
    for feature in config.gate.slices:
        if not any(_score(evidence.slices.get(name)) is not None for name in _of(evidence, feature)):
            reason = f"no slice of {feature} has a score"
            return GateCheckResult("slices", "not_computable", None, most, reason)
    return GateCheckResult(
        "slices", "pass", None, most, "first version: no champion's slices to compare with"
    )


def _of(evidence: GateEvidence, feature: str) -> list[str]:
    return [name for name in evidence.slices if name.startswith(f"{feature}=")]


def _compared(evidence: GateEvidence, config: ModelConfig, feature: str) -> Iterator[tuple[str, float]]:
    for name in _of(evidence, feature):
        mine, theirs = _score(evidence.slices[name]), _score(evidence.champion_slices.get(name))
        if mine is not None and theirs is not None:
            yield name, score_drop(config.metric, mine, theirs)


def _score(found: object) -> float | None:
    return finite_or_none(found.get("score")) if isinstance(found, Mapping) else None
