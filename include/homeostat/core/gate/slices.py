"""Compare candidate and champion in every slice of the holdout, and in those that started the retrain."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

from scipy import stats

from homeostat.config import ModelConfig
from homeostat.core.gate.evidence import GateCheckResult, GateEvidence, finite_or_none
from homeostat.core.gate.score_drop import is_tolerated, score_drop

#: The chance that some watched slice refuses a candidate that is as good as the champion in all of them.
ALPHA = 0.05
#: Degrees of freedom of the standard errors: they come from seven blocks of rows.
_FREEDOM = 6


def slices(evidence: GateEvidence, config: ModelConfig) -> GateCheckResult:
    """In no slice worse than the champion by more than ``gate.max_slice_regression``; decayed slices mended.

    With ``gate.slices``, a slice without a score of either is skipped; a feature of which no slice can be
    compared makes the check not computable. Without it, the slices of ``monitor.slices`` are compared: those
    that can be, and a difference that may be chance (see :data:`ALPHA`) does not refuse: 30 rows tell little.

    Where slices that decayed started the retrain, the candidate must be better than the champion in each.
    """
    mended, failed = _mended(evidence, config)
    if failed is not None:
        return failed
    found = _watched(evidence, config) if config.gate.slices is None else _listed(evidence, config)
    return replace(found, reason=f"{mended}; {found.reason}") if mended else found


def _mended(evidence: GateEvidence, config: ModelConfig) -> tuple[str, GateCheckResult | None]:
    """Say how the decayed slices compare; the result where one of them is not better, or not known."""
    said, most = [], config.gate.max_slice_regression
    for name, found in evidence.decayed_slices.items():
        mine, theirs = (finite_or_none(found.get(who)) for who in ("candidate", "champion"))
        if mine is None or theirs is None:
            reason = (
                f"slice {name} decayed and started this retrain, and the holdout has too few of its rows "
                f"({found.get('rows') or 0:.0f}, 30 are needed) to see whether the candidate is better there "
                "(training.holdout)"
            )
            return "", GateCheckResult("slices", "not_computable", None, most, reason)
        metric = config.slice_metric
        compared = f"slice {name}: {metric} {mine:.4g} against the champion's {theirs:.4g}"
        worse = score_drop(metric, mine, theirs)
        if worse >= 0:
            reason = f"{compared}; it decayed and started this retrain, and the candidate is not better there"
            value = worse if math.isfinite(worse) else None
            return "", GateCheckResult("slices", "alert", value, 0.0, f"{reason} (monitor.slices)")
        said.append(f"mended {compared}")
    return "; ".join(said), None


def _listed(evidence: GateEvidence, config: ModelConfig) -> GateCheckResult:
    most = config.gate.max_slice_regression
    if not config.gate.slices:
        return GateCheckResult("slices", "pass", None, most, "gate.slices is empty")
    if evidence.champion is None:
        return _first(evidence, config)
    worst, where = -math.inf, ""
    for each in config.gate.slices:
        compared = dict(_compared(evidence, config, _of(evidence, each.feature)))
        if not compared:
            reason = f"no slice of {each.feature} has a score of candidate and champion"
            return GateCheckResult("slices", "not_computable", None, most, reason)
        name = max(compared, key=lambda key: compared[key])
        if compared[name] > worst:
            worst, where = compared[name], name
    return _verdict(config, where, worst, failed=not is_tolerated(worst, most))


def _watched(evidence: GateEvidence, config: ModelConfig) -> GateCheckResult:
    most = config.gate.max_slice_regression
    if not config.monitor.slices:
        return GateCheckResult("slices", "pass", None, most, "neither gate.slices nor monitor.slices has any")
    if not evidence.slices and not evidence.candidate:
        return GateCheckResult("slices", "not_computable", None, most, "no slice was scored")
    compared = dict(_compared(evidence, config, list(evidence.slices)))
    if not compared:
        reason = "no slice of monitor.slices has the rows that a comparison needs: none was compared"
        return GateCheckResult("slices", "pass", None, most, reason)
    needed = float(stats.t.isf(ALPHA / len(compared), _FREEDOM))
    errors = {name: finite_or_none(evidence.slice_errors.get(name)) or 0.0 for name in compared}
    failed = [
        name
        for name, worse in compared.items()
        if not is_tolerated(worse, most) and worse >= needed * errors[name]
    ]
    where = max(failed or compared, key=lambda name: compared[name])
    return _verdict(config, where, compared[where], failed=bool(failed))


def _verdict(config: ModelConfig, where: str, worst: float, *, failed: bool) -> GateCheckResult:
    most = config.gate.max_slice_regression
    shown = f"{worst:.4g} worse" if worst > 0 else f"{-worst:.4g} better"
    chance = "" if failed or is_tolerated(worst, most) else ", which may be chance"
    reason = (
        f"the worst slice is {where}: {config.metric_title} {shown} than the champion{chance}, "
        f"gate.max_slice_regression allows {most:g}"
    )
    value = worst if math.isfinite(worst) else None
    return GateCheckResult("slices", "alert" if failed else "pass", value, most, reason)


def _first(evidence: GateEvidence, config: ModelConfig) -> GateCheckResult:
    """Check that the slices of a first version have scores; there is no champion to compare with."""
    most = config.gate.max_slice_regression
    for each in config.gate.slices or ():
        names = _of(evidence, each.feature)
        if not any(_score(evidence.slices.get(name)) is not None for name in names):
            reason = f"no slice of {each.feature} has a score"
            return GateCheckResult("slices", "not_computable", None, most, reason)
    return GateCheckResult(
        "slices", "pass", None, most, "first version: no champion's slices to compare with"
    )


def _of(evidence: GateEvidence, feature: str) -> list[str]:
    return [name for name in evidence.slices if name.startswith(f"{feature}=")]


def _compared(evidence: GateEvidence, config: ModelConfig, names: list[str]) -> Iterator[tuple[str, float]]:
    for name in names:
        mine, theirs = _score(evidence.slices[name]), _score(evidence.champion_slices.get(name))
        if mine is not None and theirs is not None:
            yield name, score_drop(config.metric, mine, theirs)


def _score(found: object) -> float | None:
    return finite_or_none(found.get("score")) if isinstance(found, Mapping) else None
