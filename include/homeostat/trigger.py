"""Fold the monitoring history into one answer: retrain or not, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal

Verdict = Literal["pass", "alert", "not_computable", "pending"]


@dataclass(frozen=True, slots=True)
class WindowRecord:
    """What one window of monitoring found; the history holds one per model and window end.

    ``decay`` is how much worse the mean of the last batches is than the version's own baseline, in
    the metric's own direction (positive is worse); None while labels are pending.
    ``retrain_id`` is set when this window fired.
    """

    window_end: datetime
    version: str
    rows: int
    drift: Verdict
    drifted_share: float | None
    performance: Verdict
    score: float | None
    decay: float | None
    fired: bool = False
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, small enough for a tag."""
        raw = {f.name: getattr(self, f.name) for f in fields(self)}
        return raw | {"window_end": self.window_end.isoformat()}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> WindowRecord:
        """Read what :meth:`to_json` wrote; unknown keys are passed over."""
        known = {f.name: raw[f.name] for f in fields(cls) if f.name in raw}
        return cls(**known | {"window_end": datetime.fromisoformat(raw["window_end"])})
