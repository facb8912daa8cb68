"""sync_detector copies the Lambda function's records and notices, and detects stopped checks."""

from dataclasses import replace
from datetime import timedelta

import pytest

from aws_lambda.lambda_fixture import HOUR
from homeostat.adapters import fake_ports, open_store_history
from homeostat.adapters.history_memory import MemoryHistory
from homeostat.adapters.history_store import StoreHistory
from homeostat.config.errors import NotFound, Refused, Unavailable
from homeostat.monitoring import detector_sync
from homeostat.monitoring.drift_check import check_drift
from homeostat.monitoring.reclaim_checks import reclaim_checks
from homeostat.storage.champion_history import champions
from homeostat.storage.model_state import load_published_state
from sample_model import T0, notices


@pytest.fixture
def lambda_history(deployment):
    return open_store_history(deployment.resources.store)


def sync(deployment, lambda_history):
    return detector_sync.sync_detector(deployment.config, deployment.airflow, lambda_history)


def test_records_are_copied_once_in_order_with_artifacts(deployment, lambda_history):
    deployment.serve(0, 8, shift=1.5)
    deployment.publish_state()
    for hour in (4, 5, 6):
        deployment.check(hour)
    result = sync(deployment, lambda_history)
    assert (result["synced"], result["fired"]) == (3, False)
    assert result["window_end"] == "2026-03-02T06:00:00+00:00"
    assert "3 new drift checks" in result["sentence"]
    assert "1 of them fired" in result["sentence"]
    mlflow = deployment.airflow.history
    assert mlflow.windows("sample") == lambda_history.windows("sample")
    kept = mlflow.written["sample", T0 + 4 * HOUR]
    assert "report.json" in kept.artifacts
    assert {"rows", "psi/a", "trigger/fired"} <= kept.metrics.keys()

    mlflow.written.clear()
    mlflow.written["sample", T0 + 4 * HOUR] = kept
    assert sync(deployment, lambda_history)["synced"] == 2
    before = dict(mlflow.written)
    assert sync(deployment, lambda_history)["synced"] == 0
    assert mlflow.written == before


def test_a_window_that_was_checked_again_is_copied_again(deployment, lambda_history):
    deployment.serve(0, 8)
    deployment.publish_state()
    deployment.check(4)
    sync(deployment, lambda_history)
    deployment.serve(0, 4, seed=5, gateway="late")
    deployment.check(4)
    assert sync(deployment, lambda_history)["synced"] == 1
    assert [record.rows for record in deployment.airflow.history.windows("sample")] == [480]


def test_the_run_has_the_same_figure_as_a_check_in_airflow(deployment, lambda_history):
    deployment.serve(0, 24)
    deployment.publish_state()
    for hours in (4, 23):  # the last of the day has figures, a calm one before it has none
        deployment.check(hours)
    airflow = replace(deployment.airflow, renders_figures=True)
    detector_sync.sync_detector(deployment.config, airflow, lambda_history)
    assert "drift_over_time.png" not in airflow.history.written["sample", T0 + 4 * HOUR].artifacts
    drawn = airflow.history.written["sample", T0 + 23 * HOUR].artifacts["drift_over_time.png"]
    local = replace(airflow, history=MemoryHistory())
    check_drift(deployment.config, local, T0 + 23 * HOUR)
    assert local.history.written["sample", T0 + 23 * HOUR].artifacts["drift_over_time.png"] == drawn


def test_former_champions_are_scored_on_the_rows_that_the_lambda_function_checked(deployment, lambda_history):
    deployment.serve(0, 12)
    deployment.publish_state()
    deployment.check(5)
    assert deployment.resources.store.list("standing") == []
    sync(deployment, lambda_history)
    local = replace(deployment.airflow, history=MemoryHistory())
    scored = deployment.resources.store.get("standing/sample.json")
    deployment.resources.store.delete("standing/sample.json")
    check_drift(deployment.config, local, T0 + 5 * HOUR)
    assert deployment.resources.store.get("standing/sample.json") == scored
    assert len(champions(deployment.airflow.ledger, "sample")) == 2
    deployment.check(6)
    assert deployment.resources.history.windows("sample")[-1].unlearned is not None


def test_the_next_sync_completes_one_that_mlflow_interrupted(deployment, lambda_history):
    class FailsAfterOne(MemoryHistory):
        left = 1

        def record(self, *args, **more):
            self.left -= 1
            self.down = self.left < 0
            return super().record(*args, **more)

    deployment.serve(0, 8, shift=1.5)
    deployment.publish_state()
    for hour in (4, 5):
        deployment.check(hour)
    airflow = replace(deployment.airflow, history=FailsAfterOne())
    with pytest.raises(Unavailable):
        detector_sync.sync_detector(deployment.config, airflow, lambda_history)
    airflow.history.down, airflow.history.left = False, 9
    assert detector_sync.sync_detector(deployment.config, airflow, lambda_history)["synced"] == 1
    assert airflow.history.windows("sample") == lambda_history.windows("sample")


