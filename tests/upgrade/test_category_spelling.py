"""Versions of release 0.1 keep the spelling of categories that they learned, until the next retrain."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from homeostat.adapters.configured_source import ConfiguredSource
from homeostat.adapters.store_memory import MemoryStore
from homeostat.bundle import Predictor, load_bundle, load_pipeline, write_bundle
from homeostat.bundle.evaluate import make_reference
from homeostat.config import load_model
from homeostat.config.errors import DataError, Untrusted
from homeostat.core.profile import CategoryEdges, Profile, ProfileEdges, Reference, count_dataframe
from homeostat.core.training_data import assemble, coerce_rows
from homeostat.retraining.fit import fit
from homeostat.serving.inference.scoring import make_scorer, score
from homeostat.serving.recorder.prediction_log import ServedRequest, pack, unpack
from homeostat.serving.scoring_request import InputSpec, parse
from homeostat.storage.bundles import load_reference, load_version
from homeostat.storage.prediction_log import read_predictions, write_predictions
from homeostat.storage.snapshots import put_snapshot, read_snapshot
from upgrade.installation import MODELS

START = datetime(2024, 1, 1, tzinfo=UTC)
MODEL = """
name: shop
task: classification
pipeline: pipeline.py:build
source: {kind: csv, uri: rows.csv}
schema:
  timestamp: at
  label: {name: y}
  features: {v: {type: number}, store: {type: category}, member: {type: category}}
training: {window: {kind: expanding}, min_rows: 100}
"""
PIPELINE = """
def build():
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    parts = [("n", "passthrough", ["v"]), ("c", OneHotEncoder(handle_unknown="ignore"), ["store", "member"])]
    return make_pipeline(ColumnTransformer(parts), LogisticRegression())
"""


def write_model(folder: Path) -> pd.DataFrame:
    """Write a model and its CSV, where whole numbers became floats: ``3.0``, ``True``."""
    folder.mkdir()
    (folder / "model.yaml").write_text(MODEL)
    (folder / "pipeline.py").write_text(PIPELINE)
    rng = np.random.default_rng(0)
    store, member = rng.integers(1, 4, 400).astype(float), rng.random(400) < 0.5
    rows = pd.DataFrame({"at": [START + timedelta(hours=n) for n in range(400)], "v": rng.normal(size=400)})
    rows = rows.assign(store=store, member=member, y=((store == 2) ^ member).astype(int))
    rows.loc[5, "store"] = np.nan
    rows.to_csv(folder / "rows.csv", index=False)
    return rows


class Old:
    """A version that release 0.1 trained on the CSV, where text stays as the file spells it."""

    def __init__(self, folder: Path, bundle: Path) -> None:
        self.config = load_model(folder)
        self.raw = ConfiguredSource(MemoryStore()).read(self.config, None, None)
        text = pd.read_csv(folder / "rows.csv", dtype={"store": "str", "member": "str"})
        self.learned = text[["v", "store", "member"]]
        self.estimator = load_pipeline(self.config)().fit(self.learned, text["y"])
        reference = Reference.fit(self.learned, {"v": "number"})
        features = dict(reference.edges.features)
        for name in ("store", "member"):
            features[name] = CategoryEdges(tuple(sorted(self.learned[name].dropna().unique())), spelling=1)
        edges = ProfileEdges(features)
        self.reference = Reference(edges, count_dataframe(edges, self.learned))
        write_bundle(bundle, self.config, self.estimator, self.reference, {})
        manifest = json.loads((bundle / "manifest.json").read_text())
        del manifest["spelling"]
        (bundle / "manifest.json").write_text(json.dumps(manifest))
        self.bundle = load_bundle(bundle, config=self.config)

    def predictions(self, frame: pd.DataFrame) -> list[int]:
        """The estimator's own predictions of categories as given."""
        return self.estimator.predict(frame).tolist()


@pytest.fixture
def old(tmp_path):
    write_model(tmp_path / "shop")
    return Old(tmp_path / "shop", tmp_path / "bundle")


@pytest.fixture
def new(tmp_path, old):
    """What a retrain makes of the same rows now."""
    snapshot = assemble(old.raw, old.config, START + timedelta(days=30))
    estimator = fit(old.config, snapshot.train, None)
    reference = make_reference(old.config, Predictor.of(old.config, estimator), snapshot.holdout)
    write_bundle(tmp_path / "new", old.config, estimator, reference, {})
    return load_bundle(tmp_path / "new", config=old.config)


REQUESTS = {
    "as the CSV spells it": [
        {"v": 1, "store": "3.0", "member": "True"},
        {"v": 1, "store": "2.0", "member": "False"},
    ],
    "as JSON has it": [{"v": 1, "store": 3, "member": True}, {"v": 1, "store": 2.0, "member": False}],
}


def test_a_bundle_without_a_spelling_has_the_first(old, new):
    assert old.bundle.predictor.spelling == 1
    assert new.predictor.spelling == 2
    assert old.bundle.reference.edges.features["store"].spelling == 1
    assert new.reference.edges.features["store"].spelling == 2


