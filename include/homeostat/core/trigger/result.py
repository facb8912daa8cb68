"""The result of the trigger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal, Self

TriggerState = Literal["quiet", "building", "fired", "cooldown", "pending", "notice"]


@dataclass(frozen=True, slots=True)
class TriggerDecision:
    """Whether to retrain, and why.

    ``reason`` is a word of :class:`~homeostat.core.trigger.reasons.TriggerReason`, ``sentence`` says the same
    to people. ``consecutive`` is the longer of the two runs of alerts (drift, decay) that end at this window.
    ``repeated`` marks a window that had fired before: its event may be sent again, since receivers
    deduplicate by window. ``reinstate`` names the former champion to promote instead of training a new one.
    """

    fire: bool
    reason: str
    sentence: str
    consecutive: int
    state: TriggerState
    cooldown_until: datetime | None = None
    repeated: bool = False
    reinstate: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        until = self.cooldown_until
        raw = {f.name: getattr(self, f.name) for f in fields(self)}
        return raw | {"reason": str(self.reason), "cooldown_until": until.isoformat() if until else None}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote; unknown keys are ignored."""
        until = raw.get("cooldown_until")
        known = {f.name: raw[f.name] for f in fields(cls) if f.name in raw}
        return cls(**known | {"cooldown_until": datetime.fromisoformat(until) if until else None})
