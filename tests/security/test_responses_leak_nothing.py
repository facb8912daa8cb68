"""No error response contains a path, a software version or another client's data."""

import http.client
import json
import sys
from dataclasses import replace

import pytest

from homeostat.config import Settings
from homeostat.config.errors import Unavailable, Untrusted
from homeostat.serving.response_redaction import make_redactor, redact_json
from serving.gateway_harness import make_gateway_fixture, serving, until

HEADERS = {
    *("content-type", "content-length", "date", "connection", "x-request-id", "retry-after"),
    *("www-authenticate", "allow", "x-homeostat-version", "x-homeostat-variant"),
}
ROW = {"a": 1.0, "b": 0.0, "colour": "red"}
SECRET_ROW = "somebody's-diagnosis"
TOKEN = {"Authorization": "Bearer a-token-for-tests"}


def rows(*some):
    return json.dumps({"dataframe_records": list(some)}).encode()


CALLS = {
    "bad json": ("POST", "/invocations", b"{", {}, 400),
    "bad value": ("POST", "/invocations", rows(ROW | {"a": SECRET_ROW}), {}, 400),
    "bad name": ("POST", "/models/%2e%2e%2fetc%2fpasswd/invocations", b"{}", {}, 400),
    "bad label": ("POST", "/models/pump/labels", b'{"labels": [{"id": 1}]}', {}, 400),
    "bad order": ("POST", "/control/models/pump/promote", b'{"version": "../7"}', TOKEN, 400),
    "no token": ("POST", "/control/flush", b"", {}, 401),
    "wrong token": ("POST", "/control/flush", b"", {"Authorization": "Bearer x"}, 403),
    "no model": ("POST", "/models/nobody/invocations", b"{}", {}, 404),
    "no page": ("GET", "/etc/passwd", b"", {}, 404),
    "no version": ("POST", "/control/models/pump/promote", b'{"version": "99"}', TOKEN, 404),
    "no method": ("DELETE", "/models", b"", {}, 405),
    "nothing to take back": ("POST", "/control/models/pump/rollback", b"", TOKEN, 409),
    "too many rows": ("POST", "/invocations", rows(*[ROW] * 20), {}, 413),
    "too large": ("POST", "/invocations", b" " * 50_000, {}, 413),
    "no json": ("POST", "/invocations", b"a", {"Content-Type": "image/png"}, 415),
    "poison": ("POST", "/invocations", rows(ROW | {"a": -666.0}), {}, 500),
    "store away": ("POST", "/control/flush", b"", TOKEN, 503),
}


@pytest.fixture(scope="module")
def failing(tmp_path_factory):
    setup = make_gateway_fixture(tmp_path_factory.mktemp("failing"))
    setup.begin(setup.version())
    path = setup.settings.state / "store"

    def away(*_, **__):
        message = (
            f"[Errno 28] No space left on device: '{path}/predictions'; asked postgresql://u:pw-4711@h/d"
        )
        raise Unavailable(message)

    setup.ports.store.put = away
    with serving(setup, max_rows=10, max_body_bytes=10_000, flush_seconds=600.0) as client:
        client.ready()
        assert client.score().status_code == 200
        yield setup, client


def ask(client, method, path, body, headers):
    connection = http.client.HTTPConnection(client.url.removeprefix("http://"), timeout=30)
    try:
        connection.request(method, path, body=body, headers={"Content-Type": "application/json", **headers})
        response = connection.getresponse()
        return response.status, response.getheaders(), response.read().decode()
    finally:
        connection.close()


def leaks(text, *more):
    """What of this machine, of its software or of others a text shows."""
    signs = ("Traceback", "uvicorn", "starlette", "fastapi", "site-packages", ".py", "sklearn", "pw-4711")
    paths = ("/home/", "/root/", "/usr/", "/var/", "/opt/", "/etc/", sys.prefix, "/tmp/")  # noqa: S108  # looked for, not used
    versions = (f"{sys.version_info.major}.{sys.version_info.minor}", "0.2.0")
    return [sign for sign in (*signs, *paths, *versions, SECRET_ROW, "4711", *more) if sign in text]


