"""Scoring over real HTTP: protocols, rejected requests, the prediction log."""

from datetime import UTC, datetime, timedelta

import pytest

from homeostat.storage.label_join import read_labelled
from homeostat.storage.prediction_log import read_predictions
from serving.gateway_harness import model_config, serving, until

ROW = {"a": 1.0, "b": 0.0, "colour": "red"}
SPLIT = {"columns": ["a", "b", "colour"], "data": [[1.0, 0.0, "red"], [0.0, 1.0, "blue"]]}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    from serving.gateway_harness import make_gateway_fixture

    setup = make_gateway_fixture(tmp_path_factory.mktemp("scoring"))
    setup.begin(setup.version())
    with serving(setup) as client:
        client.ready()
        yield setup, client


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": SPLIT},
        {"dataframe_records": [ROW, {"a": 0, "b": 1, "colour": None}]},
        {"instances": [ROW, ROW | {"a": 0.0, "b": 1.0}]},
        {"instances": [[1, 0, "red", None], [0, 1, "blue", 3.0]]},
        {"inputs": {"a": [1, 0], "b": [0, 1], "colour": ["red", "green"]}},
    ],
    ids=["split", "records", "instances", "positional", "inputs"],
)
def test_every_format_of_mlflows_protocol_gives_the_same_predictions(served, body):
    _, client = served
    for path in ("/invocations", "/models/pump/invocations"):
        answer = client.http.post(path, json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json() == {"predictions": [1.0, 0.0]}
        assert answer.headers["x-homeostat-version"] == "1"
        assert answer.headers["x-homeostat-variant"] == "champion"


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "said"),
    [
        ("/models/pump/invocations", b"{", {}, 400, "not JSON"),
        ("/models/pump/invocations", b'{"instances": [{"a": Infinity}]}', {}, 400, "send null"),
        ("/models/pump/invocations", b"[]", {}, 400, "JSON object"),
        ("/models/pump/invocations", b'{"inputs": {}}', {}, 400, "no rows"),
        (
            "/models/pump/invocations",
            b'{"instances": [{"a": 1, "colour": "red"}]}',
            {},
            400,
            "'b' is missing",
        ),
        (
            "/models/pump/invocations",
            b'{"instances": [{"a": "secret", "b": 1, "colour": "red"}]}',
            {},
            400,
            "Row 0, feature 'a': expected a number or null, found text",
        ),
        ("/models/pump/invocations", b"a,b\n1,2", {"content-type": "text/csv"}, 400, "'colour' is missing"),
        ("/models/pump/invocations", b"a,b\n1,2", {"content-type": "text/plain"}, 415, "text/csv"),
        ("/models/nobody/invocations", b"{}", {}, 404, "pump"),
        ("/models/..%2fpump/invocations", b"{}", {}, 400, "Invalid model name"),
        ("/models/%2e%2e/invocations", b"{}", {}, 400, "Invalid model name"),
        ("/models/a/b/invocations", b"{}", {}, 400, "Invalid model name"),
        ("/models/a.b/invocations", b"{}", {}, 400, "Invalid model name"),
        ("/models/pump/labels", b'{"labels": [{"id": "x"}]}', {}, 400, "'label' must be"),
        ("/models/pump/labels", b'{"labels": [{"label": 1}]}', {}, 400, "'id' must be"),
    ],
)
def test_invalid_requests_are_rejected_with_a_message(served, path, body, headers, status, said):
    _, client = served
    answer = client.http.post(path, content=body, headers={"content-type": "application/json"} | headers)
    assert (answer.status_code, said in answer.json()["message"]) == (status, True), answer.text
    assert "secret" not in answer.text


def test_a_body_that_is_too_large_is_rejected(setup):
    setup.begin(setup.version())
    with serving(setup, max_body_bytes=1000, max_rows=5) as client:
        client.ready()
        assert client.score(*[ROW] * 100).status_code == 413
        assert client.score(*[ROW] * 6).status_code == 413
        body = (b'{"dataframe_records": [' for _ in range(200))  # chunked: its length is not announced
        answer = client.http.post("/invocations", content=body)
        assert answer.status_code == 413
        assert client.score().status_code == 200


def test_request_ids_are_echoed_or_generated(served):
    _, client = served
    assert client.score(**{"X-Request-Id": "mine-1"}).headers["x-request-id"] == "mine-1"
    assert client.score(**{"Ce-Id": "mine-2"}).headers["x-request-id"] == "mine-2"
    made = client.score(**{"X-Request-Id": "no good id\t{}"}).headers["x-request-id"]
    assert made
    assert made != client.score().headers["x-request-id"]


