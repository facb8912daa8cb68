"""The story of a retrain and its version: why it was trained, gate, shadow, canary, and how it ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from homeostat.core.rollout import Rollout, Traffic, describe_phase
from homeostat.core.run_ids import airflow_run
from homeostat.explain.records import RetrainRecord
from homeostat.explain.story import Story, full_stop, sections, utc
from homeostat.ports import Event
from homeostat.rollouts.version_changes import VersionChange, latest, version_changes
from homeostat.storage.retrain_outcome import OUTCOME_SENTENCES, RetrainOutcome
from homeostat.storage.retrain_request import MANUAL

#: Verdicts of the gate in a word.
_VERDICTS = {"pass": "pass", "alert": "FAIL", "not_computable": "not computable"}


def explain_retrain(retrain: RetrainRecord) -> Story:
    """Tell the story of a retrain, or of a version."""
    model = retrain.model
    what = f"version {retrain.version}" if retrain.version else f"retrain {retrain.run_key}"
    word, sentence = _end(retrain)
    return Story(
        model,
        f"{model}: {what}",
        word,
        sentence,
        sections(
            ("Why it was trained", _why(retrain)),
            ("Training", _training(retrain)),
            ("Gate", _gate(retrain)),
            ("Rollout", _rollout(retrain)),
            ("As champion", _as_champion(retrain)),
        ),
    )


def gate_lines(retrain: RetrainRecord) -> Iterator[str]:
    """Yield the result of each check of the gate."""
    for check in retrain.steps.get("gate", {}).get("checks", ()):
        yield f"{_VERDICTS.get(check['verdict'], check['verdict'])}: {check['name']}: {check['reason']}."


def _end(retrain: RetrainRecord) -> tuple[str, str]:
    change = latest(version_changes(retrain.events)).get(retrain.version) if retrain.version else None
    if change is not None:
        return change.phase, full_stop(change.sentence)
    rollout = _last_rollout(retrain)
    if rollout is not None:
        why = full_stop(rollout.reason)
        phase = describe_phase(rollout)
        return str(rollout.phase), f"Its rollout is under way. {phase} {why}"
    if retrain.outcome is not None:
        outcome = retrain.outcome
        return str(outcome.outcome), f"{OUTCOME_SENTENCES[outcome.outcome]} {full_stop(outcome.sentence)}"
    return "", "It is under way, or it stopped without a record: see its run in Airflow."


def _why(retrain: RetrainRecord) -> Iterator[str]:
    request, check = retrain.request, retrain.trigger
    if request is None:
        yield "Its retrain is not in the store: it was promoted by hand, or made by another installation."
        return
    if check is not None and check.trigger is not None:
        yield f"{request.reason}: {full_stop(check.trigger.sentence)}"
        yield (
            f"The check of the window that ended {utc(check.window_end)} requested it: homeostat explain"
            f" {retrain.model} {check.window_end:%Y-%m-%dT%H:%MZ}"
        )
    elif request.trigger_id.startswith("manual/") or "/" not in request.trigger_id:
        yield (
            "A person started it." if request.reason == MANUAL else f"A person started it: {request.reason}."
        )
    else:
        yield f"{request.reason}: requested by {request.trigger_id}."
    if request.reinstate:
        yield f"It reinstates version {request.reinstate}, a former champion: nothing was trained."
    if request.force:
        yield "Force was set: the gate could not stop it, and a person had to approve it."
    if request.training_window or request.pipeline:
        what = "pipeline" if request.pipeline else "training window"
        yield f"It tried another {what}: {request.pipeline or request.training_window}."
    if run := airflow_run(request.dag_run):
        yield f"Airflow run: {run}"


def _training(retrain: RetrainRecord) -> Iterator[str]:
    steps = retrain.steps
    said = (str(steps.get(step, {}).get("sentence", "")) for step in ("assemble", "train", "probe"))
    yield from dict.fromkeys(map(full_stop, said))  # two steps may say the same
    if until := steps.get("assemble", {}).get("until"):
        yield f"Rows up to {str(until)[:16].replace('T', ' ')} UTC."


def _gate(retrain: RetrainRecord) -> Iterator[str]:
    gate = retrain.steps.get("gate")
    if gate is None:
        return
    forced = " Force let it pass." if gate.get("forced") else ""
    yield f"{full_stop(str(gate['sentence']))}{forced}"
    yield from gate_lines(retrain)


def _rollout(retrain: RetrainRecord) -> Iterator[str]:
    own = _own_events(retrain)
    for event in own:
        yield f"{utc(event.at)}  {event.kind}: {full_stop(event.reason)} ({event.by})"
        for check in event.evidence.get("checks") or ():
            if event is own[-1] or check["verdict"] in ("FAIL", "CONTINUE"):
                yield f"  {check['verdict']}: {check['name']}: {full_stop(check['reason'])}"


def _as_champion(retrain: RetrainRecord) -> Iterator[str]:
    changes = _reigns(retrain)
    if not changes:
        return
    validated = retrain.steps.get("validate") or {}
    metrics: Mapping[str, Any] = (validated.get("baseline") or {}).get("metrics") or {}
    if metrics:
        shown = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items() if value is not None)
        yield f"Its baseline, from its holdout: {shown}."
    for change in changes:
        yield full_stop(change.sentence)


def _reigns(retrain: RetrainRecord) -> list[VersionChange]:
    """Return each time as champion once: by its end, which says both times, or by its beginning."""
    found: list[VersionChange] = []
    for change in _changes(retrain):
        if change.outcome is None and found:
            found[-1] = change
        elif change.outcome in (None, RetrainOutcome.PROMOTED):
            found.append(change)
    return found


def _changes(retrain: RetrainRecord) -> list[VersionChange]:
    changes = version_changes(retrain.events)
    return [each for each in changes if each.version == retrain.version and retrain.version]


def _own_events(retrain: RetrainRecord) -> list[Event]:
    found = []
    for event in retrain.events:
        rollout = Traffic.from_json(dict(event.traffic)).rollout
        if rollout is not None and rollout.id == retrain.run_key and retrain.run_key:
            found.append(event)
    return found


def _last_rollout(retrain: RetrainRecord) -> Rollout | None:
    own = _own_events(retrain)
    return Traffic.from_json(dict(own[-1].traffic)).rollout if own else None