def test_an_old_reference_keeps_its_bytes_and_its_digest(old):
    data = old.reference.to_bytes()
    read = Reference.from_bytes(data)
    assert "spelling" not in json.dumps(read.edges.to_body())
    assert (read.to_bytes(), read.digest) == (data, old.reference.digest)
    assert Profile.from_body(read.profile.to_body(), read.edges) == old.reference.profile


@pytest.mark.parametrize("kind", REQUESTS)
def test_a_gateway_predicts_with_an_old_bundle_as_before(old, kind):
    spec = InputSpec.of(old.config)
    scorer = make_scorer("1", "d", old.bundle.predictor, old.bundle.manifest, spec)
    rows = parse(json.dumps({"dataframe_records": REQUESTS[kind]}).encode(), spec)
    spelled = {"store": ["3.0", "2.0"], "member": ["True", "False"]}
    if kind == "as JSON has it":
        spelled = {"store": ["3", "2"], "member": ["1", "0"]}
    found = score(scorer, [rows, rows.select([1, 0])])
    expected = old.predictions(pd.DataFrame({"v": [1.0, 1.0], **spelled}))
    assert [each.predictions for each in found] == [expected, expected[::-1]]


def test_an_old_champion_is_evaluated_on_a_new_snapshot_as_before(old):
    store = MemoryStore()
    snapshot = assemble(old.raw, old.config, START + timedelta(days=30))
    key, _ = put_snapshot(store, "shop", snapshot)
    train, holdout, _ = read_snapshot(store, key)
    for rows in (train, holdout):
        at = rows.index if rows is train else rows.index + len(train)
        expected = old.predictions(old.learned.iloc[at])
        assert old.bundle.predictor.predict(rows).prediction.tolist() == expected
        assert (rows["store"].dropna().isin(["1", "2", "3"])).all()


def test_a_batch_is_scored_with_an_old_bundle_as_before(old):
    rows = coerce_rows(old.raw, old.config).rows
    assert old.bundle.predictor.predict(rows).prediction.tolist() == old.predictions(old.learned)


def test_each_version_of_a_rollout_gets_its_own_spelling_of_one_request(old, new):
    """Text as in the CSV is what both learned: y is 1 for a member outside store 2, and for others in it."""
    spec = InputSpec.of(old.config)
    scorers = [make_scorer("1", "d", each.predictor, each.manifest, spec) for each in (old.bundle, new)]
    as_csv, as_json = (
        parse(json.dumps({"dataframe_records": rows}).encode(), spec) for rows in REQUESTS.values()
    )
    expected = [
        new.predictor.predict(coerce_rows(pd.DataFrame(rows).assign(at=START), old.config).rows)
        for rows in REQUESTS.values()
    ]
    assert [score(scorers[1], [rows])[0].predictions for rows in (as_csv, as_json)] == [
        each.prediction.tolist() for each in expected
    ]
    assert score(scorers[0], [as_csv])[0].predictions == old.predictions(
        pd.DataFrame({"v": [1.0, 1.0], "store": ["3.0", "2.0"], "member": ["True", "False"]})
    )


def test_the_log_is_counted_by_the_spelling_of_the_reference(old, new):
    """A client of an old version sends what that version learned; after the retrain it is still known."""
    spec, store = InputSpec.of(old.config), MemoryStore()
    rows = parse(json.dumps({"dataframe_records": REQUESTS["as the CSV spells it"]}).encode(), spec)
    assert rows.columns[1:] == (["3", "2"], ["1", "0"])
    request = ServedRequest("r", ["r-0", "r-1"], START, "1", "champion", "", rows, [1, 1], None, 1.0)
    packed = json.loads(json.dumps(pack(old.config, [request]), default=str))
    write_predictions(store, old.config, "g", 1, unpack([packed]))
    logged = read_predictions(store, old.config, START, START + timedelta(hours=1)).rows
    assert logged["store"].tolist() == ["3.0", "2.0"]
    for reference in (old.bundle.reference, new.reference):
        counts = count_dataframe(reference.edges, logged)
        assert [counts.features[name].unseen for name in ("store", "member")] == [0, 0]
    learned = coerce_rows(logged.assign(at=logged["_at"]), old.config).rows
    assert learned["store"].tolist() == ["3", "2"]


def test_a_bundle_of_a_later_release_is_refused(old, tmp_path):
    path = tmp_path / "bundle" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"spelling": 3}))
    with pytest.raises(Untrusted, match="manifest"):
        load_bundle(tmp_path / "bundle", config=old.config)
    body = old.reference.edges.to_body()
    body["features"][1][1]["spelling"] = 3
    with pytest.raises(DataError, match="update it"):
        ProfileEdges.from_body(body)


@pytest.mark.parametrize("model", MODELS)
def test_every_recorded_version_has_the_first_spelling(recorded, model):
    """That they predict the same is tested in test_registry.py."""
    for key in recorded.ports.store.list(f"bundles/{model}"):
        digest = key.split("/")[2]
        assert load_version(recorded.ports, recorded.configs[model], digest).predictor.spelling == 1
        features = load_reference(recorded.ports, model, digest).edges.features.values()
        assert {edges.spelling for edges in features if edges.kind == "category"} == {1}
