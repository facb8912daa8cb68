"""Airflow takes over what the detector leaves: records once, duels, pictures, notices; and hears silence."""

from dataclasses import replace
from datetime import timedelta

import pytest

from aws_lambda.lambda_fixture import HOUR
from homeostat.adapters import detector_history, fake_ports
from homeostat.adapters.history_memory import MemoryHistory
from homeostat.adapters.history_store import StoreHistory
from homeostat.config.errors import NotFound, Refused, Unavailable
from homeostat.monitoring import detector_sync
from homeostat.monitoring.detector_sync import take_back
from homeostat.monitoring.drift_check import check_drift
from homeostat.storage.bundles import champions
from homeostat.storage.model_state import load_published
from sample_model import T0, notices


@pytest.fixture
def seen(both):
    return detector_history(both.here.store)


def collect(both, seen):
    return detector_sync.collect(both.config, both.airflow, seen)


def test_records_are_copied_once_whole_and_in_order(both, seen):
    both.serve(0, 8, shift=1.5)
    both.publish()
    for hour in (4, 5, 6):
        both.check(hour)
    answer = collect(both, seen)
    assert (answer["collected"], answer["fired"]) == (3, False)
    assert answer["window_end"] == "2026-03-02T06:00:00+00:00"
    assert "3 new drift checks" in answer["sentence"]
    assert "1 fired" in answer["sentence"]
    mlflow = both.airflow.history
    assert mlflow.windows("toy") == seen.windows("toy")
    kept = mlflow.written["toy", T0 + 4 * HOUR]
    assert "report.json" in kept.artifacts
    assert {"rows", "psi.a", "fired"} <= kept.metrics.keys()

    mlflow.written.clear()
    mlflow.written["toy", T0 + 4 * HOUR] = kept
    assert collect(both, seen)["collected"] == 2
    before = dict(mlflow.written)
    assert collect(both, seen)["collected"] == 0
    assert mlflow.written == before


def test_a_window_that_was_checked_again_is_copied_again(both, seen):
    both.serve(0, 8)
    both.publish()
    both.check(4)
    collect(both, seen)
    both.serve(0, 4, seed=5, gateway="late")
    both.check(4)
    assert collect(both, seen)["collected"] == 1
    assert [record.rows for record in both.airflow.history.windows("toy")] == [480]


def test_the_run_has_the_picture_that_a_check_in_airflow_draws(both, seen):
    both.serve(0, 8)
    both.publish()
    both.check(4)
    airflow = replace(both.airflow, pictures=True)
    detector_sync.collect(both.config, airflow, seen)
    drawn = airflow.history.written["toy", T0 + 4 * HOUR].artifacts["drift_over_time.png"]
    local = replace(airflow, history=MemoryHistory())
    check_drift(both.config, local, T0 + 4 * HOUR)
    assert local.history.written["toy", T0 + 4 * HOUR].artifacts["drift_over_time.png"] == drawn


def test_former_champions_answer_the_rows_that_the_detector_could_not_give_them(both, seen):
    both.serve(0, 12)
    both.publish()
    both.check(5)
    assert both.here.store.list("standing") == []
    collect(both, seen)
    local = replace(both.airflow, history=MemoryHistory())
    scored = both.here.store.get("standing/toy.json")
    both.here.store.delete("standing/toy.json")
    check_drift(both.config, local, T0 + 5 * HOUR)
    assert both.here.store.get("standing/toy.json") == scored
    assert len(champions(both.airflow, "toy")) == 2
    both.check(6)
    assert both.here.history.windows("toy")[-1].gain is not None


