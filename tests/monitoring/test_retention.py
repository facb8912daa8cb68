"""Old monitoring is deleted; what a version's history, a check or a page needs is kept."""

import json
import random
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeostat.adapters import fake_ports
from homeostat.adapters.store_memory import MemoryStore
from homeostat.config.errors import Unavailable
from homeostat.core.retention import Retention
from homeostat.core.rollout import Phase, Plan, Rollout, Traffic, VersionRef
from homeostat.core.trigger import WindowRecord
from homeostat.monitoring import retention as deletion
from homeostat.monitoring.context import history_lookback
from homeostat.monitoring.retention import delete_old_monitoring, windows_of_versions
from homeostat.monitoring.window_summary import shown_settings
from homeostat.ports import HealthRecord, RecordKind, Version
from homeostat.storage.check_records import check_key
from homeostat.storage.retrain_request import RetrainRequest
from homeostat.storage.step_results import save_result
from homeostat.storage.trigger_outbox import trigger_id

DAY = timedelta(days=1)
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOURS = st.integers(-2000, 100).map(lambda hours: NOW + timedelta(hours=hours))
SPANS = st.integers(1, 1500).map(lambda hours: timedelta(hours=hours))


@given(HOURS, SPANS, SPANS, st.sets(HOURS, max_size=5), st.sets(HOURS, max_size=30))
def test_what_is_deleted_is_old_for_every_reader(newest, keep, lookback, kept, ends):
    found = Retention.of(NOW, keep, newest=newest, lookback=lookback, kept=kept)
    for end in ends | kept | {newest}:
        if found.deletes(end):
            assert end < NOW - keep
            assert end < newest - lookback, "the next check reads back to there"
            assert end not in kept
        else:
            assert end >= NOW - keep or end >= newest - lookback or end in kept
    assert not found.deletes(newest)


@given(HOURS, SPANS, SPANS, st.sets(HOURS, max_size=5), HOURS, st.integers(1, 50))
def test_a_span_is_deleted_if_every_hour_in_it_is(newest, keep, lookback, kept, begin, hours):
    found = Retention.of(NOW, keep, newest=newest, lookback=lookback, kept=kept)
    inside = [begin + timedelta(hours=n) for n in range(hours)]
    last = begin + timedelta(hours=hours)
    if found.deletes_all(begin, last):
        assert all(found.deletes(end) for end in inside)
    else:
        assert not all(found.deletes(end) for end in inside) or last > found.before


@given(HOURS, SPANS, SPANS, st.sets(HOURS, max_size=5), HOURS, SPANS)
def test_what_is_deleted_once_is_deleted_later(newest, keep, lookback, kept, end, later):
    now = Retention.of(NOW, keep, newest=newest, lookback=lookback, kept=kept)
    then = Retention.of(NOW + later, keep, newest=newest + later, lookback=lookback, kept=kept)
    assert not now.deletes(end) or then.deletes(end)


class Failing(MemoryStore):
    """A store that fails, or takes the process down, at some of its deletions."""

    dice = random.Random(0)  # noqa: S311
    errors = 0.0

    def delete(self, key: str) -> None:
        if self.dice.random() < self.errors:
            raise self.dice.choice([Unavailable("away"), KeyboardInterrupt()])
        super().delete(key)


def windows_of(ports, config, days):
    """Write windows twice a day of the past, as checks do; return their ends."""
    ends = [NOW - n * timedelta(hours=12) for n in range(days * 2)]
    for end in ends:
        record = WindowRecord(end, "1", 10, "pass", 0.0, "pending", None, None)
        ports.history.record(config.name, record, metrics={}, artifacts={})
        raw = {
            "window_end": end.isoformat(),
            "verdict": "pass",
            "reason": "",
            "rows": 9,
            "drifted_share": 0.0,
        }
        ports.store.put(check_key(config.name, end), json.dumps(raw).encode())
    ports.store.put(f"reports/{config.name}/readme.txt", b"a person's")
    for end in sorted(ends):
        ports.ledger.save_record(HealthRecord(config.name, RecordKind.WINDOW, end.isoformat(), end, {}))
    ports.ledger.write(Traffic(config.name), kind="begun", reason="r", by="me", at=NOW - days * DAY)
    return sorted(ends)


def test_a_model_of_another_dag_file_is_kept_as_its_last_check_says(old):
    ports, config = old
    ends = windows_of(ports, config, 180)
    delete_old_monitoring([], ports)
    assert len(left(ports, config)[0]) == len(ends), "its record does not say it"
    body = {"settings": shown_settings(keeping(config, 50 * DAY))}
    ports.ledger.save_record(
        HealthRecord(config.name, RecordKind.WINDOW, ends[-1].isoformat(), ends[-1], body)
    )
    for _ in range(2):
        delete_old_monitoring([(config.name, "cannot be read")], ports)
    assert left(ports, config)[0] == [end for end in ends if end >= NOW - 50 * DAY]


