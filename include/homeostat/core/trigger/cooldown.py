"""What an earlier fire forbids: the cooldown, and a second fire for the same episode."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from homeostat.core.trigger.evidence import Evidence
from homeostat.core.trigger.reasons import TriggerReason, sentence_for
from homeostat.core.trigger.tenure import is_calm


@dataclass(frozen=True, slots=True)
class Hold:
    """Why nothing may fire now; ``until`` is None when no time ends it."""

    reason: TriggerReason
    sentence: str
    until: datetime | None


def cooldown(evidence: Evidence) -> Hold | None:
    """Return the hold of a window that fired: one before this window or, for a late window, after it.

    A window whose retrain ended after its probe holds nothing back: see
    :func:`~homeostat.core.trigger.worthwhile.waited`.
    """
    fires = [end for end, record in evidence.records.items() if record.fired and end not in evidence.probed]
    if not fires:
        return None
    last, now = max(fires), evidence.current.window_end
    until = last + evidence.settings.cooldown
    if last > now or now < until:
        reason = TriggerReason.COOLDOWN_ACTIVE
        return Hold(reason, sentence_for(reason, fired_at=last, until=until), until)
    promoted = evidence.promoted_at is not None and evidence.promoted_at >= last
    calm = any(record.window_end > last and is_calm(record) for record in evidence.tenure)
    if evidence.settings.cooldown or promoted or calm:
        return None
    reason = TriggerReason.SAME_EPISODE
    return Hold(reason, sentence_for(reason, fired_at=last), None)