def test_mlflow_away_in_the_middle_is_made_up_for_by_the_next_run(both, seen):
    class Away(MemoryHistory):
        left = 1

        def record(self, *args, **more):
            self.left -= 1
            self.down = self.left < 0
            return super().record(*args, **more)

    both.serve(0, 8, shift=1.5)
    both.publish()
    for hour in (4, 5):
        both.check(hour)
    airflow = replace(both.airflow, history=Away())
    with pytest.raises(Unavailable):
        detector_sync.collect(both.config, airflow, seen)
    airflow.history.down, airflow.history.left = False, 9
    assert detector_sync.collect(both.config, airflow, seen)["collected"] == 1
    assert airflow.history.windows("toy") == seen.windows("toy")


def test_what_is_collected_is_looked_up_no_further_back_than_a_check_looks(both, seen):
    both.serve(0, 8)
    both.publish()
    both.check(4)
    collect(both, seen)
    asked = []

    class Asked(MemoryHistory):
        def windows(self, model, since=None):
            asked.append(since)
            return super().windows(model, since)

    history = Asked()
    history.written = both.airflow.history.written
    airflow = replace(both.airflow, history=history)
    detector_sync.collect(both.config, airflow, seen)
    both.airflow.clock.advance(timedelta(days=1))
    detector_sync.collect(both.config, airflow, seen)
    assert asked[0] is not None
    assert asked[1] is None, "once a day everything is compared"


def test_what_airflow_checked_before_is_handed_over_and_its_trigger_is_not_sent_again(both, seen):
    both.serve(0, 8, shift=1.5)
    answers = [check_drift(both.config, both.airflow, T0 + hour * HOUR) for hour in (4, 5, 6)]
    assert sum(answer["fired"] for answer in answers) == 1
    before = both.airflow.history.windows("toy")
    collect(both, seen)
    assert seen.windows("toy") == before
    both.check(7)
    assert both.waiting() == []
    assert not seen.windows("toy")[-1].fired, "the cooldown holds for whoever checks"
    assert collect(both, seen)["collected"] == 1


def test_a_check_that_a_person_makes_beside_the_detector_silences_no_trigger(both, seen):
    both.serve(0, 9, shift=1.5, labels=False)
    collect(both, seen)
    both.check(4)
    collect(both, seen)
    assert check_drift(both.config, both.airflow, T0 + 5 * HOUR)["fired"]
    collect(both, seen)
    answer = both.check(6)
    assert (answer["fired"], answer["sent"]) == (True, [answer["trigger_id"]])


@pytest.fixture
def here(both):
    """The model when its model.yaml says again that Airflow checks it."""
    monitor = both.config.monitor.model_copy(update={"runs_on": "airflow"})
    return both.config.model_copy(update={"monitor": monitor})


def test_a_model_that_comes_back_to_airflow_is_checked_there_alone_and_its_cooldown_holds(both, seen, here):
    both.serve(0, 9, shift=1.5, labels=False)
    collect(both, seen)
    both.check(4)
    collect(both, seen)
    assert both.check(5)["fired"]
    assert take_back(here, both.airflow, seen) == 1
    assert "trigger_fired" in notices(both.airflow)
    assert both.airflow.history.windows("toy") == seen.windows("toy")
    with pytest.raises(Refused, match="out of Terraform"):
        both.check(6)
    assert check_drift(here, both.airflow, T0 + 6 * HOUR)["reason"] == "cooldown_active"
    assert [take_back(here, both.airflow, seen) for _ in range(2)] == [0, 0]
    assert len(both.waiting()) == 1


def test_a_trigger_that_the_detector_never_sent_is_decided_anew_where_the_model_is_checked_now(
    both, seen, here
):
    both.serve(0, 9, shift=1.5, labels=False)
    collect(both, seen)
    both.check(4)
    both.here.triggers.down = True
    with pytest.raises(Unavailable):
        both.check(5)
    collect(both, seen)
    assert take_back(here, both.airflow, seen) == 1
    assert both.airflow.history.written["toy", T0 + 5 * HOUR].metrics["fired"] == 0.0
    assert check_drift(here, both.airflow, T0 + 6 * HOUR)["fired"]


