"""Wrong rows in the training data and in a drift check."""

import io
import json
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from homeostat.config import load_model
from homeostat.config.errors import DataError, EmptyWindow, QualityRefused, SingleClass
from homeostat.monitoring.drift_check import check_drift
from homeostat.retraining.assemble import assemble
from homeostat.retraining.train import train
from sample_model import PIPELINE, T0, notices, retrain, rows_between, serve

HOUR = timedelta(hours=1)
pytestmark = pytest.mark.usefixtures("quick")


def the_run(ports):
    (run,) = ports.registry.runs.values()
    return run


def quarantined(ports):
    keys = ports.store.list("quarantine/sample")
    return pd.concat([pd.read_parquet(io.BytesIO(ports.store.get(key))) for key in keys]) if keys else None


def damage(frame):
    """Add one row of each invalid kind to a valid frame."""
    frame = frame.astype({"a": object, "b": object, "kind": object, "at": object})
    frame.loc[10, "a"] = np.inf
    frame.loc[20, "a"] = -np.inf
    frame.loc[30, "b"] = "warm"
    frame.loc[40, "b"] = "1e999"
    frame.loc[50, "kind"] = "green"
    frame.loc[60, "at"] = "noon"
    return frame.assign(oil=1.0)


def test_bad_rows_are_quarantined_with_reasons_and_the_rest_is_used(config, ports, ask, rows):
    rows(damage)
    everything = len(pd.read_csv(config.folder / "rows.csv"))
    done = assemble(config, ask(), ports)
    assert done["quarantined"] == 6
    late = int(config.columns.label.delay / HOUR) * 60  # rows whose labels are not known yet
    assert done["rows"] + done["holdout"] + done["quarantined"] == everything - late
    aside = quarantined(ports)
    assert len(aside) == 6
    assert aside["reason"].str.len().gt(0).all()
    snapshot = pd.read_parquet(io.BytesIO(ports.store.get(done["snapshot"])))
    assert np.isfinite(snapshot[["a", "b"]].to_numpy()).all()
    assert set(snapshot["kind"]) == {"red", "blue"}
    assert "oil" not in snapshot
    report = json.loads(the_run(ports).artifacts["data_quality.json"], parse_constant=pytest.fail)
    assert "green" in json.dumps(report) or "kind" in json.dumps(report)


def test_too_many_bad_rows_are_refused_and_quarantined(config, ports, ask, rows):
    rows(lambda frame: frame.assign(a=frame["a"].where(frame.index % 2 == 0, np.inf)))
    with pytest.raises(QualityRefused, match="max_quarantined"):
        assemble(config, ask(), ports)
    assert len(quarantined(ports)) > 3000
    run = the_run(ports)
    assert run.status == "FAILED"
    assert run.tags["homeostat.error"].startswith("QualityRefused: ")
    json.loads(run.artifacts["data_quality.json"], parse_constant=pytest.fail)
    assert ports.store.list("snapshots/") == []
    rows()
    assert assemble(config, ask("run 2"), ports)["rows"], "the lease was released"


def test_a_column_without_a_single_value_is_refused_by_name(config, ports, ask, rows):
    rows(lambda frame: frame.assign(b=np.nan))
    with pytest.raises(QualityRefused, match=r"schema\.features\.b\.required"):
        assemble(config, ask(), ports)
    assert the_run(ports).status == "FAILED"
    assert ports.store.list("snapshots/") == []


def test_a_column_of_another_type_is_refused_by_name(config, ports, ask, rows):
    rows(lambda frame: frame.assign(a="high"))
    with pytest.raises(DataError) as caught:
        assemble(config, ask(), ports)
    assert "a" in str(caught.value)
    assert ports.store.list("snapshots/") == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda frame: frame.drop(columns="b"), "'b'"),
        (lambda frame: frame.drop(columns="y"), "'y'"),
        (lambda frame: frame.drop(columns="at"), "'at'"),
        (lambda frame: frame.rename(columns={"b": "B"}), "'b'"),
        (lambda frame: frame.assign(at=range(len(frame))), "holds numbers"),
    ],
    ids=["feature", "label", "time", "renamed", "times as numbers"],
)
def test_a_missing_column_is_named_and_the_lease_is_released(config, ports, ask, rows, change, words):
    rows(change)
    with pytest.raises(DataError, match=words):
        assemble(config, ask(), ports)
    assert words.strip("'") in the_run(ports).tags["homeostat.error"]
    rows()
    assert assemble(config, ask("run 2"), ports)["rows"]


def test_a_missing_source_is_named_and_fails_the_run(config, ports, ask):
    (config.folder / "rows.csv").unlink()
    with pytest.raises(DataError) as caught:
        assemble(config, ask(), ports)
    assert "model.yaml, source.uri" in str(caught.value)
    assert str(config.folder / "rows.csv") in str(caught.value)
    assert the_run(ports).status == "FAILED"


