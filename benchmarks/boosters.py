"""Serve a model of each booster, and scikit-learn's as ONNX, beside scikit-learn's on one gateway; compare.

    python benchmarks/boosters.py            prints a table; takes about three minutes

Each has 100 trees on the same 8,000 rows: 9 numbers (``numbers``), or 7 numbers and 2 categories (``mixed``),
with text labels. The requests per second are a ratio to scikit-learn's on the same features, taken within
each round, in which all models follow one another in another order: what else the machine does then changes
both sides. Above 1 is faster. Shown are the median of the rounds, and the smallest and the largest.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from gateway_fixture import HERE, BenchmarkFixture, gateway

from homeostat.bundle.predictor import Predictor
from homeostat.config import ModelConfig
from homeostat.core.rollout import VersionRef

ROUNDS, SECONDS, CONNECTIONS = 9, 1.0, 8
KINDS = ["x", "y", "z", "w"]
BUILD = {
    "sklearn": "from sklearn.ensemble import HistGradientBoostingClassifier as C; "
    "return C(max_iter=100, random_state=0)",
    "onnx": "from sklearn.ensemble import HistGradientBoostingClassifier as C; "
    "return C(max_iter=100, random_state=0)",
    "xgboost": "from xgboost import XGBClassifier as C; return C(n_estimators=100, random_state=0)",
    "lightgbm": "from lightgbm import LGBMClassifier as C; return C(n_estimators=100, random_state=0)",
    "catboost": "from catboost import CatBoostClassifier as C; return C(iterations=100, thread_count=2)",
}
#: The pipeline of ``homeostat new``: HistGradientBoosting's own categories need types that are not trusted.
MIXED_SKLEARN = (
    "from sklearn.compose import ColumnTransformer as T; from sklearn.pipeline import make_pipeline; "
    "from sklearn.preprocessing import OneHotEncoder as E; "
    "from sklearn.ensemble import HistGradientBoostingClassifier as C; "
    "encode = E(handle_unknown='ignore', sparse_output=False); "
    "columns = T([('c', encode, ['k0', 'k1'])], remainder='passthrough'); "
    "return make_pipeline(columns, C(max_iter=100, random_state=0))"
)
NUMBERS = {"numbers": 9, "mixed": 7}


def rows(features: str) -> pd.DataFrame:
    """Return the rows of a model."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(rng.normal(size=(8_000, NUMBERS[features])), columns=_names(NUMBERS[features]))
    score = frame["f0"] + frame["f1"] * frame["f2"] + rng.normal(scale=0.5, size=len(frame))
    if features == "mixed":
        for name in ("k0", "k1"):
            frame[name] = pd.Series(rng.choice(KINDS, len(frame)), dtype="str")
        score += (frame["k0"] == "x").astype(float) - (frame["k1"] == "y").astype(float)
    frame["y"] = np.where(score > 0, "high", "low")
    frame["timestamp"] = pd.date_range("2026-01-01", periods=len(frame), freq="min", tz="UTC")
    return frame


def write_model(fixture: BenchmarkFixture, library: str, features: str) -> ModelConfig:
    """Write the folder of a model; return its configuration."""
    name = f"{library}-{features}"
    folder = fixture.settings("home").models / name
    folder.mkdir(parents=True)
    columns = dict.fromkeys(_names(NUMBERS[features]), "number")
    columns |= {"k0": "category", "k1": "category"} if features == "mixed" else {}
    listed = ", ".join(f"{each}: {{type: {kind}}}" for each, kind in columns.items())
    (folder / "model.yaml").write_text(
        f"name: {name}\ntask: classification\npipeline: pipeline.py:build\nsource: {{kind: predictions}}\n"
        f"schema: {{label: {{name: y}}, features: {{{listed}}}}}\n"
        f"training: {{serving_format: {'onnx' if library == 'onnx' else 'skops'}}}\n"
    )
    mixed = features == "mixed" and library in ("sklearn", "onnx")
    body = MIXED_SKLEARN if mixed else BUILD[library]
    (folder / "pipeline.py").write_text(f"def build():\n    {body}\n")
    return fixture.settings("home").load_model(name)


