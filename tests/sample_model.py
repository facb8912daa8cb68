"""A small model for tests: its files and rows, all steps of a retrain in one call, served traffic."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd

from homeostat.bundle.latency import Latency, LatencyComparison
from homeostat.core.rollout import Phase
from homeostat.retraining.assemble import assemble
from homeostat.retraining.gate import gate
from homeostat.retraining.register import register
from homeostat.retraining.train import train
from homeostat.retraining.validate_on_holdout import validate
from homeostat.rollouts.advance import advance
from homeostat.rollouts.lifecycle import begin_rollout, finalize, rollout_status
from homeostat.storage import bundles
from homeostat.storage import prediction_log as log

T0 = datetime(2026, 3, 2, tzinfo=UTC)

MODEL = """
name: sample
task: classification
pipeline: pipeline.py:build
source: {kind: csv, uri: rows.csv}
schema:
  timestamp: at
  key: unit
  label: {name: y, delay: 1h}
  features:
    a: {type: number}
    b: {type: number}
    kind: {type: category, categories: [red, blue]}
monitor: {every: 1h, window: 4h, min_rows: 60}
trigger: {consecutive: 2, cooldown: 6h}
training: {window: {kind: sliding, length: 10d}, min_rows: 200}
gate: {min_training_rows: 200}
shadow: {duration: 10s, min_samples: 50, max_divergence: 0.9}
canary: {steps: [0.5], step_duration: 10s, min_samples: 30}
notify: [people]
"""

PIPELINE = """
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler


def build():
    columns = ColumnTransformer(
        [("n", StandardScaler(), ["a", "b"]), ("c", OneHotEncoder(handle_unknown="ignore"), ["kind"])]
    )
    return make_pipeline(columns, LogisticRegression())


def constant():
    from sklearn.dummy import DummyClassifier

    return DummyClassifier(strategy="constant", constant=0)
"""


def one_ms(*_):
    """Replace compare_latency, whose measurement takes most of a retrain's time."""
    return LatencyComparison(Latency(1.0, 1.0, 1.0))


def rows_between(start, end, *, per_hour=60, shift=0.0, flip=False, seed=0):
    """Return labelled rows, evenly spaced; ``shift`` moves both numbers, ``flip`` inverts the labels."""
    n = int((end - start).total_seconds() // 3600 * per_hour)
    rng = np.random.default_rng([seed, int(start.timestamp())])
    a, b = rng.normal(size=n), rng.normal(size=n)
    wanted = a + b > 0
    return pd.DataFrame(
        {
            "at": [start + timedelta(hours=i / per_hour) for i in range(n)],
            "unit": [f"u{i % 20}" for i in range(n)],
            "a": a + shift,
            "b": b + shift,
            "kind": rng.choice(["red", "blue"], size=n),
            "y": (wanted != flip).astype(int),
        }
    )


def load_as_gateway(model, ledger, now):
    """Do what a gateway does once it has loaded a registered first version; later versions are left alone."""
    if ledger.read(model).champion is None:
        advance(model, ledger, by="gateway:test", now=now, candidate_ready=True)


def retrain(config, ports, request, *, to_the_end=True):
    """Run every step up to the start of the rollout, load a first version, finalize with ``to_the_end``."""
    assemble(config, request, ports)
    for step in (train, validate, gate, register, begin_rollout):
        step(config, request.run_key, ports)
    load_as_gateway(config.name, ports.ledger, ports.clock.now())
    if to_the_end:
        return finalize(config, request.run_key, ports)
    return {**rollout_status(config, request.run_key, ports), "run_key": request.run_key}


def follow_to_the_end(config, ports, begun):
    """Advance the clock until the rollout has ended, and finalize the retrain."""
    for _ in range(200):  # 33 days: a phase without rows ends after 30 at the latest
        traffic = advance(config.name, ports.ledger, by="test", now=ports.clock.now()).traffic
        if traffic.active is None:
            break
        ports.clock.advance(timedelta(hours=4))
    assert traffic.rollout.phase in (Phase.CHAMPION, Phase.ROLLED_BACK)
    return finalize(config, begun["run_key"], ports)


def notices(ports):
    """Return the kinds of the notices sent so far."""
    return [notice.kind for _, notice in ports.notifier.sent]


def serve(config, ports, rows, *, labels=True, gateway="g1", extra=None):
    """Write what a gateway logs for these rows, predicted by the champion."""
    champion = ports.ledger.read(config.name).champion
    predictor = bundles.load_version(ports, config, champion.digest).predictor
    predictions = predictor.predict(rows)
    ids = [f"{gateway}-{at:%d%H%M%S}-{i}" for i, at in enumerate(rows["at"])]
    at = [value.to_pydatetime() for value in rows["at"]]
    columns = {
        "prediction_id": ids,
        "at": at,
        "received_at": at,
        "version": [champion.version] * len(rows),
        "variant": ["champion"] * len(rows),
        "key": list(rows["unit"]),
        "extra": [extra] * len(rows),
        "prediction": list(predictions.prediction),
        "confidence": None if predictions.confidence is None else list(predictions.confidence),
        **{f"x.{name}": list(rows[name]) for name in config.feature_names},
    }
    log.write_predictions(ports.store, config, gateway, 1, columns)
    if labels:
        known = [value + config.columns.label.delay for value in at]
        entries = {"prediction_id": ids, "label": list(rows["y"]), "at": known, "received_at": known}
        log.write_labels(ports.store, config, gateway, 1, entries)
