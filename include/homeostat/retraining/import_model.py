"""Import a model that another pipeline logged in MLflow: its holdout, and its bundle in the place of a fit.

After these two steps it is a candidate like any other: the same validation, gate, registration and rollout.
"""

from __future__ import annotations

import platform
import tempfile
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homeostat.config import ModelConfig
from homeostat.config.errors import ConfigError, HomeostatError, PipelineError, SignatureMismatch
from homeostat.config.label_text import label_texts
from homeostat.config.model import Source
from homeostat.ports import Ports
from homeostat.retraining.idempotency import json_bytes
from homeostat.storage.bundles import put_bundle
from homeostat.storage.retrain_request import MANUAL, ImportedModel, RetrainRequest, parse_time
from homeostat.storage.snapshots import put_snapshot, quarantine, read_snapshot
from homeostat.storage.step_results import save_result

if TYPE_CHECKING:
    import pandas as pd

#: The recipe in a bundle's manifest.
IMPORTED = "imported"


def resolve_import(request: RetrainRequest, ports: Ports) -> RetrainRequest:
    """Return the request with the model's address without an alias, and with what MLflow knows about it.

    Raises
    ------
    ConfigError
        The address has another form, or nothing says which rows the model has not learned.
    NotFound
        MLflow has no such model.
    """
    given = request.imported
    if given is None:
        return request
    found = ports.registry.find_model(given.uri)
    until = given.trained_until or found.trained_until
    if until:
        until = parse_time(until, "trained_until").isoformat()
    if not (until or given.holdout):
        msg = (
            f"{found.uri}: it is not known which rows it has learned, and on these it would look better than "
            "it is. Give trained_until, the time from which on it has learned no row, or holdout, a table of "
            "labelled rows that it has not learned; or let the training pipeline set the version's tag "
            "homeostat.trained_until in MLflow"
        )
        raise ConfigError(msg)
    rows = found.training_rows if given.training_rows is None else given.training_rows
    imported = replace(given, uri=found.uri, trained_until=until, training_rows=rows)
    reason = f"imported from {found.uri}" if request.reason == MANUAL else request.reason
    return replace(request, imported=imported, reason=reason)


def write_holdout(config: ModelConfig, request: RetrainRequest, ports: Ports, run_id: str) -> dict[str, Any]:
    """Read the rows that the model has not learned, check them, and write them as a snapshot.

    Returns what the assemble step returns.
    """
    from homeostat.core import training_data
    from homeostat.core.performance import with_positive_class

    given = _import_of(request)
    begin = datetime.fromisoformat(given.trained_until) if given.trained_until else None
    until = request.end(ports.clock.now()) - config.columns.label.delay
    source, end = (_table(config, given.holdout), None) if given.holdout else (config, until)
    found = ports.source.read(source, begin, end)
    snapshot = training_data.assemble_holdout(found, config, begin=begin, end=end)
    known = config
    if config.task == "classification":
        labels = label_texts(snapshot.holdout[config.columns.label.name].unique())
        known = with_positive_class(config, (text for text in labels if text is not None))
    key, digest = put_snapshot(ports.store, config.name, snapshot)
    quarantine(ports.store, config.name, snapshot.quarantined)
    count, uri = len(snapshot.holdout), ports.store.uri(key)
    ports.registry.log_dataset(
        run_id, name=config.name, digest=digest[:36], uri=uri, context="holdout", rows=count
    )
    ports.registry.log(run_id, artifacts={"data_quality.json": json_bytes(snapshot.report)})
    times = snapshot.report["holdout"]
    result = {
        "run_id": run_id,
        "snapshot": key,
        "digest": digest,
        "rows": 0,
        "holdout": count,
        "quarantined": len(snapshot.quarantined),
        "until": until.isoformat(),
        "positive": known.columns.label.positive,
        "former": None,
        "sentence": f"{count} holdout rows from {times['from'][:16]} to {times['to'][:16]}",
        "url": ports.registry.url(run_id=run_id),
    }
    return save_result(ports.store, config.name, request.run_key, "assemble", result)


