"""The handler over fakes, called as by EventBridge Scheduler."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from aws_lambda.lambda_fixture import HOUR, event
from homeostat.adapters import open_store_history
from homeostat.aws import lambda_handler
from homeostat.aws.lambda_handler import check_window, handler
from homeostat.aws.lambda_ports import LambdaResources, shared_resources
from homeostat.config.errors import ConfigError, HomeostatError, NotFound, Refused
from homeostat.core.trigger import TriggerReason, WindowRecord
from homeostat.monitoring.drift_check import check_drift
from homeostat.storage.model_state import publish_state
from homeostat.storage.trigger_outbox import trigger_message
from sample_model import T0


def lines(capsys):
    return [json.loads(text) for text in capsys.readouterr().out.splitlines()]


def test_sustained_drift_fires_in_the_second_window_and_sends_one_message(deployment):
    deployment.serve(0, 8, shift=1.5, labels=False)
    deployment.publish_state()
    results = [deployment.check(hour) for hour in (4, 5, 6, 7)]
    assert [result["verdict"] for result in results] == ["alert"] * 4
    assert [result["sent"] for result in results] == [[], ["sample/2026-03-02T05:00:00+00:00"], [], []]
    assert deployment.queued_messages() == [
        {
            "model": "sample",
            "trigger_id": "sample/2026-03-02T05:00:00+00:00",
            "window_end": "2026-03-02T05:00:00+00:00",
            "reason": "sustained_drift",
            "reinstate": "",
        }
    ]


def test_the_lambda_function_and_airflow_get_the_same_result(deployment):
    """After Airflow scored the former champions, because the function loads no models."""
    deployment.serve(0, 8, shift=0.7)
    local = replace(deployment.airflow, history=type(deployment.airflow.history)())
    expected = [check_drift(deployment.config, local, T0 + hour * HOUR) for hour in (4, 5, 6)]
    deployment.publish_state()
    found = [deployment.check(hour) for hour in (4, 5, 6)]
    assert [{**result, "url": "", "sent": ""} for result in found] == [
        {**result, "url": "", "sent": ""} for result in expected
    ]
    assert deployment.resources.history.windows("sample") == local.history.windows("sample")


def test_the_message_has_the_fields_of_the_result(deployment):
    deployment.serve(0, 6, flip=True)
    deployment.publish_state()
    result = deployment.check(5)
    (sent,) = deployment.queued_messages()
    assert sent == {"model": "sample"} | {
        name: result[name] for name in ("trigger_id", "window_end", "reason", "reinstate")
    }
    assert deployment.check(5)["trigger_id"] == sent["trigger_id"]
    assert deployment.queued_messages() == []


@pytest.mark.parametrize(
    ("reason", "reinstate"), [(TriggerReason.FORMER_VERSION_FITS, "1"), ("harmful_drift", "")]
)
def test_a_reinstatement_is_named_only_where_it_is_what_fired(deployment, reason, reinstate):
    record = WindowRecord(T0, "2", 9, "alert", 1.0, "alert", None, None, True, reason, reinstate="1")
    assert trigger_message(deployment.config.name, record).reinstate == reinstate


def test_the_scheduled_time_is_rounded_down_to_monitor_every(deployment):
    deployment.publish_state()
    late = {"model": "sample", "window_end": "2026-03-02T05:59:59.9+00:00"}
    assert check_window(late, deployment.resources)["window_end"] == "2026-03-02T05:00:00+00:00"


def test_every_check_logs_one_line_of_cloudwatch_metrics(deployment, capsys):
    deployment.serve(0, 5, shift=1.5, labels=False)
    deployment.publish_state()
    deployment.check(4)
    deployment.check(5)
    first, second = lines(capsys)
    (metadata,) = first["_aws"]["CloudWatchMetrics"]
    assert (metadata["Namespace"], metadata["Dimensions"]) == ("Homeostat", [["Project", "Model"]])
    names = [metric["Name"] for metric in metadata["Metrics"]]
    assert names == ["Checked", "Fired", "Rows", "DriftedShare", "Seconds"]
    assert all(isinstance(first[name], int | float) for name in names)
    assert (first["Project"], first["Model"], first["Checked"], first["Rows"]) == (
        "homeostat",
        "sample",
        1,
        240,
    )
    assert abs(first["_aws"]["Timestamp"] / 1000 - datetime.now(UTC).timestamp()) < 600
    assert [line["Fired"] for line in (first, second)] == [0, 1]
    assert "RETRAIN" in second["sentence"]


def test_a_metric_that_is_not_computable_is_left_out(deployment, capsys):
    deployment.publish_state()
    assert deployment.check(4)["verdict"] == "not_computable"
    (line,) = lines(capsys)
    assert "DriftedShare" not in line
    assert "DriftedShare" not in [m["Name"] for m in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]]
    assert (line["Checked"], line["Rows"]) == (1, 0)


def test_a_lasting_condition_leaves_one_notice_for_airflow(deployment):
    deployment.publish_state()
    deployment.check(4)
    deployment.check(4)
    (key,) = deployment.resources.store.list("notices/sample")
    left = json.loads(deployment.resources.store.get(key))
    assert left["kind"] == "not_computable"


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        [],
        "sample",
        {},
        {"model": "../secrets", "window_end": "2026-03-02T05:00Z"},
        {"model": 3, "window_end": "2026-03-02T05:00Z"},
        {"model": "sample"},
        {"model": "sample", "window_end": "<aws.scheduler.scheduled-time>"},
        {"model": "sample", "window_end": 5},
        {"model": "x" * 500},
    ],
)
def test_an_invalid_event_is_refused_with_an_example(deployment, wrong):
    with pytest.raises(ConfigError, match="pump_fault") as refused:
        check_window(wrong, deployment.resources)
    assert len(str(refused.value)) < 500


def test_a_model_that_is_not_published_is_reported_with_the_dag_to_run(deployment):
    with pytest.raises(NotFound, match="run drift_check__sample in Airflow"):
        deployment.check(5)


def test_a_model_without_a_champion_counts_as_checked(deployment, capsys):
    airflow = replace(deployment.airflow, ledger=type(deployment.airflow.ledger)())
    publish_state(deployment.config, airflow)
    assert "retrain__sample" in deployment.check(5)["sentence"]
    assert lines(capsys)[0]["Checked"] == 1


def test_a_model_set_back_to_airflow_is_refused(deployment):
    airflow_config = deployment.config.model_copy(
        update={"monitor": deployment.config.monitor.model_copy(update={"runs_on": "airflow"})}
    )
    publish_state(airflow_config, deployment.airflow)
    with pytest.raises(Refused, match="so Airflow checks it"):
        deployment.check(5)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda raw: b"{", "cannot be read"),
        (lambda raw: b"[]", "cannot be read"),
        (lambda raw: json.dumps({**raw, "schema": 2}), "has schema 2, expected 1"),
        (lambda raw: json.dumps({**raw, "model": {**raw["model"], "knob": 1}}), "model.knob.*same one"),
        (lambda raw: json.dumps({**raw, "traffic": None}), "cannot be read"),
    ],
)
def test_unreadable_model_state_is_reported_with_a_remedy(deployment, change, expected):
    deployment.publish_state()
    broken = change(json.loads(deployment.resources.store.get("published/sample.json")))
    deployment.resources.store.put(
        "published/sample.json", broken if isinstance(broken, bytes) else broken.encode(), overwrite=True
    )
    with pytest.raises(ConfigError, match=expected):
        deployment.check(5)


def test_a_missing_reference_is_reported_with_the_dag_to_run(deployment):
    deployment.publish_state()
    for key in deployment.resources.store.list("bundles"):
        deployment.resources.store.delete(key)
    with pytest.raises(NotFound, match="drift_check__sample in Airflow, which restores it"):
        deployment.check(5)


def test_calls_to_mlflow_and_the_source_are_refused(deployment):
    ports = deployment.resources.ports_for(None, T0)
    with pytest.raises(Refused, match="set_alias"):
        ports.registry.set_alias("sample", "champion", "1")
    with pytest.raises(Refused, match="reads only the gateway's prediction log"):
        ports.source.read(deployment.config, None, None)


@pytest.mark.parametrize("missing", ["HOMEOSTAT_STORE", "HOMEOSTAT_TRIGGERS"])
def test_a_missing_setting_is_named(missing):
    env = {"HOMEOSTAT_STORE": "memory://", "HOMEOSTAT_TRIGGERS": "https://sqs.eu-central-1.amazonaws.com/1/x"}
    with pytest.raises(ConfigError, match=missing):
        LambdaResources.from_env({name: value for name, value in env.items() if name != missing})


def test_a_warm_container_reuses_clients_and_cached_records(deployment, monkeypatch):
    monkeypatch.setattr(lambda_handler, "shared_resources", lambda: deployment.resources)
    deployment.serve(0, 8)
    deployment.publish_state()
    for hour in (4, 5, 6):
        handler(event("sample", hour), None)
    read = []
    original = deployment.resources.store.get
    monkeypatch.setattr(deployment.resources.store, "get", lambda key: read.append(key) or original(key))
    handler(event("sample", 7), None)
    records = [key for key in read if key.startswith("history/") and not key.endswith("/latest.json")]
    assert len(records) <= 1
    monkeypatch.setenv("HOMEOSTAT_STORE", "memory://")
    monkeypatch.setenv("HOMEOSTAT_TRIGGERS", "https://sqs.eu-central-1.amazonaws.com/1/x")
    shared_resources.cache_clear()
    assert shared_resources() is shared_resources()
    shared_resources.cache_clear()


def test_a_cold_container_reads_the_same_history(deployment):
    deployment.serve(0, 8, shift=1.5, labels=False)
    deployment.publish_state()
    results = []
    for hour in (4, 5, 6):
        cold = replace(deployment.resources, history=open_store_history(deployment.resources.store))
        results.append(check_window(event("sample", hour), cold)["reason"])
    assert results == ["building", "sustained_drift", "cooldown_active"]


def test_a_store_outage_raises_homeostat_error(deployment):
    deployment.publish_state()
    deployment.resources.store.down = True
    with pytest.raises(HomeostatError, match="down"):
        deployment.check(5)
