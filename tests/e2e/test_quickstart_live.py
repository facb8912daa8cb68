"""From three files of rows to served, watched models, with the commands that quickstart prints."""

import json
import os
import re
import shlex
import subprocess
import sys
import threading
from contextlib import contextmanager

import httpx
import numpy as np
import pandas as pd
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROWS = 1200


def churn(path):
    """Text classes and categories, an identifier, a constant, blanks among numbers."""
    rng = np.random.default_rng(1)
    charge, plan = rng.gamma(9, 8, ROWS).round(2), rng.choice(["basic", "plus"], ROWS)
    leaves = rng.random(ROWS) < 1 / (1 + np.exp(-0.08 * (charge - 75) - 2 * (plan == "basic")))
    frame = pd.DataFrame(
        {
            "customerID": [f"{i:05d}-{i * 7919 % 9973}" for i in range(ROWS)],
            "signup": pd.date_range("2025-01-01", periods=ROWS, freq="2h").strftime("%Y-%m-%d %H:%M:%S"),
            "plan": plan,
            "charge": charge.astype(str),
            "country": "DE",
            "Churn": np.where(leaves, "Yes", "No"),
        }
    )
    frame.loc[rng.choice(ROWS, 12, replace=False), "charge"] = " "
    frame.to_csv(path, index=False)


def prices(path):
    """A regression, with numbers and dates as a German program writes them."""
    rng = np.random.default_rng(2)
    area = rng.gamma(8, 12, ROWS).round(1)
    price = 3000 * area + rng.normal(0, 9000, ROWS)
    german = str.maketrans(",.", ".,")
    pd.DataFrame(
        {
            "Verkauf": pd.date_range("2024-03-01", periods=ROWS, freq="h").strftime("%d.%m.%Y %H:%M"),
            "Ort": rng.choice(["Köln", "Bonn"], ROWS),
            "Fläche m²": [f"{each:,.2f}".translate(german) for each in area],
            "Preis": [f"{each:,.2f}".translate(german) for each in price],
        }
    ).to_csv(path, index=False, sep=";")


def flowers(path):
    """No times, and sorted by the label."""
    rng = np.random.default_rng(3)
    kind = np.repeat([0, 1, 2], ROWS // 3)
    pd.DataFrame(
        {
            "petal width": (0.3 + 0.9 * kind + rng.normal(0, 0.3, ROWS)).round(1),
            "species": np.array(["setosa", "versicolor", "virginica"])[kind],
        }
    ).to_csv(path, index=False)


FILES = {"churn": (churn, "Churn"), "prices": (prices, "Preis"), "flowers": (flowers, "species")}


@pytest.fixture
def homeostat(tmp_path):
    """Run a command as a user does, in an empty folder; return what it prints."""
    env = {
        **os.environ,
        "HOMEOSTAT_MODELS": str(tmp_path / "models"),
        "HOMEOSTAT_STATE": str(tmp_path / "state"),
    }
    for name in ("HOMEOSTAT_GATEWAY", "HOMEOSTAT_CONTROL_TOKEN", "MLFLOW_TRACKING_URI"):
        env.pop(name, None)
    program = [sys.executable, "-m", "homeostat.cli"]

    def run(*arguments):
        done = subprocess.run(
            [*program, *arguments],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    run.program, run.env, run.folder = program, env, tmp_path
    return run


@contextmanager
def running(homeostat):
    """Run ``homeostat up``; give the variables that it tells people to export."""
    process = subprocess.Popen(
        [*homeostat.program, "up"], cwd=homeostat.folder, env=homeostat.env, stdout=subprocess.PIPE, text=True
    )
    timer = threading.Timer(240, process.kill)
    timer.start()
    printed = []
    try:
        for line in process.stdout:
            printed.append(line)
            if "Ctrl-C" in line:
                break
        else:
            pytest.fail("homeostat up ended:\n" + "".join(printed))
        yield dict(re.findall(r"^export (\w+)=(.*)$", "".join(printed), re.MULTILINE))
    finally:
        timer.cancel()
        process.terminate()  # a pytest in the background ignores interrupts, and so would this
        process.communicate(timeout=60)


def test_three_files_become_served_and_watched_models(homeostat):
    found = {}
    for name, (write, label) in FILES.items():
        write(homeostat.folder / f"{name}.csv")
        found[name] = json.loads(homeostat("quickstart", f"{name}.csv", "--label", label, "--json"))
        assert {"frozen", "homeostat"} <= set(found[name]["backtest"]["policies"])
        assert found[name]["next"][0] == "homeostat up"
    with running(homeostat) as exports:
        for name in FILES:
            retrain, replay, check, predict = map(shlex.split, found[name]["next"][1:])
            assert "is champion" in homeostat(*retrain[1:])
            assert " 0 failed" in homeostat(*replay[1:])
            assert f"{name}: no drift of the inputs" in homeostat(*check[1:])
            [url] = [part for part in predict if part.startswith("${HOMEOSTAT_GATEWAY")]
            [body] = [part for part in predict if part.startswith("@")]
            response = httpx.post(
                url.replace("${HOMEOSTAT_GATEWAY:-http://127.0.0.1:8000}", exports["HOMEOSTAT_GATEWAY"]),
                content=(homeostat.folder / body[1:]).read_bytes(),
                headers={"Content-Type": "application/json"},
                trust_env=False,
            )
            assert response.status_code == 200, response.text
            [prediction] = response.json()["predictions"]
            assert prediction in found[name]["classes"] or 1e4 < prediction < 1e6
