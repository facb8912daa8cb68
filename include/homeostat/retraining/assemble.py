"""Assemble: acquire the retrain lease, read the rows, write the snapshot."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from homeostat.config import ModelConfig
from homeostat.config.errors import HomeostatError, NotFound, StaleRevision, Superseded, Unavailable
from homeostat.ports import Ports
from homeostat.retraining.idempotency import fail_run, json_bytes
from homeostat.storage.retrain_request import RetrainRequest, load_request, save_request
from homeostat.storage.snapshots import put_snapshot, quarantine
from homeostat.storage.step_results import find_result, save_result
from homeostat.storage.version_info import load_version_info

#: A retrain holds its lease for this much longer than its rollout takes; then another may start.
SLACK = timedelta(hours=12)


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
    now = ports.clock.now()
    request.end(now)  # refuse a wrong form before anything is written
    request.apply_to(config)
    champion = ports.ledger.read(config.name).champion
    if request.reinstate and champion is not None and champion.version == request.reinstate:
        msg = f"version {request.reinstate} of {config.name} is champion already: nothing to reinstate"
        raise Superseded(msg)
    acquired = ports.ledger.acquire_lease(
        config.name, request.trigger_id, request.run_key, now, lease or _lease_duration(config)
    )
    if not acquired.granted:
        raise Superseded(acquired.reason)
    request = _first_request(ports, config.name, request, now)
    name = f"{request.end(now):%Y-%m-%d %H:%M} {request.reason}"
    run_id = ports.registry.start_run(config.name, request.run_key, name=name, tags=request.tags())
    try:
        return _write_snapshot(request.apply_to(config), request, ports, run_id)
    except (Unavailable, StaleRevision):
        raise  # a retry may succeed
    except HomeostatError as error:
        fail_run(config, ports, request.run_key, run_id, error)
        raise


def _lease_duration(config: ModelConfig) -> timedelta:
    rollout = config.shadow.duration + config.canary.step_duration * len(config.canary.steps)
    return SLACK + 2 * rollout  # twice, since a phase may be extended once


def _write_snapshot(
    config: ModelConfig, request: RetrainRequest, ports: Ports, run_id: str
) -> dict[str, Any]:
    from homeostat.core import training_data

    until = request.end(ports.clock.now()) - config.columns.label.delay
    window = config.training.window
    start = until - window.length if window.length else None
    snapshot = training_data.assemble(
        ports.source.read(config, start, until),
        config,
        until,
        unseen_since=_champion_trained_until(config, ports),
    )
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
            "sentence": f"{len(snapshot.train)} training rows, {len(snapshot.holdout)} holdout rows, "
            f"{len(snapshot.quarantined)} quarantined",
            "url": ports.registry.url(run_id=run_id),
        },
    )


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
