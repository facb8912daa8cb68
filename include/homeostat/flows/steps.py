"""The steps of a retrain: assemble, train, validate, judge, register. Each runs once per run key."""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from homeostat.config import ModelConfig
from homeostat.config.errors import (
    HomeostatError,
    NotFound,
    PipelineError,
    QualityRefused,
    StaleRevision,
    Superseded,
    Unavailable,
)
from homeostat.flows.request import (
    RetrainRequest,
    find_result,
    load_request,
    load_result,
    save_request,
    save_result,
)
from homeostat.flows.versions import bundle_folder, load_version, put_bundle, put_facts
from homeostat.ports import Notice, Ports

if TYPE_CHECKING:
    from homeostat.assemble import Snapshot
    from homeostat.training import Evaluation

#: A retrain that has not ended after this long no longer blocks the next.
LEASE = timedelta(hours=12)
_PART, _WEIGHT = "__part", "__weight"


def assemble(
    config: ModelConfig, request: RetrainRequest, ports: Ports, *, lease: timedelta = LEASE
) -> dict[str, Any]:
    """Take the right of way, read the rows, hold them to their contract, write the snapshot.

    ``lease`` is for how long the right of way is taken. Raises Superseded when this cause was dealt with
    already or another retrain is under way, and DataError (EmptyWindow, QualityRefused) when the data
    cannot be learnt from.
    """
    done = find_result(ports.store, config.name, request.run_key, "assemble")
    if done is not None:
        return done
    now = ports.clock.now()
    request.end(now)  # a form that was filled in wrongly is refused before anything is begun
    request.applied_to(config)
    claim = ports.ledger.claim(config.name, request.trigger_id, request.run_key, now, lease)
    if not claim.granted:
        raise Superseded(claim.reason)
    request = _begun(ports, config.name, request, now)
    run_id = ports.registry.start_run(
        config.name, request.run_key, name=f"{config.name} {request.run_key}", tags=_origin(request)
    )
    try:
        return _assembled(request.applied_to(config), request, ports, run_id)
    except (Unavailable, StaleRevision):
        raise  # it may pass: the next try goes on
    except HomeostatError as error:
        _failed(config, ports, request.run_key, run_id, error)
        raise


def _assembled(config: ModelConfig, request: RetrainRequest, ports: Ports, run_id: str) -> dict[str, Any]:
    from homeostat import assemble as room

    known = request.end(ports.clock.now()) - config.columns.label.delay
    window = config.training.window
    start = known - window.length if window.kind == "sliding" and window.length else None
    snapshot = room.assemble(ports.source.read(config, start, known), config, known)
    data = _parquet(_marked(snapshot))
    digest = hashlib.sha256(data).hexdigest()
    key = f"snapshots/{config.name}/{digest}.parquet"
    ports.store.put(key, data)
    if len(snapshot.quarantined):
        ports.store.put(f"quarantine/{config.name}/{digest}.parquet", _parquet(snapshot.quarantined))
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
    ports.registry.log(run_id, artifacts={"data_quality.json": _dump(report)})
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


Step = Callable[[ModelConfig, str, Ports], dict[str, Any]]


