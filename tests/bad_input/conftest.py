"""An installation with the sample model in its own folder, and the command line as a user calls it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from homeostat.adapters import fake_ports
from homeostat.config import load_model
from homeostat.storage.retrain_request import RetrainRequest, run_key
from sample_model import MODEL, PIPELINE, T0, one_ms, rows_between

SETTINGS = (
    "HOMEOSTAT_STORE",
    "HOMEOSTAT_LEDGER",
    "HOMEOSTAT_CACHE",
    "HOMEOSTAT_OVERRIDES",
    "HOMEOSTAT_CONTROL_TOKEN",
    "HOMEOSTAT_TRUSTED_TYPES",
)
ENTRY = "from homeostat.cli import main; main()"


@dataclass(frozen=True)
class Said:
    """The exit status and the output of a command."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Parse standard output, which must be one JSON value."""
        return json.loads(self.out, parse_constant=pytest.fail)

    def refused(self, *words: str) -> str:
        """Check for exit status 1 and one sentence on standard error only; return the sentence."""
        assert self.status == 1, self
        assert self.out == ""
        assert "Traceback" not in self.err
        (sentence,) = self.err.strip().splitlines()
        for word in words:
            assert word in sentence
        return sentence


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_port: Callable[[], int]) -> Path:
    """An installation where no service runs: no MLflow, no Airflow, no gateway."""
    folder = tmp_path / "models" / "sample"
    folder.mkdir(parents=True)
    (folder / "model.yaml").write_text(MODEL)
    (folder / "pipeline.py").write_text(PIPELINE)
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOMEOSTAT_HOME", str(tmp_path))
    monkeypatch.setenv("HOMEOSTAT_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("HOMEOSTAT_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")  # its retries need not wait here
    monkeypatch.setenv("HOMEOSTAT_GATEWAY", f"http://127.0.0.1:{free_port()}")
    return tmp_path


@pytest.fixture
def folder(home: Path) -> Path:
    """The model's folder."""
    return home / "models" / "sample"


@pytest.fixture
def recent_rows(folder: Path) -> Path:
    """Write five days of labelled rows until now as model.yaml's source."""
    now = datetime.now(UTC).replace(microsecond=0)
    rows_between(now - timedelta(days=5), now).to_csv(folder / "rows.csv", index=False)
    return folder / "rows.csv"


@pytest.fixture
def cli(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Call the program's entry point in this process, which is faster than a new one."""
    from homeostat.cli import app as program

    def call(*arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["homeostat", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            program.main()
        out, err = capsys.readouterr()
        return Said(int(ended.value.code or 0), out, err)

    return call


@pytest.fixture
def shell(home: Path):
    """Call the program in a new process, as a shell does."""

    def call(*arguments: str, seconds: float = 60) -> Said:
        done = subprocess.run(
            [sys.executable, "-c", ENTRY, *arguments],
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "include"), "COLUMNS": "60"},
            cwd=home,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture
def rows(folder: Path):
    """Write the source's rows of the five days before T0, after ``change``."""

    def write(change=lambda frame: frame) -> None:
        change(rows_between(T0 - timedelta(days=5), T0)).to_csv(folder / "rows.csv", index=False)

    return write


@pytest.fixture
def config(folder: Path, rows):
    rows()
    return load_model(folder)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip figures and the latency measurement, which take most of a retrain's time."""
    for name in ("evaluation", "drift_over_time", "reference_vs_window"):
        drawn = {} if name == "evaluation" else b"a picture"
        monkeypatch.setattr(f"homeostat.figures.{name}", lambda *_, drawn=drawn: drawn)
    monkeypatch.setattr("homeostat.bundle.latency.compare_latency", one_ms)


@pytest.fixture
def ports():
    return fake_ports(start=T0)


@pytest.fixture
def ask():
    def make(name: str = "run 1", **more: Any) -> RetrainRequest:
        trigger_id = more.pop("trigger_id", name)
        return RetrainRequest(run_key=run_key("sample", name), trigger_id=trigger_id, **more)

    return make
