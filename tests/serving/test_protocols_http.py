"""The protocols over real HTTP: each returns the same predictions and headers."""

from datetime import UTC, datetime

import pandas as pd
import pytest

from homeostat.serving.http.protocols.openinference import OUTPUTS
from homeostat.storage.prediction_log import read_predictions
from serving.gateway_harness import make_gateway_fixture, serving, until

ROWS = [{"a": 1.0, "b": 0.0, "colour": "red"}, {"a": 0.0, "b": 1.0, "colour": None}]
CSV = "a,b,colour\n1.0,0.0,red\n0.0,1.0,\n"
TENSORS = [
    {"name": "a", "shape": [2], "datatype": "FP64", "data": [1.0, 0.0]},
    {"name": "b", "shape": [2, 1], "datatype": "INT8", "data": [[0], [1]]},
    {"name": "colour", "shape": [2], "datatype": "BYTES", "data": ["red", None]},
]
JSON, TEXT = "application/json", "text/csv"
INFER = {"inputs": TENSORS}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    setup = make_gateway_fixture(tmp_path_factory.mktemp("protocols"))
    setup.begin(setup.version())
    with serving(setup) as client:
        client.ready()
        yield setup, client


def score(client, protocol, **headers):
    """The same two rows in each protocol: the response and the predictions."""
    path = {"deployments": "/endpoints/pump/invocations", "v2": "/v2/models/pump/infer"}
    path |= {"pinned": "/v2/models/pump/versions/1/infer", "sagemaker": "/invocations"}
    url = path.get(protocol, "/models/pump/invocations")
    if protocol == "csv":
        response = client.http.post(url, content=CSV, headers={"Content-Type": TEXT} | headers)
    else:
        body = INFER if protocol in ("v2", "pinned") else {"dataframe_records": ROWS, "params": {"k": [1]}}
        response = client.http.post(url, json=body, headers=headers)
    assert response.status_code == 200, response.text
    body = response.json()
    return response, body["predictions"] if "predictions" in body else body["outputs"][0]["data"]


PROTOCOLS = ("json", "csv", "v2", "pinned", "deployments", "sagemaker")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_protocol_returns_the_same_predictions_and_names_the_version(served, protocol):
    _, client = served
    response, predictions = score(client, protocol)
    assert predictions == [1.0, 0.0]
    assert response.headers["x-homeostat-version"] == "1"
    assert response.headers["x-homeostat-variant"] == ("pinned" if protocol == "pinned" else "champion")
    assert len(response.headers["x-request-id"]) == 32


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("header", ["X-Request-Id", "Ce-Id"])
def test_every_protocol_returns_the_request_id_it_was_sent(served, protocol, header):
    _, client = served
    given = f"{protocol}-{header}"
    assert score(client, protocol, **{header: given})[0].headers["x-request-id"] == given
    refused = client.http.post("/v2/models/pump/infer", content=b"{", headers={header: given})
    assert (refused.status_code, refused.headers["x-request-id"]) == (400, given)


def test_the_id_of_an_infer_request_is_echoed_and_only_a_header_names_the_request(served):
    _, client = served
    for header in (None, "theirs"):
        headers = {"X-Request-Id": header} if header else {}
        responses = [
            client.http.post("/v2/models/pump/infer", json=INFER | {"id": "same"}, headers=headers)
            for _ in range(2)
        ]
        assert [response.json()["id"] for response in responses] == ["same", "same"]
        found = {response.headers["x-request-id"] for response in responses}
        assert found == {header} if header else len(found) == 2, "rows of a constant id are not doubles"


def test_an_infer_response_contains_model_version_and_tensors(served):
    _, client = served
    body = client.http.post("/v2/models/pump/infer", json=INFER).json()
    assert (body["model_name"], body["model_version"], "id" in body) == ("pump", "1", False)
    assert body["outputs"] == [
        {"name": "predict", "datatype": "FP64", "shape": [2], "data": [1.0, 0.0]},
        {"name": "confidence", "datatype": "FP64", "shape": [2], "data": [0.9, 0.9]},
    ]


def test_open_inference_metadata_lists_inputs_and_outputs(served):
    _, client = served
    get = client.http.get
    assert get("/v2").json()["name"] == "homeostat"
    assert get("/v2/health/live").json() == {"live": True}
    assert get("/v2/health/ready").json() == {"live": True, "ready": True}
    found = get("/v2/models/pump").json()
    assert found == get("/v2/models/pump/versions/1").json()
    assert (found["name"], found["versions"]) == ("pump", ["1"])
    assert found["inputs"] == [
        {"name": n, "datatype": "BYTES" if n == "colour" else "FP64", "shape": [-1]}
        for n in ("a", "b", "colour", "old")
    ]
    assert [output["name"] for output in found["outputs"]] == [*OUTPUTS]
    for path in ("/v2/models/pump/ready", "/v2/models/pump/versions/1/ready"):
        assert get(path).json() == {"name": "pump", "ready": True}
    for path in (
        "/v2/models/nobody",
        "/v2/models/nobody/ready",
        "/v2/models/pump/versions/7",
        "/v2/models/pump/versions/7/ready",
    ):
        response = get(path)
        assert (response.status_code, set(response.json()) >= {"error"}) == (404, True), path


