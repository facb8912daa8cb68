"""A model folder, a file with its history, and the command line."""

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
class CommandResult:
    """Exit status and output of a command."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, parsed as JSON."""
        return json.loads(self.out, parse_constant=pytest.fail)

    def refused(self, *words: str) -> None:
        """Assert exit status 1, no output, and an error message with these words."""
        assert self.status == 1, self
        assert self.out == ""
        assert "Traceback" not in self.err
        for word in words:
            assert word in self.err


def rows_of(windows=5, *, flip=2):
    """Return hourly rows: 240 and ``windows`` windows of 60; labels are inverted from window ``flip`` on."""
    n = 240 + 60 * windows
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=n), rng.normal(size=n)
    target = (a + b + 0.3 * rng.normal(size=n) > 0) != (np.arange(n) >= 240 + 60 * flip)
    at = pd.date_range("2026-01-05", periods=n, freq="1h", tz="UTC")
    kind = rng.choice(["1", "2"], size=n)
    return pd.DataFrame({"at": at, "a": a, "b": b, "kind": kind, "y": target.astype(int)})


@pytest.fixture
def history():
    """Return the rows of the history, for a test to change."""
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
    """Return a function that calls the command line in this process."""
    from homeostat.cli import app as program

    monkeypatch.setenv("HOMEOSTAT_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "80")

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["homeostat", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            program.main()
        out, err = capsys.readouterr()
        return CommandResult(int(ended.value.code or 0), out, err)

    return call
