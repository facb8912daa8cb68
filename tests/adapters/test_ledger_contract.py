"""Contract of every Ledger: the in-memory fake, SQLite and a real PostgreSQL."""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from homeostat.adapters import open_ledger
from homeostat.adapters.ledger_memory import MemoryLedger
from homeostat.adapters.ledger_tables import EVIDENCE, make_engine
from homeostat.adapters.store_memory import MemoryStore
from homeostat.config.errors import ConfigError, Refused, StaleRevision, Unavailable
from homeostat.core.rollout.evidence import Tally
from homeostat.core.rollout.phases import Phase, Plan, Rollout, Traffic, VersionRef

if TYPE_CHECKING:
    from homeostat.ports import Ledger

NOW = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)
HOUR = timedelta(hours=1)
PLAN = Plan(timedelta(hours=24), 0.1, 200, (0.1, 0.5), HOUR, 200, 0.01, 200.0, 100)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return _url(request, tmp_path)


def _url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return request.getfixturevalue("postgres_url")
    return f"sqlite:///{tmp_path}/deep/ledger.db"


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path):
    if request.param == "memory":
        yield MemoryLedger()
        return
    opened: Any = open_ledger(_url(request, tmp_path))
    yield opened
    opened.close()


@pytest.fixture
def model() -> str:
    return f"pump-{uuid.uuid4().hex[:8]}"


def write(ledger: Ledger, traffic: Traffic, **more) -> Traffic:
    event: dict[str, Any] = {"kind": "test", "reason": "because", "by": "me", "at": NOW}
    return ledger.write(traffic, **event | more)


def full(model: str, revision: int = 0) -> Traffic:
    rollout = Rollout("run/1", VersionRef("12", "ab"), Phase.CANARY, 1, NOW, PLAN, extended=True, reason="so")
    return Traffic(model, revision, VersionRef("11", "cd"), VersionRef("9", "ef"), rollout, NOW)


def in_threads(*calls):
    results: list = [None] * len(calls)
    start = threading.Barrier(len(calls))

    def run(i: int) -> None:
        start.wait()
        try:
            results[i] = calls[i]()
        except Exception as error:  # noqa: BLE001  # the tests check the errors
            results[i] = error

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_every_model_that_was_written_is_known(ledger: Ledger, model: str):
    assert model not in ledger.models()
    for name in (f"{model}-b", f"{model}-a"):
        write(ledger, Traffic(name))
    assert [name for name in ledger.models() if name.startswith(model)] == [f"{model}-a", f"{model}-b"]


def test_a_new_model_is_at_revision_zero(ledger, model):
    assert ledger.read(model) == Traffic(model)
    assert ledger.events(model) == []
    assert ledger.evidence(model, "r") == {}


@pytest.mark.quick
def test_a_write_is_read_back_complete(ledger, model):
    written = write(ledger, full(model))
    assert written == full(model, 1)
    assert ledger.read(model) == written


def test_every_write_records_one_event(ledger, model):
    first = write(ledger, Traffic(model), kind="first", evidence={"n": 3})
    write(ledger, full(model, 1), kind="second", at=NOW + HOUR)
    events = ledger.events(model)
    assert [(e.revision, e.kind, e.at, e.by, e.reason) for e in events] == [
        (1, "first", NOW, "me", "because"),
        (2, "second", NOW + HOUR, "me", "because"),
    ]
    assert events[0].evidence == {"n": 3}
    assert Traffic.from_json(events[0].traffic) == first
    assert Traffic.from_json(events[1].traffic) == full(model, 2)
    assert [e.revision for e in ledger.events(model, since=1)] == [2]


def test_models_are_separate(ledger, model):
    write(ledger, full(model))
    assert ledger.read(model + "x") == Traffic(model + "x")
    assert ledger.events(model + "x") == []


@pytest.mark.parametrize("stale", [0, 1, 3])
def test_a_stale_revision_changes_nothing(ledger, model, stale):
    write(ledger, full(model))
    current = write(ledger, full(model, 1))
    with pytest.raises(StaleRevision, match="at revision 2"):
        write(ledger, Traffic(model, stale))
    assert ledger.read(model) == current
    assert len(ledger.events(model)) == 2


