"""The handler, called as EventBridge Scheduler calls it, over fakes."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from aws_lambda.lambda_fixture import HOUR, event
from homeostat.adapters import detector_history
from homeostat.aws import lambda_handler as handling
from homeostat.aws.lambda_handler import check, handler
from homeostat.aws.lambda_ports import World, world
from homeostat.config.errors import ConfigError, HomeostatError, NotFound, Refused
from homeostat.core.trigger import RECALL, WindowRecord
from homeostat.monitoring.drift_check import check_drift
from homeostat.monitoring.trigger_outbox import message_for
from homeostat.storage.model_state import publish
from sample_model import T0


def lines(capsys):
    return [json.loads(text) for text in capsys.readouterr().out.splitlines()]


def test_hour_after_hour_drift_fires_in_the_second_window_and_one_message_is_sent(both):
    both.serve(0, 8, shift=1.5, labels=False)
    both.publish()
    answers = [both.check(hour) for hour in (4, 5, 6, 7)]
    assert [answer["verdict"] for answer in answers] == ["alert"] * 4
    assert [answer["sent"] for answer in answers] == [[], ["toy/2026-03-02T05:00:00+00:00"], [], []]
    assert both.waiting() == [
        {
            "model": "toy",
            "trigger_id": "toy/2026-03-02T05:00:00+00:00",
            "window_end": "2026-03-02T05:00:00+00:00",
            "reason": "sustained_drift",
            "recall": "",
        }
    ]


def test_a_check_there_and_a_check_in_airflow_find_the_same(both):
    """Once the duels of former champions are scored: the detector loads no models."""
    both.serve(0, 8, shift=0.7)
    local = replace(both.airflow, history=type(both.airflow.history)())
    wanted = [check_drift(both.config, local, T0 + hour * HOUR) for hour in (4, 5, 6)]
    both.publish()
    found = [both.check(hour) for hour in (4, 5, 6)]
    assert [{**answer, "url": "", "sent": ""} for answer in found] == [
        {**answer, "url": "", "sent": ""} for answer in wanted
    ]
    assert both.here.history.windows("toy") == local.history.windows("toy")


def test_the_message_is_what_airflow_would_have_passed_on(both):
    both.serve(0, 6, flip=True)
    both.publish()
    answer = both.check(5)
    (sent,) = both.waiting()
    assert sent == {"model": "toy"} | {
        name: answer[name] for name in ("trigger_id", "window_end", "reason", "recall")
    }
    assert both.check(5)["trigger_id"] == sent["trigger_id"]
    assert both.waiting() == []


@pytest.mark.parametrize(("reason", "recall"), [(RECALL, "1"), ("harmful_drift", "")])
def test_a_recall_is_named_only_where_it_is_what_fired(both, reason, recall):
    record = WindowRecord(T0, "2", 9, "alert", 1.0, "alert", None, None, True, reason, recall="1")
    assert message_for(both.config, record).recall == recall


def test_the_scheduled_time_is_rounded_down_to_the_last_whole_step(both):
    both.publish()
    late = {"model": "toy", "window_end": "2026-03-02T05:59:59.9+00:00"}
    assert check(late, both.here)["window_end"] == "2026-03-02T05:00:00+00:00"


def test_every_check_is_one_line_that_cloudwatch_reads_as_metrics(both, capsys):
    both.serve(0, 5, shift=1.5, labels=False)
    both.publish()
    both.check(4)
    both.check(5)
    first, second = lines(capsys)
    (described,) = first["_aws"]["CloudWatchMetrics"]
    assert (described["Namespace"], described["Dimensions"]) == ("Homeostat", [["Project", "Model"]])
    names = [metric["Name"] for metric in described["Metrics"]]
    assert names == ["Checked", "Fired", "Rows", "DriftedShare", "Seconds"]
    assert all(isinstance(first[name], int | float) for name in names)
    assert (first["Project"], first["Model"], first["Checked"], first["Rows"]) == ("homeostat", "toy", 1, 240)
    assert abs(first["_aws"]["Timestamp"] / 1000 - datetime.now(UTC).timestamp()) < 600
    assert [line["Fired"] for line in (first, second)] == [0, 1]
    assert "RETRAIN" in second["sentence"]


def test_what_could_not_be_computed_is_no_measurement(both, capsys):
    both.publish()
    assert both.check(4)["verdict"] == "not_computable"
    (line,) = lines(capsys)
    assert "DriftedShare" not in line
    assert "DriftedShare" not in [m["Name"] for m in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]]
    assert (line["Checked"], line["Rows"]) == (1, 0)


def test_what_keeps_people_awake_is_left_for_airflow_to_tell_once(both):
    both.publish()
    both.check(4)
    both.check(4)
    (key,) = both.here.store.list("notices/toy")
    left = json.loads(both.here.store.get(key))
    assert left["kind"] == "not_computable"


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        [],
        "toy",
        {},
        {"model": "../secrets", "window_end": "2026-03-02T05:00Z"},
        {"model": 3, "window_end": "2026-03-02T05:00Z"},
        {"model": "toy"},
        {"model": "toy", "window_end": "<aws.scheduler.scheduled-time>"},
        {"model": "toy", "window_end": 5},
        {"model": "x" * 500},
    ],
)
def test_an_event_that_is_none_says_what_one_looks_like(both, wrong):
    with pytest.raises(ConfigError, match="pump_fault") as refused:
        check(wrong, both.here)
    assert len(str(refused.value)) < 500


def test_a_model_that_airflow_has_not_published_is_told_with_its_cure(both):
    with pytest.raises(NotFound, match="run drift_check__toy in Airflow"):
        both.check(5)


def test_a_model_without_a_champion_says_so_and_counts_as_checked(both, capsys):
    airflow = replace(both.airflow, ledger=type(both.airflow.ledger)())
    publish(both.config, airflow)
    assert "retrain__toy" in both.check(5)["sentence"]
    assert lines(capsys)[0]["Checked"] == 1


def test_a_model_that_went_back_to_airflow_is_not_checked_twice(both):
    here = both.config.model_copy(
        update={"monitor": both.config.monitor.model_copy(update={"runs_on": "airflow"})}
    )
    publish(here, both.airflow)
    with pytest.raises(Refused, match="out of Terraform"):
        both.check(5)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda raw: b"{", "cannot be read"),
        (lambda raw: b"[]", "cannot be read"),
        (lambda raw: json.dumps({**raw, "schema": 2}), "schema 2, not 1"),
        (lambda raw: json.dumps({**raw, "model": {**raw["model"], "knob": 1}}), "model.knob.*same one"),
        (lambda raw: json.dumps({**raw, "traffic": None}), "cannot be read"),
    ],
)
def test_a_publication_that_cannot_be_read_is_an_error_with_its_cure(both, change, said):
    both.publish()
    broken = change(json.loads(both.here.store.get("published/toy.json")))
    both.here.store.put(
        "published/toy.json", broken if isinstance(broken, bytes) else broken.encode(), overwrite=True
    )
    with pytest.raises(ConfigError, match=said):
        both.check(5)


def test_a_lost_reference_is_for_airflow_to_bring_back(both):
    both.publish()
    for key in both.here.store.list("bundles"):
        both.here.store.delete(key)
    with pytest.raises(NotFound, match="drift_check__toy in Airflow, which puts it back"):
        both.check(5)


def test_what_only_airflow_has_is_refused_and_not_made_up(both):
    ports = both.here.ports(None, T0)
    with pytest.raises(Refused, match="set_alias"):
        ports.registry.set_alias("toy", "champion", "1")
    with pytest.raises(Refused, match="reads the gateway's log"):
        ports.source.read(both.config, None, None)


@pytest.mark.parametrize("missing", ["HOMEOSTAT_STORE", "HOMEOSTAT_TRIGGERS"])
def test_a_setting_that_is_missing_is_named(missing):
    env = {"HOMEOSTAT_STORE": "memory://", "HOMEOSTAT_TRIGGERS": "https://sqs.eu-central-1.amazonaws.com/1/x"}
    with pytest.raises(ConfigError, match=missing):
        World.from_env({name: value for name, value in env.items() if name != missing})


def test_a_warm_container_keeps_its_clients_and_reads_no_record_twice(both, monkeypatch):
    monkeypatch.setattr(handling, "world", lambda: both.here)
    both.serve(0, 8)
    both.publish()
    for hour in (4, 5, 6):
        handler(event("toy", hour), None)
    read = []
    original = both.here.store.get
    monkeypatch.setattr(both.here.store, "get", lambda key: read.append(key) or original(key))
    handler(event("toy", 7), None)
    assert len([key for key in read if key.startswith("history/")]) <= 1
    monkeypatch.setenv("HOMEOSTAT_STORE", "memory://")
    monkeypatch.setenv("HOMEOSTAT_TRIGGERS", "https://sqs.eu-central-1.amazonaws.com/1/x")
    world.cache_clear()
    assert world() is world()
    world.cache_clear()


def test_history_that_a_cold_container_finds_is_the_same(both):
    both.serve(0, 8, shift=1.5, labels=False)
    both.publish()
    answers = []
    for hour in (4, 5, 6):
        cold = replace(both.here, history=detector_history(both.here.store))
        answers.append(check(event("toy", hour), cold)["reason"])
    assert answers == ["building", "sustained_drift", "cooldown_active"]


def test_an_error_is_ours_and_says_what_to_do(both):
    both.publish()
    both.here.store.down = True
    with pytest.raises(HomeostatError, match="down"):
        both.check(5)
