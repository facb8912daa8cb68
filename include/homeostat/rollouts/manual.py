"""Changes that a person requests: approve, promote, roll back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from homeostat.config import ModelConfig
from homeostat.core.rollout import Traffic, Transition, VersionRef, approve, promote, roll_back
from homeostat.ports import Ledger, Ports
from homeostat.rollouts.gate_check import require_passed_gate
from homeostat.rollouts.ledger_cas import CasResult, LedgerChange, compare_and_swap
from homeostat.tracing import Tracer


def request_change(
    model: str,
    ledger: Ledger,
    request: Callable[[Traffic], Transition],
    *,
    by: str,
    at: datetime,
    tracer: Tracer | None = None,
) -> CasResult:
    """Write what the request makes of the current state.

    Raises
    ------
    StaleRevision
        Other writers were first in every attempt.
    Refused
        The request is refused.
    """
    return compare_and_swap(
        model, ledger, lambda traffic: LedgerChange(request(traffic)), by=by, now=lambda: at, tracer=tracer
    )


def manual_rollback(
    model: str, ledger: Ledger, *, reason: str, by: str, at: datetime, tracer: Tracer | None = None
) -> Traffic:
    """End the active rollout, or else restore the previous version; NoPrevious when there is none.

    Needs only the ledger, so that it works when every other service is down.
    """
    return request_change(
        model, ledger, lambda t: roll_back(t, reason, at), by=by, at=at, tracer=tracer
    ).traffic


def manual_approve(config: ModelConfig, ports: Ports, *, by: str) -> Traffic:
    """Approve the candidate; Refused when no rollout is under way."""
    now = ports.clock.now()
    return request_change(
        config.name, ports.ledger, lambda t: approve(t, now), by=by, at=now, tracer=ports.tracer
    ).traffic


def manual_promote(config: ModelConfig, ports: Ports, version: str, *, by: str, reason: str) -> Traffic:
    """Make a registered version champion; Refused unless it passed its gate."""
    found = ports.registry.version(config.name, version)
    require_passed_gate(found)
    now = ports.clock.now()
    ref = VersionRef(version, found.digest)
    return request_change(
        config.name,
        ports.ledger,
        lambda t: promote(t, ref, now, reason),
        by=by,
        at=now,
        tracer=ports.tracer,
    ).traffic
