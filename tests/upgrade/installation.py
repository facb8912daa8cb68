"""Release 0.1's recorded installation, unpacked and opened by today's code."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import tarfile
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from homeostat.adapters import build_ports
from homeostat.adapters.clock import FakeClock
from homeostat.adapters.ledger_sql import SqlLedger
from homeostat.adapters.notifier import MemoryNotifier
from homeostat.config import ModelConfig, Settings
from homeostat.ports import Ports
from homeostat.serving.recorder.labels import label_log_spec, label_quarantine_spec
from homeostat.serving.recorder.prediction_log import prediction_log_spec
from homeostat.serving.recorder.recovery import Loss, recover_orphans

RECORDED = Path(__file__).parent / "release_0_1"
MODELS = ("pump", "tide", "well")
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)
#: When the record ends, in the middle of pump's canary.
NOW = MIDNIGHT + 19 * HOUR + 20 * MINUTE
#: The gateway's control token, then and now.
TOKEN = "a-token-for-the-recorded-gateway"
#: No MLflow listens here.
NO_MLFLOW = "http://127.0.0.1:9"


@dataclass(frozen=True)
class Installation:
    """Models, state folder and ports of an unpacked copy; the clock stands at the end of the record."""

    folder: Path
    settings: Settings
    configs: dict[str, ModelConfig]
    ports: Ports
    clock: FakeClock
    notifier: MemoryNotifier

    @property
    def state(self) -> Path:
        """The folder that HOMEOSTAT_STATE names."""
        return self.folder / "state"

    def close(self) -> None:
        """Close the ledger's connections."""
        assert isinstance(self.ports.ledger, SqlLedger)
        self.ports.ledger.close()

    def notices(self) -> list[Any]:
        """The notices sent, each with its targets, in the form of the record."""
        return [
            [list(targets), {"kind": str(notice.kind), "model": notice.model}]
            for targets, notice in self.notifier.sent
        ]


def unpack(folder: Path) -> Path:
    """Unpack the archive below ``folder`` and return the folder of the installation."""
    with tarfile.open(RECORDED / "release_0_1.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder / "release_0_1"


def open_installation(folder: Path, mlflow: str = NO_MLFLOW) -> Installation:
    """Open an unpacked copy, with a clock that stands still and notices kept in memory."""
    env = {
        "HOMEOSTAT_MODELS": str(folder / "models"),
        "HOMEOSTAT_STATE": str(folder / "state"),
        "HOMEOSTAT_CONTROL_TOKEN": TOKEN,
        "MLFLOW_TRACKING_URI": mlflow,
    }
    settings, clock, notifier = Settings.from_env(env), FakeClock(NOW), MemoryNotifier()
    ports = replace(build_ports(settings, notifier=notifier), clock=clock, renders_figures=False)
    return Installation(folder, settings, settings.load_models(), ports, clock, notifier)


def recover_journal(installation: Installation) -> tuple[list[Loss], str]:
    """Write what the killed gateway left in its journal, as the next gateway does at its start."""
    store, configs = installation.ports.store, installation.configs
    specs = (
        prediction_log_spec(store, configs),
        label_log_spec(store, configs),
        label_quarantine_spec(store),
    )
    return recover_orphans(installation.state / "journal", specs, store)


@cache
def recorded_json(name: str) -> Any:
    """Return a recorded JSON file: ``expected.json`` or ``messages.json``."""
    return json.loads((RECORDED / name).read_text(encoding="utf-8"))


def expected_read(*path: str) -> Any:
    """Return what release 0.1 read, under this path of keys."""
    return _at(recorded_json("expected.json")["read"], path)


def expected_next(name: str, *path: str) -> Any:
    """Return what release 0.1 did next, under this path of keys."""
    return _at(recorded_json("expected.json")["next"][name]["result"], path)


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def file_digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file below a folder, by its relative path."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def restore_mlflow(recorded: Path, served: Path) -> None:
    """Put the recorded database and artifacts back under a running MLflow server."""
    with (
        closing(sqlite3.connect(recorded / "mlflow.db")) as source,
        closing(sqlite3.connect(served / "mlflow.db", timeout=30)) as target,
    ):
        source.backup(target)
    shutil.rmtree(served / "artifacts")
    shutil.copytree(recorded / "artifacts", served / "artifacts")
