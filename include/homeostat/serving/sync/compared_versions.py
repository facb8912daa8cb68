"""The two versions of a rollout that labels compare, and when both predicted the same requests."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from homeostat.core.rollout import Phase, Traffic
from homeostat.ports import Event, Ledger

#: How long after the label delay labels of the reverse shadow's last requests are still waited for.
LATE_LABELS = timedelta(days=1)
#: Events that are read at first.
_EVENTS = 32


@dataclass(frozen=True, slots=True)
class ComparedVersions:
    """The candidate, the other version, and when both predicted.

    The candidate was in shadow from ``shadow_from`` to ``shadow_until``, the former champion from
    ``promoted_at`` to ``reverse_until``; ``begins`` is the earlier of the two. A time is None when that has
    not happened yet.
    """

    candidate: str
    other: str
    begins: datetime
    shadow_from: datetime | None
    shadow_until: datetime | None
    promoted_at: datetime | None
    reverse_until: datetime | None

    def ends(self, now: datetime) -> datetime:
        """Return until when both predicted, as far as is known now."""
        return self.reverse_until or self.promoted_at or self.shadow_until or now


def other_version(traffic: Traffic, label_delay: timedelta, now: datetime) -> str | None:
    """Return the version that labels compare the rollout's candidate with; None when nothing is compared.

    After a promotion the comparison ends :data:`LATE_LABELS` after the labels of the last request that both
    predicted are due.
    """
    rollout = traffic.rollout
    if rollout is None:
        return None
    if rollout.phase.active:
        return traffic.champion.version if traffic.champion is not None else None
    if rollout.phase is not Phase.CHAMPION or traffic.champion != rollout.candidate:
        return None
    last = rollout.reverse_shadow_until or rollout.entered_at
    over = now > last + label_delay + LATE_LABELS
    return None if over or traffic.previous is None else traffic.previous.version


def compared_versions(traffic: Traffic, other: str, ledger: Ledger) -> ComparedVersions | None:
    """Return when both versions of the rollout predicted the same requests; None: not yet.

    Raises
    ------
    Unavailable
        The ledger does not answer.
    """
    rollout = traffic.rollout
    if rollout is None:
        return None
    shadow_from = shadow_until = None
    for event in _events_of(rollout.id, traffic, ledger):
        phase = event.traffic["rollout"]["phase"]
        if phase == Phase.SHADOW and shadow_from is None:
            shadow_from = event.at
        elif phase not in (Phase.REGISTERED, Phase.SHADOW) and shadow_until is None:
            shadow_until = event.at
    promoted_at = rollout.entered_at if rollout.phase is Phase.CHAMPION else None
    begins = min((at for at in (shadow_from, promoted_at) if at is not None), default=None)
    if begins is None:
        return None
    return ComparedVersions(
        rollout.candidate.version,
        other,
        begins,
        shadow_from,
        shadow_until,
        promoted_at,
        rollout.reverse_shadow_until,
    )


def _events_of(rollout: str, traffic: Traffic, ledger: Ledger) -> list[Event]:
    """Return the events of one rollout, without reading the model's whole history."""
    span = _EVENTS
    while True:
        since = max(0, traffic.revision - span)
        events = ledger.events(traffic.model, since)
        if since == 0 or not events or _rollout_of(events[0]) != rollout:
            return [event for event in events if _rollout_of(event) == rollout]
        span *= 4


def _rollout_of(event: Event) -> str:
    return str((event.traffic.get("rollout") or {}).get("id"))
