"""The gate's metric is of one class in every step of a retrain and in the monitor."""

from __future__ import annotations

import json
import logging
from datetime import timedelta

import pytest
from sklearn.metrics import f1_score

from homeostat.config import load_model
from homeostat.config.errors import ConfigError
from homeostat.monitoring import labelled_performance
from homeostat.monitoring.drift_check import check_drift
from homeostat.retraining.assemble import assemble
from homeostat.storage.bundles import load_version
from homeostat.storage.snapshots import read_snapshot
from homeostat.storage.step_results import load_result
from homeostat.storage.version_info import load_version_info, save_version_info
from sample_model import T0, retrain, rows_between, serve

pytestmark = pytest.mark.usefixtures("quick")
HOUR = timedelta(hours=1)


@pytest.fixture
def configured(folder):
    """The sample model, whose label is fraud or legit, with F1 as its metric."""
    rows = rows_between(T0 - timedelta(days=5), T0)
    fraud = (rows["a"] + rows["b"] > 1.2) != (rows.index % 9 == 0)
    rows.assign(y=fraud.map({True: "fraud", False: "legit"})).to_csv(folder / "rows.csv", index=False)

    def make(more="", metric="f1"):
        path = folder / "model.yaml"
        text = path.read_text().replace("gate: {", f"gate: {{metric: {metric}, ", 1)
        path.write_text(text.replace("delay: 1h}", f"delay: 1h{more}}}", 1))
        return load_model(folder)

    return make


def served_rows(hours):
    rows = rows_between(T0, T0 + hours * HOUR)
    fraud = (rows["a"] + rows["b"] > 1.2) != (rows.index % 7 == 0)
    return rows.assign(y=fraud.map({True: "fraud", False: "legit"}))


def performance(ports, hours):
    return json.loads(ports.history.written["sample", T0 + hours * HOUR].artifacts["report.json"])[
        "performance"
    ]


def expected_on_holdout(config, ports, request, positive):
    data = load_result(ports.store, "sample", request.run_key, "assemble")
    digest = load_result(ports.store, "sample", request.run_key, "train")["holdout_version"]
    _, holdout, _ = read_snapshot(ports.store, data["snapshot"])
    predicted = load_version(ports, config, digest).predictor.predict(holdout).prediction
    return f1_score(holdout["y"], predicted.astype(str), pos_label=positive)


@pytest.mark.parametrize("positive", ["fraud", "legit"])
def test_every_step_and_the_monitor_score_the_same_class(configured, ports, ask, positive):
    config = configured(f", positive: {positive}")
    request = ask()
    retrain(config, ports, request)
    results = {
        name: load_result(ports.store, "sample", request.run_key, name) for name in ("validate", "gate")
    }
    baseline = expected_on_holdout(config, ports, request, positive)
    assert results["validate"]["baseline"]["metrics"]["f1"] == pytest.approx(baseline)
    assert (
        f"f1 of '{positive}' on the same holdout: candidate {baseline:.4f}" in results["validate"]["sentence"]
    )
    assert f"nothing to compare f1 of '{positive}' {baseline:.4g} with" in results["gate"]["sentence"]
    champion = ports.ledger.read("sample").champion
    assert load_version_info(ports.store, "sample", champion.digest)["positive"] == positive
    [run] = [run for run in ports.registry.runs.values() if "homeostat.metric" in run.tags]
    assert run.tags["homeostat.metric"] == f"f1 of '{positive}'"

    rows = served_rows(6)
    serve(config, ports, rows)
    check_drift(config, ports, T0 + 6 * HOUR)
    step = rows[(rows["at"] >= T0 + 4 * HOUR) & (rows["at"] < T0 + 5 * HOUR)]
    predicted = load_version(ports, config, champion.digest).predictor.predict(step).prediction.astype(str)
    found = performance(ports, 6)
    assert found["score"] == pytest.approx(f1_score(step["y"], predicted, pos_label=positive))
    assert (found["metric"], found["metric_title"]) == ("f1", f"f1 of '{positive}'")


def test_without_the_setting_the_retrain_ends_before_the_fit(configured, ports, ask):
    config = configured()
    with pytest.raises(ConfigError, match="write positive: fraud or positive: legit"):
        assemble(config, ask(), ports)


def test_a_metric_of_all_classes_needs_no_setting(configured, ports, ask):
    request = ask()
    retrain(configured(metric="accuracy"), ports, request)
    found = load_result(ports.store, "sample", request.run_key, "validate")["baseline"]["metrics"]
    assert "f1" not in found
    assert "accuracy" in found


def test_an_obvious_class_is_taken_and_said(configured, folder, ports, ask):
    rows_between(T0 - timedelta(days=5), T0).to_csv(folder / "rows.csv", index=False)
    request = ask()
    retrain(configured(), ports, request)
    said = load_result(ports.store, "sample", request.run_key, "assemble")["sentence"]
    assert "'1' was taken as the positive class, since schema.label.positive is not set" in said
    assert "f1 of '1'" in load_result(ports.store, "sample", request.run_key, "gate")["sentence"]


def test_a_changed_setting_counts_from_the_next_version_on(configured, ports, ask):
    before = configured(", positive: legit")
    retrain(before, ports, ask())
    config = before.with_positive("fraud")
    serve(config, ports, served_rows(6))
    check_drift(config, ports, T0 + 6 * HOUR)
    assert performance(ports, 6)["metric_title"] == "f1 of 'legit'"
    request = ask("run 2")
    retrain(config, ports, request, to_the_end=False)
    sentence = load_result(ports.store, "sample", request.run_key, "validate")["sentence"]
    assert "(version 1 is monitored by f1 of 'legit', the next version by f1 of 'fraud')" in sentence


def test_a_version_of_before_is_monitored_as_before_and_that_is_said_once(configured, ports, ask, caplog):
    """Release 0.1 stored no class and took the last one by name."""
    config = configured(", positive: legit")
    retrain(config, ports, ask())
    digest = ports.ledger.read("sample").champion.digest
    info = load_version_info(ports.store, "sample", digest)
    del info["positive"]
    save_version_info(ports.store, "sample", digest, info)
    labelled_performance._warn_once.cache_clear()
    config = config.with_positive("fraud")
    serve(config, ports, served_rows(7))
    with caplog.at_level(logging.WARNING):
        for hours in (6, 7):
            check_drift(config, ports, T0 + hours * HOUR)
    found = performance(ports, 7)
    assert found["metric_title"] == "f1 of 'legit'"
    assert found["baseline"] == info["metrics"]["f1"]
    said = [record.getMessage() for record in caplog.records if "f1 of 'legit'" in record.getMessage()]
    assert len(said) == 1
    assert "schema.label.positive counts from the next version on" in said[0]


def test_a_step_without_a_score_says_why(configured, ports, ask):
    config = configured(", positive: fraud")
    retrain(config, ports, ask())
    rows = served_rows(6)
    rows[["a", "b"]] = -rows[["a", "b"]].abs() - 1
    rows["y"] = "legit"
    serve(config, ports, rows)
    check_drift(config, ports, T0 + 6 * HOUR)
    found = performance(ports, 6)
    assert (found["verdict"], found["reason_code"]) == ("not_computable", "undefined_score")
    assert "f1 needs a row whose label or prediction is the positive class 'fraud'" in found["reason"]
