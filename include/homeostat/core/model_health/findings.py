"""The state of a model: everything that is wrong with it or under way, the worst first."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from homeostat.core.model_health import check_findings as checks
from homeostat.core.model_health import traffic_findings as traffic
from homeostat.core.model_health import unknown_findings as unknown
from homeostat.core.model_health.record import ModelFacts
from homeostat.core.model_health.states import ORDER, Finding

_RULES: tuple[Callable[[ModelFacts], Iterator[Finding]], ...] = (
    *(traffic.down, traffic.stuck, traffic.waiting, traffic.empty, traffic.rolling_out, traffic.retraining),
    *(checks.failing, checks.failing_slice, checks.suspect, checks.broken_input, checks.drifting),
    *(unknown.unchecked, unknown.not_computable, unknown.unproven),
)


def findings(facts: ModelFacts) -> list[Finding]:
    """Return everything that holds now, the worst first; never empty."""
    found = [finding for rule in _RULES for finding in rule(facts)]
    return sorted(found, key=lambda finding: ORDER.index(finding.state)) or [checks.healthy(facts)]