def test_a_failed_write_changes_nothing(ledger, model):
    with pytest.raises(TypeError):
        write(ledger, full(model), evidence={"n": object()})
    assert ledger.read(model) == Traffic(model)
    assert ledger.events(model) == []


@pytest.mark.parametrize("before", [0, 1])
def test_of_concurrent_writers_one_wins_and_the_others_get_stale_revision(ledger, model, before):
    if before:
        write(ledger, Traffic(model))
    results = in_threads(*[lambda i=i: write(ledger, Traffic(model, before), by=str(i)) for i in range(6)])
    kinds = Counter(type(result) for result in results)
    assert kinds == {Traffic: 1, StaleRevision: 5}
    assert ledger.read(model).revision == before + 1
    assert len(ledger.events(model)) == before + 1


def test_a_repeated_batch_of_evidence_is_counted_once(ledger, model):
    tally = {("shadow", "shadow"): Tally(rows=2)}
    for gateway, batch in (("a", 1), ("a", 1), ("b", 1), ("a", 3), ("a", 2)):
        ledger.add_evidence(model, "r", gateway, NOW, tally, batch=batch)
    assert ledger.evidence(model, "r")["shadow", "shadow"].rows == 6
    ledger.add_evidence(model, "other", "a", NOW, tally, batch=1)
    assert ledger.evidence(model, "other")["shadow", "shadow"].rows == 2


@pytest.mark.quick
def test_evidence_of_all_gateways_adds_up(ledger, model):
    tally = Tally(rows=2, errors=1, predictions=(1, 0, 1), latency=(0, 2))
    for gateway in ("a", "b"):
        for _ in range(3):
            ledger.add_evidence(model, "r", gateway, NOW, {("canary:0", "candidate"): tally})
    ledger.add_evidence(model, "r", "a", NOW + HOUR, {("canary:0", "candidate"): Tally(1, latency=(0, 0, 5))})
    ledger.add_evidence(model, "r", "a", NOW, {("shadow", "shadow"): Tally(7)})
    ledger.add_evidence(model, "other", "a", NOW, {("shadow", "shadow"): Tally(100)})
    assert dict(ledger.evidence(model, "r")) == {
        ("canary:0", "candidate"): Tally(13, 6, predictions=(6, 0, 6), latency=(0, 12, 5)),
        ("shadow", "shadow"): Tally(7),
    }


def test_recent_evidence_is_exact_to_the_second(ledger, model):
    for i in range(10):
        ledger.add_evidence(model, "r", "a", NOW + timedelta(seconds=i), {("s", "v"): Tally(10**i)})
    assert ledger.evidence(model, "r", NOW + timedelta(seconds=7.5)) == {("s", "v"): Tally(1_110_000_000)}
    assert ledger.evidence(model, "r", NOW + HOUR) == {}


def test_compacted_evidence_keeps_its_sum(ledger, model):
    for i in range(60):
        at = NOW + timedelta(minutes=5 * i, seconds=i)
        ledger.add_evidence(model, "r", "a", at, {("s", "v"): Tally(1, latency=(1,) * (i % 3))})
    assert ledger.evidence(model, "r") == {("s", "v"): Tally(60, latency=(40, 20))}
    assert ledger.evidence(model, "r", NOW) == {("s", "v"): Tally(60, latency=(40, 20))}
    recent = ledger.evidence(model, "r", NOW + timedelta(minutes=295, seconds=59))
    assert recent == {("s", "v"): Tally(1, latency=(1, 1))}