def test_taking_back_goes_on_where_it_was_broken_off(both, seen, here):
    both.serve(0, 9)
    both.publish()
    both.check(4)
    both.airflow.history.down = True
    with pytest.raises(Unavailable):
        take_back(here, both.airflow, seen)
    both.airflow.history.down = False
    assert take_back(here, both.airflow, seen) == 1
    assert take_back(here, both.airflow, seen) == 0


def test_a_model_that_was_always_checked_in_airflow_is_left_alone(both, seen, here):
    before = both.here.store.list("")
    assert take_back(here, both.airflow, seen) == 0
    assert both.here.store.list("") == before


def test_a_bundle_that_the_store_has_lost_is_brought_back_for_the_detector(both, seen, caplog):
    both.serve(0, 8)
    collect(both, seen)
    for key in both.here.store.list("bundles"):
        both.here.store.delete(key)
    with pytest.raises(NotFound, match="which puts it back"):
        both.check(5)
    nowhere = replace(both.airflow, registry=fake_ports(start=T0).registry)
    collect(both.config, nowhere, seen)
    assert "no reference of toy to check against" in caplog.text
    collect(both, seen)
    assert both.check(5)["verdict"] == "pass"


def test_while_mlflow_is_away_the_detector_still_hears_who_serves(both, seen, monkeypatch):
    collect(both, seen)
    first = load_published(both.here.store, "toy").at
    both.airflow.clock.advance(HOUR)

    def away(_):
        raise Unavailable("MLflow is away")

    monkeypatch.setattr(both.airflow.registry, "aliases", away)
    with pytest.raises(Unavailable):
        collect(both, seen)
    assert load_published(both.here.store, "toy").at == first + HOUR


def test_notices_are_told_once_and_removed(both, seen):
    both.publish()
    both.check(4)
    both.here.store.put("notices/toy/garbage.json", b"[]")
    assert collect(both, seen)["notices"] == 2
    assert notices(both.airflow).count("not_computable") == 1
    assert both.airflow.notifier.sent[-1][0] == ("people",)
    assert both.here.store.list("notices") == []
    assert collect(both, seen)["notices"] == 0


def test_what_is_published_is_fresh_and_mlflow_follows_the_ledger(both, seen):
    both.airflow.registry.set_alias("toy", "previous", "2")
    answer = collect(both, seen)
    assert load_published(both.here.store, "toy").traffic == both.airflow.ledger.read("toy")
    assert answer["mirrored"] == {"previous": "1"}
    assert both.airflow.registry.aliases("toy") == {"champion": "2", "previous": "1"}


def test_silence_is_told_after_three_periods(both):
    clock = both.airflow.clock
    seen = StoreHistory(both.here.store, clock.now)
    here = replace(both.here, history=seen)
    both.serve(0, 8)
    first = collect(both, seen)
    assert (first["silent"], first["window_end"]) == (False, "")
    assert "none yet" in first["sentence"]
    clock.advance(3 * HOUR)
    assert not collect(both, seen)["silent"]
    clock.advance(timedelta(seconds=1))
    assert collect(both, seen)["silent"], "the first check never came"
    assert collect(both, seen)["silent"]
    assert notices(both.airflow).count("silent") == 1, "it is told once"
    replace(both, here=here).check(4)
    assert not collect(both, seen)["silent"]
    clock.advance(3 * HOUR + timedelta(seconds=1))
    answer = collect(both, seen)
    assert answer["silent"]
    assert "SILENT" in answer["sentence"]
    assert "2026-03-02 04:00" in answer["sentence"]
    assert notices(both.airflow).count("silent") == 2, "and again when it has begun again"


def test_a_model_without_a_champion_is_not_silent(both):
    airflow = fake_ports(start=T0)
    seen = detector_history(airflow.store)
    detector_sync.collect(both.config, airflow, seen)
    airflow.clock.advance(timedelta(days=9))
    assert not detector_sync.collect(both.config, airflow, seen)["silent"]
