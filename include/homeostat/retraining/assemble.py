"""Assemble: acquire the retrain lease, read the rows, write the snapshot."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from homeostat.config import ModelConfig
from homeostat.config.errors import (
    DataError,
    HomeostatError,
    NotFound,
    QualityRefused,
    StaleRevision,
    Superseded,
    Unavailable,
)
from homeostat.config.label_text import label_texts
from homeostat.ports import Ports
from homeostat.retraining.idempotency import fail_run, json_bytes
from homeostat.retraining.import_model import resolve_import, write_holdout
from homeostat.retraining.worthwhile import save_evidence
from homeostat.rollouts.lifecycle import lease_duration
from homeostat.storage.members import find_former
from homeostat.storage.prediction_log import newest_traffic
from homeostat.storage.retrain_outcome import Outcome, RetrainOutcome, record_outcome
from homeostat.storage.retrain_request import RetrainRequest, load_request, save_request
from homeostat.storage.retrain_trace import retrain_traceparent, traced_step
from homeostat.storage.snapshots import put_snapshot, quarantine
from homeostat.storage.step_results import find_result, save_result
from homeostat.storage.version_info import load_version_info
from homeostat.tracing import trace_id

if TYPE_CHECKING:
    import pandas as pd

    from homeostat.core.training_data import Snapshot

logger = logging.getLogger(__name__)


def assemble(
    config: ModelConfig, request: RetrainRequest, ports: Ports, *, lease: timedelta | None = None
) -> dict[str, Any]:
    """Acquire the retrain lease, read the rows, check them against the schema, write the snapshot.

    Parameters
    ----------
    lease
        How long the lease lasts; by default as long as shadow and canary can take, and some hours more.

    Raises
    ------
    Superseded
        A retrain for this trigger has been made already, or another retrain of the model is running.
    DataError
        EmptyWindow or QualityRefused: the rows cannot be used for training.
    """
    done = find_result(ports.store, config.name, request.run_key, "assemble")
    if done is not None:
        return done
    with traced_step(ports, config.name, request.run_key, "assemble") as record:
        result = _assemble(config, request, ports, lease)
        record(result)
    return result


def _assemble(
    config: ModelConfig, request: RetrainRequest, ports: Ports, lease: timedelta | None
) -> dict[str, Any]:
    now = ports.clock.now()
    request = resolve_import(request, ports)
    request.end(now)  # refuse a wrong form before anything is written
    request.apply_to(config)
    champion = ports.ledger.read(config.name).champion
    if request.reinstate and champion is not None and champion.version == request.reinstate:
        msg = f"version {request.reinstate} of {config.name} is champion already: nothing to reinstate"
        raise _superseded(config, request, ports, msg)
    acquired = ports.ledger.acquire_lease(
        config.name, request.trigger_id, request.run_key, now, lease or lease_duration(config)
    )
    if not acquired.granted:
        raise _superseded(config, request, ports, acquired.reason)
    request = _first_request(ports, config.name, request, now)
    name = f"{request.end(now):%Y-%m-%d %H:%M} {request.reason}"
    traceparent = retrain_traceparent(ports, config.name, request.run_key)
    tags = request.tags() | ({"homeostat.trace_id": trace_id(traceparent)} if traceparent else {})
    run_id = ports.registry.start_run(config.name, request.run_key, name=name, tags=tags)
    try:
        write = _write_snapshot if request.imported is None else write_holdout
        return write(request.apply_to(config), request, ports, run_id)
    except (Unavailable, StaleRevision):
        raise  # a retry may succeed
    except HomeostatError as error:
        fail_run(config, ports, request.run_key, run_id, error, step="assemble")
        raise


def _superseded(config: ModelConfig, request: RetrainRequest, ports: Ports, why: str) -> Superseded:
    """Record that this retrain has nothing to do, and return the error that says so."""
    outcome = Outcome(RetrainOutcome.SUPERSEDED, "lease", why, trigger_id=request.trigger_id)
    record_outcome(ports, config.name, request.run_key, outcome)
    return Superseded(why)


def _write_snapshot(
    config: ModelConfig, request: RetrainRequest, ports: Ports, run_id: str
) -> dict[str, Any]:
    from homeostat.core import training_data
    from homeostat.core.performance import guessed_sentence

    until = request.end(ports.clock.now()) - config.columns.label.delay
    window = config.training.window
    start = until - window.length if window.length else None
    found = ports.source.read(config, start, until)
    origins = found.attrs.pop("origins", None)
    far = found.attrs.pop(training_data.FAR_TIMES, "")
    open_dates = found.attrs.pop(training_data.OPEN_DATES, "")
    sampled = found.attrs.pop(training_data.SAMPLED, "")
    if sampled:
        logger.warning("%s: read %s", config.name, sampled)
        ports.registry.log(run_id, tags={"homeostat.sample": sampled})
    trained_until = _champion_trained_until(config, ports)
    notes = found.attrs.pop(training_data.FILE_NOTES, [])
    for note in notes:
        logger.warning("%s: %s", config.name, note)
    warning = "" if request.reinstate else _repeated_rows(config, ports, found, trained_until, until)
    if warning:
        logger.warning("%s: %s", config.name, warning)
        ports.registry.log(run_id, tags={"homeostat.source_warning": warning})
    try:
        snapshot = training_data.assemble(
            found, config, until, unseen_since=trained_until, probe=not request.reinstate
        )
    except QualityRefused:
        raise
    except DataError as error:
        if not warning:
            raise
        msg = f"{error}; {warning}"
        raise type(error)(msg) from error
    similar = [
        f"column '{each['column']}': {each['detail']}"
        for each in snapshot.report["findings"]
        if each["kind"] == "similar"
    ]
    known = _with_positive_class(config, snapshot)
    guessed = guessed_sentence(config, known)
    save_evidence(config, request, snapshot.newest, ports)
    key, digest = put_snapshot(ports.store, config.name, snapshot)
    quarantine(ports.store, config.name, snapshot.quarantined)
    for context, rows in (("training", snapshot.train), ("holdout", snapshot.holdout)):
        ports.registry.log_dataset(
            run_id,
            name=config.name,
            digest=digest[:36],
            uri=ports.store.uri(key),
            context=context,
            rows=len(rows),
        )
    report = {
        **snapshot.report,
        "from": until.isoformat() if start is None else start.isoformat(),
        "to": until.isoformat(),
        **({"origins": origins} if origins else {}),
        **({"far_times": far} if far else {}),
        **({"file_notes": notes} if notes else {}),
        **({"open_dates": open_dates} if open_dates else {}),
        **({"sampled": sampled} if sampled else {}),
    }
    ports.registry.log(run_id, artifacts={"data_quality.json": json_bytes(report)})
    return save_result(
        ports.store,
        config.name,
        request.run_key,
        "assemble",
        {
            "run_id": run_id,
            "snapshot": key,
            "digest": digest,
            "rows": len(snapshot.train),
            "holdout": len(snapshot.holdout),
            "quarantined": len(snapshot.quarantined),
            "until": until.isoformat(),
            **({"sampled": sampled} if sampled else {}),
            "positive": known.columns.label.positive,
            "former": find_former(config, ports.ledger, ports.store),
            "sentence": f"{len(snapshot.train)} training rows, {len(snapshot.holdout)} holdout rows, "
            f"{_quarantined(snapshot)}{_from_where(config, origins)}"
            + "".join(f"; {each}" for each in (sampled, guessed) if each)
            + "".join(f"; warning: {each}" for each in (far, open_dates, warning, *similar) if each),
            "url": ports.registry.url(run_id=run_id),
        },
    )


def _with_positive_class(config: ModelConfig, snapshot: Snapshot) -> ModelConfig:
    """Decide on the positive class before the fit, so that a metric without one is an error now."""
    from homeostat.core.performance import with_positive_class

    if config.task == "regression":
        return config
    name = config.columns.label.name
    labels = (
        text for part in (snapshot.train, snapshot.holdout) for text in label_texts(part[name].unique())
    )
    return with_positive_class(config, (text for text in labels if text is not None))


def _quarantined(snapshot: Snapshot) -> str:
    """Return how many rows were quarantined, and by which rules of which columns."""
    by = snapshot.report["quarantined_by"]
    return f"{len(snapshot.quarantined)} quarantined{f' ({by})' if by else ''}"


def _from_where(config: ModelConfig, origins: Mapping[str, int] | None) -> str:
    history = config.source.history
    if not origins or history is None:
        return ""
    both = f", {origins['both']} of them the same" if origins["both"] else ""
    log = f"{origins['log']} labelled rows of the gateway's log{both}"
    return f", from {origins['history']} rows of {history.description} and {log}"


def _repeated_rows(
    config: ModelConfig, ports: Ports, rows: pd.DataFrame, trained_until: datetime | None, until: datetime
) -> str:
    """Return a warning when these rows are those that the champion has learned; "" otherwise."""
    from homeostat.core.training_data import newest_labelled, repeated_rows_warning

    if config.serve != "gateway" or config.source.kind == "predictions":
        return ""
    logged = newest_traffic(ports.store, config.name, until)
    return repeated_rows_warning(config, newest_labelled(rows, config), trained_until, logged)


def _champion_trained_until(config: ModelConfig, ports: Ports) -> datetime | None:
    champion = ports.ledger.read(config.name).champion
    if champion is None:
        return None
    until = load_version_info(ports.store, config.name, champion.digest).get("trained_until")
    return datetime.fromisoformat(until) if until else None


def _first_request(ports: Ports, model: str, request: RetrainRequest, now: datetime) -> RetrainRequest:
    """Return the request of the first attempt, so that a retry reads the same rows at a later time."""
    try:
        return load_request(ports.store, model, request.run_key)
    except NotFound:
        request = replace(request, until=request.end(now).isoformat())
        save_request(ports.store, model, request)
        return request
