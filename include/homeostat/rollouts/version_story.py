"""The story of a version for MLflow: trained because, gate, shadow, canary, promoted, taken back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from homeostat.core.rollout import EventKind, Phase, Traffic, phase_time, share_text
from homeostat.ports import Event

_WORDS: Mapping[EventKind, str] = {
    EventKind.BEGUN: "registered",
    EventKind.SHADOW: "shadow",
    EventKind.WAITING: "waits for approval",
    EventKind.EXTENDED: "extended",
    EventKind.CLOCK_RESET: "clock set back",
    EventKind.APPROVED: "approved",
    EventKind.PROMOTED: "promoted",
    EventKind.ROLLED_BACK: "taken back",
}
_LEFT_OUT = "- ..."


def version_story(
    events: Sequence[Event],
    version: str,
    *,
    created_at: datetime,
    reason: str = "",
    gate: str = "",
    room: int = 4000,
) -> str:
    """Return the story as a Markdown list, oldest first, of at most ``room`` characters.

    Where there is not enough room, lines in the middle give way to the newest.

    Parameters
    ----------
    events
        All events of the model's ledger, oldest first.
    created_at, reason
        When the version was registered, and why it was trained.
    gate
        The gate's sentence; "" where it is not known.
    """
    first = [f"- {_utc(created_at)} trained because: {reason}"] if reason else []
    if gate:
        first.append(f"- gate: {_one_line(gate)}")
    lines = [f"- {_utc(at)} {what}" for at, what in _happened(events, version)]
    if sum(len(line) + 1 for line in first) > room // 2:
        first = []
    left = room - sum(len(line) + 1 for line in first) - len(_LEFT_OUT)
    kept: list[str] = []
    for line in reversed(lines):
        left -= len(line) + 1
        if left < 0:
            kept.append(_LEFT_OUT)
            break
        kept.append(line)
    return "\n".join([*first, *reversed(kept)])


def _happened(events: Sequence[Event], version: str) -> Iterator[tuple[datetime, str]]:
    before: Traffic | None = None
    for event in events:
        after = Traffic.from_json(dict(event.traffic))
        what = _what(before or Traffic(after.model), event, after, version)
        if what:
            yield event.at, what
        before = after


def _what(before: Traffic, event: Event, after: Traffic, version: str) -> str:
    """Return what the event did to the version; "" for nothing."""
    was, now = _champion(before) == version, _champion(after) == version
    rollout, reason = after.rollout, _one_line(event.reason)
    own = rollout is not None and rollout.candidate.version == version
    if was and not now and not own:
        return f"version {_champion(after) or 'none'} took its place: {reason}"
    if now and not was and not own:
        return f"champion again: {reason}"
    if own and rollout is not None and (rollout != before.rollout or was != now):
        if rollout.phase is Phase.CANARY and event.kind == EventKind.CANARY:
            return f"{rollout.stage_name}, {share_text(rollout.share)} of the traffic: {reason}"
        return f"{_word(event.kind)}: {reason}"
    ended = before.active
    if ended is not None and ended.candidate.version == version and not own:
        return f"superseded {phase_time(ended)}: {reason}"
    return ""


def _word(kind: str) -> str:
    try:
        return _WORDS[EventKind(kind)]
    except (ValueError, KeyError):
        return kind.replace("_", " ")


def _champion(traffic: Traffic) -> str:
    return traffic.champion.version if traffic.champion else ""


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _utc(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
