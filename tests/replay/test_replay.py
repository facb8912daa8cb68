"""The replay client against a real HTTP server that behaves like a gateway, working or broken."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from homeostat.config import ModelConfig
from homeostat.config.errors import ConfigError, DataError
from homeostat.replay import replay

START = datetime(2026, 1, 5, tzinfo=UTC)
CONFIG = ModelConfig.model_validate(
    {
        "name": "sample",
        "task": "classification",
        "pipeline": "pipeline.py:build",
        "source": {"kind": "csv", "uri": "rows.csv"},
        "schema": {
            "key": "unit",
            "label": {"name": "y", "delay": "1h"},
            "features": {"x": {"type": "number"}, "c": {"type": "category"}},
        },
    }
)


def make_rows(count: int) -> pd.DataFrame:
    x = [float(i % 10) for i in range(count)]
    return pd.DataFrame(
        {
            "timestamp": [START + timedelta(minutes=i) for i in range(count)],
            "unit": [f"u{i % 3}" for i in range(count)],
            "x": x,
            "c": ["a"] * count,
            "y": [int(value > 5) for value in x],
        }
    )


class Gateway:
    """Predicts 1 where x > 4 and keeps the requests. ``fault(n)`` may replace the n-th response."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict]] = []
        self.labels: list[dict] = []
        self.ports: set[int] = set()
        self.asked: set[str | None] = set()
        self.fault = lambda _number: None
        routes = [
            Route("/models/sample/invocations", self.invocations, methods=["POST"]),
            Route("/models/sample/labels", self.take_labels, methods=["POST"]),
        ]
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.server = uvicorn.Server(
            uvicorn.Config(Starlette(routes=routes), log_level="error", lifespan="off")
        )
        self.thread = threading.Thread(target=self.server.run, args=([self.socket],), daemon=True)

    async def invocations(self, request: Request):
        body = await request.json()
        number = len(self.requests)
        self.requests.append((request.headers["x-request-id"], body))
        assert request.client is not None
        self.ports.add(request.client.port)
        self.asked.add(request.headers.get("authorization"))
        result = self.fault(number)
        if isinstance(result, float):
            await asyncio.sleep(result)
        elif result is not None:
            return result
        split = body["dataframe_split"]
        at = split["columns"].index("x")
        headers = {"X-Homeostat-Version": "10" if number % 2 else "9", "X-Homeostat-Variant": "champion"}
        found = [None if row[at] is None else int(row[at] > 4) for row in split["data"]]
        return JSONResponse({"predictions": found}, headers=headers)

    async def take_labels(self, request: Request):
        self.asked.add(request.headers.get("authorization"))
        self.labels.append(await request.json())
        return JSONResponse({"accepted": 1, "duplicates": 0, "conflicts": 0})


@pytest.fixture
def gateway():
    it = Gateway()
    it.thread.start()
    deadline = time.monotonic() + 20
    while not it.server.started:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    yield it
    it.server.should_exit = True
    it.thread.join(timeout=20)
    it.socket.close()


def test_every_row_is_sent_once_and_counted(gateway):
    rows, seen, done = make_rows(100), [], []
    report = replay(rows, CONFIG, gateway.url, concurrency=4, on_result=seen.append, on_progress=done.append)
    assert (report.sent, report.failed, report.labels, report.stopped) == (100, 0, 100, False)
    assert report.by_version == {"9": 50, "10": 50}
    assert report.accuracy == 0.9  # 5 is predicted as 1 and labelled 0
    assert done == list(range(1, 101))
    assert {result.at for result in seen} == set(rows["timestamp"])
    assert all(result.right == (result.prediction == result.label) for result in seen)
    assert len(gateway.ports) <= 4  # connections are reused
    assert "100 rows" in report.sentence()
    assert "results" not in report.to_json()


def test_a_request_has_time_and_key_but_never_the_label(gateway):
    replay(make_rows(3), CONFIG, gateway.url, concurrency=1)
    split = gateway.requests[0][1]["dataframe_split"]
    assert split == {
        "columns": ["timestamp", "unit", "x", "c"],
        "data": [[START.isoformat(), "u0", 0.0, "a"]],
    }


@pytest.mark.parametrize(("token", "header"), [("t0ken", "Bearer t0ken"), ("", None)])
def test_a_token_is_sent_with_rows_and_labels(gateway, token, header):
    assert replay(make_rows(3), CONFIG, gateway.url, token=token).labels == 3
    assert gateway.asked == {header}


def test_labels_carry_their_prediction_id_and_the_time_at_which_they_are_known(gateway):
    report = replay(make_rows(5), CONFIG, gateway.url, batch=2, concurrency=1, label_delay=timedelta(hours=2))
    entries = [entry for post in gateway.labels for entry in post["labels"]]
    assert {e["id"]: e["label"] for e in entries} == {a.id: a.label for a in report.results}
    assert entries[0]["at"] == (START + timedelta(hours=2)).isoformat()
    first, last = gateway.requests[0][0], gateway.requests[-1][0]
    assert [a.id for a in report.results] == [
        f"{first}-0",
        f"{first}-1",
        *(a.id for a in report.results[2:4]),
        last,
    ]