def test_a_sync_compares_recent_windows_and_once_a_day_all(deployment, lambda_history):
    deployment.serve(0, 8)
    deployment.publish_state()
    deployment.check(4)
    sync(deployment, lambda_history)
    since_args = []

    class RecordingHistory(MemoryHistory):
        def windows(self, model, since=None):
            since_args.append(since)
            return super().windows(model, since)

    history = RecordingHistory()
    history.written = deployment.airflow.history.written
    airflow = replace(deployment.airflow, history=history)
    detector_sync.sync_detector(deployment.config, airflow, lambda_history)
    deployment.airflow.clock.advance(timedelta(days=1))
    detector_sync.sync_detector(deployment.config, airflow, lambda_history)
    assert since_args[0] is not None
    assert since_args[1] is None, "once a day all windows are compared"


def test_earlier_checks_of_airflow_are_copied_and_their_trigger_is_not_sent_again(deployment, lambda_history):
    deployment.serve(0, 8, shift=1.5)
    results = [check_drift(deployment.config, deployment.airflow, T0 + hour * HOUR) for hour in (4, 5, 6)]
    assert sum(result["fired"] for result in results) == 1
    before = deployment.airflow.history.windows("sample")
    sync(deployment, lambda_history)
    assert lambda_history.windows("sample") == before
    deployment.check(7)
    assert deployment.queued_messages() == []
    assert not lambda_history.windows("sample")[-1].fired, "the cooldown holds across both"
    assert sync(deployment, lambda_history)["synced"] == 1


def test_a_manual_check_suppresses_no_trigger_of_the_lambda_function(deployment, lambda_history):
    deployment.serve(0, 9, shift=1.5, labels=False)
    sync(deployment, lambda_history)
    deployment.check(4)
    sync(deployment, lambda_history)
    assert check_drift(deployment.config, deployment.airflow, T0 + 5 * HOUR)["fired"]
    sync(deployment, lambda_history)
    result = deployment.check(6)
    assert (result["fired"], result["sent"]) == (True, [result["trigger_id"]])


@pytest.fixture
def airflow_config(deployment):
    """The model after its model.yaml was set back to monitor.runs_on: airflow."""
    monitor = deployment.config.monitor.model_copy(update={"runs_on": "airflow"})
    return deployment.config.model_copy(update={"monitor": monitor})


def test_a_model_set_back_to_airflow_is_checked_only_there_and_its_cooldown_holds(
    deployment, lambda_history, airflow_config
):
    deployment.serve(0, 9, shift=1.5, labels=False)
    sync(deployment, lambda_history)
    deployment.check(4)
    sync(deployment, lambda_history)
    assert deployment.check(5)["fired"]
    assert reclaim_checks(airflow_config, deployment.airflow, lambda_history) == 1
    assert "trigger_fired" in notices(deployment.airflow)
    assert deployment.airflow.history.windows("sample") == lambda_history.windows("sample")
    with pytest.raises(Refused, match="so Airflow checks it"):
        deployment.check(6)
    assert check_drift(airflow_config, deployment.airflow, T0 + 6 * HOUR)["reason"] == "cooldown_active"
    assert [reclaim_checks(airflow_config, deployment.airflow, lambda_history) for _ in range(2)] == [0, 0]
    assert len(deployment.queued_messages()) == 1


def test_a_trigger_that_was_never_sent_is_decided_again_by_airflow(
    deployment, lambda_history, airflow_config
):
    deployment.serve(0, 9, shift=1.5, labels=False)
    sync(deployment, lambda_history)
    deployment.check(4)
    deployment.resources.triggers.down = True
    with pytest.raises(Unavailable):
        deployment.check(5)
    sync(deployment, lambda_history)
    assert reclaim_checks(airflow_config, deployment.airflow, lambda_history) == 1
    assert deployment.airflow.history.written["sample", T0 + 5 * HOUR].metrics["trigger/fired"] == 0.0
    assert check_drift(airflow_config, deployment.airflow, T0 + 6 * HOUR)["fired"]


