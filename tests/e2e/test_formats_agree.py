"""Train on CSV, serve JSON, monitor Parquet: the same values are the same rows for all three; no server."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from homeostat.adapters.configured_source import ConfiguredSource
from homeostat.adapters.store_memory import MemoryStore
from homeostat.bundle import Predictor, load_bundle, write_bundle
from homeostat.bundle.evaluate import make_reference
from homeostat.cli.app import app
from homeostat.config import ModelConfig, load_model
from homeostat.core.drift import compare_profiles
from homeostat.core.performance import score as metric_of
from homeostat.core.profile import count_dataframe, count_parquet
from homeostat.core.training_data import assemble, coerce_rows
from homeostat.retraining.fit import fit
from homeostat.serving.inference.scoring import make_scorer, score
from homeostat.serving.recorder.labels import parse_labels
from homeostat.serving.recorder.prediction_log import ServedRequest, pack, unpack
from homeostat.serving.scoring_request import InputSpec, parse
from homeostat.storage.label_join import read_labelled
from homeostat.storage.prediction_log import read_predictions, write_labels, write_predictions

START = datetime(2024, 1, 1, tzinfo=UTC)
ROWS = 1200
MODEL = """
name: shop
task: classification
pipeline: pipeline.py:build
source: {kind: csv, uri: rows.csv}
schema:
  timestamp: at
  label: {name: y}
  features:
    v: {type: number}
    store: {type: category, categories: [1, 2, 3]}
    member: {type: category, categories: [true, false]}
    region: {type: category, categories: [EMEA, APAC, NA]}
    code: {type: category}
training: {window: {kind: expanding}, min_rows: 100, max_quarantined: 0.0}
"""
PIPELINE = """
def build():
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    encode = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    parts = [("n", "passthrough", ["v"]), ("c", encode, ["store", "member", "region", "code"])]
    return make_pipeline(ColumnTransformer(parts), ExtraTreesClassifier(50, random_state=0))
"""


def rows_from(start: int) -> pd.DataFrame:
    """Rows whose label is known from three categories; a store is missing, which turns CSV's to floats."""
    rng = np.random.default_rng(start)
    frame = pd.DataFrame(
        {
            "at": [START + timedelta(hours=start + n) for n in range(ROWS)],
            "v": rng.normal(size=ROWS),
            "store": pd.array(rng.integers(1, 4, ROWS), dtype="Int64"),
            "member": rng.random(ROWS) < 0.5,
            "region": rng.choice(["EMEA", "APAC", "NA"], ROWS),
            "code": rng.choice(["007", "7", "1.10", "1.1"], ROWS),
        }
    )
    frame["y"] = ((frame["store"] == 2) ^ frame["member"] ^ (frame["region"] == "NA")).astype(bool)
    frame.loc[5, "store"] = None
    return frame


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> ModelConfig:
    folder = tmp_path_factory.mktemp("models") / "shop"
    folder.mkdir()
    (folder / "model.yaml").write_text(MODEL)
    (folder / "pipeline.py").write_text(PIPELINE)
    as_floats = rows_from(0).astype({"store": "float64"})
    as_floats.to_csv(folder / "rows.csv", index=False)
    rows_from(ROWS).to_parquet(folder / "window.parquet", index=False)
    return load_model(folder)


@pytest.fixture(scope="module")
def bundle(config, tmp_path_factory):
    """The version that a retrain on the CSV makes."""
    rows = ConfiguredSource(MemoryStore()).read(config, None, None)
    snapshot = assemble(rows, config, START + timedelta(hours=ROWS))
    assert not len(snapshot.quarantined)
    estimator = fit(config, snapshot.train, None)
    reference = make_reference(config, Predictor.of(config, estimator), snapshot.holdout)
    folder = tmp_path_factory.mktemp("bundle") / "one"
    write_bundle(folder, config, estimator, reference, {})
    return load_bundle(folder, config=config)


