"""Where the rows of a retrain come from: said when the log is part of it, warned when nothing is new."""

import json
import re
from datetime import timedelta

import pandas as pd
import pytest

from homeostat.config import load_model
from homeostat.config.errors import DataError, EmptyWindow
from homeostat.retraining.assemble import assemble
from homeostat.storage.prediction_log import newest_traffic
from homeostat.storage.snapshots import read_snapshot
from sample_model import T0, retrain, rows_between, serve

pytestmark = pytest.mark.usefixtures("quick")

DAY = timedelta(days=1)


@pytest.fixture
def with_history(folder):
    """The sample model, with the log added to its file."""
    path = folder / "model.yaml"
    csv = "{kind: csv, uri: rows.csv}"
    path.write_text(path.read_text().replace(csv, f"{{kind: predictions, history: {csv}}}"))
    return load_model(folder)


def assembled(config, ports, request):
    """Return the step's result, its rows and its quality report."""
    result = assemble(config, request, ports)
    train, holdout, _ = read_snapshot(ports.store, result["snapshot"])
    report = json.loads(ports.registry.runs[result["run_id"]].artifacts["data_quality.json"])
    return result, pd.concat([train, holdout]), report


def test_a_retrain_learns_from_history_and_log(with_history, ports, ask):
    config = with_history
    first = retrain(config, ports, ask())
    assert first["phase"] == "champion"
    live = rows_between(T0, T0 + DAY)
    serve(config, ports, live)
    ports.clock.set(T0 + 2 * DAY)
    result, rows, report = assembled(config, ports, ask("run 2"))
    history = pd.read_csv(config.folder / "rows.csv")
    assert len(rows) == len(history) + len(live) == 6 * 24 * 60
    assert result["sentence"].endswith(
        "from 7200 rows of csv rows.csv and 1440 labelled rows of the gateway's log"
    )
    assert report["origins"] == {"history": 7200, "log": 1440, "both": 0}
    assert rows["y"].dtype == "int64"
    newest = rows[rows["at"] >= T0].reset_index(drop=True)
    assert newest["y"].tolist() == live["y"].tolist()
    assert newest["a"].tolist() == live["a"].tolist()
    assert newest["unit"].tolist() == live["unit"].tolist()
    assert "homeostat.source_warning" not in ports.registry.runs[result["run_id"]].tags


def test_the_first_training_reads_the_same_rows_as_the_history_alone(with_history, ports, ask):
    alone, _, report = assembled(with_history.history_only(), ports, ask("run 1"))
    ports.ledger.release_lease("sample", ask("run 1").run_key)
    joined, _, joined_report = assembled(with_history, ports, ask("run 2"))
    assert joined["digest"] == alone["digest"]
    assert "origins" not in report
    assert joined_report["origins"] == {"history": 7140, "log": 0, "both": 0}


def test_rows_that_are_in_both_count_once(with_history, ports, ask):
    config = with_history
    retrain(config, ports, ask())
    replayed = pd.read_csv(config.folder / "rows.csv", parse_dates=["at"]).iloc[-600:].reset_index(drop=True)
    serve(config, ports, replayed)
    ports.clock.advance(2 * config.columns.label.delay)
    result, rows, _ = assembled(config, ports, ask("run 2"))
    assert len(rows) == 7200
    assert "600 labelled rows of the gateway's log, 600 of them the same" in result["sentence"]


def test_labels_that_are_not_due_are_no_rows_yet(with_history, ports, ask):
    config = with_history
    retrain(config, ports, ask())
    serve(config, ports, rows_between(T0, T0 + DAY))
    ports.clock.set(T0 + timedelta(hours=12))
    _, rows, _ = assembled(config, ports, ask("run 2"))
    assert rows["at"].max() < T0 + timedelta(hours=11)
    assert len(rows) == 7200 + 11 * 60


def test_a_static_file_beside_traffic_is_warned_about_and_not_refused(config, ports, ask):
    retrain(config, ports, ask())
    serve(config, ports, rows_between(T0 + DAY, T0 + 2 * DAY))
    ports.clock.set(T0 + 3 * DAY)
    result = assemble(config, ask("run 2"), ports)
    warning = ports.registry.runs[result["run_id"]].tags["homeostat.source_warning"]
    assert warning.startswith(
        "the newest row of csv rows.csv is of 2026-03-01 23:59 UTC; the gateway has logged"
    )
    assert result["sentence"].endswith(f"; warning: {warning}")
    assert result["rows"] > 0