def test_concurrent_gateways_lose_no_evidence(ledger, model):
    def add(gateway: str) -> None:
        for i in range(10):
            ledger.add_evidence(model, "r", gateway, NOW + timedelta(seconds=i // 4), {("s", "v"): Tally(1)})

    assert in_threads(*[lambda g=g: add(g) for g in ("a", "a", "b", "c")]) == [None] * 4
    assert ledger.evidence(model, "r") == {("s", "v"): Tally(40)}


LABELS = ("labels", "pairs")


@pytest.mark.quick
def test_replaced_evidence_is_what_a_source_wrote_last(ledger, model):
    ledger.replace_evidence(model, "r", "labels", {LABELS: Tally(3, losses=(1, 2))})
    ledger.replace_evidence(model, "r", "labels", {LABELS: Tally(2, losses=(0, 2))})
    assert ledger.evidence(model, "r") == {LABELS: Tally(2, losses=(0, 2))}
    ledger.replace_evidence(model, "r", "labels", {("holdout", "shadow"): Tally(compared=9)})
    found = {LABELS: Tally(2, losses=(0, 2)), ("holdout", "shadow"): Tally(compared=9)}
    assert ledger.evidence(model, "r") == found, "what is not named stays"
    ledger.replace_evidence(model, "r", "labels", {})
    assert ledger.evidence(model, "r") == found
    assert ledger.evidence(model, "other") == {}
    assert ledger.evidence(model + "x", "r") == {}


def test_replaced_evidence_belongs_to_the_whole_rollout(ledger, model):
    ledger.replace_evidence(model, "r", "labels", {LABELS: Tally(2)})
    ledger.add_evidence(model, "r", "a", NOW, {("s", "v"): Tally(1)})
    for since in (NOW - HOUR, NOW + HOUR, NOW + 10_000 * HOUR):
        assert ledger.evidence(model, "r", since)[LABELS] == Tally(2)
    assert dict(ledger.evidence(model, "r", NOW + HOUR)) == {LABELS: Tally(2)}


def test_replaced_evidence_of_several_sources_adds_up_with_counts(ledger, model):
    for source, rows in (("validate", 5), ("labels", 7), ("validate", 6)):
        ledger.replace_evidence(model, "r", source, {LABELS: Tally(rows, losses=(rows,))})
    ledger.add_evidence(model, "r", "labels", NOW, {LABELS: Tally(1, losses=(0, 1))})
    assert ledger.evidence(model, "r") == {LABELS: Tally(14, losses=(13, 1))}
    ledger.replace_evidence(model, "r", "labels", {LABELS: Tally(1, losses=(1,))})
    assert ledger.evidence(model, "r") == {LABELS: Tally(8, losses=(7, 1))}, "counts that were added stay"


def test_compaction_leaves_replaced_evidence(ledger, model):
    ledger.replace_evidence(model, "r", "a", {("s", "v"): Tally(100)})
    for hours in range(30):
        ledger.add_evidence(model, "r", "a", NOW + hours * HOUR, {("s", "v"): Tally(1)})
    assert ledger.evidence(model, "r") == {("s", "v"): Tally(130)}
    assert ledger.evidence(model, "r", NOW + 29 * HOUR) == {("s", "v"): Tally(101)}
    ledger.replace_evidence(model, "r", "a", {("s", "v"): Tally(50)})
    assert ledger.evidence(model, "r") == {("s", "v"): Tally(80)}


def test_gateways_that_replace_the_same_evidence_at_once_do_not_disturb_each_other(ledger, model):
    def replace_often() -> None:
        for i in range(1, 11):
            ledger.replace_evidence(model, "r", "labels", {LABELS: Tally(i)})

    assert in_threads(*[replace_often] * 4) == [None] * 4
    assert ledger.evidence(model, "r") == {LABELS: Tally(10)}


def test_a_trigger_is_granted_to_one_holder_only(ledger, model):
    assert ledger.acquire_lease(model, "t1", "run1", NOW, HOUR).granted
    ledger.release_lease(model, "run1")
    second = ledger.acquire_lease(model, "t1", "run2", NOW + 10 * HOUR, HOUR)
    assert (second.granted, second.holder) == (False, "run1")
    assert "already handled" in second.reason


@pytest.mark.quick
def test_the_same_holder_may_acquire_again(ledger, model):
    for _ in range(2):
        assert ledger.acquire_lease(model, "t1", "run1", NOW, HOUR).granted
    ledger.release_lease(model, "run1")
    assert ledger.acquire_lease(model, "t1", "run1", NOW, HOUR).granted


def test_one_lease_per_model_at_a_time(ledger, model):
    assert ledger.acquire_lease(model, "t1", "run1", NOW, HOUR).granted
    second = ledger.acquire_lease(model, "t2", "run2", NOW, HOUR)
    assert (second.granted, second.holder) == (False, "run1")
    assert "retraining" in second.reason
    ledger.release_lease(model, "run2")  # not holding it is fine, and frees nothing
    assert not ledger.acquire_lease(model, "t2", "run2", NOW, HOUR).granted
    ledger.release_lease(model, "run1")
    assert ledger.acquire_lease(model, "t2", "run2", NOW, HOUR).granted
    assert ledger.acquire_lease(model + "x", "t2", "run3", NOW, HOUR).granted


def test_the_holder_is_known_until_release_or_expiry(ledger, model):
    assert ledger.lease_holder(model, NOW) is None
    assert ledger.acquire_lease(model, "t1", "run1", NOW, HOUR).granted
    assert ledger.lease_holder(model, NOW) == "run1"
    assert ledger.lease_holder(model, NOW + HOUR) is None
    ledger.release_lease(model, "run1")
    assert ledger.lease_holder(model, NOW) is None


def test_an_expired_lease_no_longer_blocks(ledger, model):
    assert ledger.acquire_lease(model, "t1", "run1", NOW, HOUR).granted
    assert ledger.acquire_lease(model, "t2", "run2", NOW + HOUR, HOUR).granted
    late = ledger.acquire_lease(model, "t1", "run1", NOW + HOUR, HOUR)
    assert (late.granted, late.holder) == (False, "run2")


def test_of_concurrent_requests_one_gets_the_lease(ledger, model):
    results = in_threads(
        *[lambda i=i: ledger.acquire_lease(model, f"t{i % 2}", f"run{i}", NOW, HOUR) for i in range(6)]
    )
    granted = [result for result in results if result.granted]
    assert len(granted) == 1
    assert {result.holder for result in results} == {granted[0].holder}


def test_concurrent_processes_create_the_tables_once(url, model):
    ledgers = [open_ledger(url) for _ in range(6)]
    results = in_threads(*[lambda each=each: each.read(model) for each in ledgers])
    for each in ledgers:
        each.close()
    assert results == [Traffic(model)] * 6


def test_a_new_sqlite_file_can_be_opened_concurrently(tmp_path):
    for n in range(40):
        ledgers = [open_ledger(f"sqlite:///{tmp_path}/{n}.db") for _ in range(6)]
        assert in_threads(*[lambda each=each: each.read("m") for each in ledgers]) == [Traffic("m")] * 6
        for each in ledgers:
            each.close()


def test_another_connection_sees_a_write(url, model):
    one, other = open_ledger(url), open_ledger(url)
    write(one, full(model))
    assert other.read(model) == full(model, 1)
    one.close()
    other.close()


def test_old_rows_are_compacted(tmp_path):
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    for i in range(0, 6 * 3600, 20):
        ledger.add_evidence("m", "r", "a", NOW + timedelta(seconds=i), {("s", "v"): Tally(1)})
    with ledger._read_engine.connect() as db:
        count = db.exec_driver_sql(
            "select count(*), sum(span = 1), sum(span = 60) from homeostat_evidence"
        ).one()
    assert ledger.evidence("m", "r") == {("s", "v"): Tally(1080)}
    assert count[0] < 220
    ledger.close()


def test_counts_of_release_0_1_are_added_to_those_of_today(url, model):
    ledger = open_ledger(url)
    ledger.add_evidence(model, "r", "a", NOW, {("s", "v"): Tally(1, latency=(1,))})
    engine = make_engine(url)
    with engine.begin() as db:
        old = {"tally": '{"answers": 5, "latency": [0, 2]}'}
        db.execute(EVIDENCE.update().where(EVIDENCE.c.model == model).values(**old))
    engine.dispose()
    for second in (0, 400):  # into the same row, and into one that compacts it
        ledger.add_evidence(model, "r", "a", NOW + timedelta(seconds=second), {("s", "v"): Tally(2)})
    assert ledger.evidence(model, "r") == {("s", "v"): Tally(9, latency=(0, 2))}
    ledger.close()


def test_the_fake_can_simulate_an_outage():
    ledger = MemoryLedger()
    ledger.down = True
    with pytest.raises(Unavailable):
        ledger.read("m")


def test_an_unreachable_database_is_unavailable_within_seconds(free_port):
    ledger = open_ledger(f"postgresql+psycopg2://me:secret@127.0.0.1:{free_port()}/x")
    started = time.monotonic()
    with pytest.raises(Unavailable, match="does not answer") as caught:
        ledger.read("m")
    assert time.monotonic() - started < 10
    assert "secret" not in str(caught.value)


def test_postgresql_connections_have_time_limits_that_the_url_can_override(postgres_url):
    engine = make_engine(f"{postgres_url}?keepalives_idle=7")
    with engine.connect() as db:
        parameters = db.connection.dbapi_connection.info.dsn_parameters
        timeouts = [db.exec_driver_sql(f"show {name}_timeout").scalar() for name in ("statement", "lock")]
    engine.dispose()
    assert parameters["tcp_user_timeout"] == "5000"
    assert (parameters["keepalives_idle"], parameters["keepalives_interval"]) == ("7", "1")
    assert timeouts == ["4s", "2s"]


def test_a_file_that_is_no_database_is_named_in_the_error(tmp_path):
    (tmp_path / "ledger.db").write_text("not a database, but long enough to look at" * 100)
    with pytest.raises(Unavailable, match=r"ledger\.db"):
        open_ledger(f"sqlite:///{tmp_path}/ledger.db").read("m")


@pytest.mark.parametrize("url", ["", "ledger.db", "nosuchdb://x"])
def test_an_invalid_url_is_refused_with_an_example(url):
    with pytest.raises(ConfigError, match="sqlite:////path"):
        open_ledger(url)


@pytest.fixture
def published(ledger, model, tmp_path):
    """Return a function that publishes the model and opens the published ledger."""
    from homeostat.adapters import LedgerSnapshot, fake_ports
    from homeostat.config.model import ModelConfig
    from homeostat.storage import model_state

    config = ModelConfig.model_validate(
        {
            "name": model,
            "task": "regression",
            "pipeline": "p.py:build",
            "source": {"kind": "predictions"},
            "schema": {"label": {"name": "y"}, "features": {"x": {"type": "number"}}},
            "monitor": {"runs_on": "lambda"},
        }
    )
    store = MemoryStore()

    def publish_state() -> LedgerSnapshot:
        model_state.publish_state(config, fake_ports(start=NOW, ledger=ledger, store=store))
        return LedgerSnapshot(store)

    return publish_state


@pytest.mark.quick
def test_the_snapshot_reads_like_the_ledger(ledger, model, published):
    assert published().read(model) == Traffic(model)
    first = write(ledger, Traffic(model, 0, VersionRef("9", "ef")))
    second = write(ledger, full(model, first.revision))
    write(ledger, replace(full(model, second.revision), rollout=None), at=NOW + HOUR)
    snapshot = published()
    assert snapshot.read(model) == ledger.read(model)
    assert [event.revision for event in snapshot.events(model)] == [1, 2]  # where the champion changed
    assert [event.revision for event in snapshot.events(model, since=1)] == [2]
    assert snapshot.events(model) == [replace(event, evidence={}) for event in ledger.events(model)[:2]]


def test_the_snapshot_knows_all_former_champions(ledger, model, published):
    from homeostat.storage.champion_history import champions

    revision = 0
    for version in ("1", "2", "2", "1", "3"):
        revision = write(ledger, Traffic(model, revision, VersionRef(version, f"d{version}"))).revision
    expected = champions(ledger, model)
    assert [ref.version for ref in expected] == ["1", "2", "1", "3"]
    assert champions(published(), model) == expected


@pytest.mark.parametrize("lease", [timedelta(minutes=7), HOUR, timedelta(days=3, minutes=11)])
def test_the_snapshot_knows_the_lease_holder_until_expiry(ledger, model, published, lease):
    assert published().lease_holder(model, NOW) is None
    ledger.acquire_lease(model, "t1", "run1", NOW, lease)
    snapshot = published()
    assert snapshot.lease_holder(model, NOW + lease - timedelta(seconds=1)) == "run1"
    assert snapshot.lease_holder(model, NOW + lease + timedelta(minutes=1)) is None
    ledger.release_lease(model, "run1")
    assert published().lease_holder(model, NOW) is None


def test_the_snapshot_is_read_only(model, published):
    snapshot = published()
    for call in (
        lambda: write(snapshot, Traffic(model)),
        lambda: snapshot.add_evidence(model, "r", "g", NOW, {}),
        lambda: snapshot.replace_evidence(model, "r", "s", {}),
        lambda: snapshot.evidence(model, "r"),
        lambda: snapshot.acquire_lease(model, "t", "h", NOW, HOUR),
        lambda: snapshot.release_lease(model, "h"),
    ):
        with pytest.raises(Refused, match="where HOMEOSTAT_LEDGER is set"):
            call()
