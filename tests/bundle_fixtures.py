from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from homeostat.config.load import load_model

NUMBERS = """\
def build():
    from sklearn.ensemble import HistGradientBoostingClassifier
    return HistGradientBoostingClassifier(max_iter=10, random_state=0)
"""
MIXED = """\
def build():
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler())
    parts = [("n", numbers, ["a", "b"]), ("c", OneHotEncoder(handle_unknown="ignore"), ["kind"])]
    return make_pipeline(ColumnTransformer(parts), LogisticRegression())
"""


@pytest.fixture
def model(tmp_path):
    """Write a model folder and load its configuration."""

    def make(code=NUMBERS, *, task="classification", category=False, more="", name="sample"):
        folder = Path(tmp_path) / name
        folder.mkdir(exist_ok=True)
        (folder / "pipeline.py").write_text(MIXED if code == "mixed" else code)
        kind = "    kind: {type: category}\n" if category else ""
        (folder / "model.yaml").write_text(
            f"name: {name}\ntask: {task}\npipeline: pipeline.py:build\nsource: {{kind: csv, uri: x.csv}}\n"
            f"schema:\n  label: {{name: y}}\n  features:\n    a: {{type: number}}\n    b: {{type: number}}\n"
            f"{kind}{more}"
        )
        return load_model(folder)

    return make


@pytest.fixture
def rows():
    """Rows of the schema's types: two numbers, a category, and a label that depends on them."""

    def make(size=300, *, labels=(0, 1), missing=True, seed=0):
        rng = np.random.default_rng(seed)
        a, b = rng.normal(size=(2, size))
        kind = rng.choice(["x", "y", "z"], size)
        score = a + 0.5 * b + (kind == "x") + rng.normal(scale=0.3, size=size)
        frame = pd.DataFrame(
            {
                "timestamp": pd.date_range("2024-01-01", periods=size, freq="h", tz="UTC"),
                "a": np.where(rng.uniform(size=size) < 0.05, np.nan, a) if missing else a,
                "b": b,
                "kind": pd.Series(kind, dtype="str"),
            }
        )
        if missing:
            frame.loc[3, "kind"] = None
        frame["y"] = score if labels is None else np.where(score > 0.3, labels[1], labels[0])
        return frame

    return make