@pytest.mark.parametrize(
    ("call", "headers", "status", "message"),
    [
        (("POST", "/v2/models/nobody/infer", b"{}"), {}, 404, "pump"),
        (("POST", "/v2/models/pump/versions/7/infer", b'{"inputs": []}'), {}, 400, "inputs"),
        (("POST", "/v2/models/pump/versions/7/infer", None), {}, 404, "not loaded"),
        (("POST", "/v2/models/pump/versions/last/infer", None), {}, 404, "whole numbers"),
        (("POST", "/v2/models/pump%2f/infer", None), {}, 400, "Invalid model name"),
        (("POST", "/endpoints/pump%2f/invocations", None), {}, 400, "Invalid model name"),
        (
            ("POST", "/v2/models/pump/infer", b"binary"),
            {"content-type": "application/octet-stream"},
            415,
            "JSON",
        ),
        (
            ("POST", "/models/pump/invocations", CSV.encode()),
            {"content-type": "application/parquet"},
            415,
            "text/csv",
        ),
        (("POST", "/models/pump/labels", b"id,label"), {"content-type": TEXT}, 415, "JSON"),
        (
            ("POST", "/models/pump/invocations", b"a,b,colour\nsecret,1,red"),
            {"content-type": TEXT},
            400,
            "Row 0",
        ),
        (("POST", "/v2/models/pump/infer", b'{"inputs": [{"name": "secret"}]}'), {}, 400, "inputs[0]"),
        (("GET", "/models/pump/invocations", None), {}, 405, "POST"),
        (("GET", "/invocations", None), {}, 405, "POST"),
        (("PUT", "/v2/models/pump/infer", None), {}, 405, "POST"),
        (("GET", "/v2/models/pump/versions/1/infer", None), {}, 405, "POST"),
        (("GET", "/endpoints/pump/invocations", None), {}, 405, "POST"),
        (("POST", "/v2", None), {}, 405, "GET"),
        (("GET", "/v2/nothing", None), {}, 404, "openapi.json"),
    ],
)
def test_errors_have_a_form_that_every_client_reads(served, call, headers, status, message):
    _, client = served
    method, path, body = call
    sent = {"json": INFER} if body is None and method != "GET" else {"content": body}
    response = client.http.request(
        method, path, **sent, headers=({} if body is None else {"content-type": JSON}) | headers
    )
    found = response.json()
    assert response.status_code == status, response.text
    assert found["error"] == found["message"] == found["detail"]
    assert message in found["error"]
    assert "secret" not in response.text
    assert ("allow" in response.headers) == (status == 405)


def test_bodies_and_rows_beyond_the_limits_are_413_in_every_protocol(setup):
    setup.begin(setup.version())
    with serving(setup, max_body_bytes=3000, max_rows=5) as client:
        client.ready()
        for count in (6, 900):
            table = "a,b,colour\n" + "1,0,red\n" * count
            tensor = {"name": "a", "shape": [count], "datatype": "INT8", "data": [1] * count}
            for path, sent in (
                ("/invocations", {"content": table, "headers": {"content-type": TEXT}}),
                ("/v2/models/pump/infer", {"json": {"inputs": [tensor]}}),
            ):
                assert client.http.post(path, **sent).status_code == 413
        assert score(client, "csv")[1] == score(client, "v2")[1] == [1.0, 0.0]


def test_bad_input_counts_against_no_version(setup):
    setup.begin(setup.version())
    with serving(setup) as client:
        client.ready()
        begin_canary(setup, client)
        before = client.runtime.counters("pump")
        for i in range(40):
            bad = [("/models/pump/invocations", b"a,b\n1,2", TEXT), ("/models/pump/invocations", b"{", JSON)]
            bad += [
                ("/v2/models/pump/infer", b'{"inputs": [1]}', JSON),
                ("/v2/models/pump/versions/2/infer", b"[]", JSON),
            ]
            for path, body, kind in bad:
                headers = {"content-type": kind, "x-homeostat-key": str(i)}
                assert client.http.post(path, content=body, headers=headers).status_code == 400
        assert client.runtime.counters("pump") == before
        assert setup.traffic().active is not None


def begin_canary(setup, client, **faults):
    setup.begin(setup.version(**faults), skip_shadow=True)
    until(lambda: client.runtime.states["pump"].table.candidate is not None, "the canary takes traffic")


