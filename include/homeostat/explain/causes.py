"""Every cause that could start a retrain, with its figures: whether it holds, and what it lacks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from homeostat.core.trigger import MIN_UNLEARNED, WindowRecord, alert_run, tenure
from homeostat.explain.story import count, utc

#: The settings that the causes are compared with.
_NEEDED = (
    "trigger.critical_decay",
    "trigger.decay",
    "trigger.consecutive",
    "trigger.probes",
    "trigger.retrain_cost",
)


def explain_causes(
    record: WindowRecord, before: Sequence[WindowRecord], settings: Mapping[str, Any]
) -> Iterator[str]:
    """Yield one line for each cause, in the order in which the trigger asks for them."""
    if any(name not in settings for name in _NEEDED):
        return
    windows = [*tenure(before, record), record]
    if record.reinstate:
        yield f"yes  former version: version {record.reinstate} predicts the newest labelled rows better."
    else:
        yield "no   former version: no former champion predicts the newest labelled rows better."
    yield from _decay(record, alert_run([each.performance for each in windows]), settings)
    if settings.get("monitor.slices", "none") != "none":
        yield _slices(record, settings)
    yield _drift(record, alert_run([each.drift for each in windows]), settings)
    limit = settings["trigger.decay"]
    best = "is worse" if record.below_best else "is not worse"
    yield (
        f"{_yes(record.below_best)} below the best: the version {best} by {limit:g} (trigger.decay) than the"
        " best of the last champions."
    )
    yield _probe(record, settings)


def _decay(record: WindowRecord, run: int, settings: Mapping[str, Any]) -> Iterator[str]:
    critical, limit = settings["trigger.critical_decay"], settings["trigger.decay"]
    needed = settings["trigger.consecutive"]
    if record.decay is None and run < needed:
        yield (
            f"no   decay: not known ({record.performance.replace('_', ' ')}); {limit:g} (trigger.decay) that"
            f" is significant, or {critical:g} (trigger.critical_decay), would start one at once."
        )
        return
    alert, decay = record.performance == "alert", record.decay or 0.0
    yield (
        f"{_yes(alert and decay >= critical)} critical decay: {decay:.3f} of {critical:g}"
        " (trigger.critical_decay)."
    )
    shown = "significant" if record.significant else "of unknown significance"
    found = shown if alert else "too small, or not significant"
    yield (
        f"{_yes(alert and record.significant)} significant decay: {decay:.3f} of {limit:g}"
        f" (trigger.decay), {found}."
    )
    if not record.significant:
        yield (
            f"{_yes(run >= needed)} lasting decay: {count(run, 'window')} in a row of {needed}"
            " (trigger.consecutive)."
        )


def _slices(record: WindowRecord, settings: Mapping[str, Any]) -> str:
    decayed = record.decayed_slices
    found = (
        ", ".join(f"{name} {lost:.3f}" for name, lost in decayed.items())
        if decayed
        else "none is significantly worse"
    )
    return (
        f"{_yes(bool(decayed))} decay of a slice: {found} of {settings['trigger.decay']:g} (trigger.decay)."
    )


def _drift(record: WindowRecord, run: int, settings: Mapping[str, Any]) -> str:
    needed = settings["trigger.consecutive"]
    impact = {
        "shown": "predictions have become worse",
        "not_shown": "predictions have not become worse, so it is harmless",
        "unknown": "whether predictions have become worse is unknown",
    }[record.impact]
    more = f"; {impact}" if run else ""
    holds = run >= needed and record.impact != "not_shown"
    return f"{_yes(holds)} drift: {count(run, 'window')} in a row of {needed} (trigger.consecutive){more}."


def _probe(record: WindowRecord, settings: Mapping[str, Any]) -> str:
    if not settings["trigger.probes"]:
        return "no   age: no probe is made (trigger.probes is false)."
    if record.unlearned is None:
        return "no   age: no labels are known that the champion has not learned."
    enough = record.unlearned >= MIN_UNLEARNED
    wait = record.probe_after is not None and record.window_end < record.probe_after
    waits = f"; the next probe waits until {utc(record.probe_after)}" if wait and record.probe_after else ""
    return (
        f"{_yes(enough and not wait)} age: labels of {count(record.unlearned, 'window')} not learned,"
        f" {MIN_UNLEARNED} are needed for a probe{waits}."
    )


def _yes(holds: bool) -> str:  # noqa: FBT001  # the one thing that it is about
    return "yes " if holds else "no  "