def left(ports, config):
    reports = ports.store.list(f"reports/{config.name}")
    records, _ = ports.ledger.records(config.name, RecordKind.WINDOW, None, 100_000)
    return (
        [record.window_end for record in ports.history.windows(config.name)],
        [key for key in reports if key.endswith(".json")],
        [record.at for record in records],
    )


@pytest.fixture
def old(config):
    """Return ports with 180 days of windows, of a model that keeps 100 days."""
    return fake_ports(start=NOW, store=Failing()), keeping(config, 100 * DAY)


def keeping(config, keep):
    return config.model_copy(update={"monitor": config.monitor.model_copy(update={"keep": keep})})


def test_windows_within_keep_stay_and_a_second_run_deletes_nothing(old):
    ports, config = old
    ends = windows_of(ports, config, 180)
    young = [end for end in ends if end >= NOW - 100 * DAY]
    done = delete_old_monitoring([config, ("broken", "no name")], ports)
    assert (done["runs"], done["reports"], done["failed"]) == (len(ends) - len(young),) * 2 + ({},)
    assert left(ports, config) == (young, [check_key(config.name, end) for end in young], young)
    assert ports.store.exists(f"reports/{config.name}/readme.txt"), "not a report"
    again = delete_old_monitoring([config], ports)
    assert (again["runs"], again["reports"], again["records"]) == (0, 0, 0)


def test_a_run_deletes_a_bounded_number_of_the_oldest(old, monkeypatch):
    ports, config = old
    ends = windows_of(ports, config, 180)
    monkeypatch.setattr(deletion, "MAX_REPORTS", 7)
    monkeypatch.setattr(deletion, "MAX_RUNS", 5)
    for n in (1, 2, 3):
        delete_old_monitoring([config], ports)
        runs, reports, _ = left(ports, config)
        assert (runs, len(reports)) == (ends[5 * n :], len(ends) - 7 * n)


def test_a_model_whose_checks_stopped_keeps_what_its_next_check_reads(old):
    ports, config = old
    ends = windows_of(ports, config, 180)
    ports.clock.set(NOW + 1000 * DAY)
    for _ in range(2):
        delete_old_monitoring([config], ports)
    back = [end for end in ends if end >= NOW - history_lookback(config)]
    assert back
    assert left(ports, config)[0] == back


def test_what_started_the_retrain_of_a_version_is_kept(old):
    ports, config = old
    ends = windows_of(ports, config, 180)
    for n, key in ((0, "aaaaaaaaaaaa"), (1, "bbbbbbbbbbbb"), (2, "cccccccccccc")):
        request = RetrainRequest(run_key=key, trigger_id=trigger_id(config.name, ends[n]))
        save_result(ports.store, config.name, key, "request", asdict(request))
    in_registry(ports, config.name, "aaaaaaaaaaaa")
    was_champion(ports, config, "bbbbbbbbbbbb")
    assert windows_of_versions(ports, config.name) == set(ends[:2])
    delete_old_monitoring([config], ports)
    runs, reports, records = left(ports, config)
    young = [end for end in ends if end >= NOW - 100 * DAY]
    assert runs == [*ends[:2], *young], "not that of a retrain which made no version"
    assert reports == [check_key(config.name, end) for end in runs]
    assert set(young) <= set(records) <= set(runs), "of an old day the ledger has one window"


def in_registry(ports, model, key):
    made = Version(model, "1", "d" * 64, "run", {"homeostat.run_key": key}, NOW)
    ports.registry._versions[model] = {"1": made}


def was_champion(ports, config, key):
    """Write the promotion of a version that was deleted in the registry since."""
    traffic, served = ports.ledger.read(config.name), VersionRef("9", "e" * 64)
    rollout = Rollout(key, served, Phase.CHAMPION, 0, NOW, Plan.of(config))
    promoted = replace(traffic, champion=served, rollout=rollout)
    ports.ledger.write(promoted, kind="promoted", reason="r", by="me", at=NOW)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_interrupted_and_repeated_deletion_ends_where_one_run_does(config, seed):
    config = keeping(config, 100 * DAY)
    ports, whole = (fake_ports(start=NOW, store=Failing()) for _ in range(2))
    for each in (ports, whole):
        windows_of(each, config, 130)
    delete_old_monitoring([config], whole)
    ports.store.dice, ports.store.errors = random.Random(seed), 0.02  # noqa: S311
    for _ in range(6):
        with suppress(KeyboardInterrupt):
            delete_old_monitoring([config], ports)
    ports.store.errors = 0.0
    delete_old_monitoring([config], ports)
    assert left(ports, config) == left(whole, config)


def test_one_model_that_fails_keeps_no_other_from_it(old):
    ports, config = old
    other = config.model_copy(update={"name": "another"})
    for each in (config, other):
        windows_of(ports, each, 150)
    ports.store.put(f"retrain/{config.name}/dddddddddddd/request.json", b"{")
    in_registry(ports, config.name, "dddddddddddd")
    done = delete_old_monitoring([config, other], ports)
    assert list(done["failed"]) == [config.name]
    assert len(left(ports, config)[0]) == 300
    assert len(left(ports, other)[0]) == 201
