import json

import httpx
import pytest

from homeostat.config.errors import NotFound, Refused, Unavailable
from homeostat.dev_stack import AirflowApi


def api_answering(handler):
    api = AirflowApi("http://airflow", "admin", "secret")
    api._client.close()
    api._client = httpx.Client(base_url="http://airflow", transport=httpx.MockTransport(handler))
    return api


def test_it_logs_in_automatically_and_again_when_the_token_has_expired():
    tokens = iter(["first", "second"])
    seen = []

    def handler(request):
        if request.url.path == "/auth/token":
            assert json.loads(request.content) == {"username": "admin", "password": "secret"}
            return httpx.Response(201, json={"access_token": next(tokens)})
        seen.append(request.headers["Authorization"])
        if seen[-1] == "Bearer first":
            return httpx.Response(401, json={"detail": "expired"})
        return httpx.Response(200, json={"dag_id": "d"})

    with api_answering(handler) as api:
        assert api.dag("d") == {"dag_id": "d"}
    assert seen == ["Bearer first", "Bearer second"]


@pytest.mark.parametrize(
    ("status", "error"),
    [(404, NotFound), (409, Refused), (422, Refused), (500, Unavailable), (503, Unavailable)],
)
def test_an_error_carries_the_message_of_airflow(status, error):
    def handler(request):
        if request.url.path == "/auth/token":
            return httpx.Response(201, json={"access_token": "t"})
        return httpx.Response(status, json={"detail": "its own words"})

    with api_answering(handler) as api, pytest.raises(error, match="its own words"):
        api.trigger("d", {"a": 1})


def test_calls_are_retried_while_the_database_is_busy_and_no_run_is_started_twice():
    asked = []

    def handler(request):
        if request.url.path == "/auth/token":
            return httpx.Response(201, json={"access_token": "t"})
        asked.append((request.method, json.loads(request.content or "{}").get("dag_run_id")))
        if len(asked) == 1:
            return httpx.Response(500, json={"detail": "Database error"})
        if request.method == "POST":
            return httpx.Response(409, json={"detail": "there already"})
        return httpx.Response(200, json={"dag_run_id": asked[0][1]})

    with api_answering(handler) as api:
        run_id = api.trigger("d")
    assert [method for method, _ in asked] == ["POST", "POST", "GET"]
    assert {name for method, name in asked if method == "POST"} == {run_id}


def test_an_airflow_that_does_not_respond_is_unavailable():
    def handler(request):
        raise httpx.ConnectError("refused")

    with api_answering(handler) as api, pytest.raises(Unavailable, match="does not respond"):
        api.health()


def test_a_run_id_with_a_plus_sign_reaches_airflow_unchanged():
    def handler(request):
        if request.url.path == "/auth/token":
            return httpx.Response(201, json={"access_token": "t"})
        return httpx.Response(200, json={"raw": request.url.raw_path.decode()})

    with api_answering(handler) as api:
        raw = api.run("d", "manual__2026-01-01T00:00:00+00:00")["raw"]
    assert raw.endswith("/manual__2026-01-01T00%3A00%3A00%2B00%3A00")
