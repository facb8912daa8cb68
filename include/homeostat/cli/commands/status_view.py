"""What `homeostat status` prints of one model: what serves, its score, the last check, rollout and events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from rich.text import Text

from homeostat.cli.console import say, say_wrapped
from homeostat.config.errors import HomeostatError

if TYPE_CHECKING:
    from homeostat.config import Settings
    from homeostat.core.rollout import RolloutPace, RolloutProgress, Traffic
    from homeostat.core.rollout.served import Served
    from homeostat.core.slices import SlicesReport
    from homeostat.notices.outbox import Undelivered
    from homeostat.ports import Event, FleetEntry, Store
    from homeostat.storage.check_records import CheckRecord


#: The width of the column of labels.
_LABELS = 9


@dataclass(frozen=True, slots=True)
class LastCheck:
    """The newest check of a model, or why it is not known."""

    check: CheckRecord | None = None
    problem: str = ""

    def to_json(self) -> dict[str, Any] | None:
        """Return plain JSON: score, baseline, verdicts and decision; None without a check."""
        if self.check is None:
            return {"problem": self.problem} if self.problem else None
        performance, trigger = self.check.performance, self.check.trigger
        return {
            "window_end": self.check.window_end.isoformat(),
            "rows": self.check.drift.rows,
            "drift": self.check.drift.verdict,
            "drifted_share": self.check.drift.drifted_share,
            "performance": performance.verdict if performance else None,
            "metric": performance.metric_title or performance.metric if performance else None,
            "score": performance.score if performance else None,
            "baseline": performance.baseline if performance else None,
            "version": self.check.record.version if self.check.record else None,
            "newest_score": self.check.record.score if self.check.record else None,
            "decayed_slices": list(self.check.slices.decayed) if self.check.slices else [],
            "fired": trigger.fire if trigger else None,
            "reason": str(trigger.reason) if trigger else None,
            "sentence": trigger.sentence if trigger else None,
        }


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """What is known of one model now."""

    traffic: Traffic
    served: Served
    pace: RolloutPace | RolloutProgress | None
    last: LastCheck
    retrain: str | None
    events: Sequence[Event]
    next_check: datetime | None = None
    undelivered: Sequence[Undelivered] = ()


def newest_checks(settings: Settings, names: Sequence[str]) -> dict[str, LastCheck]:
    """Return the newest check of each model; a store that does not respond hides nothing else."""
    from homeostat.adapters import open_store
    from homeostat.storage.parallel_map import parallel_map

    try:
        store = open_store(settings.store)
    except HomeostatError as error:
        return dict.fromkeys(names, LastCheck(problem=str(error)))
    return dict(zip(names, parallel_map(lambda name: _newest(store, name), names), strict=True))


def next_checks(fleet: Mapping[str, FleetEntry], names: Sequence[str]) -> dict[str, datetime]:
    """Return when the next window of each model is checked, where that is known."""
    from homeostat.core.model_health import WindowSummary
    from homeostat.ports import RecordKind

    newest = {name: fleet[name].newest.get(RecordKind.WINDOW) for name in names if name in fleet}
    due = {name: WindowSummary.from_json(record.body).next_check for name, record in newest.items() if record}
    return {name: at for name, at in due.items() if at is not None}


def _newest(store: Store, name: str) -> LastCheck:
    from homeostat.storage.check_records import newest_check

    try:
        return LastCheck(newest_check(store, name))
    except (HomeostatError, ValueError, KeyError) as error:
        return LastCheck(problem=f"the last check cannot be read: {error}")


def undelivered_notices(settings: Settings, names: Sequence[str]) -> dict[str, list[Undelivered]]:
    """Return each model's notices that did not arrive; none where the store does not say it."""
    from homeostat.adapters import open_store
    from homeostat.notices.outbox import models_with_messages, undelivered

    found: dict[str, list[Undelivered]] = {name: [] for name in names}
    with suppress(HomeostatError):  # the line of the check says that the store does not respond
        store = open_store(settings.store)
        for name in models_with_messages(store) & set(names):  # one question for a thousand models
            found[name] = [each for each in undelivered(store, name) if each.attempts]
    return found


def print_status(status: ModelStatus, now: datetime) -> None:
    """Print one model, wrapped at the width of the terminal."""
    say(status.traffic.model, "bold")
    for label, text in _lines(status, now):
        say_wrapped(text, Text(f"  {label:<{_LABELS}}", style="dim"), _LABELS + 2)
    if status.events:
        say("")
        say(f"  {'when (UTC)':<21}{'what':<13}why, and who", "dim")
    for event in status.events:
        why = Text.assemble(event.reason, (f" ({event.by})", "dim"))
        say_wrapped(why, f"  {event.at:%Y-%m-%d %H:%M:%S}  {event.kind:<13}", 36)
    say("")