def served(config: ModelConfig, bundle, frame: pd.DataFrame):
    """Send the window as JSON; return the parsed rows and the predictions."""
    spec = InputSpec.of(config)
    scorer = make_scorer("1", "d", bundle.predictor, bundle.manifest, spec)
    sent = frame[list(config.feature_names)].astype(object)
    body = {"dataframe_records": sent.where(sent.notna(), None).to_dict("records")}
    rows = parse(json.dumps(body, default=lambda value: value.item()).encode(), spec)
    return rows, score(scorer, [rows])[0]


def test_all_formats_give_the_same_predictions_and_the_model_is_right(config, bundle):
    window = rows_from(ROWS)
    rows, scored = served(config, bundle, window)
    assert rows.unknown == {}
    parquet = config.model_copy(
        update={"source": config.source.model_copy(update={"kind": "parquet", "uri": "window.parquet"})}
    )
    typed = coerce_rows(ConfiguredSource(MemoryStore()).read(parquet, None, None), config, label=True)
    assert not len(typed.quarantined)
    predicted = bundle.predictor.predict(typed.rows).prediction
    assert scored.predictions == predicted.tolist()
    assert metric_of("classification", "accuracy", typed.rows["y"], predicted) > 0.97  # 0.5 is a guess
    assert set(scored.predictions) == {0, 1}


def test_nothing_is_unseen_in_parquet_or_in_the_log(config, bundle):
    window = rows_from(ROWS)
    rows, scored = served(config, bundle, window)
    edges = bundle.reference.edges
    names = ["store", "member", "region", "code"]
    counted = count_parquet(edges, config.folder / "window.parquet")
    store, ids = MemoryStore(), [f"r-{n}" for n in range(ROWS)]
    request = ServedRequest("r", ids, START, "1", "champion", "", rows, scored.predictions, None, 1.0)
    write_predictions(
        store, config, "g", 1, unpack([json.loads(json.dumps(pack(config, [request]), default=str))])
    )
    logged = read_predictions(store, config, START, START + timedelta(hours=1)).rows
    from_log = count_dataframe(edges, logged.assign(prediction=logged["_prediction"]))
    for name in names:
        assert counted.features[name].unseen == 0
        assert counted.features[name] == from_log.features[name]
    assert from_log.features["prediction"].unseen == 0
    report = compare_profiles(bundle.reference.profile, from_log, config.monitor)
    assert {each.name: each.unseen_share for each in report.features if each.name in names} == dict.fromkeys(
        names, 0.0
    )

    truth = [{"id": name, "label": label} for name, label in zip(ids, window["y"].tolist(), strict=True)]
    labels = parse_labels(
        json.dumps({"labels": truth}).encode(), config, START, max_rows=ROWS, classes=frozenset({"0", "1"})
    )
    columns = {
        "prediction_id": [label.id for label in labels],
        "label": [label.value for label in labels],
        "at": [label.at for label in labels],
        "received_at": [label.received_at for label in labels],
    }
    write_labels(store, config, "g", 1, columns)
    joined = read_labelled(store, config, START, START + timedelta(hours=1))
    assert metric_of("classification", "accuracy", joined["y"], joined["_prediction"]) > 0.97
    learned = coerce_rows(joined, config, label=True)
    assert not len(learned.quarantined)
    again = coerce_rows(window, config, label=True).rows
    for name in [*names, "y"]:
        assert Counter(learned.rows[name].dropna()) == Counter(again[name].dropna())


def test_the_drift_command_sees_no_drift_between_the_two_files(config):
    files = [
        "--reference",
        str(config.folder / "rows.csv"),
        "--current",
        str(config.folder / "window.parquet"),
    ]
    ran = CliRunner().invoke(app, ["drift", *files, "--json", "--config", str(config.folder)])
    found = json.loads(ran.stdout)
    assert ran.exit_code == 0, found["reason"]
    columns = found["columns"]
    assert {
        name: columns[name]["verdict"] for name in ("store", "member", "region", "code")
    } == dict.fromkeys(("store", "member", "region", "code"), "pass")
