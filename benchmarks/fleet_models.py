"""The models of the simulation: one is trained, the others are copies with names of their own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

HOUR = timedelta(hours=1)
#: Whole hours of traffic before and after now: both windows of 24 hours, and a long run. Labels come after 24
#: hours: with more of them than a window has, a probe would be due, and every model would be retrained.
BEFORE, AFTER = 32, 6


@dataclass(frozen=True, slots=True)
class Champion:
    """The version that all models serve: what the trained model has in the store, MLflow and the ledger."""

    model: str
    version: str
    digest: str
    run_id: str
    source: str
    tags: dict[str, str]


def write_folders(folder: Path, number: int) -> list[str]:
    """Write so many models from the template of ``homeostat new``, in ten subfolders; return their names."""
    from homeostat.scaffold import new_model

    names = [f"model_{n:04d}" for n in range(number)]
    for n, name in enumerate(names):
        new_model(name, folder / f"team_{n % 10}")
    return names


def train(settings: Any, name: str, now: datetime) -> Champion:
    """Retrain the first model as its DAG would, on rows that end before the first window, and promote it."""
    from homeostat.adapters import build_ports
    from homeostat.adapters.mlflow_client import MlflowConnection
    from homeostat.core.rollout import VersionRef
    from homeostat.retraining.assemble import assemble
    from homeostat.retraining.gate import gate
    from homeostat.retraining.register import register
    from homeostat.retraining.train import train as fit
    from homeostat.retraining.validate_on_holdout import validate
    from homeostat.storage.retrain_request import RetrainRequest, run_key

    ports, config = build_ports(settings), settings.load_model(name)
    until = now - (BEFORE + 1) * HOUR
    request = RetrainRequest(run_key(name, "fleet"), "fleet", until=until.isoformat(), training_window="10d")
    assemble(config, request, ports)
    for step in (fit, validate, gate, register):
        step(config, request.run_key, ports)
    [version] = ports.registry.versions(name)
    found = MlflowConnection(settings.tracking_uri).client.get_model_version(name, version.version)
    _promote(ports, name, VersionRef(version.version, version.digest), now)
    return Champion(
        name,
        version.version,
        version.digest,
        found.run_id,
        found.source,
        {str(k): v for k, v in found.tags.items()},
    )


def copy_champion(settings: Any, champion: Champion, names: Sequence[str], now: datetime) -> None:
    """Register the champion's version for other models; its files in the store and in MLflow are shared."""
    from homeostat.adapters import build_ports
    from homeostat.adapters.mlflow_client import MlflowConnection
    from homeostat.adapters.mlflow_versions import ensure_registered_model
    from homeostat.core.rollout import VersionRef

    ports, client = build_ports(settings), MlflowConnection(settings.tracking_uri).client
    root = Path(settings.store.removeprefix("file://"))
    for name in names:
        for part in ("bundles", "versions"):
            shutil.copytree(root / part / champion.model, root / part / name, copy_function=os.link)
        ensure_registered_model(client, name)
        found = client.create_model_version(
            name,
            champion.source,
            champion.run_id,
            tags=champion.tags,
            await_creation_for=0,
            model_id=champion.source.removeprefix("models:/"),
        )
        _promote(ports, name, VersionRef(str(found.version), champion.digest), now)


def _promote(ports: Any, name: str, ref: Any, now: datetime) -> None:
    from homeostat.core.rollout import promote

    step = promote(ports.ledger.read(name), ref, now - (BEFORE + 1) * HOUR, "the simulation's version")
    ports.ledger.write(step.traffic, kind=step.kind, reason=step.reason, by="benchmark", at=now)


def write_log(settings: Any, champion: Champion, names: Sequence[str], now: datetime, rows: int) -> None:
    """Write what a gateway logs of each model: a file of predictions and one of labels per hour."""
    from homeostat.adapters import build_ports
    from homeostat.storage import bundles
    from homeostat.storage import prediction_log as log

    ports, config = build_ports(settings), settings.load_model(champion.model)
    predictor = bundles.load_version(ports, config, champion.digest).predictor
    frame = traffic(now, rows)
    predicted = predictor.predict(frame)
    at = [each.to_pydatetime() for each in frame["timestamp"]]
    ids = [f"g1-{n}" for n in range(len(frame))]
    columns = {
        "prediction_id": ids,
        "request_id": ids,
        "at": at,
        "received_at": at,
        "version": [champion.version] * len(frame),
        "variant": ["champion"] * len(frame),
        "key": list(frame["customer"]),
        "latency_ms": [3.0] * len(frame),
        "prediction": list(predicted.prediction),
        "confidence": None if predicted.confidence is None else list(predicted.confidence),
        **{f"x.{name}": list(frame[name]) for name in config.feature_names},
    }
    delay = config.columns.label.delay
    known = [when + delay for when in at]
    labels = {"prediction_id": ids, "label": list(frame["late"]), "at": known, "received_at": known}
    for name in names:
        own = settings.load_model(name)
        log.write_predictions(ports.store, own, "g1", 1, columns)
        log.write_labels(ports.store, own, "g1", 1, labels)


def traffic(now: datetime, per_hour: int) -> pd.DataFrame:
    """Return labelled rows of the template's kind, evenly spaced over the hours around ``now``."""
    first = pd.Timestamp(now).floor("h") - BEFORE * HOUR
    count = (BEFORE + AFTER) * per_hour
    rng = np.random.default_rng(7)
    amount, days = rng.lognormal(6, 0.8, count).round(2), rng.integers(1, 60, count).astype(float)
    segment = rng.choice(["small", "medium", "large"], count)
    odds = 0.1 * (days - 35) + 0.002 * (amount - 500) + (segment == "small")
    return pd.DataFrame(
        {
            "timestamp": first + pd.to_timedelta(np.arange(count) * (3600 / per_hour), unit="s").round("ms"),
            "customer": [f"c{n:03d}" for n in rng.integers(0, 500, count)],
            "amount": amount,
            "days_open": days,
            "segment": segment,
            "late": (rng.random(count) < 1 / (1 + np.exp(-3 * odds))).astype(int),
        }
    )


def check_the_hour_before(settings: Any, names: Sequence[str], now: datetime) -> None:
    """Check the window before the simulated one of each model, so that the simulated hour is a usual one.

    A model's first check counts a whole window and creates its experiment in MLflow; later ones do not.
    """
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        parts = [names[start : start + 10] for start in range(0, len(names), 10)]
        try:
            for done in [pool.submit(_check, settings, part, now) for part in parts]:
                done.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _check(settings: Any, names: Sequence[str], now: datetime) -> None:
    from homeostat.adapters import build_ports
    from homeostat.monitoring.drift_check import check_drift, window_end_of
    from homeostat.rollouts.alias_sync import sync_aliases

    ports = replace(build_ports(settings), renders_figures=False)
    for name in names:
        config = settings.load_model(name)
        sync_aliases(config, ports)
        # The run that the scheduler makes up for is of this hour, or of the last one, see check_delay.
        end = window_end_of(config, now - config.check_delay) - HOUR
        check_drift(config, ports, end)
