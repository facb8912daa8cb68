"""What one window of monitoring found, as the history keeps it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

WindowVerdict = Literal["pass", "alert", "not_computable", "pending"]
#: Whether drift lowers the quality of predictions: see :func:`homeostat.monitoring.labelled_performance`.
Impact = Literal["unknown", "shown", "not_shown"]

# Read what release 0.1 wrote.
_OLD_NAMES = {
    "significant": "sure",
    "labelled_rows": "labelled",
    "impact": "harm",
    "below_best": "short",
    "reinstate": "recall",
}


@dataclass(frozen=True, slots=True)
class WindowRecord:
    """The result of checking one window. The history holds one record per model and window end.

    Parameters
    ----------
    performance
        ``pending`` while labels have not arrived.
    decay
        Loss of the last batches' mean against the version's own baseline; positive is worse. None while
        labels are pending. ``significant`` says that the test against chance could be computed.
    labelled_rows
        Rows that this window's own ``score`` is computed from.
    impact
        Whether predictions got worse since the inputs began to drift: from labels, or from the estimate
        where labels have not arrived.
    below_best
        The version is significantly worse than the best baseline of this model's last champions.
    unlearned
        How many windows of labels the champion has not learned; None where no labels are known.
    probe_after
        The next probe waits until this time; None: it does not wait.
    ageing_rate, ageing_z, ageing_cusum
        What the record of ageing says, see :class:`~homeostat.core.performance.ageing.Ageing`: the local
        rate, its evidence in standard errors, and the CUSUM of this champion's probes. None without one.
    reinstate
        A former champion that predicts today's rows better than this version; "" without one.
    unlogged_labels
        New labels whose id is not in the prediction log; None when that is not known.
    slice_losses
        Rows, sum of the losses and of their squares in the newest step by slice, for the windows after it.
    decayed_slices
        The decay of each slice whose predictions have become significantly worse, the worst first.
    """

    window_end: datetime
    version: str
    rows: int
    drift: WindowVerdict
    drifted_share: float | None
    performance: WindowVerdict
    score: float | None
    decay: float | None
    fired: bool = False
    reason: str = ""
    significant: bool = False
    labelled_rows: int = 0
    impact: Impact = "unknown"
    below_best: bool = False
    reinstate: str = ""
    unlogged_labels: int | None = None
    unlearned: float | None = None
    probe_after: datetime | None = None
    ageing_rate: float | None = None
    ageing_z: float | None = None
    ageing_cusum: float | None = None
    slice_losses: Mapping[str, Sequence[float]] = field(default_factory=dict)
    decayed_slices: Mapping[str, float] = field(default_factory=dict)

    @property
    def alerting(self) -> bool:
        """Whether inputs, performance or a slice alert, or the check fired."""
        return "alert" in (self.drift, self.performance) or self.fired or bool(self.decayed_slices)

    def has_figures(self, every: timedelta) -> bool:
        """Whether the check draws figures: it alerts, or is the first or last one of its UTC day.

        Drawing costs several times as much processor time as the rest of a check.
        """
        end = self.window_end.astimezone(UTC)
        neighbours = {(end - every).date(), (end + every).date()}
        return self.alerting or neighbours != {end.date()}

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON, small enough for an MLflow tag."""
        raw = {f.name: getattr(self, f.name) for f in fields(self)}
        slices = {name: raw.pop(name) for name in ("slice_losses", "decayed_slices")}
        raw |= {name: dict(found) for name, found in slices.items() if found}
        after = self.probe_after.isoformat() if self.probe_after else None
        return raw | {
            "window_end": self.window_end.isoformat(),
            "reason": str(self.reason),
            "probe_after": after,
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> WindowRecord:
        """Read what :meth:`to_json` wrote, now or in release 0.1; unknown keys are ignored."""
        raw = dict(raw) | {new: raw[old] for new, old in _OLD_NAMES.items() if old in raw and new not in raw}
        known = {f.name: raw[f.name] for f in fields(cls) if f.name in raw}
        after = raw.get("probe_after")
        return cls(
            **known
            | {
                "window_end": datetime.fromisoformat(raw["window_end"]),
                "probe_after": datetime.fromisoformat(after) if after else None,
            }
        )

    def sort_key(self) -> tuple[bool, str]:
        """Order records of the same window: the one that fired last, the rest by content."""
        return self.fired, json.dumps(self.to_json(), sort_keys=True)
