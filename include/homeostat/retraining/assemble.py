"""Assemble: take the right of way, read the rows, write the snapshot."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from homeostat.config import ModelConfig
from homeostat.config.errors import HomeostatError, NotFound, StaleRevision, Superseded, Unavailable
from homeostat.ports import Ports
from homeostat.retraining.idempotency import as_json, end_in_failure
from homeostat.storage.bundles import load_facts
from homeostat.storage.retrain_request import (
    RetrainRequest,
    find_result,
    load_request,
    save_request,
    save_result,
)
from homeostat.storage.snapshots import put_snapshot, quarantine

#: A retrain that has not ended this long after the time its rollout takes no longer blocks the next.
SLACK = timedelta(hours=12)


def assemble(
    config: ModelConfig, request: RetrainRequest, ports: Ports, *, lease: timedelta | None = None
) -> dict[str, Any]:
    """Take the right of way, read the rows, hold them to their contract, write the snapshot.

    ``lease`` is for how long the right of way is taken; without it, for as long as shadow and canary can
    take and some hours more. Raises Superseded when this cause was dealt with
    already or another retrain is under way, and DataError (EmptyWindow, QualityRefused) when the data
    cannot be learnt from.
    """
    done = find_result(ports.store, config.name, request.run_key, "assemble")
    if done is not None:
        return done
    now = ports.clock.now()
    request.end(now)  # a form that was filled in wrongly is refused before anything is begun
    request.applied_to(config)
    champion = ports.ledger.read(config.name).champion
    if request.recall and champion is not None and champion.version == request.recall:
        msg = f"version {request.recall} of {config.name} is champion already: there is nothing to try again"
        raise Superseded(msg)
    claim = ports.ledger.claim(config.name, request.trigger_id, request.run_key, now, lease or _lease(config))
    if not claim.granted:
        raise Superseded(claim.reason)
    request = _begun(ports, config.name, request, now)
    name = f"{request.end(now):%Y-%m-%d %H:%M} {request.reason}"
    run_id = ports.registry.start_run(config.name, request.run_key, name=name, tags=request.tags())
    try:
        return _assembled(request.applied_to(config), request, ports, run_id)
    except (Unavailable, StaleRevision):
        raise  # it may pass: the next try goes on
    except HomeostatError as error:
        end_in_failure(config, ports, request.run_key, run_id, error)
        raise


def _lease(config: ModelConfig) -> timedelta:
    rollout = config.shadow.duration + config.canary.step_duration * len(config.canary.steps)
    return SLACK + 2 * rollout  # twice, since a phase may be extended once


def _assembled(config: ModelConfig, request: RetrainRequest, ports: Ports, run_id: str) -> dict[str, Any]:
    from homeostat.core import training_data as room

    known = request.end(ports.clock.now()) - config.columns.label.delay
    window = config.training.window
    start = known - window.length if window.length else None
    champion = ports.ledger.read(config.name).champion
    learnt = load_facts(ports.store, config.name, champion.digest).get("trained_until") if champion else None
    snapshot = room.assemble(
        ports.source.read(config, start, known),
        config,
        known,
        unseen_since=datetime.fromisoformat(learnt) if learnt else None,
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
        "from": known.isoformat() if start is None else start.isoformat(),
        "to": known.isoformat(),
    }
    ports.registry.log(run_id, artifacts={"data_quality.json": as_json(report)})
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
            "until": known.isoformat(),
            "sentence": f"{len(snapshot.train)} rows to learn from, {len(snapshot.holdout)} held out, "
            f"{len(snapshot.quarantined)} quarantined",
            "url": ports.registry.url(run_id=run_id),
        },
    )


def _begun(ports: Ports, model: str, request: RetrainRequest, now: datetime) -> RetrainRequest:
    """The request as its first try saw it: a later try looks at the same rows, whatever time it is."""
    try:
        return load_request(ports.store, model, request.run_key)
    except NotFound:
        request = replace(request, until=request.end(now).isoformat())
        save_request(ports.store, model, request)
        return request