def test_reclaim_checks_resumes_after_an_interruption(deployment, lambda_history, airflow_config):
    deployment.serve(0, 9)
    deployment.publish_state()
    deployment.check(4)
    deployment.airflow.history.down = True
    with pytest.raises(Unavailable):
        reclaim_checks(airflow_config, deployment.airflow, lambda_history)
    deployment.airflow.history.down = False
    assert reclaim_checks(airflow_config, deployment.airflow, lambda_history) == 1
    assert reclaim_checks(airflow_config, deployment.airflow, lambda_history) == 0


def test_reclaim_checks_ignores_a_model_always_checked_in_airflow(deployment, lambda_history, airflow_config):
    before = deployment.resources.store.list("")
    assert reclaim_checks(airflow_config, deployment.airflow, lambda_history) == 0
    assert deployment.resources.store.list("") == before


def test_a_bundle_missing_in_the_store_is_restored_from_mlflow(deployment, lambda_history, caplog):
    deployment.serve(0, 8)
    sync(deployment, lambda_history)
    for key in deployment.resources.store.list("bundles"):
        deployment.resources.store.delete(key)
    with pytest.raises(NotFound, match="which restores it from MLflow"):
        deployment.check(5)
    without_versions = replace(deployment.airflow, registry=fake_ports(start=T0).registry)
    detector_sync.sync_detector(deployment.config, without_versions, lambda_history)
    assert "no reference to check against" in caplog.text
    sync(deployment, lambda_history)
    assert deployment.check(5)["verdict"] == "pass"


def test_model_state_is_published_while_mlflow_is_down(deployment, lambda_history, monkeypatch):
    sync(deployment, lambda_history)
    first = load_published_state(deployment.resources.store, "sample").at
    deployment.airflow.clock.advance(HOUR)

    def unavailable(_):
        raise Unavailable("MLflow is down")

    monkeypatch.setattr(deployment.airflow.registry, "aliases", unavailable)
    with pytest.raises(Unavailable):
        sync(deployment, lambda_history)
    assert load_published_state(deployment.resources.store, "sample").at == first + HOUR


def test_notices_are_sent_once_and_removed(deployment, lambda_history):
    deployment.publish_state()
    deployment.check(4)
    deployment.resources.store.put("notices/sample/garbage.json", b"[]")
    assert sync(deployment, lambda_history)["notices"] == 2
    assert notices(deployment.airflow).count("not_computable") == 1
    assert deployment.airflow.notifier.sent[-1][0] == ("people",)
    assert deployment.resources.store.list("notices") == []
    assert sync(deployment, lambda_history)["notices"] == 0


def test_a_sync_publishes_the_traffic_and_repairs_the_aliases(deployment, lambda_history):
    deployment.airflow.registry.set_alias("sample", "previous", "2")
    result = sync(deployment, lambda_history)
    assert load_published_state(
        deployment.resources.store, "sample"
    ).traffic == deployment.airflow.ledger.read("sample")
    assert result["aliases"] == {"previous": "1"}
    assert deployment.airflow.registry.aliases("sample") == {"champion": "2", "previous": "1"}


def test_stopped_checks_are_reported_after_three_periods(deployment):
    clock = deployment.airflow.clock
    lambda_history = StoreHistory(deployment.resources.store, clock.now)
    resources = replace(deployment.resources, history=lambda_history)
    deployment.serve(0, 8)
    first = sync(deployment, lambda_history)
    assert (first["checks_stopped"], first["window_end"]) == (False, "")
    assert "no check yet" in first["sentence"]
    clock.advance(3 * HOUR)
    assert not sync(deployment, lambda_history)["checks_stopped"]
    clock.advance(timedelta(seconds=1))
    assert sync(deployment, lambda_history)["checks_stopped"], "no first check"
    assert sync(deployment, lambda_history)["checks_stopped"]
    assert notices(deployment.airflow).count("checks_stopped") == 1, "notified once"
    replace(deployment, resources=resources).check(4)
    assert not sync(deployment, lambda_history)["checks_stopped"]
    clock.advance(3 * HOUR + timedelta(seconds=1))
    result = sync(deployment, lambda_history)
    assert result["checks_stopped"]
    assert "no drift check for more than 3 hours, and monitor.every is 1h" in result["sentence"]
    assert "2026-03-02 04:00" in result["sentence"]
    assert notices(deployment.airflow).count("checks_stopped") == 2, "and again after checks resumed"


def test_a_model_without_a_champion_has_no_stopped_checks(deployment):
    airflow = fake_ports(start=T0)
    lambda_history = open_store_history(airflow.store)
    detector_sync.sync_detector(deployment.config, airflow, lambda_history)
    airflow.clock.advance(timedelta(days=9))
    assert not detector_sync.sync_detector(deployment.config, airflow, lambda_history)["checks_stopped"]
