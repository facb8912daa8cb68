"""All steps on the command line against a real MLflow, and a retrain that is killed."""

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pandas as pd
import pytest

from bad_input.other_server import answering
from homeostat.adapters import open_ledger
from homeostat.cli.commands import check_retrain as loop
from homeostat.config import Settings
from homeostat.core.rollout import Traffic

INCLUDE = Path(__file__).parents[2] / "include"
ENTRY = "from homeostat.cli import main; main()"


SLOW = """

def slow():
    import pathlib, time
    pathlib.Path({marker!r}).touch()
    time.sleep(600)
"""


@pytest.fixture
def installed(folder, recent_rows, mlflow_server, monkeypatch):
    """The sample model under a unique name, without a gateway (serve: none), and a real MLflow."""
    mine = folder.rename(folder.with_name(f"sample-{uuid4().hex[:8]}"))
    path = mine / "model.yaml"
    path.write_text(path.read_text().replace("name: sample", f"name: {mine.name}") + "serve: none\n")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    return mine


def test_all_commands_and_every_refusal_in_order(cli, installed, quick):
    name, rows = installed.name, installed / "rows.csv"
    assert "no champion yet" in cli("check", name).out
    first = cli("retrain", name, "--reason", "the first [version]")
    assert first.status == 0, first.err
    assert "version 1" in first.out
    assert "done assemble" in first.err
    second = cli("retrain", name, "--training-window", "4d", "--json")
    assert (second.json["phase"], second.json["version"]) == ("champion", "2")

    state = cli("status", name, "--json").json[name]
    assert (state["champion"]["version"], state["previous"]["version"]) == ("2", "1")
    status = cli("status").out
    assert "version 2 is champion; no gateway serves it (serve: none)" in status
    assert "previous version 1" in status

    checked = cli("check", name, "--window-end", "2020-01-05T07:00Z", "--json")
    assert checked.status == 0
    assert checked.json["verdict"] == "not_computable"
    assert checked.json["fired"] is False
    assert "not computable" in cli("check", name, "--window-end", "2020-01-05T07:00Z").out

    cli("promote", name, "99").refused("NotFound", f"version 99 of {name}")
    assert cli("promote", name, "1", "--json").json[name]["champion"]["version"] == "1"
    back = cli("rollback", name, "--reason", "a slip", "--json").json[name]
    assert (back["champion"]["version"], back["events"][-1]["reason"]) == ("2", "a slip")
    cli("rollback", name).refused("NoPrevious", "was itself rolled back (a slip)", "homeostat promote")

    refused = cli("retrain", name, "--pipeline", "pipeline.py:constant", "--json")
    assert refused.status == 1
    assert (refused.json["passed"], refused.json["proceeds"]) == (False, False)
    assert (refused.json["outcome"], refused.json["stage"]) == ("refused", "gate")
    assert "gate.max_regression" in refused.json["sentence"]

    pd.read_csv(rows).assign(y=1).to_csv(rows, index=False)
    single = cli("retrain", name, "--json")
    assert (single.status, single.out) == (1, "")
    assert single.err.strip().splitlines()[-1].startswith("SingleClass: ")
    rows.write_text(rows.read_text().splitlines()[0] + "\n")
    empty = cli("retrain", name)
    assert (empty.status, empty.out) == (1, "")
    assert empty.err.strip().splitlines()[-1].startswith("EmptyWindow: ")
    assert cli("status", name, "--json").json[name]["champion"]["version"] == "2"


def test_a_killed_retrain_blocks_the_next_one_only_until_its_lease_expires(cli, installed, home):
    marker = home / "fitting"
    name, code = installed.name, (installed / "pipeline.py").read_text()
    (installed / "pipeline.py").write_text(code + SLOW.format(marker=str(marker)))
    command = [sys.executable, "-c", ENTRY, "retrain", name, "--pipeline", "pipeline.py:slow"]
    with subprocess.Popen(
        command, env=os.environ | {"PYTHONPATH": str(INCLUDE)}, stderr=subprocess.PIPE
    ) as child:
        deadline = time.monotonic() + 60
        while not marker.exists() and time.monotonic() < deadline and child.poll() is None:
            time.sleep(0.1)
        assert marker.exists(), child.stderr.read()
        refused = cli("retrain", name)
        assert refused.status == 1
        assert f"is retraining {name}, until" in refused.err
        os.kill(child.pid, signal.SIGKILL)
    ledger = open_ledger(Settings.from_env().ledger)
    assert ledger.read(name) == Traffic(name)
    later = datetime.now(UTC) + loop.LEASE
    assert ledger.acquire_lease(name, "later", "another", later, timedelta(0)).granted
    ledger.release_lease(name, "another")
    assert cli("retrain", name, "--json").json["version"] == "1", "nothing of the killed one counts"


def test_a_running_retrain_keeps_its_lease(cli, config, ports, monkeypatch, quick):

    seen = []
    monkeypatch.setattr(loop, "build_ports", lambda settings, **_: ports)
    monkeypatch.setattr(loop, "LEASE", timedelta(seconds=0.4))
    train = loop.train

    def other_lease():
        return ports.ledger.acquire_lease("sample", "other", "another", ports.clock.now(), timedelta(hours=1))

    def long(*args):
        for _ in range(5):
            time.sleep(0.2)
            ports.clock.advance(timedelta(seconds=0.2))
            seen.append(other_lease())
        return train(*args)

    monkeypatch.setattr(loop, "train", long)
    said = cli("retrain", "sample", "--until", "2026-03-02T00:00Z")
    assert said.status == 0, said.err
    assert not any(lease.granted for lease in seen)
    assert other_lease().granted


def test_another_server_at_the_mlflow_address_is_reported(cli, installed, monkeypatch):
    with answering(200, b"<html>hello</html>") as url:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        said = cli("retrain", installed.name)
        assert (said.status, said.out) == (1, "")
        assert url in said.err
        assert "MLflow" in said.err
        assert "Traceback" not in said.err
