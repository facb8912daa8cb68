"""Wrong rows and labels over HTTP: an error message, and nothing is stored in part."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from homeostat.storage.prediction_log import read_labels, read_predictions
from serving.gateway_harness import make_gateway_fixture, serving

ROW = {"a": 1.0, "b": 0.0, "colour": "red"}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    setup = make_gateway_fixture(tmp_path_factory.mktemp("gateway"))
    setup.begin(setup.version())
    with serving(setup) as client:
        client.ready()
        yield setup, client


def logged(setup, client):
    """Return the ids in the prediction log."""
    assert client.order("flush").status_code == 200
    end = datetime.now(UTC) + timedelta(minutes=1)
    return set(
        read_predictions(setup.ports.store, setup.config, end - timedelta(hours=1), end).rows[
            "_prediction_id"
        ]
    )


def post(client, body, path="/models/pump/invocations", **headers):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.http.post(path, content=content, headers={"content-type": "application/json"} | headers)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"instances": [{"a": 1e999, "b": 0, "colour": "red"}]}', "not JSON"),
        (b'{"instances": [{"a": Infinity, "b": 0, "colour": "red"}]}', "send null for a missing value"),
        (b'{"instances": [{"a": -Infinity, "b": 0, "colour": "red"}]}', "send null for a missing value"),
        ({"instances": [ROW | {"a": True}]}, "Row 0, feature 'a': expected a number or null, found true"),
        (
            {"instances": [ROW, ROW | {"b": [1]}]},
            "Row 1, feature 'b': expected a number or null, found a list",
        ),
        ({"instances": [ROW | {"colour": {}}]}, "Row 0, feature 'colour': expected a category"),
        ({"dataframe_split": {"columns": ["a", "a"], "data": [[1, 2]]}}, "duplicate column name"),
        ({"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2], [1]]}}, "row 1 should be a list of 2"),
        ({"inputs": {"a": [1, 2], "b": [1], "colour": ["red"]}}, "different lengths"),
        ({"instances": [ROW], "inputs": ROW}, "exactly one of"),
        ({"instances": []}, "no rows"),
        ({"instances": [{"A": 1, "b": 0, "colour": "red"}]}, "The feature 'a' is missing"),
    ],
    ids=[
        "1e999",
        "inf",
        "-inf",
        "bool",
        "list",
        "object",
        "twice",
        "short",
        "lengths",
        "two",
        "none",
        "renamed",
    ],
)
def test_a_request_with_one_wrong_row_is_refused_and_not_logged(served, body, words):
    setup, client = served
    answer = post(client, body, **{"X-Request-Id": "never"})
    assert answer.status_code == 400, answer.text
    assert words in answer.json()["message"]
    assert not [name for name in logged(setup, client) if name.startswith("never")]


@pytest.mark.parametrize(
    "number", [10**30, -(10**30), 1e300, 0, 5e-324], ids=["huge", "-huge", "large", "zero", "tiny"]
)
def test_any_finite_number_is_predicted(served, number):
    _, client = served
    answer = post(client, {"instances": [ROW | {"a": number}]})
    assert answer.status_code in (200, 400), answer.text
    assert "Traceback" not in answer.text


def test_a_row_without_any_value_is_predicted_and_logged_as_missing(served):
    setup, client = served
    row = {"a": None, "b": None, "colour": None}
    answer = post(client, {"instances": [row]}, **{"X-Request-Id": "nothing"})
    assert answer.status_code == 200, answer.text
    assert "nothing" in logged(setup, client)
    end = datetime.now(UTC) + timedelta(minutes=1)
    rows = read_predictions(setup.ports.store, setup.config, end - timedelta(hours=1), end).rows
    mine = rows.set_index("_prediction_id").loc["nothing"]
    assert mine[["a", "b", "colour"]].isna().all()


@pytest.mark.parametrize("name", ["../pump", "pump/../pump", "a.b", "PUMP", "pump%2e", "p" * 64, "pump\x00"])
def test_an_invalid_model_name_is_refused_in_path_and_header(served, name):
    _, client = served
    if name.isprintable():
        assert (
            post(client, {"instances": [ROW]}, "/invocations", **{"X-Homeostat-Model": name}).status_code
            == 400
        )
    quoted = name.replace("/", "%2f").replace("\x00", "%00")
    for path in (f"/models/{quoted}/invocations", f"/models/{quoted}/labels", f"/models/{quoted}"):
        answer = client.http.request("POST" if path.count("/") == 3 else "GET", path, content=b"{}")
        assert answer.status_code == 400, path
        assert "use lower-case letters" in answer.json()["message"]
    assert client.order(f"models/{quoted}/rollback").status_code == 400


def test_an_unknown_model_lists_the_served_ones(served):
    _, client = served
    for answer in (
        post(client, {"instances": [ROW]}, "/models/fan/invocations"),
        post(client, {"labels": []}, "/models/fan/labels"),
        client.http.get("/models/fan"),
        client.order("models/fan/rollback"),
    ):
        assert answer.status_code == 404
        assert "It serves: pump" in answer.json()["message"]


def labels_of(setup, client):
    assert client.order("flush").status_code == 200
    end = datetime.now(UTC) + timedelta(minutes=1)
    found = read_labels(setup.ports.store, setup.config, end - timedelta(hours=1), end)
    return dict(zip(found["prediction_id"], found["label"], strict=True))


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "bad"},
        {"id": "bad", "label": None},
        {"id": "bad", "label": [1]},
        {"id": "bad", "label": 1, "at": "noon"},
        {"id": 5, "label": 1},
        {"id": "", "label": 1},
        {"id": "x" * 200, "label": 1},
        {"id": "order 17", "label": 1},
        {"id": "é", "label": 1},
        "bad",
    ],
    ids=str,
)
def test_labels_are_accepted_all_or_none(served, wrong):
    setup, client = served
    answer = client.labels({"id": "good", "label": 1}, wrong)
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("Label 1: ")
    assert "good" not in labels_of(setup, client)


def test_duplicate_or_conflicting_labels_keep_the_first_and_lose_none(served):
    setup, client = served
    first = client.labels({"id": "l1", "label": 1}, {"id": "l1", "label": "1"}, {"id": "l1", "label": 0})
    assert first.json() == {"accepted": 1, "duplicates": 1, "conflicts": 1, "predicted_here": 0}
    again = client.labels({"id": "l1", "label": 0.0}, {"id": "l1", "label": True})
    assert again.json() == {"accepted": 0, "duplicates": 1, "conflicts": 1, "predicted_here": 0}
    assert labels_of(setup, client)["l1"] == "1"
    aside = [
        json.loads(setup.ports.store.get(key)) for key in setup.ports.store.list("quarantine/pump/labels")
    ]
    assert [label["label"] for file in aside for label in file["labels"]] == ["0", "0"]


def test_a_rollback_without_a_previous_version_is_refused_and_serving_continues(served):
    setup, client = served
    answer = client.order("models/pump/rollback", {"reason": "looks wrong"})
    assert answer.status_code == 409
    assert "no previous version" in answer.json()["message"]
    assert setup.traffic().champion.version == "1"
    assert client.score().status_code == 200


def test_with_mlflow_down_predictions_labels_and_control_still_work(served):
    setup, client = served
    setup.ports.registry.down = True
    try:
        assert client.score().status_code == 200
        assert client.labels({"id": "while-down", "label": 1}).json()["accepted"] == 1
        assert client.http.get("/ping").status_code == 200
        answer = client.order("models/pump/promote", {"version": "7"})
        assert answer.status_code == 503
        assert answer.json()["message"]
    finally:
        setup.ports.registry.down = False