def _lines(status: ModelStatus, now: datetime) -> Iterator[tuple[str, Text]]:
    from homeostat.core.rollout import PHASE_SENTENCES, Phase, RolloutPace

    traffic = status.traffic
    before = f"; previous version {traffic.previous.version}" if traffic.previous else ""
    yield "serves", Text(f"{status.served.sentence}{before}")
    yield from _check_lines(status, now)
    if status.next_check is not None:
        yield "", Text(_next_check(status.next_check, now), style="dim")
    for label, each in zip_longest(("notices",), status.undelivered, fillvalue=None):
        if each is not None:
            yield label or "", Text(each.sentence, style="red" if each.given_up else "yellow")
    if status.retrain is not None and traffic.active is None:
        yield "retrain", Text(f"running: homeostat explain {traffic.model} {status.retrain}")
    rollout = traffic.rollout
    if rollout is not None and rollout.phase is not Phase.CHAMPION:
        share = f" ({rollout.share:.0%} of the traffic)" if rollout.share else ""
        sentence = PHASE_SENTENCES[rollout.phase]
        yield "rollout", Text(f"version {rollout.candidate.version}: {rollout.phase}{share}. {sentence}")
    if isinstance(status.pace, RolloutPace):
        yield "next", Text(f"a rollout {status.pace.sentence}")
        if status.pace.remedy:
            yield "", Text(f"-> {status.pace.remedy}", style="yellow")
    elif status.pace is not None:
        yield "", Text(status.pace.sentence)


_STYLES = {"alert": "red", "pass": "green"}
_INPUTS = {
    "alert": "inputs drifted",
    "pass": "no drift of the inputs",
    "not_computable": "drift not computable",
}
_PERFORMANCE = {
    "alert": "worse than the baseline",
    "pass": "as good as the baseline",
    "pending": "labels are pending",
    "not_computable": "not computable",
}


def _check_lines(status: ModelStatus, now: datetime) -> Iterator[tuple[str, Text]]:
    last, model, champion = status.last, status.traffic.model, status.traffic.champion
    check = last.check
    if check is None:
        yield "check", Text(last.problem or f"none yet: homeostat check {model}")
        return
    judged = check.record.version if check.record is not None else ""
    if champion is not None and judged and judged != champion.version:
        yield "score", Text(f"version {champion.version} has not been checked yet")
        yield "", Text.assemble(f"version {judged} before it: ", _score(check))
    elif check.performance is not None:
        yield "score", _score(check)
    inputs = _INPUTS[check.drift.verdict]
    if check.drift.drifted_share is not None:
        inputs += f" ({check.drift.drifted_share:.0%} of the features)"
    when = f"{check.window_end:%Y-%m-%d %H:%M} UTC, {_ago(now, check.window_end)}: "
    yield "check", Text.assemble(when, (inputs, _STYLES.get(check.drift.verdict, "yellow")))
    if check.slices is not None and (champion is None or judged in ("", champion.version)):
        yield "slices", _slices(check.slices)
    if check.trigger is not None:
        other = "no other retrain" if status.retrain else "no retrain"
        action = "retrain requested" if check.trigger.fire else other
        yield "", Text(f"{action} ({check.trigger.reason}): {check.trigger.sentence}")
        yield "", Text(f"why: homeostat explain {model}", style="dim")


def _next_check(due: datetime, now: datetime) -> str:
    from homeostat.core.trigger.silence import LEAST_SILENCE

    at = f"{due:%Y-%m-%d %H:%M} UTC"
    if due >= now:
        return f"next check at {at}"
    late = ": it is late" if now - due >= LEAST_SILENCE else ""
    return f"next check due since {at}, {_ago(now, due)}{late}"


def _score(check: CheckRecord) -> Text:
    from homeostat.core.model_health import describe_score

    report = check.performance
    if report is None:
        return Text("")
    verdict = (_PERFORMANCE[report.verdict], _STYLES.get(report.verdict, "yellow"))
    metric = report.metric_title or report.metric
    if report.score is None:
        estimate = report.estimate.value if report.estimate else None
        known = "" if estimate is None else f", estimated accuracy {estimate:.3f}"
        baseline = "" if report.baseline is None else f"; baseline {metric} {report.baseline:.3f}"
        return Text.assemble(verdict, f"{known}{baseline}")
    baseline = "not known" if report.baseline is None else f"{report.baseline:.3g}"
    score = describe_score(report, check.record.score if check.record is not None else None)
    figures = f"{score}, baseline {baseline}, {report.rows} labelled rows: "
    return Text.assemble(figures, verdict)


def _slices(report: SlicesReport) -> Text:
    if not report.results:
        return Text(report.reason, style="yellow")
    scores = {each.name: each.performance for each in report.results}
    worse = [
        f"{name} ({report.metric} {scores[name].score:.3f}, baseline {scores[name].baseline:.3f})"
        for name in report.decayed
    ]
    if worse:
        return Text(f"worse: {', '.join(worse)}", style="red")
    known = sum(score.verdict == "pass" for score in scores.values())
    drifted = f"; inputs drifted: {', '.join(report.drifted)}" if report.drifted else ""
    return Text(f"{known} of {len(scores)} as good as their baselines, the others not computable{drifted}")


def _ago(now: datetime, then: datetime) -> str:
    from homeostat.config.duration import describe_duration

    return f"{describe_duration(now - then)} ago" if now > then else "ahead of this clock"