def test_rows_from_the_future_are_rejected_and_past_ones_served(served):
    _, client = served
    now = datetime.now(UTC)
    late = client.score(ROW | {"timestamp": (now + timedelta(minutes=10)).isoformat()})
    assert late.status_code == 400
    assert "future" in late.json()["message"]
    assert client.score(ROW | {"timestamp": "2024-05-01T00:00:00Z"}).status_code == 200
    assert client.score(ROW | {"timestamp": "yesterday"}).status_code == 400


def test_a_row_that_fails_affects_no_other_request_and_the_error_quotes_no_data(served):
    _, client = served
    bad = client.score(ROW | {"a": -666.0})
    assert bad.status_code == 500
    assert "4711" not in bad.text
    assert client.score().status_code == 200


def test_extra_columns_and_unknown_categories_are_served_and_counted(served):
    _, client = served
    assert client.score(ROW | {"humidity": 3, "colour": "mauve"}).status_code == 200
    text = client.http.get("/metrics").text
    assert 'homeostat_extra_columns_total{column="humidity",model="pump"}' in text
    assert 'homeostat_unknown_categories_total{feature="colour",model="pump"}' in text


def test_every_served_row_is_logged_once_and_joined_with_its_label(setup):
    setup.begin(setup.version())
    with serving(setup) as client:
        client.ready()
        start = datetime.now(UTC) - timedelta(hours=3)
        for i in range(30):
            at = (start + timedelta(minutes=5 * i)).isoformat()
            assert client.score(
                ROW | {"timestamp": at, "unit": f"u{i}", "humidity": 1}, **{"X-Request-Id": f"one-{i}"}
            ).is_success
        many = [ROW | {"timestamp": start.isoformat(), "a": float(i % 2)} for i in range(10)]
        assert client.score(*many, **{"X-Request-Id": "many"}).is_success
        at = (start + timedelta(minutes=20)).isoformat()
        assert client.labels(
            {"id": "one-0", "label": 1, "at": at}, {"id": "many-3", "label": "0"}
        ).json() == {
            "accepted": 2,
            "duplicates": 0,
            "conflicts": 0,
            "predicted_here": 2,
        }
        assert client.labels({"id": "one-0", "label": "1"}, {"id": "many-3", "label": 1}).json() == {
            "accepted": 0,
            "duplicates": 1,
            "conflicts": 1,
            "predicted_here": 2,
        }
        flushed = client.order("flush").json()
        assert flushed["prediction_log"]["pending"] == flushed["prediction_log"]["lost"] == 0
        until(lambda: client.runtime.log.pending_rows == 0, "everything is written")
    end = datetime.now(UTC) + timedelta(minutes=1)
    rows = read_predictions(setup.ports.store, setup.config, start, end).rows
    assert sorted(rows["_prediction_id"]) == sorted(
        [f"one-{i}" for i in range(30)] + [f"many-{i}" for i in range(10)]
    )
    first = rows.set_index("_prediction_id").loc["one-7"]
    assert (first["a"], first["colour"], first["_key"], first["_extra"]) == (1.0, "red", "u7", "humidity")
    assert (first["_version"], first["_variant"], first["_prediction"]) == ("1", "champion", "1")
    joined = read_labelled(setup.ports.store, setup.config, start, end)
    assert dict(zip(joined["_prediction_id"], joined["y"], strict=True)) == {"one-0": "1", "many-3": "0"}
    (quarantined,) = setup.ports.store.list("quarantine/pump/labels/")
    assert b"many-3" in setup.ports.store.get(quarantined)


def test_buffers_are_written_when_the_gateway_stops(setup):
    setup.begin(setup.version())
    start = datetime.now(UTC)
    with serving(setup, flush_seconds=1000) as client:
        client.ready()
        for _ in range(5):
            client.score()
        assert not setup.ports.store.list("log/pump")
    rows = read_predictions(setup.ports.store, setup.config, start, datetime.now(UTC)).rows
    assert len(rows) == 5


def test_without_a_champion_requests_get_503_and_the_first_promotion_is_picked_up(setup):
    with serving(setup) as client:
        answer = client.score()
        assert answer.status_code == 503
        assert "no champion yet" in answer.json()["message"]
        assert client.http.get("/ping").status_code == 503
        assert client.http.get("/v2/health/live").status_code == 200
        setup.begin(setup.version())
        until(lambda: client.score().status_code == 200, "the first version serves")
        assert client.http.get("/ping").status_code == 200


def test_models_that_are_scored_in_batch_are_not_served(setup):
    batch = model_config(name="batch", serve="none")
    with serving(setup, models={"pump": setup.config, "batch": batch}) as client:
        assert client.score(model="batch").status_code == 404
        assert [m["name"] for m in client.http.get("/models").json()["models"]] == ["pump"]
