"""Health records of every ledger: the in-memory fake, SQLite and a real PostgreSQL keep the same rules."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeostat.adapters import open_ledger
from homeostat.adapters.ledger_memory import MemoryLedger
from homeostat.core.retention import Retention
from homeostat.core.rollout import Traffic
from homeostat.ports import HealthRecord, RecordKind

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
WINDOW, RETRAIN = RecordKind.WINDOW, RecordKind.RETRAIN


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def ledger(request, tmp_path):
    if request.param == "memory":
        yield MemoryLedger()
        return
    postgres = request.param == "postgresql"
    opened = open_ledger(
        request.getfixturevalue("postgres_url") if postgres else f"sqlite:///{tmp_path}/l.db"
    )
    yield opened
    opened.close()


@pytest.fixture
def model():
    return f"pump-{uuid.uuid4().hex[:8]}"


def window(model, at, rank=0, **body):
    return HealthRecord(model, WINDOW, at.isoformat(), at, body, rank)


@pytest.mark.quick
def test_a_record_is_read_back_and_replaced_by_its_key(ledger, model):
    ledger.save_record(window(model, NOW, 2, found=1))
    ledger.save_record(window(model, NOW, 3, found=2))
    found, count = ledger.records(model, WINDOW, None, 10)
    assert found == [window(model, NOW, 3, found=2)]
    assert count == 1
    assert ledger.records(model, RETRAIN, None, 10) == ([], 0)


def test_records_are_oldest_first_and_end_at_since(ledger, model):
    for hours in (3, 1, 2, 0):
        ledger.save_record(window(model, NOW + hours * HOUR))
    found, count = ledger.records(model, WINDOW, NOW + HOUR, 10)
    assert [record.at for record in found] == [NOW + hours * HOUR for hours in (1, 2, 3)]
    assert count == 3


def test_of_many_the_worst_of_each_part_is_returned_and_the_newest(ledger, model):
    for hours in range(40):
        ledger.save_record(window(model, NOW + hours * HOUR, rank=5 if hours == 13 else 0))
    found, count = ledger.records(model, WINDOW, None, 4)
    assert count == 40
    assert [(record.at - NOW) // HOUR for record in found] == [9, 13, 29, 39]


def test_windows_older_than_a_hundred_days_are_thinned_to_the_worst_of_each_day(ledger, model):
    day = datetime(2026, 1, 5, tzinfo=UTC)
    for hours in range(24):
        ledger.save_record(window(model, day + hours * HOUR, rank=9 if hours == 7 else 1))
    ledger.save_record(HealthRecord(model, RETRAIN, "r", day, {}))
    ledger.save_record(window(model, day + timedelta(days=99)))
    assert ledger.records(model, WINDOW, None, 100)[1] == 25
    ledger.save_record(window(model, day + timedelta(days=102)))
    kept, _ = ledger.records(model, WINDOW, None, 100)
    assert [record.at for record in kept] == [
        day + 7 * HOUR,
        day + timedelta(days=99),
        day + timedelta(days=102),
    ]
    assert ledger.records(model, RETRAIN, None, 10)[1] == 1


def test_the_fleet_has_the_newest_of_each_model_its_traffic_and_its_lease(ledger, model):
    other = f"{model}-other"
    ledger.write(Traffic(model), kind="test", reason="because", by="me", at=NOW)
    ledger.acquire_lease(other, "t", "run-1", NOW, HOUR)
    for hours in range(3):
        ledger.save_record(window(model, NOW + hours * HOUR, hours=hours))
    ledger.save_record(HealthRecord(model, RETRAIN, "r", NOW, {"outcome": "failed"}))
    fleet = ledger.fleet(NOW)
    assert fleet[model].traffic == Traffic(model, 1)
    assert fleet[model].newest[WINDOW].body == {"hours": 2}
    assert fleet[model].newest[RETRAIN].body == {"outcome": "failed"}
    assert fleet[model].holder is None
    assert (fleet[other].traffic, fleet[other].newest, fleet[other].holder) == (Traffic(other), {}, "run-1")
    assert ledger.fleet(NOW + 2 * HOUR)[other].holder is None


def test_the_newest_events_of_a_time_come_oldest_first_without_evidence(ledger, model):
    traffic = Traffic(model)
    for hours in range(5):
        traffic = ledger.write(
            traffic, kind=f"k{hours}", reason="r", by="me", at=NOW + hours * HOUR, evidence={"n": 1}
        )
    found = ledger.events_between(model, NOW + HOUR, 3)
    assert [(event.kind, event.evidence) for event in found] == [("k2", {}), ("k3", {}), ("k4", {})]
    assert [event.kind for event in ledger.events_between(model, NOW + 4 * HOUR, 3)] == ["k4"]
    assert len(ledger.events_between(model, None, 9)) == 5


def test_old_windows_are_deleted_and_other_records_are_not(ledger, model):
    ends = [NOW + hours * HOUR for hours in range(6)]
    for name in (model, f"{model}-other"):
        for end in ends:
            ledger.save_record(window(name, end))
    ledger.save_record(HealthRecord(model, RETRAIN, "r", NOW, {"outcome": "failed"}))
    old = Retention(before=ends[4], kept=frozenset([ends[1], ends[5]]))
    assert ledger.delete_windows(model, old) == 3
    assert ledger.delete_windows(model, old) == 0
    assert [record.at for record in ledger.records(model, WINDOW, None, 99)[0]] == [
        ends[n] for n in (1, 4, 5)
    ]
    assert ledger.records(model, RETRAIN, None, 99)[1] == 1
    assert ledger.records(f"{model}-other", WINDOW, None, 99)[1] == 6


def test_events_of_champions_are_without_those_that_keep_it(ledger, model):
    traffic = Traffic(model)
    for hours, kind in enumerate(
        ["begun", "promoted", "clock", "canary", "rolled_back", "begun", "promoted"]
    ):
        traffic = ledger.write(traffic, kind=kind, reason="r", by="me", at=NOW + hours * HOUR)

    def kinds(since, limit):
        return [event.kind for event in ledger.champion_events(model, since, limit)]

    assert kinds(None, 9) == ["promoted", "rolled_back", "promoted"]
    assert kinds(None, 2) == ["rolled_back", "promoted"]
    assert kinds(NOW + 5 * HOUR, 9) == ["promoted"]


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 31)), max_size=40), st.integers(1, 12))
def test_memory_and_sqlite_keep_and_thin_alike(windows, limit):
    memory, sqlite = MemoryLedger(), open_ledger("sqlite:///:memory:")
    for hours, rank in windows:
        for each in (memory, sqlite):
            each.save_record(window("m", NOW + hours * HOUR, rank))
    assert memory.records("m", WINDOW, None, limit) == sqlite.records("m", WINDOW, None, limit)
    sqlite.close()
