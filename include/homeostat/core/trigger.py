"""Fold the monitoring history into one answer: retrain or not, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Literal

from homeostat.config.model import Trigger

Verdict = Literal["pass", "alert", "not_computable", "pending"]
Harm = Literal["unknown", "shown", "not_shown"]

#: Retraining pays when its gain is so many standard errors (one-sided 95 %).
PAYS = 1.64
#: However often retraining has failed, the wait grows no further than this many times.
MAX_BACK_OFF = 8
RECALL = "former_version_fits"


@dataclass(frozen=True, slots=True)
class WindowRecord:
    """What one window of monitoring found; the history holds one per model and window end.

    ``decay`` is how much worse the mean of the last batches is than the version's own baseline, in
    the metric's own direction (positive is worse); None while labels are pending. ``sure`` says that it
    is more than chance gives, ``labelled`` how many rows this window's own score is over.

    ``harm`` is what is known of the answers since the inputs began to drift, from labels, or from the
    estimate where labels have not come. ``short`` says that champions of this model have been clearly better
    than this one is now. ``gain`` is what retraining has brought lately, in standard
    errors: the last version trained against the one before it, on the same rows. ``recall`` names an
    earlier champion that fits today better than this one.
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
    sure: bool = False
    labelled: int = 0
    harm: Harm = "unknown"
    short: bool = False
    gain: float | None = None
    recall: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, small enough for a tag."""
        raw = {f.name: getattr(self, f.name) for f in fields(self)}
        return raw | {"window_end": self.window_end.isoformat()}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> WindowRecord:
        """Read what :meth:`to_json` wrote; unknown keys are passed over."""
        known = {f.name: raw[f.name] for f in fields(cls) if f.name in raw}
        return cls(**known | {"window_end": datetime.fromisoformat(raw["window_end"])})


State = Literal["quiet", "building", "fired", "cooldown", "pending", "notice"]


@dataclass(frozen=True, slots=True)
class TriggerDecision:
    """Whether to retrain, and why.

    ``reason`` is one word for programs, ``sentence`` says the same to people. ``consecutive`` is the
    longer of the two runs (drift, decay) that end at this window. ``repeated`` marks a window that
    had fired before: its event may go out again, since whoever receives it knows the window. ``recall``
    names the version to try again instead of training a new one.
    """

    fire: bool
    reason: str
    sentence: str
    consecutive: int
    state: State
    cooldown_until: datetime | None = None
    repeated: bool = False
    recall: str = ""

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
    pace: timedelta = timedelta(0),
) -> TriggerDecision:
    """Fold the history up to ``current`` into one answer. Nothing is remembered between calls.

    - Decay of ``critical_decay`` fires at once, and so does decay of ``decay`` that is more than chance;
      where chance cannot be told, it must hold for ``consecutive`` windows in a row.
    - Drift of the inputs must hold for ``consecutive`` windows in a row. It fires when labels (or, before
      they come, the estimate) show that answers suffer, or when nothing is known of that. Drift that harms
      nothing is worth a notice, not a retrain. Where retraining has paid lately, any drift is enough.
    - A champion that does what could be expected of it, while those before it were good for clearly more, is
      reason enough as well: it was made in bad times.
    - A former champion that fits today better is tried again before anything is trained. Refused, it gives
      way to training, and without need of that is tried again after ``pace``.
    - A window that passes ends a run; one that is pending, not computable or not there at all neither
      lengthens nor ends it.
    - Within ``cooldown`` of a window that fired, nothing fires, whichever of the two was looked at first.
    - The next retrain waits for ``pace``; from the second in a row that was refused or brought nothing on,
      for twice as long every time, up to eight times ``pace``.
    - One episode fires once: after a fire it takes the end of the cooldown, a promotion or a calm
      window. Without a cooldown, one of the latter two.
    - A promotion starts afresh: windows that end by ``promoted_at`` are no evidence, nor are those of
      another version or of an earlier reign of this one. They still start a cooldown.
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
    pace
        How long it takes to see what a retrain has brought.
    """
    records = _by_window(history)
    past = [record for end, record in sorted(records.items()) if end < current.window_end]
    evidence = _reign(
        [r for r in (*past, current) if promoted_at is None or r.window_end > promoted_at], current.version
    )
    drift = _run([record.drift for record in evidence])
    decay = _run([record.performance for record in evidence])
    wanted = _wanted(evidence, drift, decay, settings, recall_first=not _refused_recall(past, current))
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
    elif wanted and (held := _held_back(past, current, wanted[0], pace)):
        reason, sentence, until = held
        state, sentence = "cooldown", f"{sentence} Without it: {wanted[1]}"
    elif wanted:
        state, (reason, sentence) = "fired", wanted
    else:
        until, (state, reason, sentence) = None, _calm(current, drift, decay, settings)
    named = records[current.window_end] if repeated else current
    recall = named.recall if reason == RECALL and state == "fired" else ""
    return TriggerDecision(
        state == "fired", reason, sentence, max(drift, decay), state, until, repeated, recall
    )


def drifting_since(history: Iterable[WindowRecord], current: WindowRecord) -> datetime | None:
    """End of the first window of the run of drift alerts that ends at ``current``; None without one."""
    evidence = [*reign(history, current), current]
    run = _run([record.drift for record in evidence])
    alerts = [record.window_end for record in evidence if record.drift == "alert"]
    return alerts[-run] if run else None


def reign(history: Iterable[WindowRecord], current: WindowRecord) -> list[WindowRecord]:
    """The windows before ``current`` since its version became champion, oldest first."""
    past = [record for end, record in sorted(_by_window(history).items()) if end < current.window_end]
    return _reign(past, current.version)


def _reign(records: Sequence[WindowRecord], version: str) -> list[WindowRecord]:
    """The windows at the end in which this version was champion without a break."""
    other = next((n for n, record in enumerate(reversed(records)) if record.version != version), len(records))
    return list(records[len(records) - other :])


def _held_back(
    past: Sequence[WindowRecord], current: WindowRecord, reason: str, pace: timedelta
) -> tuple[str, str, datetime] | None:
    """Why it is too early to retrain again after what the last retrains have brought."""
    fires = [record for record in past if record.fired]
    if not fires or not pace:
        return None
    until = fires[-1].window_end + pace
    if reason == RECALL:
        held = f"It was refused a short while ago: the next try is from {until:%F %R} on."
        early = current.window_end < until and _refused_recall(past, current)
        return ("too_early", held, until) if early else None
    refused, idle = _in_vain(fires, past, current)
    decayed = reason.startswith(("performance_decay", "sustained_decay"))
    times = refused if decayed else idle
    if decayed and not times:
        return None
    until = fires[-1].window_end + pace * min(2 ** max(times - 1, 0), MAX_BACK_OFF)
    if current.window_end >= until:
        return None
    if not times:
        return "too_early", f"What the last retrain brought can be told from {until:%F %R} on.", until
    brought = "has made no new champion" if refused else "brought nothing"
    lately = (
        f"The last retrain {brought}" if times == 1 else f"{times} times in a row retraining brought nothing"
    )
    return "backing_off", f"{lately}: the next try is from {until:%F %R} on.", until


def _in_vain(
    fires: Sequence[WindowRecord], past: Sequence[WindowRecord], current: WindowRecord
) -> tuple[int, int]:
    """How many of the last retrains were refused, and how many brought nothing, those included."""
    refused = idle = 0
    for fire, following in zip(fires, [*fires[1:], None], strict=True):
        end = following.window_end if following else current.window_end
        after = [r for r in (*past, current) if fire.window_end < r.window_end <= end]
        if not after:
            continue
        stayed = all(record.version == fire.version for record in after)
        if fire.reason == RECALL:
            idle += not stayed  # what was trained last had to give way to an older one
            continue
        if stayed:
            refused, idle = refused + 1, idle + 1
            continue
        refused = 0
        gain = next((record.gain for record in reversed(after) if record.gain is not None), None)
        if gain is not None and gain >= PAYS:
            idle = 0
        elif following is not None and gain is not None and gain <= 0:
            idle += 1
    return refused, idle


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


def _refused_recall(past: Sequence[WindowRecord], current: WindowRecord) -> bool:
    """Whether the last try was a recall and its version has not become champion."""
    fires = [record for record in past if record.fired]
    if not fires or fires[-1].reason != RECALL:
        return False
    after = [record for record in past if record.window_end > fires[-1].window_end]
    return all(record.version == fires[-1].version for record in (*after, current))


def _wanted(
    evidence: Sequence[WindowRecord], drift: int, decay: int, settings: Trigger, *, recall_first: bool
) -> tuple[str, str] | None:
    """Reason and sentence of the fire that the evidence alone asks for."""
    if not evidence:
        return None
    current = evidence[-1]
    recall = (RECALL, f"Version {current.recall}, champion before, answers the latest rows better.")
    if current.recall and recall_first:
        return recall
    if wanted := _decayed(current, decay, settings) or _drifted(current, drift, settings):
        return wanted
    if current.short:
        return (
            "below_best",
            "This version is within its own baseline, but champions before were clearly better.",
        )
    return recall if current.recall else None


def _decayed(current: WindowRecord, run: int, settings: Trigger) -> tuple[str, str] | None:
    if current.performance == "alert" and current.decay is not None:
        lost, critical = f"Decay {current.decay:.3f}", settings.critical_decay
        if current.decay >= critical:
            return "performance_decay_critical", f"{lost} is at least the critical {critical:g}."
        if current.sure:
            return "performance_decay", f"{lost} is at least {settings.decay:g}, and more than chance gives."
    if run >= settings.consecutive:
        held = f"Decay has held for {run} windows in a row, {settings.consecutive} are enough."
        return "sustained_decay", held
    return None


def _drifted(current: WindowRecord, run: int, settings: Trigger) -> tuple[str, str] | None:
    if not run:
        return None
    held = f"Drift has held for {run} windows in a row" if run > 1 else "The inputs have drifted"
    if current.gain is not None and current.gain >= PAYS:
        paid = f"retraining has paid lately (by {current.gain:.1f} standard errors)"
        return "retraining_pays", f"{held}, and {paid}."
    if run < settings.consecutive:
        return None
    enough = f"{held}, {settings.consecutive} are enough"
    if current.harm == "shown":
        return "harmful_drift", f"{enough}, and the answers suffer."
    return ("sustained_drift", f"{enough}.") if current.harm == "unknown" else None


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


def _calm(current: WindowRecord, drift: int, decay: int, settings: Trigger) -> tuple[State, str, str]:
    run, n = max(drift, decay), settings.consecutive
    if drift >= n:
        sentence = f"Drift has held for {drift} windows, but the answers do not suffer from it."
        return "notice", "harmless_drift", sentence
    if run:
        return "building", "building", f"{run} of {n} windows in a row."
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
