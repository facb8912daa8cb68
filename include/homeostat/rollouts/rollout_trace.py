"""Spans of a rollout: one for each phase, sent by whichever process wrote its end to the ledger.

The ledger carries the trace context of the retrain, so that gateways continue its trace.
"""

from __future__ import annotations

from datetime import datetime

from homeostat.config.redaction import secret_redactor
from homeostat.core.rollout import Phase, Rollout, Traffic, Transition
from homeostat.tracing import Tracer

_NAMES = {Phase.REGISTERED: "load"}
#: Characters of a reason in an attribute.
_MAX_TEXT = 500


def trace_phase(
    tracer: Tracer | None, before: Traffic, after: Traffic, step: Transition, *, by: str, at: datetime
) -> None:
    """Send the span of the phase, or the step of the canary, that this change of the ledger ended."""
    ended, now = before.active, after.rollout
    if tracer is None or ended is None or not ended.traceparent:
        return
    if now is not None and (now.id, now.phase, now.step) == (ended.id, ended.phase, ended.step):
        return
    tracer.emit(
        f"rollout.{_NAMES.get(ended.phase, ended.phase)}",
        _ns(ended.entered_at),
        _ns(max(at, ended.entered_at)),
        parent=ended.traceparent,
        attributes={
            "homeostat.model": before.model,
            "homeostat.version": ended.candidate.version,
            "homeostat.rollout": ended.id,
            "homeostat.stage": ended.stage_name,
            "homeostat.share": ended.share,
            "homeostat.verdict": _verdict(ended, now),
            "homeostat.sentence": secret_redactor()(step.reason)[:_MAX_TEXT],
            "homeostat.by": by,
        },
    )


def _verdict(ended: Rollout, now: Rollout | None) -> str:
    """Return what came next: the next phase or step, or how the rollout ended."""
    if now is None or now.id != ended.id:
        return str(Phase.SUPERSEDED)
    return now.stage_name if now.phase.active else str(now.phase)


def _ns(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000) * 1_000
