"""How a retrain ended: one word, the stage, and a sentence, in the Store and on its MLflow run.

    retrain/<model>/<run_key>/outcome.json

Every refusal of a candidate is the same outcome, whichever stage made it. Retrains of earlier releases have
none.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self

from homeostat.config.errors import ConfigError, NotFound
from homeostat.config.redaction import secret_redactor
from homeostat.ports import HealthRecord, Ports, RecordKind, Store
from homeostat.storage.latest_check import save_latest_outcome
from homeostat.storage.retrain_request import (
    RetrainRequest,
    load_request,
    parse_time,
    with_links,
)
from homeostat.storage.retrain_trace import end_trace
from homeostat.storage.step_results import find_result, save_result
from homeostat.storage.trigger_outcomes import save_trigger_outcome

_STEP = "outcome"
#: Characters of a sentence that MLflow and the Store keep.
MAX_SENTENCE = 4000


class RetrainOutcome(StrEnum):
    """How a retrain ended. The values are stored; docs/reasons.md explains each."""

    PROMOTED = "promoted"
    REFUSED = "refused"
    SUPERSEDED = "superseded"
    FAILED = "failed"
    NOT_WORTHWHILE = "not_worthwhile"


#: The sentence of each outcome.
OUTCOME_SENTENCES: Mapping[RetrainOutcome, str] = {
    RetrainOutcome.PROMOTED: "The new version became champion.",
    RetrainOutcome.REFUSED: "A check or a person refused the candidate; the champion stays.",
    RetrainOutcome.SUPERSEDED: "Another retrain or a person's promotion took its place.",
    RetrainOutcome.FAILED: "A step could not be carried out; a person must fix the cause.",
    RetrainOutcome.NOT_WORTHWHILE: "A new version is not worth its cost yet; the champion stays.",
}


class RefusalStage(StrEnum):
    """Where a candidate was refused. The values are stored; docs/reasons.md explains each."""

    ENVIRONMENT = "environment"
    GATE = "gate"
    LOAD = "load"
    SHADOW = "shadow"
    CANARY = "canary"
    APPROVAL = "approval"


#: Where a candidate was refused, in words that follow "refused".
WHERE: Mapping[str, str] = {
    RefusalStage.ENVIRONMENT: "before its training",
    RefusalStage.GATE: "by the gate",
    RefusalStage.LOAD: "before its shadow",
    RefusalStage.SHADOW: "in shadow",
    RefusalStage.CANARY: "in canary",
    RefusalStage.APPROVAL: "at the approval",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one retrain.

    Parameters
    ----------
    stage
        A :class:`RefusalStage` for a refusal; the failed step's name for a failure; ``probe`` where
        the retrain was not worth its cost; ``lease`` or the phase of
        the rollout for a superseded one; ``champion`` for a promotion.
    trigger_id
        The check that requested the retrain, ``<model>/<window end>``; "" when it is not known.
    version
        The number of the registered version; "" without one.
    inconclusive
        It was refused for lack of evidence, which says nothing about the candidate.
    run_key, at
        The key of the retrain, and when it ended (ISO, UTC); :func:`record_outcome` fills them in.
    """

    outcome: RetrainOutcome
    stage: str
    sentence: str
    trigger_id: str = ""
    version: str = ""
    inconclusive: bool = False
    run_key: str = ""
    at: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON; :meth:`from_json` reads it back."""
        return asdict(self) | {"outcome": str(self.outcome), "stage": str(self.stage)}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote; keys that are missing or not known do not matter."""
        known = {field.name: raw[field.name] for field in fields(cls) if field.name in raw}
        return cls(**known | {"outcome": RetrainOutcome(raw["outcome"])})


def record_outcome(
    ports: Ports, model: str, run_key: str, outcome: Outcome, *, run_id: str | None = None
) -> Outcome:
    """Store how a retrain ended, and show it in MLflow: the tag and the description of its training run.

    ``run_id`` is the training run; by default that of the assemble step, if there is one. An earlier outcome
    of the same retrain is replaced.
    """
    sentence = secret_redactor()(outcome.sentence)[:MAX_SENTENCE]
    trigger = outcome.trigger_id or _trigger_id(ports.store, model, run_key)
    at = ports.clock.now().isoformat()
    outcome = replace(outcome, sentence=sentence, trigger_id=trigger, run_key=run_key, at=at)
    save_result(ports.store, model, run_key, _STEP, outcome.to_json())
    with suppress(ConfigError):  # denied to the training container, for which Airflow repeats this
        save_trigger_outcome(ports.store, model, outcome.to_json())
        if outcome.outcome is not RetrainOutcome.SUPERSEDED:  # which may be the duplicate of another one
            save_latest_outcome(ports.store, model, outcome.to_json())
    run_id = run_id or (find_result(ports.store, model, run_key, "assemble") or {}).get("run_id")
    if outcome.outcome is not RetrainOutcome.SUPERSEDED:
        _save_record(ports, model, outcome, str(run_id or ""))
    if run_id:
        request = _request(ports.store, model, run_key)
        text = with_links(sentence, request.tags(), model) if request else sentence
        ports.registry.log(run_id, tags={"homeostat.outcome": str(outcome.outcome)})
        ports.registry.describe(text, run_id=run_id, name=_run_name(ports.store, model, request, outcome))
    end_trace(ports, model, run_key, outcome.to_json())
    return outcome


def _save_record(ports: Ports, model: str, outcome: Outcome, run_id: str) -> None:
    """Write the outcome for the pages of a model's health, with its run in Airflow and in MLflow."""
    request = _request(ports.store, model, outcome.run_key)
    body = outcome.to_json() | {
        "dag_run": request.dag_run if request else "",
        "airflow_page": request.airflow_page if request else "",
        "url": ports.registry.url(run_id=run_id) if run_id else "",
    }
    at = datetime.fromisoformat(outcome.at)
    with suppress(ConfigError):  # the training container has no ledger; Airflow repeats this
        ports.ledger.save_record(HealthRecord(model, RecordKind.RETRAIN, outcome.run_key, at, body))


def find_outcome(store: Store, model: str, run_key: str) -> Outcome | None:
    """Return how a retrain ended; None while it runs, and for a retrain of an earlier release."""
    found = find_result(store, model, run_key, _STEP)
    return None if found is None else Outcome.from_json(found)


def _request(store: Store, model: str, run_key: str) -> RetrainRequest | None:
    try:
        return load_request(store, model, run_key)
    except NotFound:
        return None


def _trigger_id(store: Store, model: str, run_key: str) -> str:
    request = _request(store, model, run_key)
    return request.trigger_id if request else ""


def _run_name(store: Store, model: str, request: RetrainRequest | None, outcome: Outcome) -> str:
    """Return ``refused 0.912 accuracy, 2026-03-02 05:00 (sustained_drift)``; "" keeps the run's name.

    MLflow's list shows the first 15 characters or so.
    """
    if request is None or not request.until:
        return ""
    scores = find_result(store, model, request.run_key, "validate") or {}
    score, metric = scores.get("score"), scores.get("metric")
    shown = f" {score:.3g} {metric}" if isinstance(score, float) and metric else ""
    end = parse_time(request.until, "until").astimezone(UTC)
    verdict = str(outcome.outcome).replace("_", " ")
    return f"{verdict}{shown}, {end:%Y-%m-%d %H:%M} ({request.reason})"