def test_the_same_rows_again_are_called_so(config, ports, ask):
    ports.clock.set(T0 + timedelta(hours=2))
    retrain(config, ports, ask())
    serve(config, ports, rows_between(T0 + timedelta(hours=2), T0 + timedelta(hours=3)))
    ports.clock.set(T0 + timedelta(hours=5))
    sentence = assemble(config, ask("run 2"), ports)["sentence"]
    assert "a retrain would learn the same rows again: the newest row of csv rows.csv is of" in sentence
    assert "the champion was trained until 2026-03-02 01:00 UTC; the gateway has logged" in sentence
    assert sentence.endswith("source: {kind: predictions, history: {kind: csv, uri: rows.csv}}")


def test_a_file_that_grows_is_not_warned_about(config, ports, ask):
    retrain(config, ports, ask())
    live = rows_between(T0, T0 + 2 * DAY)
    serve(config, ports, live)
    live.to_csv(config.folder / "rows.csv", mode="a", header=False, index=False)
    ports.clock.set(T0 + 2 * DAY)
    assert "warning" not in assemble(config, ask("run 2"), ports)["sentence"]


@pytest.mark.parametrize(("days", "error"), [(30, EmptyWindow), (10, DataError)])
def test_a_window_that_has_left_the_file_behind_names_the_log(config, ports, ask, days, error):
    retrain(config, ports, ask())
    served = T0 + (days - 2) * DAY
    serve(config, ports, rows_between(served, served + DAY))
    ports.clock.set(T0 + days * DAY - timedelta(hours=1))
    with pytest.raises(error, match=r"usable rows .*; .*history: \{kind: csv, uri: rows\.csv\}\}$"):
        assemble(config, ask("run 2"), ports)


def test_the_newest_traffic_is_found_within_a_month(config, ports, champion):
    serve(config, ports, rows_between(T0, T0 + timedelta(hours=3)))
    assert newest_traffic(ports.store, "sample", T0 + 30 * DAY) == T0 + timedelta(hours=2)
    assert newest_traffic(ports.store, "sample", T0 + timedelta(minutes=90)) == T0 + timedelta(hours=1)
    assert newest_traffic(ports.store, "sample", T0) is None
    assert newest_traffic(ports.store, "sample", T0 + 40 * DAY) is None


def test_of_too_many_rows_of_an_engine_a_stratified_sample_is_read_and_recorded(folder, ports, ask, caplog):
    pytest.importorskip("ibis")
    path, rows = folder / "model.yaml", pd.read_csv(folder / "rows.csv")
    text = re.sub(
        r"^source:.*$",
        "source: {kind: engine, uri: 'duckdb://rows.parquet'}",
        path.read_text(),
        flags=re.MULTILINE,
    )
    path.write_text(text.replace("training: {", "training: {max_rows: 1000, "))
    rows["at"] = pd.to_datetime(rows["at"], utc=True, format="ISO8601")
    rows.to_parquet(folder / "rows.parquet", index=False)
    config = load_model(folder)
    with caplog.at_level("INFO"):
        done = assemble(config, ask(), ports)
    assert done["rows"] + done["holdout"] + done["quarantined"] == 1000
    assert done["sampled"] in done["sentence"]
    assert done["sampled"].startswith("a sample of 1,000 of ")
    assert "stratified by y (" in done["sampled"]
    assert "a retrain needs about" in caplog.text
    run = ports.registry.runs[done["run_id"]]
    assert run.tags["homeostat.sample"] == done["sampled"]
    assert json.loads(run.artifacts["data_quality.json"])["sampled"] == done["sampled"]
    again = ports.source.read(config, None, None)
    pd.testing.assert_frame_equal(again, ports.source.read(config, None, None))
    share = again["y"].astype(str).eq("1").mean()
    assert abs(share - rows["y"].astype(str).eq("1").mean()) < 0.002