def import_model(
    config: ModelConfig, request: RetrainRequest, data: dict[str, Any], ports: Ports
) -> dict[str, Any]:
    """Load the model and write its bundle, with a reference made from the holdout.

    Returns what the train step returns.

    Raises
    ------
    Untrusted
        The model cannot be loaded safely.
    SignatureMismatch
        It takes other inputs, or predicts other labels, than model.yaml and the holdout have.
    PipelineError
        It fails on the holdout's rows.
    """
    from homeostat.bundle.environment import library_versions
    from homeostat.bundle.mlflow_model import load_mlflow_model
    from homeostat.retraining.serving_format import ServingFormat

    given = _import_of(request)
    model = ports.registry.find_model(given.uri)
    _, holdout, _ = read_snapshot(ports.store, data["snapshot"])
    with tempfile.TemporaryDirectory(prefix="homeostat-") as temporary:
        ports.registry.fetch_model(model, Path(temporary))
        estimator = load_mlflow_model(
            Path(temporary), config, ports.trusted_types, what=given.uri, classes=given.classes
        )
    _check_labels(config, estimator, holdout, given)
    form = ServingFormat(config, holdout)
    environment = {"python": platform.python_version(), **library_versions()}
    manifest = {
        "run_key": request.run_key,
        "snapshot": data["digest"],
        "trained_until": given.trained_until or None,
        "recipe": IMPORTED,
        "model_uri": given.uri,
        "environment": environment,
    }
    served = form.of(estimator)
    digest = _put(config, ports, served, holdout, {**manifest, **form.facts}, given)
    params = {"model_uri": given.uri, "holdout_rows": len(holdout), "recipe": IMPORTED, **form.facts}
    known = {"trained_until": given.trained_until, "training_rows": given.training_rows}
    ports.registry.log(
        data["run_id"],
        params={**params, **{name: value for name, value in known.items() if value}},
        tags={"homeostat.metric": config.metric_title, "homeostat.model_uri": given.uri},
    )
    return {
        "run_id": data["run_id"],
        "digest": digest,
        "holdout_version": digest,
        "trained": False,
        "rows": given.training_rows,
        "trained_until": given.trained_until or None,
        "environment": environment,
        "sentence": f"nothing was fitted: {given.uri} is the candidate{form.sentence}",
        "url": ports.registry.url(run_id=data["run_id"]),
    }


def _put(
    config: ModelConfig,
    ports: Ports,
    estimator: Any,
    holdout: pd.DataFrame,
    manifest: dict[str, Any],
    given: ImportedModel,
) -> str:
    """Write the bundle into the Store; return its digest."""
    from homeostat.bundle.evaluate import make_reference
    from homeostat.bundle.files import write_bundle
    from homeostat.bundle.predictor import Predictor

    try:
        reference = make_reference(config, Predictor.of(config, estimator), holdout)
    except HomeostatError:
        raise
    except Exception as error:  # the other pipeline's model, on its first rows here
        msg = f"{given.uri}: predict failed on the holdout with {type(error).__name__}: {error}"
        raise PipelineError(msg) from error
    with tempfile.TemporaryDirectory(prefix="homeostat-") as temporary:
        folder = Path(temporary) / "bundle"
        digest = write_bundle(folder, config, estimator, reference, manifest)
        put_bundle(ports.store, config.name, digest, folder)
    return digest


def _import_of(request: RetrainRequest) -> ImportedModel:
    if request.imported is None:
        msg = f"retrain {request.run_key} imports no model"
        raise ConfigError(msg)
    return request.imported


def _table(config: ModelConfig, where: str) -> ModelConfig:
    """Return the configuration with a table as its source."""
    kind = "parquet" if where.rstrip("/").endswith((".parquet", ".pq")) else "csv"
    return config.model_copy(update={"source": Source(kind=kind, uri=where)})


def _check_labels(config: ModelConfig, estimator: Any, holdout: pd.DataFrame, given: ImportedModel) -> None:
    """Raise SignatureMismatch where none of the holdout's labels is a class of the model."""
    if config.task == "regression":
        return
    predicted = {text for text in label_texts(estimator.classes_) if text is not None}
    found = {text for text in label_texts(holdout[config.columns.label.name].unique()) if text is not None}
    if not predicted & found:
        msg = (
            f"{given.uri}: predicts the classes {', '.join(sorted(predicted)[:20])}, and the labels of the "
            f"holdout are {', '.join(sorted(found)[:20])}: give the label of each class 0, 1, ... as classes "
            "or train the model on these labels"
        )
        raise SignatureMismatch(msg)
