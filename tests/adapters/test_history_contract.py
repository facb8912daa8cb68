"""Contract of every History: the in-memory fake, the store and a real MLflow server."""

from __future__ import annotations

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from homeostat.adapters import history_mlflow, history_store, open_store, open_store_history
from homeostat.adapters.history_memory import MemoryHistory
from homeostat.adapters.history_mlflow import MlflowHistory
from homeostat.adapters.history_store import StoreHistory
from homeostat.adapters.store_memory import MemoryStore
from homeostat.config.errors import ConfigError, Unavailable
from homeostat.core.retention import Retention
from homeostat.core.trigger import WindowRecord

if TYPE_CHECKING:
    from homeostat.ports import History

END = datetime(2012, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture(params=["memory", "store", "s3", "mlflow"])
def history(request: pytest.FixtureRequest) -> History:
    if request.param == "memory":
        return MemoryHistory()
    if request.param == "store":
        return open_store_history(MemoryStore())
    if request.param == "s3":
        return open_store_history(open_store(f"s3://{request.getfixturevalue('s3_server').bucket}/history"))
    return MlflowHistory(request.getfixturevalue("mlflow_server"))


@pytest.fixture
def model() -> str:
    return f"pump-{uuid.uuid4().hex[:8]}"


def window(end: datetime, **more) -> WindowRecord:
    record = WindowRecord(end, "3", 240, "pass", 0.1, "pending", None, None, reason="within_tolerance")
    return replace(record, **more)


def put(history: History, model: str, record: WindowRecord, **more) -> str:
    values: dict[str, Any] = {
        "metrics": {"psi [a=b]": 0.2, "ks/temp": float("nan")},
        "artifacts": {"report.json": b"{}"},
    } | more
    return history.record(model, record, **values)


def test_an_unchecked_model_has_no_history(history, model):
    assert history.windows(model) == []


@pytest.mark.quick
def test_windows_are_returned_complete_and_in_order(history, model):
    records = [window(END + i * HOUR, score=0.1 * i, fired=i == 2, drift="alert") for i in range(4)]
    for record in (records[2], records[0], records[3], records[1]):
        put(history, model, record)
    assert history.windows(model) == records
    assert history.windows(model, since=END + 2 * HOUR) == records[2:]
    assert history.windows(model, since=END + 9 * HOUR) == []


def test_a_repeated_check_overwrites(history, model):
    first = put(history, model, window(END, drift="alert", drifted_share=0.9))
    again = window(END, drift="not_computable", drifted_share=None, reason="empty")
    assert put(history, model, again, metrics={}, artifacts={"report.json": b"[]", "p/q.png": b"x"}) == first
    assert history.windows(model) == [again]


def test_the_same_instant_in_another_zone_is_the_same_window(history, model):
    put(history, model, window(END, rows=1))
    put(history, model, window(END.astimezone(timezone(timedelta(hours=2))), rows=2))
    assert [record.rows for record in history.windows(model)] == [2]


def test_models_are_separate(history, model):
    put(history, model, window(END))
    assert history.windows(model + "x") == []


def test_more_days_than_a_page_are_all_read(history, model, monkeypatch):
    monkeypatch.setattr(history_mlflow, "_PAGE", 2)
    ends = [END + i * 20 * HOUR for i in range(6)]
    for end in ends:
        put(history, model, window(end), artifacts={})
    assert [record.window_end for record in history.windows(model)] == ends
    assert [record.window_end for record in history.windows(model, since=ends[1])] == ends[1:]


def test_windows_around_midnight_and_within_a_second_are_distinct(history, model):
    midnight = END.replace(hour=0)
    ends = [midnight - HOUR / 12, midnight, midnight + timedelta(milliseconds=250), midnight + HOUR / 12]
    for end in ends:
        put(history, model, window(end), artifacts={})
    assert [record.window_end for record in history.windows(model)] == ends
    assert [record.window_end for record in history.windows(model, since=midnight)] == ends[1:]


def test_old_windows_are_deleted_and_kept_ones_are_not(history, model):
    day, ends = END.replace(hour=0), [END + n * 12 * HOUR for n in range(-8, 5)]
    for end in ends:
        put(history, model, window(end), artifacts={"report.json": b"{}", "a.png": b"x"})
    put(history, model + "x", window(ends[0]))
    kept = frozenset([day - 60 * HOUR])
    retention = Retention(before=day, kept=kept)
    assert history.delete_old(model, retention, 2) == 2
    assert 0 < len(ends) - len(history.windows(model)) <= 2, "two windows, or a month and a day of them"
    assert history.delete_old(model, retention, 100) > 0
    assert history.delete_old(model, retention, 100) == 0
    left = {record.window_end for record in history.windows(model)}
    assert {end for end in ends if end >= day} | kept <= left
    assert not {end for end in ends if end < day - 72 * HOUR} & left
    assert len(history.windows(model + "x")) == 1
    put(history, model, window(ends[0]))
    assert history.windows(model)[0] == window(ends[0]), "a window that is checked again is there again"


def test_a_model_without_history_has_nothing_to_delete(history, model):
    assert history.delete_old(model, Retention(before=END), 10) == 0
    assert history.free_deleted() == 0


def test_the_fake_can_simulate_an_outage():
    history = MemoryHistory()
    history.down = True
    with pytest.raises(Unavailable):
        history.windows("m")


def test_mlflow_down_is_unavailable(free_port):
    history = MlflowHistory(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(Unavailable, match="is it running"):
        put(history, "m", window(END))


def test_the_run_in_mlflow_has_readable_name_metrics_and_tags(mlflow_server, model):
    history = MlflowHistory(mlflow_server)
    run_id = put(history, model, window(END, fired=True, drift="alert"), metrics={"ks/temp": 0.5})
    put(history, model, window(END, fired=True, drift="alert"), metrics={"ks/temp": 0.25})
    run = history._mlflow.client.get_run(run_id)
    assert run.info.run_name == "drift, labels pending, retrain requested, 2012-03-01 12:00"
    assert run.info.start_time == END.replace(hour=0).timestamp() * 1000
    assert run.data.metrics == {"ks/temp": 0.25, "rows": 240, "drifted_share": 0.1}
    assert (run.data.tags["homeostat.drift"], run.data.tags["homeostat.fired"]) == ("alert", "yes")


def test_an_interrupted_check_is_ignored_and_completed_later(mlflow_server, model, monkeypatch):
    history = MlflowHistory(mlflow_server)
    put(history, model, window(END))

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(history_mlflow, "log_tags", killed)
        with pytest.raises(KeyboardInterrupt):
            put(history, model, window(END + HOUR))
    assert history.windows(model) == [window(END)]
    run_id = put(history, model, window(END + HOUR))
    assert history.windows(model) == [window(END), window(END + HOUR)]
    assert len(history._mlflow.client.get_metric_history(run_id, "rows")) == 2


def test_checks_at_the_same_time_that_both_make_a_run_of_the_day_lose_no_record(mlflow_server, model):
    hours = range(12)
    with ThreadPoolExecutor(12) as pool:  # none of them finds a run of the day
        list(pool.map(lambda n: put(MlflowHistory(mlflow_server), model, window(END + n * HOUR)), hours))
    history = MlflowHistory(mlflow_server)
    assert history.windows(model) == [window(END + n * HOUR) for n in hours]
    again = [window(END + n * HOUR, rows=7) for n in hours]
    first = {put(history, model, record) for record in again}
    assert len(first) == 1, "later checks write to one of them"
    assert history.windows(model) == again, "and the later record of each window counts"


def test_windows_of_an_earlier_release_which_have_a_run_each_are_read(mlflow_server, model):
    history = MlflowHistory(mlflow_server)
    put(history, model, window(END, rows=1))
    client = history._mlflow.client
    experiment = client.get_experiment_by_name(f"{model}/monitoring").experiment_id
    midnight = END.replace(hour=0)
    for end in (midnight, END - HOUR, END):
        tags = {
            "homeostat.window_end": end.isoformat(),
            "homeostat.record": json.dumps(window(end).to_json()),
        }
        client.create_run(experiment, start_time=int(end.timestamp() * 1000), tags=tags)
    client.create_run(experiment, tags={"homeostat.timeline": "yes"}, run_name="all windows")
    old = [window(midnight), window(END - HOUR)]
    assert history.windows(model) == [*old, window(END, rows=1)], "the record of today counts"
    assert history.windows(model, since=END - HOUR) == [old[1], window(END, rows=1)]
    put(history, model, window(midnight, rows=2))
    assert history.windows(model) == [window(midnight, rows=2), old[1], window(END, rows=1)]


def test_the_history_of_a_look_back_is_one_request(mlflow_server, model, monkeypatch):
    history = MlflowHistory(mlflow_server)
    for day in range(6):
        put(history, model, window(END + day * 24 * HOUR), artifacts={})
    asked, client = [], history._mlflow.client
    search = client.search_runs
    monkeypatch.setattr(client, "search_runs", lambda **query: asked.append(query) or search(**query))
    assert len(history.windows(model, since=END + 50 * HOUR)) == 3
    assert len(asked) == 1
    assert len(search([asked[0]["experiment_ids"][0]], asked[0]["filter_string"])) == 4, "and of 4 days only"


def test_a_deleted_experiment_is_restored(mlflow_server, model):
    history = MlflowHistory(mlflow_server)
    put(history, model, window(END))
    client = history._mlflow.client
    client.delete_experiment(client.get_experiment_by_name(f"{model}/monitoring").experiment_id)
    assert history.windows(model) == []
    put(history, model, window(END + HOUR))
    assert window(END + HOUR) in history.windows(model)


class CountingStore(MemoryStore):
    """Records its reads and listings."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def get(self, key: str) -> bytes:
        self.calls.append(f"get {key}")
        return super().get(key)

    def list(self, prefix: str) -> list[str]:
        self.calls.append(f"list {prefix}")
        return super().list(prefix)


def at(moment: datetime):
    """Return a clock of the store's history, fixed at a time."""
    return lambda: moment


@pytest.fixture
def counted() -> CountingStore:
    """Return a store with a month of hourly windows and a cache."""
    store = CountingStore()
    history = StoreHistory(store, at(END))
    for hour in range(700):
        put(history, "pump", window(END - hour * HOUR, rows=hour))
    assert len(StoreHistory(store, at(END)).windows("pump", since=END - 700 * HOUR)) == 700
    store.calls.clear()
    return store


def test_a_month_of_hours_costs_three_listings_and_one_read(counted):
    found = StoreHistory(counted, at(END)).windows("pump", since=END - 700 * HOUR)
    assert [record.rows for record in found] == list(range(699, -1, -1))
    months = [f"list history/pump/2012-{month}" for month in ("02", "03", "04")]
    assert sorted(counted.calls) == sorted([*months, "get history/pump/cache.json"])


def test_records_newer_than_the_cache_are_read_one_by_one(counted):
    writer = StoreHistory(counted, at(END + HOUR))
    for hour in range(1, 4):
        put(writer, "pump", window(END + hour * HOUR, rows=7))
    put(writer, "pump", window(END - 9 * HOUR, rows=7))
    found = StoreHistory(counted, at(END)).windows("pump", since=END - 700 * HOUR)
    assert [record.rows for record in found].count(7) == 5  # and hour 7 itself
    assert len([call for call in counted.calls if call.startswith("get")]) == 5


def test_a_look_back_beyond_the_memory_limit_uses_the_cache(counted, monkeypatch):
    monkeypatch.setattr(history_store, "_MAX_IN_MEMORY", 100)
    counted.delete("history/pump/cache.json")
    for cold in range(2):
        counted.calls.clear()
        assert len(StoreHistory(counted, at(END)).windows("pump", since=END - 700 * HOUR)) == 700
        single_reads = [call for call in counted.calls if call.startswith("get") and "cache" not in call]
        assert len(single_reads) == (0 if cold else 700)


@pytest.mark.parametrize("cache", [b"", b"[]", b"{", b'{"a": 1}', b'{"a": {"window_end": 1}}', None])
def test_a_lost_or_damaged_cache_changes_no_result(counted, cache):
    if cache is None:
        counted.delete("history/pump/cache.json")
    else:
        counted.put("history/pump/cache.json", cache, overwrite=True)
    found = StoreHistory(counted, at(END)).windows("pump", since=END - 700 * HOUR)
    assert [record.rows for record in found] == list(range(699, -1, -1))


def test_read_only_access_works_without_a_cache(counted, monkeypatch):
    def refuse(*_, **__):
        msg = "access denied"
        raise ConfigError(msg)

    counted.delete("history/pump/cache.json")
    monkeypatch.setattr(counted, "put", refuse)
    assert len(StoreHistory(counted, at(END)).windows("pump", since=END - 50 * HOUR)) == 51


def test_an_unreadable_record_falls_back_to_the_check_before_it():
    store = MemoryStore()
    history = StoreHistory(store)
    put(history, "pump", window(END, rows=1))
    put(history, "pump", window(END, rows=2))
    newest = max(key for key in store.list("history/pump") if key.endswith(".json") and key.count("/") == 4)
    store.put(newest, b"{", overwrite=True)
    assert [record.rows for record in StoreHistory(store).windows("pump")] == [1]
    store.put("history/pump/2012-03/2012-03-01T120000/readme.json", b"what is this", overwrite=True)
    assert [record.rows for record in StoreHistory(store).windows("pump")] == [1]


def test_a_check_interrupted_before_its_record_is_ignored():
    class Dying(MemoryStore):
        def put(self, key: str, data: bytes, *, overwrite: bool = False) -> None:
            if key.endswith(".json") and "report" not in key:
                msg = "gone"
                raise Unavailable(msg)
            super().put(key, data, overwrite=overwrite)

    store = Dying()
    with pytest.raises(Unavailable):
        put(StoreHistory(store), "pump", window(END))
    assert store.list("history/pump")
    assert StoreHistory(store).windows("pump") == []


def test_the_newer_record_counts_when_the_clock_goes_back():
    history = StoreHistory(MemoryStore(), iter([END + HOUR, END, END, END, END]).__next__)
    put(history, "pump", window(END, rows=1))
    put(history, "pump", window(END, rows=2))
    assert [record.rows for record in history.windows("pump")] == [2]


def test_metrics_and_artifacts_can_be_read_for_copying():
    store = MemoryStore()
    history = StoreHistory(store, at(END))
    put(history, "pump", window(END), artifacts={"report.json": b"{}", "p/q.png": b"x"})
    (entry,) = StoreHistory(store).entries("pump")
    assert (entry.record, entry.recorded_at) == (window(END), END)
    metrics, artifacts = history.read(entry)
    assert (metrics, artifacts) == ({"psi [a=b]": 0.2}, {"report.json": b"{}", "p/q.png": b"x"})
    store.delete(next(key for key in store.list("history/pump") if key.endswith("q.png")))
    assert history.read(entry)[1] == {"report.json": b"{}"}


def test_windows_ending_in_the_same_second_are_distinct():
    history = StoreHistory(MemoryStore())
    for micro in (0, 250_000):
        put(history, "pump", window(END.replace(microsecond=micro), rows=micro))
    assert [record.rows for record in history.windows("pump")] == [0, 250_000]


def test_nothing_is_left_in_the_store_of_a_deleted_window():
    store = CountingStore()
    history = StoreHistory(store, at(END))
    for end in (END, END + HOUR):
        put(history, "pump", window(end))
    store.put("history/pump/latest.json", b"{}")
    assert StoreHistory(store, at(END)).delete_old("pump", Retention(before=END + HOUR), 9) == 1
    assert not [key for key in store.list("history/pump") if "/2012-03-01T120000/" in key]
    assert store.exists("history/pump/latest.json")