def facts(fixture: BenchmarkFixture, config: ModelConfig, frame: pd.DataFrame) -> dict[str, Any]:
    """Fit and register the model; return its bundle's size, whether a second fit is the same, and the gap."""
    from homeostat.adapters import build_ports
    from homeostat.bundle.evaluate import make_reference
    from homeostat.bundle.files import load_bundle, write_bundle
    from homeostat.retraining.fit import fit
    from homeostat.retraining.serving_format import ServingFormat

    digests, own = [], np.empty(0)
    for turn in range(2):
        estimator = fit(config, frame, None)
        predictor = Predictor.of(config, estimator)
        reference = make_reference(config, predictor, frame)
        own = _proba(predictor, frame)
        folder = fixture.folder / f"{config.name}-{turn}"
        form = ServingFormat(config, frame)
        digests.append(write_bundle(folder, config, form.of(estimator), reference, {}))
        if form.reason:
            sys.exit(f"{config.name}{form.sentence}")
    loaded = load_bundle(folder, digest=digests[-1], config=config).predictor
    registry = build_ports(fixture.settings("home")).registry
    run = registry.start_run(config.name, "bench", name="train", tags={})
    with contextlib.chdir(fixture.folder):  # a local store keeps its artifacts below the current folder
        tags = {"homeostat.gate": "passed"}
        version = registry.register(config.name, "bench", run, folder, digests[-1], tags)
    fixture.begin_rollout("home", config.name, VersionRef(version.version, digests[-1]))
    return {
        "size": (folder / "model.skops").stat().st_size,
        "same": digests[0] == digests[1],
        "gap": float(np.abs(_proba(loaded, frame) - own).max()),
    }


def load(port: int, model: str, bodies: Path) -> float:
    """Return the requests per second of one load; ends on a failed request."""
    command = [
        sys.executable,
        str(HERE / "gateway_load.py"),
        str(port),
        f"/models/{model}/invocations",
        str(bodies),
    ]
    command += ["--connections", str(CONNECTIONS), "--seconds", str(SECONDS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603  # our own
    found = json.loads(done.stdout)
    if found["failed"] or found["changed"]:
        sys.exit(f"{model}: {found['failed']} requests failed, {found['changed']} responses differ")
    return float(found["rate"])


def request_bodies(folder: Path, features: str, frame: pd.DataFrame) -> Path:
    """Return a file with 100 requests of one row."""
    inputs = frame.drop(columns=["y", "timestamp"]).head(100)
    texts = [
        json.dumps({"dataframe_split": {"columns": list(inputs), "data": [row]}})
        for row in inputs.to_numpy(dtype=object).tolist()
    ]
    path = folder / f"bodies-{features}.json"
    path.write_text(json.dumps(texts))
    return path


def main() -> None:
    """Run everything and print the table."""
    with tempfile.TemporaryDirectory() as scratch:
        fixture = BenchmarkFixture(Path(scratch))
        os.environ.update(fixture.env("home"))  # MLflow's client looks there, too
        found: dict[str, dict[str, Any]] = {}
        bodies = {}
        for features in NUMBERS:
            frame = rows(features)
            bodies[features] = request_bodies(fixture.folder, features, frame)
            for library in BUILD:
                config = write_model(fixture, library, features)
                found[config.name] = facts(fixture, config, frame)
        rates: dict[str, list[float]] = {name: [] for name in found}
        with gateway(fixture, "home", dict.fromkeys(found, "champion")) as server:
            for turn in range(ROUNDS):
                order = random.Random(turn).sample(sorted(found), len(found))  # noqa: S311  # an order
                for name in order:
                    rates[name].append(load(server.port, name, bodies[name.rpartition("-")[2]]))
    print(
        "| model | requests/s to scikit-learn's | smallest to largest | model.skops | same digest twice "
        "| largest difference |"
    )
    print("|---|---|---|---|---|---|")
    for name, each in found.items():
        base = rates[f"sklearn-{name.rpartition('-')[2]}"]
        ratios = [own / other for own, other in zip(rates[name], base, strict=True)]
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        same = "yes" if each["same"] else "no"
        size = f"{each['size'] / 1024:.0f} KB"
        print(f"| {name} | {statistics.median(ratios):.2f} | {spread} | {size} | {same} | {each['gap']:g} |")


def _proba(predictor: Predictor, frame: pd.DataFrame) -> np.ndarray:
    found = predictor.predict(frame).proba
    return np.empty(0) if found is None else found


def _names(count: int) -> list[str]:
    return [f"f{i}" for i in range(count)]


if __name__ == "__main__":
    main()
