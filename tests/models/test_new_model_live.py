"""A new model beside live traffic: it learns from its file first, and then from file and traffic."""

from datetime import timedelta

import pandas as pd
import pytest

from homeostat.bundle.pipeline import load_pipeline
from homeostat.config import load_model
from homeostat.config.label_text import label_text
from homeostat.retraining.assemble import assemble
from homeostat.retraining.gate import gate
from homeostat.retraining.register import register
from homeostat.retraining.train import train
from homeostat.retraining.validate_on_holdout import validate
from homeostat.rollouts.lifecycle import begin_rollout, finalize
from homeostat.scaffold import new_model
from homeostat.serving.runtime import LOAD_BUNDLE
from homeostat.storage.retrain_request import RetrainRequest, run_key
from homeostat.storage.snapshots import read_snapshot
from serving.gateway_harness import make_gateway_fixture, serving, until

REPLAYED, SERVED = 40, 120


@pytest.fixture
def setup(tmp_path):
    """A new model whose rows of three weeks are in a file, and the ports of its gateway."""
    folder = new_model("churn", tmp_path / "models")
    config = load_model(folder)
    setup = make_gateway_fixture(tmp_path, config)
    now = pd.Timestamp(setup.ports.clock.now()).floor("h")
    generated = load_pipeline(config, config.source.history.loader)(now - timedelta(days=21), now)
    generated.iloc[::15].to_csv(folder / "rows.csv", index=False)
    path = folder / "model.yaml"
    path.write_text(
        path.read_text().replace("{kind: loader, loader: pipeline.py:load}", "{kind: csv, uri: rows.csv}")
    )
    setup.config = load_model(folder)
    return setup


def request(name):
    return RetrainRequest(run_key=run_key("churn", name), trigger_id=name)


def snapshot_rows(setup, result):
    train_rows, holdout, _ = read_snapshot(setup.ports.store, result["snapshot"])
    return pd.concat([train_rows, holdout], ignore_index=True)


def send(gateway, config, rows):
    """Send rows as requests with their own times, then their labels."""
    columns, labels = config.columns, []
    for row in rows.to_dict("records"):
        label = row.pop(columns.label.name)
        response = gateway.score(
            {**row, columns.timestamp: row[columns.timestamp].isoformat()}, model="churn"
        )
        assert response.status_code == 200, response.text
        labels.append({"id": response.headers["X-Request-Id"], "label": label})
    assert gateway.labels(*labels, model="churn").status_code == 200
    assert gateway.order("flush").status_code == 200


def test_a_retrain_learns_from_the_file_and_from_the_gateways_traffic(setup):
    config, ports = setup.config, setup.ports
    file = pd.read_csv(config.folder / "rows.csv", parse_dates=["timestamp"])
    first = request("first")
    with serving(setup, load=LOAD_BUNDLE) as gateway:
        result = assemble(config, first, ports)
        assert "0 labelled rows of the gateway's log" in result["sentence"]
        for step in (train, validate, gate, register, begin_rollout):
            step(config, first.run_key, ports)
        gateway.ready("churn")
        until(lambda: setup.traffic().champion is not None, "the first version is champion")
        assert finalize(config, first.run_key, ports)["phase"] == "champion"

        hour = pd.Timestamp(ports.clock.now()).floor("h")
        live = load_pipeline(config, "pipeline.py:load")(hour - timedelta(hours=2), hour).iloc[-SERVED:]
        live["timestamp"] += timedelta(milliseconds=1)  # none of them is in the file
        send(gateway, config, live)
        send(gateway, config, file.iloc[-REPLAYED:])
    ports.clock.ahead = config.columns.label.delay + timedelta(minutes=5)
    result = assemble(config, request("second"), ports)
    rows = snapshot_rows(setup, result)

    assert (
        f"{SERVED + REPLAYED} labelled rows of the gateway's log, {REPLAYED} of them the same"
        in result["sentence"]
    )
    assert len(rows) == len(file) + SERVED
    assert rows["late"].dtype == "int64"
    learned = rows[rows["timestamp"].isin(live["timestamp"])].reset_index(drop=True)
    assert len(learned) == SERVED
    for column in ("customer", "amount", "days_open", "segment"):
        assert learned[column].tolist() == live[column].tolist()
    assert [label_text(label) for label in learned["late"]] == [label_text(label) for label in live["late"]]
    assert rows["timestamp"].is_monotonic_increasing
