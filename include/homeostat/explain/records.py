"""Read what a story is made of, from the Store and the ledger: no MLflow is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from homeostat.config.errors import NotFound
from homeostat.core.rollout import Traffic
from homeostat.core.trigger import WindowRecord
from homeostat.ports import Event, Ledger, Store
from homeostat.storage.check_records import CheckRecord, checks_before, find_check, newest_check
from homeostat.storage.retrain_outcome import Outcome, find_outcome
from homeostat.storage.retrain_request import RetrainRequest, load_request
from homeostat.storage.step_results import find_result
from homeostat.storage.trigger_outbox import trigger_id
from homeostat.storage.trigger_outcomes import retrain_of_window, window_of_trigger

#: So many windows before are read, to count alerts in a row.
_BEFORE = 16
_STEPS = ("assemble", "train", "probe", "validate", "gate", "register")


@dataclass(frozen=True, slots=True)
class RetrainRecord:
    """One retrain, or a version that no retrain of this installation made (``run_key`` is "").

    Parameters
    ----------
    version
        The number of the registered version; "" where none was registered.
    steps
        The results of the steps that have finished, by their name.
    events
        All events of the model's ledger, oldest first.
    trigger
        The check that requested it, where one did.
    """

    model: str
    run_key: str
    version: str = ""
    request: RetrainRequest | None = None
    steps: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    outcome: Outcome | None = None
    events: Sequence[Event] = ()
    trigger: CheckRecord | None = None


def read_window(
    store: Store, ledger: Ledger, model: str, end: datetime | None
) -> tuple[CheckRecord, list[WindowRecord], RetrainRecord | None] | None:
    """Return a checked window (None: the newest), the windows before it, and the retrain that it started.

    None where the window was not checked.
    """
    check = newest_check(store, model) if end is None else find_check(store, model, end)
    if check is None:
        return None
    before = [each.record for each in checks_before(store, model, check, _BEFORE) if each.record]
    fired = check.record is not None and check.record.fired
    return check, before, _retrain_of(store, ledger, model, check.window_end) if fired else None


def _retrain_of(store: Store, ledger: Ledger, model: str, end: datetime) -> RetrainRecord | None:
    """Return the retrain of a window: one that has ended, or that holds the lease or is in its rollout."""
    if key := retrain_of_window(store, model, end):
        return read_retrain(store, ledger, model, key)
    active = ledger.read(model).active
    for holder in (ledger.lease_holder(model, end), active.id if active else None):
        with suppress(NotFound):
            found = read_retrain(store, ledger, model, holder) if holder else None
            if found and found.request and found.request.trigger_id == trigger_id(model, end):
                return found
    return None


def read_retrain(store: Store, ledger: Ledger, model: str, run_key: str) -> RetrainRecord:
    """Return what is known of a retrain; raises NotFound for a key that no retrain has."""
    request = load_request(store, model, run_key)
    steps = {step: found for step in _STEPS if (found := find_result(store, model, run_key, step))}
    end = window_of_trigger(model, request.trigger_id)
    return RetrainRecord(
        model,
        run_key,
        str(steps.get("register", {}).get("version", "")),
        request,
        steps,
        find_outcome(store, model, run_key),
        ledger.events(model),
        find_check(store, model, end) if end else None,
    )


def retrain_of_version(store: Store, ledger: Ledger, model: str, version: str) -> RetrainRecord:
    """Return the retrain that made a version, or the version alone where the record is not there.

    Raises
    ------
    NotFound
        The ledger does not name the version.
    """
    events = ledger.events(model)
    run_key, named = "", False
    for event in events:
        traffic = Traffic.from_json(dict(event.traffic))
        refs = [traffic.champion, traffic.previous, traffic.rollout.candidate if traffic.rollout else None]
        named = named or any(ref is not None and ref.version == version for ref in refs)
        if traffic.rollout is not None and traffic.rollout.candidate.version == version:
            run_key = run_key or traffic.rollout.id
    if not named:
        msg = f"{model} has no version {version} in the ledger: see homeostat status {model}"
        raise NotFound(msg)
    with suppress(NotFound):  # the Store was cleared, or another one holds it
        if run_key:
            return read_retrain(store, ledger, model, run_key)
    return RetrainRecord(model, "", version, events=events)