def test_a_missing_setting_of_the_source_fails_the_run(config, ports, ask, monkeypatch):
    monkeypatch.delenv("NOT_SET", raising=False)
    path = config.folder / "model.yaml"
    path.write_text(path.read_text().replace("uri: rows.csv", 'uri: "${NOT_SET}/rows.csv"'))
    with pytest.raises(Exception, match="NOT_SET is not set"):
        assemble(load_model(config.folder), ask(), ports)
    assert the_run(ports).status == "FAILED"
    assert ports.ledger.acquire_lease("sample", "next", "another", ports.clock.now(), HOUR).granted


def test_one_class_is_refused_before_the_fit_and_no_trace_of_a_version_is_left(config, ports, ask, rows):
    (config.folder / "pipeline.py").write_text("raise SystemExit('never asked')\n")
    rows(lambda frame: frame.assign(y=1))
    request = ask()
    assemble(config, request, ports)
    with pytest.raises(SingleClass, match="training\\.window"):
        train(config, request.run_key, ports)
    assert the_run(ports).tags["homeostat.error"].startswith("SingleClass: ")
    assert ports.store.list("bundles/") == []
    assert ports.registry.versions("sample") == []


def test_no_rows_are_an_empty_window(config, ports, ask, rows):
    rows(lambda frame: frame.iloc[:0])
    with pytest.raises(EmptyWindow):
        assemble(config, ask(), ports)
    assert the_run(ports).tags["homeostat.error"].startswith("EmptyWindow: ")


# Drift checks


IMPUTING = PIPELINE.replace("StandardScaler()", "make_pipeline(SimpleImputer(), StandardScaler())").replace(
    "from sklearn.pipeline", "from sklearn.impute import SimpleImputer\nfrom sklearn.pipeline"
)


@pytest.fixture
def champion(config, ports, ask):
    (config.folder / "pipeline.py").write_text(IMPUTING)
    retrain(config, ports, ask())
    ports.notifier.sent.clear()


def check(config, ports, hours):
    return check_drift(config, ports, T0 + hours * HOUR)


def test_an_empty_window_is_not_computable_and_never_healthy(config, ports, champion):
    answer = check(config, ports, 4)
    assert answer["verdict"] == "not_computable"
    assert "not computable" in answer["sentence"]
    assert "expected" not in answer["sentence"]
    assert "pass" not in answer["sentence"]
    assert notices(ports) == ["not_computable"]
    (record,) = ports.history.windows("sample")
    assert (record.drift, record.rows, record.fired) == ("not_computable", 0, False)


def test_a_window_of_unreadable_files_is_not_computable(config, ports, champion):
    serve(config, ports, rows_between(T0, T0 + 4 * HOUR), labels=False)
    for key in ports.store.list("log/sample/predictions"):
        ports.store.put(key, ports.store.get(key)[:-30], overwrite=True)
    assert check(config, ports, 4)["verdict"] == "not_computable"


def test_empty_windows_neither_fire_nor_end_a_run_of_alerts(config, ports, champion):
    assert not any(check(config, ports, hours)["fired"] for hours in range(1, 12))
    serve(config, ports, rows_between(T0 + 12 * HOUR, T0 + 16 * HOUR, shift=2.0), labels=False)
    assert any(check(config, ports, hours)["fired"] for hours in (14, 15, 16))


@pytest.mark.parametrize("column", ["a", "kind"])
def test_a_column_without_a_single_value_is_an_alert_of_its_own(config, ports, champion, column):
    rows = rows_between(T0, T0 + 4 * HOUR, seed=3)
    rows[column] = None if column == "kind" else np.nan
    serve(config, ports, rows, labels=False)
    sentence = check(config, ports, 4)["sentence"]
    assert f"{column}: " in sentence
    assert "as expected" not in sentence
    (key,) = ports.store.list("reports/sample")
    report = json.loads(ports.store.get(key), parse_constant=pytest.fail)
    found = {(finding["column"], finding["kind"]) for finding in report["schema"]}
    assert (column, "missing_rate") in found
    (feature,) = [feature for feature in report["features"] if feature["name"] == column]
    assert feature["verdict"] != "pass"
    assert feature["missing_current"] == 1.0
    others = [feature["verdict"] for feature in report["features"] if feature["name"] != column]
    assert others == ["pass", "pass"]


def test_a_column_with_half_of_its_values_missing_is_reported(config, ports, champion):
    rows = rows_between(T0, T0 + 4 * HOUR, seed=3)
    rows.loc[rows.index % 2 == 0, "a"] = np.nan
    serve(config, ports, rows, labels=False)
    sentence = check(config, ports, 4)["sentence"]
    assert "the contract is broken (a: 50.0% of the rows have no value" in sentence
    assert "as expected" not in sentence


def test_everything_missing_is_never_healthy(config, ports, champion):
    rows = rows_between(T0, T0 + 4 * HOUR).assign(a=np.nan, b=np.nan, kind=None)
    serve(config, ports, rows, labels=False)
    answer = check(config, ports, 4)
    assert answer["verdict"] != "pass"