def _ends_aloud(step: Step) -> Step:
    """End the retrain in MLflow, and give the right of way back, when a step fails for good."""

    @wraps(step)
    def run(config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
        try:
            return step(config, run_key, ports)
        except (Unavailable, StaleRevision, Superseded):
            raise  # it may pass, or there was nothing to do
        except HomeostatError as error:
            begun = find_result(ports.store, config.name, run_key, "assemble")
            if begun is not None:
                _failed(config, ports, run_key, begun["run_id"], error)
            raise

    return run


@_ends_aloud
def train(config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
    """Fit the pipeline on the snapshot and write the bundle: pipeline, reference, manifest."""
    from homeostat import training

    done = find_result(ports.store, config.name, run_key, "train")
    if done is not None:
        return done
    request = load_request(ports.store, config.name, run_key)
    config = request.applied_to(config)
    data = load_result(ports.store, config.name, run_key, "assemble")
    rows, holdout, weights = _read_snapshot(ports, data["snapshot"])
    spec = request.pipeline or config.pipeline
    environment = training.environment(config)
    ports.registry.log(
        data["run_id"],
        params={
            "pipeline": spec,
            "training_rows": len(rows),
            "holdout_rows": len(holdout),
            "window": config.training.window.kind,
            **environment,
        },
    )
    estimator = training.fit(config, rows, weights, spec)
    predictor = training.Predictor.of(config, estimator)
    try:
        reference = training.make_reference(config, predictor, holdout)
    except HomeostatError:
        raise
    except Exception as error:  # the user's own code, on its first rows
        msg = f"{config.folder}, {spec}: it fits, but predicting fails with {type(error).__name__}: {error}"
        raise PipelineError(msg) from error
    manifest = {
        "run_key": run_key,
        "snapshot": data["digest"],
        "trained_until": data["until"],
        "environment": environment,
    }
    with tempfile.TemporaryDirectory(prefix="homeostat-") as temporary:
        folder = Path(temporary) / "bundle"
        digest = training.write_bundle(folder, config, estimator, reference, manifest)
        put_bundle(ports.store, config.name, digest, folder)
    return save_result(
        ports.store,
        config.name,
        run_key,
        "train",
        {
            "run_id": data["run_id"],
            "digest": digest,
            "rows": len(rows),
            "environment": environment,
            "sentence": f"fitted {spec} on {len(rows)} rows",
            "url": ports.registry.url(run_id=data["run_id"]),
        },
    )


@_ends_aloud
def validate(config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
    """Score candidate and champion on the same holdout, and leave pictures to compare."""
    from homeostat import training
    from homeostat.training import figures

    done = find_result(ports.store, config.name, run_key, "validate")
    if done is not None:
        return done
    data = load_result(ports.store, config.name, run_key, "assemble")
    trained = load_result(ports.store, config.name, run_key, "train")
    _, holdout, _ = _read_snapshot(ports, data["snapshot"])
    bundle = load_version(ports, config, trained["digest"])
    mine = training.evaluate(config, bundle.predictor, holdout)
    champion = ports.ledger.read(config.name).champion
    theirs: Evaluation | None = None
    parity: list[str] = []
    if champion is not None:
        incumbent = load_version(ports, config, champion.digest)
        theirs = training.evaluate(config, incumbent.predictor, holdout)
        parity = training.parity(incumbent.manifest.get("environment", {}), trained["environment"])
    metrics = {
        **{f"candidate.{name}": value for name, value in mine.metrics.items()},
        **{f"champion.{name}": value for name, value in (theirs.metrics if theirs else {}).items()},
        "candidate.p99_latency_ms": mine.p99_latency_ms,
        "candidate.nan_rate": mine.nan_rate,
    }
    ports.registry.log(
        data["run_id"],
        metrics=metrics,
        artifacts=figures.evaluation(config, mine, theirs),
        tags={"homeostat.environment_differs": ", ".join(parity)[:4000] or "-"},
    )
    result = {
        "run_id": data["run_id"],
        "candidate": _plain(mine),
        "champion": _plain(theirs) if theirs else None,
        "champion_version": champion.version if champion else None,
        "parity": parity,
        "sentence": _compared(config, mine, theirs),
        "url": ports.registry.url(run_id=data["run_id"]),
    }
    return save_result(ports.store, config.name, run_key, "validate", result)


@_ends_aloud
def judge(config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
    """Hold the candidate against the gate; refused is told, recorded, and leaves the champion alone."""
    from homeostat import gate

    done = find_result(ports.store, config.name, run_key, "gate")
    if done is not None:
        return done
    request = load_request(ports.store, config.name, run_key)
    trained = load_result(ports.store, config.name, run_key, "train")
    scores = load_result(ports.store, config.name, run_key, "validate")
    report = gate.decide(
        gate.Evidence.of(scores["candidate"], scores["champion"], trained["rows"], scores["parity"]), config
    )
    ports.registry.log(
        trained["run_id"],
        tags={"homeostat.gate": "passed" if report.passed else "forced" if request.force else "refused"},
        artifacts={"gate.json": _dump(report.to_json())},
    )
    goes_on = report.passed or request.force
    if not report.passed:
        how = "goes on because it was forced" if request.force else "the champion stays"
        title = f"{config.name}: the gate refused a candidate; {how}"
        ports.notifier.notify(config.notify, Notice("gate_refused", config.name, title, report.sentence()))
    if not goes_on:
        ports.registry.end_run(trained["run_id"])
        ports.ledger.release(config.name, run_key)
    result = {
        "passed": report.passed,
        "forced": bool(request.force and not report.passed),
        "goes_on": goes_on,
        "checks": report.to_json()["checks"],
        "sentence": report.sentence(),
        "url": ports.registry.url(run_id=trained["run_id"]),
    }
    return save_result(ports.store, config.name, run_key, "gate", result)


@_ends_aloud
def register(config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
    """Make the candidate a version with tags that say where it came from; once per run key.

    Raises Superseded (there is nothing to do) when the gate refused it.
    """
    done = find_result(ports.store, config.name, run_key, "register")
    if done is not None:
        return done
    request = load_request(ports.store, config.name, run_key)
    data = load_result(ports.store, config.name, run_key, "assemble")
    trained = load_result(ports.store, config.name, run_key, "train")
    scores = load_result(ports.store, config.name, run_key, "validate")
    verdict = load_result(ports.store, config.name, run_key, "gate")
    if not verdict["goes_on"]:
        msg = f"the gate refused this candidate, so there is nothing to register: {verdict['sentence']}"
        raise Superseded(msg)
    tags = {
        **_origin(request),
        "homeostat.gate": "forced" if verdict["forced"] else "passed",
        "homeostat.data_digest": data["digest"],
        "homeostat.trained_until": data["until"],
        "homeostat.git_revision": str(trained["environment"].get("git_revision", "unknown")),
        "homeostat.lock_digest": str(trained["environment"].get("lock_digest", "unknown")),
        "homeostat.digest": trained["digest"],
        "homeostat.phase": "registered",
    }
    with bundle_folder(ports.store, config.name, trained["digest"]) as folder:
        version = ports.registry.register(
            config.name, run_key, trained["run_id"], folder, trained["digest"], tags
        )
    put_facts(
        ports.store,
        config.name,
        trained["digest"],
        {
            "version": version.version,
            "run_key": run_key,
            "run_id": trained["run_id"],
            "gate": tags["homeostat.gate"],
            "metrics": scores["candidate"]["metrics"],
            "trained_until": data["until"],
        },
    )
    ports.registry.end_run(trained["run_id"])
    ports.registry.set_alias(config.name, "candidate", version.version)
    return save_result(
        ports.store,
        config.name,
        run_key,
        "register",
        {
            "version": version.version,
            "digest": trained["digest"],
            "forced": verdict["forced"],
            "sentence": f"registered {config.name} version {version.version}",
            "url": ports.registry.url(model=config.name, version=version.version),
        },
    )


def _origin(request: RetrainRequest) -> dict[str, str]:
    return {
        "homeostat.run_key": request.run_key,
        "homeostat.dag_run": request.dag_run or "-",
        "homeostat.trigger": request.trigger_id,
        "homeostat.reason": request.reason,
    }


def _failed(config: ModelConfig, ports: Ports, run_key: str, run_id: str, error: HomeostatError) -> None:
    """Say in MLflow why the retrain ended, keep what was refused, and give the right of way back."""
    artifacts = {}
    if isinstance(error, QualityRefused):
        artifacts["data_quality.json"] = _dump(error.report)
        if error.quarantined is not None and len(error.quarantined):
            _quarantine(ports, config.name, error.quarantined)
    ports.registry.log(
        run_id,
        tags={"homeostat.failed": f"{type(error).__name__}: {error}"[:4000]},
        artifacts=artifacts,
    )
    ports.registry.end_run(run_id, "FAILED")
    ports.ledger.release(config.name, run_key)


def _quarantine(ports: Ports, model: str, rows: pd.DataFrame) -> None:
    data = _parquet(rows)
    ports.store.put(f"quarantine/{model}/{hashlib.sha256(data).hexdigest()}.parquet", data)


def _marked(snapshot: Snapshot) -> pd.DataFrame:
    """Training and holdout rows in one frame, each row told which it is and what it weighs."""
    parts = {"train": snapshot.train.copy(), "holdout": snapshot.holdout.copy()}
    for name, part in parts.items():
        part[_PART] = name
        part[_WEIGHT] = 1.0
    if snapshot.weights is not None:
        parts["train"][_WEIGHT] = snapshot.weights
    return pd.concat(list(parts.values()), ignore_index=True)


def _read_snapshot(ports: Ports, key: str) -> tuple[pd.DataFrame, pd.DataFrame, Any]:
    """Training rows, holdout rows and the training rows' weights (None when all weigh the same)."""
    data = ports.store.get(key)
    if hashlib.sha256(data).hexdigest() not in key:
        msg = f"{ports.store.uri(key)} is not what was written there: retrain to make a new snapshot"
        raise NotFound(msg)
    rows = pd.read_parquet(io.BytesIO(data))
    train = rows[rows[_PART] == "train"].reset_index(drop=True)
    holdout = rows[rows[_PART] == "holdout"].reset_index(drop=True)
    weights = train.pop(_WEIGHT).to_numpy()
    return (
        train.drop(columns=_PART),
        holdout.drop(columns=[_PART, _WEIGHT]),
        None if (weights == 1).all() else weights,
    )


def _parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


def _plain(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "metrics": evaluation.metrics,
        "nan_rate": evaluation.nan_rate,
        "p99_latency_ms": evaluation.p99_latency_ms,
        "slices": evaluation.slices,
        "distinct_predictions": evaluation.distinct_predictions,
    }


def _compared(config: ModelConfig, mine: Evaluation, theirs: Evaluation | None) -> str:
    def shown(evaluation: Evaluation) -> str:
        value = evaluation.metrics.get(config.metric)
        return "not computable" if value is None else f"{value:.4f}"

    champion = f"champion {shown(theirs)}" if theirs else "no champion yet"
    return f"{config.metric} on the same holdout: candidate {shown(mine)}, {champion}"


def _dump(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, indent=1, allow_nan=False, default=str).encode()
