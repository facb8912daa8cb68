"""A model folder, its history in a file, and the program as a user calls it."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest

MODEL = """
name: small
task: classification
pipeline: pipeline.py:build
source: {kind: csv, uri: rows.csv}
schema:
  timestamp: at
  label: {name: y, delay: 1h}
  features:
    a: {type: number}
    b: {type: number}
    kind: {type: category}
monitor: {every: 1h, window: 60h, min_rows: 30}
training: {window: {kind: sliding, length: 10d}, min_rows: 100}
gate: {min_training_rows: 100, p99_latency_ms: 10000}
"""

PIPELINE = """
import os

import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder


def build():
    encode = OneHotEncoder(handle_unknown="ignore")
    columns = ColumnTransformer([("n", "passthrough", ["a", "b"]), ("c", encode, ["kind"])])
    return make_pipeline(columns, LogisticRegression())


def load(start=None, end=None):
    rows = pd.read_csv(os.environ["SMALL_DATA"])
    return rows.rename(columns={"raw_a": "a"}).assign(kind=rows["kind"].astype("str"))
"""


@dataclass(frozen=True)
class Said:
    """How a command ended and what it said."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as the one JSON value that it must be."""
        return json.loads(self.out, parse_constant=pytest.fail)

    def refused(self, *words: str) -> None:
        """One sentence on standard error, exit status 1, nothing else."""
        assert self.status == 1, self
        assert self.out == ""
        assert "Traceback" not in self.err
        for word in words:
            assert word in self.err


def rows_of(windows=5, *, flip=2):
    """240 rows and so many windows of 60, an hour a row; from a window on the truth is turned round."""
    n = 240 + 60 * windows
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=n), rng.normal(size=n)
    wanted = (a + b + 0.3 * rng.normal(size=n) > 0) != (np.arange(n) >= 240 + 60 * flip)
    at = pd.date_range("2026-01-05", periods=n, freq="1h", tz="UTC")
    kind = rng.choice(["1", "2"], size=n)
    return pd.DataFrame({"at": at, "a": a, "b": b, "kind": kind, "y": wanted.astype(int)})


@pytest.fixture
def history():
    """The rows of the history, to be changed as wanted."""
    return rows_of()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    home = tmp_path_factory.mktemp("models") / "small"
    home.mkdir()
    (home / "model.yaml").write_text(MODEL)
    (home / "pipeline.py").write_text(PIPELINE)
    rows_of().to_csv(home / "rows.csv", index=False)
    return home


@pytest.fixture
def cli(monkeypatch, capsys, tmp_path):
    """Call the program's own entry point in this process."""
    from homeostat.cli import app as program

    monkeypatch.setenv("HOMEOSTAT_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "80")

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["homeostat", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            program.main()
        out, err = capsys.readouterr()
        return Said(int(ended.value.code or 0), out, err)

    return call