@pytest.mark.parametrize("call", CALLS)
def test_an_error_has_a_message_and_leaks_nothing(failing, call):
    setup, client = failing
    method, path, body, headers, expected = CALLS[call]
    status, names, text = ask(client, method, path, body, headers)
    assert status == expected, text
    # The harness lets uvicorn name itself; that the real process does not is held in test_no_secret_leaves.
    names = [(name.lower(), value) for name, value in names if name.lower() not in ("server", "date")]
    assert {name for name, _ in names} <= HEADERS
    found = json.loads(text)
    assert set(found) >= {"error_code", "message"}
    assert len(found["message"]) > 8
    assert leaks(text + str(names)) == []
    assert str(setup.folder) not in text


def test_the_status_of_a_version_that_does_not_load_contains_no_path(tmp_path, monkeypatch):
    from serving import gateway_harness

    setup = make_gateway_fixture(tmp_path)
    first = setup.version()
    setup.begin(first)
    load = gateway_harness.load

    def refusing(folder, trusted, *, digest, config):
        if digest != first.digest:
            message = f"{folder}/model.skops: holds types that are not trusted, says http://u:pw-4711@h"
            raise Untrusted(message)
        return load(folder, trusted, digest=digest, config=config)

    monkeypatch.setattr(gateway_harness, "refusing", refusing, raising=False)
    with serving(setup, load="serving.gateway_harness:refusing") as client:
        client.ready()
        setup.begin(setup.version())
        until(lambda: setup.traffic().active is None, "the version was taken back")
        for path in ("/models/pump", "/models", "/overview", "/health"):
            text = client.http.get(path).text
            assert str(tmp_path) not in text
            assert "pw-4711" not in text
        assert "not trusted" in client.http.get("/models/pump").text


def test_installation_folders_are_redacted_and_api_paths_stay(monkeypatch):
    monkeypatch.setenv("A_TOKEN", "hunter2hunter2")
    env = {
        "HOMEOSTAT_HOME": "/srv/homeostat",
        "HOMEOSTAT_CACHE": "/var/cache/homeostat",
        "HOMEOSTAT_STORE": "file:///data/store",
        "HOMEOSTAT_LEDGER": "sqlite:////data/ledger/ledger.db",
    }
    redact = make_redactor(Settings.from_env(env))
    redacted = {
        "/var/cache/homeostat/bundles/ab/model.skops: bad": "…/bundles/ab/model.skops: bad",
        "in /srv/homeostat, or '/srv/homeostat/include/models'": "in …, or '…'",
        "cannot open /data/ledger/ledger.db": "cannot open …/ledger.db",
        "as in /models/NAME/invocations": "as in /models/NAME/invocations",
        "/srv/homeostatic is another": "/srv/homeostatic is another",
        "the token hunter2hunter2": "the token ***",
    }
    assert {text: redact(text) for text in redacted} == redacted
    nested = {"a": ["/srv/homeostat/x", 1, None, {"b": ("/srv/homeostat/y",)}]}
    assert redact_json(nested, redact) == {"a": ["…/x", 1, None, {"b": ["…/y"]}]}


def test_no_redirect_repeats_the_host_header(failing):
    _, client = failing
    for path in ("/models/", "/ping/", "//evil.example/", "/openapi.json/"):
        status, names, _ = ask(client, "GET", path, b"", {"Host": "evil.example"})
        assert status in (400, 404)
        assert "evil" not in str(names)


def test_the_repr_of_the_settings_contains_no_token(tmp_path):
    setup = make_gateway_fixture(tmp_path)
    settings = replace(setup.settings, control_token="hunter2hunter2")
    assert "hunter2" not in repr(settings)
