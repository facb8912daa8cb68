"""Fold the monitoring history into one answer: retrain or not, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Literal

from homeostat.config.model import Trigger

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


State = Literal["quiet", "building", "fired", "cooldown", "pending"]


@dataclass(frozen=True, slots=True)
class TriggerDecision:
    """Whether to retrain, and why.

    ``reason`` is one word for programs, ``sentence`` says the same to people. ``consecutive`` is the
    longer of the two runs (drift, decay) that end at this window. ``repeated`` marks a window that
    had fired before: its event may go out again, since whoever receives it knows the window.
    """

    fire: bool
    reason: str
    sentence: str
    consecutive: int
    state: State
    cooldown_until: datetime | None = None
    repeated: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        until = self.cooldown_until
        raw = {f.name: getattr(self, f.name) for f in fields(self)}
        return raw | {"cooldown_until": until.isoformat() if until else None}


def decide(
    history: Iterable[WindowRecord],
    current: WindowRecord,
    settings: Trigger,
    *,
    promoted_at: datetime | None = None,
) -> TriggerDecision:
    """Fold the history up to ``current`` into one answer. Nothing is remembered between calls.

    - Decay of ``critical_decay`` fires at once; drift, or decay of ``decay``, when it has held for
      ``consecutive`` windows in a row. A window that passes ends the run; one that is pending, not
      computable or not there at all neither lengthens nor ends it.
    - Within ``cooldown`` of a window that fired, nothing fires, whichever of the two was looked at first.
    - One episode fires once: after a fire it takes the end of the cooldown, a promotion or a calm
      window. Without a cooldown, one of the latter two.
    - A promotion starts afresh: windows that end by ``promoted_at`` are no evidence, nor are those of
      another version. They still start a cooldown.
    - A window that fired stays fired when it is looked at again, so that a re-run changes nothing.

    Parameters
    ----------
    history
        Records in any order, one per window end (of several the one that fired counts). The current
        window's own former record, and later ones, are evidence of nothing; they only tell what
        has fired.
    current
        The window to decide about; its ``fired`` is not read.
    promoted_at
        When the champion became it, on the clock that the window ends are on.
    """
    records = _by_window(history)
    past = [record for end, record in sorted(records.items()) if end < current.window_end]
    evidence = [
        record
        for record in (*past, current)
        if record.version == current.version and (promoted_at is None or record.window_end > promoted_at)
    ]
    drift = _run([record.drift for record in evidence])
    decay = _run([record.performance for record in evidence])
    wanted = _wanted(evidence, drift, decay, settings)
    state: State
    until: datetime | None = current.window_end + settings.cooldown
    repeated = current.window_end in records and records[current.window_end].fired
    if repeated:
        sentence = "This window has fired before; looking again changes nothing."
        state, reason = "fired", records[current.window_end].reason
    elif not evidence:
        until, sentence = None, f"This window ended before the promotion at {promoted_at}."
        state, reason = "quiet", "before_promotion"
    elif blocked := _blocked(records, evidence, current.window_end, settings.cooldown, promoted_at):
        reason, sentence, until = blocked
        state, sentence = "cooldown", sentence + (f" Without it: {wanted[1]}" if wanted else "")
    elif wanted:
        state, (reason, sentence) = "fired", wanted
    else:
        until, (state, reason, sentence) = None, _calm(current, max(drift, decay), settings)
    return TriggerDecision(state == "fired", reason, sentence, max(drift, decay), state, until, repeated)


def _by_window(history: Iterable[WindowRecord]) -> dict[datetime, WindowRecord]:
    records: dict[datetime, WindowRecord] = {}
    for record in history:
        known = records.get(record.window_end)
        if known is None or (record.fired, repr(record)) > (known.fired, repr(known)):
            records[record.window_end] = record
    return records


def _run(verdicts: Sequence[Verdict]) -> int:
    """Length of the run of alerts at the end; 0 unless the last of them is one."""
    if not verdicts or verdicts[-1] != "alert":
        return 0
    counted = [verdict for verdict in verdicts if verdict in ("alert", "pass")]
    return next((n for n, verdict in enumerate(reversed(counted)) if verdict == "pass"), len(counted))


def _wanted(
    evidence: Sequence[WindowRecord], drift: int, decay: int, settings: Trigger
) -> tuple[str, str] | None:
    """Reason and sentence of the fire that the evidence alone asks for."""
    if not evidence:
        return None
    current, n = evidence[-1], settings.consecutive
    if (
        current.performance == "alert"
        and current.decay is not None
        and current.decay >= settings.critical_decay
    ):
        limit = settings.critical_decay
        return "performance_decay_critical", f"Decay {current.decay:.3f} is at least the critical {limit:g}."
    if drift >= n:
        return "sustained_drift", f"Drift has held for {drift} windows in a row, {n} are enough."
    if decay >= n:
        return "sustained_decay", f"Decay has held for {decay} windows in a row, {n} are enough."
    return None


def _blocked(
    records: Mapping[datetime, WindowRecord],
    evidence: Sequence[WindowRecord],
    now: datetime,
    cooldown: timedelta,
    promoted_at: datetime | None,
) -> tuple[str, str, datetime | None] | None:
    """Why an earlier fire (or, for a window that came late, a later one) lets nothing fire now."""
    fires = [end for end, record in records.items() if record.fired]
    if not fires:
        return None
    last = max(fires)
    if last > now:
        return "cooldown_active", f"The window that ended at {last:%F %R} has fired since.", last + cooldown
    if now < last + cooldown:
        return "cooldown_active", f"In cooldown until {last + cooldown:%F %R}.", last + cooldown
    promoted = promoted_at is not None and promoted_at >= last
    calm = any(record.window_end > last and _is_calm(record) for record in evidence)
    if cooldown or promoted or calm:
        return None
    return "same_episode", f"{last:%F %R} has fired for this episode, which is not over.", None


def _is_calm(record: WindowRecord) -> bool:
    verdicts = {record.drift, record.performance}
    return "pass" in verdicts and "alert" not in verdicts


def _calm(current: WindowRecord, run: int, settings: Trigger) -> tuple[State, str, str]:
    if run:
        return "building", "building", f"{run} of {settings.consecutive} windows in a row."
    if _is_calm(current) and current.performance != "pending":
        return "quiet", "within_tolerance", "Drift and performance are within tolerance."
    if current.performance == "pending":
        return (
            "pending",
            "labels_pending",
            "Labels are not there yet: nothing to fire for, and not called healthy.",
        )
    return (
        "pending",
        "no_evidence",
        "This window could not be computed: nothing to fire for, and not called healthy.",
    )