def test_due_labels_are_sent_while_rows_are_still_sent(gateway):
    before = []
    gateway.fault = lambda number: before.append(len(gateway.labels)) if number == 1399 else None
    replay(make_rows(1400), CONFIG, gateway.url, concurrency=2, label_delay=timedelta(minutes=10))
    assert before[0] >= 1
    assert [len(post["labels"]) for post in gateway.labels] == [500, 500, 400]


def test_the_same_rows_get_the_same_ids_and_another_run_gives_new_ones(gateway):
    rows = pd.concat([make_rows(20), make_rows(1)])  # the last one twice
    ids = [
        [result.id for result in replay(rows, CONFIG, gateway.url, concurrency=1, run=run).results]
        for run in ("", "", "other")
    ]
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 21
    assert not set(ids[0]) & set(ids[2])


def test_missing_values_are_sent_as_null_and_a_null_prediction_is_wrong(gateway):
    rows = make_rows(4).assign(x=[float("nan"), 1.0, float("nan"), 9.0], y=[0, 0, None, 1])
    report = replay(rows, CONFIG, gateway.url, concurrency=1)
    assert gateway.requests[0][1]["dataframe_split"]["data"][0][2] is None
    assert [result.right for result in report.results] == [False, True, None, True]
    assert (report.failed, report.labels) == (0, 3)


def test_every_response_but_a_200_with_predictions_counts_as_failed(gateway):
    odd = {
        0: JSONResponse({"message": "no such model"}, status_code=404),
        1: PlainTextResponse("busy", status_code=503),
        2: PlainTextResponse("hello"),
        3: JSONResponse({"predictions": [1, 2]}),
        4: 4.0,  # longer than the time-out, which exceeds the stalls of a busy machine
    }
    gateway.fault = odd.get
    report = replay(make_rows(10), CONFIG, gateway.url, concurrency=1, timeout=2.0)
    assert (report.sent, report.failed, report.labels) == (10, 5, 5)
    assert {"status 404: no such model", "status 503: busy", "2 predictions for 1 rows"} <= set(
        report.problems
    )
    assert any("TimeoutError" in problem for problem in report.problems)
    assert all(result.right is None for result in report.results if not result.ok)


def test_without_a_gateway_every_row_fails_and_is_counted():
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    report = replay(make_rows(7), CONFIG, f"http://127.0.0.1:{port}", concurrency=3)
    assert (report.sent, report.failed, report.p50_ms, report.accuracy) == (7, 7, None, None)
    assert "ConnectionRefusedError" in report.sentence()


def test_the_rate_is_kept_and_after_stop_the_sent_rows_are_counted(gateway):
    began = time.monotonic()
    replay(make_rows(20), CONFIG, gateway.url, rate=40, concurrency=4)
    assert time.monotonic() - began >= 19 / 40
    stop = threading.Event()
    report = replay(
        make_rows(5000), CONFIG, gateway.url, rate=100, stop=stop, on_progress=lambda n: n >= 5 and stop.set()
    )
    assert report.stopped
    assert 5 <= report.sent < 100
    assert report.labels == report.sent


def test_several_frames_are_sent_in_order(gateway):
    chunks = (make_rows(30).iloc[i : i + 10] for i in (0, 10, 20))
    assert replay(chunks, CONFIG, gateway.url).sent == 30


def test_an_error_in_a_callback_reaches_the_caller_and_ends_the_threads(gateway):
    def refuse(_answer):
        raise RuntimeError("enough")

    before = threading.active_count()
    with pytest.raises(RuntimeError, match="enough"):
        replay(make_rows(200), CONFIG, gateway.url, on_result=refuse)
    assert threading.active_count() == before


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://host", "http://host:port", ""])
def test_a_wrong_url_raises_before_anything_is_sent(url):
    with pytest.raises(ConfigError, match=r"expected for example http://127\.0\.0\.1:8000"):
        replay(make_rows(1), CONFIG, url)


def test_rows_of_another_model_raise_an_error_with_the_expected_columns(gateway):
    with pytest.raises(DataError, match="expected timestamp, x, c for sample"):
        replay(make_rows(3).drop(columns=["x", "c"]), CONFIG, gateway.url)
    with pytest.raises(DataError, match="row 1 has no 'timestamp'"):
        replay(make_rows(3).assign(timestamp=[START, None, START]), CONFIG, gateway.url)
    assert not gateway.requests


def test_a_missing_feature_is_sent_as_it_is(gateway):
    assert replay(make_rows(3).drop(columns=["c"]), CONFIG, gateway.url).sent == 3


@pytest.mark.parametrize("wrong", [{"rate": 0}, {"concurrency": 0}, {"batch": 0}])
def test_options_out_of_range_raise(wrong):
    with pytest.raises(ConfigError, match="must be greater than 0"):
        replay(make_rows(1), CONFIG, "http://127.0.0.1:1", **wrong)


def test_live_rows_have_the_time_at_which_they_are_due():
    from homeostat.cli.commands.replay import live_times

    began = datetime.now(UTC)
    paced = live_times(60, 20.0)
    assert timedelta(0) <= paced[0] - began < timedelta(minutes=1)
    assert [at - paced[0] for at in paced] == [timedelta(seconds=row / 20) for row in range(60)]
    assert len(set(live_times(60, None))) == 1
    assert len(live_times(0, 20.0)) == 0