def test_a_pinned_version_responds_only_while_loaded_and_is_no_evidence(setup):
    setup.begin(setup.version())
    start = datetime.now(UTC)
    with serving(setup) as client:
        client.ready()
        assert client.http.get("/v2/models/pump/versions/2").status_code == 404
        begin_canary(setup, client, invert=True, nan_every=3)
        assert client.http.get("/v2/models/pump").json()["versions"] == ["1", "2"]
        until(lambda: not client.runtime.states["pump"].outcomes, "all outcomes are counted")
        name = setup.traffic().rollout.id
        before = setup.ports.ledger.evidence("pump", name)
        nothing = client.runtime.counters("pump")
        for i in range(60):
            url = f"/v2/models/pump/versions/{1 + i % 2}/infer"
            response = client.http.post(url, json=INFER, headers={"x-request-id": f"pin-{i}"})
            assert response.status_code == 200, response.text
            assert response.headers["x-homeostat-version"] == str(1 + i % 2)
        assert not client.runtime.states["pump"].outcomes
        assert setup.ports.ledger.evidence("pump", name) == before
        after = client.runtime.counters("pump")
        assert after | {"rows": 0} == nothing | {"rows": 0}
        assert after["rows"] == nothing["rows"] + 120
        assert setup.traffic().active is not None
        assert not client.runtime.controller._sync["pump"].evaluate_now
        client.order("flush")
        until(lambda: client.runtime.log.pending_rows == 0, "everything is written")

    def read(**more):
        return read_predictions(setup.ports.store, setup.config, start, datetime.now(UTC), **more).rows

    assert len(read(variants=["pinned"])) == 120
    assert not read()["_prediction_id"].str.startswith("pin-").any()


def test_a_pinned_version_that_fails_has_no_fallback(setup):
    setup.begin(setup.version(raises=True))
    with serving(setup) as client:
        client.ready()
        response = client.http.post("/v2/models/pump/versions/1/infer", json=INFER)
        assert response.status_code == 500
        assert "4711" not in response.text
        assert not client.runtime.controller._sync["pump"].evaluate_now


def test_it_is_ready_only_when_a_champion_is_loaded(setup):
    with serving(setup) as client:
        for path in ("/ping", "/v2/health/ready", "/v2/models/pump/ready"):
            assert client.http.get(path).status_code == 503
        assert client.http.get("/v2/health/live").status_code == 200
        assert client.http.post("/v2/models/pump/infer", json=INFER).status_code == 503
        setup.begin(setup.version())
        client.ready()
        for path in ("/ping", "/v2/health/ready", "/v2/models/pump/ready"):
            assert client.http.get(path).status_code == 200


def test_a_model_that_cannot_be_loaded_does_not_take_the_others_out_of_service(setup):
    from homeostat.config import ModelConfig

    raw = setup.config.model_dump(mode="json", by_alias=True) | {"name": "valve"}
    other = ModelConfig.model_validate(raw)
    setup.begin(setup.version())
    setup.config, pump = other, setup.config
    setup.begin(setup.version(unloadable=True))
    with serving(setup, models={"pump": pump, "valve": other}) as client:
        client.ready()
        until(lambda: client.runtime.controller.load_failures("valve"), "the broken one was tried")
        assert client.http.get("/ping").status_code == 200
        assert client.http.get("/v2/models/valve/ready").status_code == 503
        response = client.http.post("/invocations", json={"dataframe_records": ROWS})
        assert response.status_code == 400
        assert "pump, valve" in response.json()["message"]


# MLflow's own warning, as it is imported
@pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning")
def test_mlflows_own_clients_work_unchanged(served, monkeypatch):
    from mlflow.deployments import get_deploy_client
    from mlflow.exceptions import MlflowException
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    _, client = served
    deployments = get_deploy_client(client.url)
    assert deployments.predict(endpoint="pump", inputs={"dataframe_records": ROWS}) == {
        "predictions": [1.0, 0.0]
    }
    assert [endpoint.name for endpoint in deployments.list_endpoints()] == ["pump"]
    assert deployments.get_endpoint("pump").endpoint_url == f"{client.url}/endpoints/pump/invocations"
    with pytest.raises(Exception, match="'colour' is missing") as caught:
        deployments.predict(endpoint="pump", inputs={"dataframe_records": [{"a": 1, "b": 2}]})
    assert isinstance(caught.value, (MlflowException, OSError))
    host, port = client.url.removeprefix("http://").split(":")
    scoring = ScoringServerClient(host, port)
    scoring.wait_server_ready(timeout=60)
    assert scoring.get_version()
    response = scoring.invoke(pd.DataFrame(ROWS), params={"temperature": 0.5})  # its NaN is written as such
    assert response.get_predictions()[0].tolist() == [1.0, 0.0]
