"""Access control over real HTTP, and the audit log."""

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from homeostat.serving.auth.audit import REFUSAL_BURST, AuditLog
from homeostat.serving.auth.guard import MAX_CONTROL_BYTES
from homeostat.serving.auth.tokens import Token
from serving.gateway_harness import TOKEN, make_gateway_fixture, serving

SCOPES = ("predict", "label", "read", "control")
SECRET = {scope: f"secret-of-the-{scope}-token" for scope in SCOPES}
ROW = {"dataframe_records": [{"a": 1.0, "b": 0.0, "colour": "red"}]}
LABELS = {"labels": [{"id": "x", "label": 1}]}
#: Calls by the scope that they need.
CALLS: dict[str, list[tuple[str, str, Any]]] = {
    "predict": [("POST", "/models/pump/invocations", ROW), ("POST", "/invocations", ROW)],
    "label": [("POST", "/models/pump/labels", LABELS)],
    "read": [
        ("GET", path, None)
        for path in (
            "/models",
            "/models/pump",
            "/metrics",
            "/version",
            "/openapi.json",
            "/overview",
            "/health/models",
        )
    ],
    "control": [("POST", "/control/flush", None), ("POST", "/control/models/pump/rollback", {"reason": "x"})],
}
OPEN = ("/ping", "/health", "/", "/fleet", "/fleet/assets/health.js")


def guarded(tmp_path, require="predict,read,label"):
    setup = make_gateway_fixture(tmp_path)
    entries = [Token.of(f"{scope}-holder", SECRET[scope], [scope]).entry() for scope in SCOPES]
    asked = tuple(require.split(",")) if require else ()
    setup.settings = replace(setup.settings, tokens=json.dumps(entries), require_token=asked)
    setup.begin(setup.version())
    return setup


@pytest.fixture(scope="module")
def closed(tmp_path_factory):
    setup = guarded(tmp_path_factory.mktemp("closed"))
    with serving(setup) as client:
        client.ready()
        yield setup, client


def ask(client, call, token=None):
    method, path, body = call
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return client.http.request(method, path, json=body, headers=headers)


def trail(setup):
    return [json.loads(line) for line in (setup.settings.state / "audit.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("needed", "call"), [(s, c) for s in SCOPES for c in CALLS[s]], ids=lambda value: str(value)[:40]
)
def test_each_call_needs_its_own_scope_or_control(closed, needed, call):
    _, client = closed
    none = ask(client, call)
    assert none.status_code == 401
    assert none.headers["www-authenticate"] == "Bearer"
    assert needed in none.json()["message"]
    wrong = ask(client, call, "nobody's")
    assert (wrong.status_code, "invalid_token" in wrong.headers["www-authenticate"]) == (403, True)
    for held in SCOPES:
        response = ask(client, call, SECRET[held])
        if held in (needed, "control"):
            assert response.status_code in (200, 409), response.text
        else:
            assert response.status_code == 403
            assert f'error="insufficient_scope", scope="{needed}"' in response.headers["www-authenticate"]


@pytest.mark.parametrize("path", OPEN)
def test_probes_and_the_page_are_open_and_contain_no_data(closed, path):
    _, client = closed
    response = client.http.get(path)
    assert response.status_code == 200
    assert "pump" not in response.text
    if path == "/health":
        assert response.json() == {"status": "ok"}
        whole = client.http.get(path, headers={"Authorization": f"Bearer {SECRET['read']}"})
        assert set(whole.json()) >= {"status", "problems"}


@pytest.mark.parametrize(
    "path",
    [
        "//control/flush",
        "/control/../control/flush",
        "/control/%66lush",
        "/%63ontrol/flush",
        "/control/flush/",
        "/CONTROL/flush",
        "/control//flush",
        "/control/flush?x=/ping",
        "/control/flush;/ping",
        "/ping/../control/flush",
        "/models/pump/../../control/flush",
    ],
)
def test_no_other_spelling_of_a_path_bypasses_the_guard(closed, path):
    _, client = closed
    response = raw(client, "POST", path)
    assert response in (400, 401, 403, 404, 405)


def raw(client, method, path, *headers, body=b""):
    """The status of a request written by hand: httpx would tidy the path."""
    import socket

    host, port = client.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as sock:
        lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", "Connection: close"]
        sock.sendall("\r\n".join([*lines, *headers, "", ""]).encode("latin-1") + body)
        response = b""
        while chunk := sock.recv(65536):
            response += chunk
    return int(response.split()[1])


def test_without_a_token_no_model_name_is_revealed(closed):
    _, client = closed
    for path in ("/models/nobody/invocations", "/models/nobody/labels", "/control/models/nobody/rollback"):
        response = client.http.post(path, json={})
        assert response.status_code == 401
        assert "pump" not in response.text


def test_control_calls_and_refusals_are_audited_by_name_without_tokens(tmp_path):
    setup = guarded(tmp_path)
    with serving(setup) as client:
        client.ready()
        path = "/control/models/pump/rollback"
        ask(client, ("POST", path, {"reason": "one\ntwo\x1b[31m"}))
        ask(client, ("POST", path, {"reason": "x"}), SECRET["label"])
        ask(client, ("POST", path, {"reason": "one\ntwo\x1b[31m"}), SECRET["control"])
        ask(client, ("POST", path, {"reason": ""}), SECRET["control"])
        ask(client, ("POST", "/control/nothing", None), SECRET["control"])
        ask(client, ("POST", "/control/flush", None), TOKEN)
        ask(client, CALLS["predict"][0], "nobody's")
        ask(client, CALLS["label"][0], SECRET["predict"])
    found = trail(setup)
    assert [(line["by"].partition("@")[0], line["status"]) for line in found] == [
        ("anonymous", 401),
        ("label-holder", 403),
        ("control-holder", 409),
        ("control-holder", 400),
        ("control-holder", 404),
        ("operator", 200),
        ("anonymous", 403),
        ("predict-holder", 403),
    ]
    assert all(line["by"].endswith("@127.0.0.1") and line["at"] for line in found)
    text = (setup.settings.state / "audit.jsonl").read_text()
    assert not any(secret in text for secret in (*SECRET.values(), TOKEN, "nobody's"))
    assert found[2]["request"] == {"reason": "one two [31m", "version": ""}
    assert (setup.settings.state / "audit.jsonl").stat().st_mode & 0o077 == 0


def test_a_flood_of_refusals_is_counted_and_the_audit_log_stays_small(tmp_path):
    setup = guarded(tmp_path)
    with serving(setup) as client:
        client.ready()
        for _ in range(REFUSAL_BURST + 150):
            assert ask(client, CALLS["control"][0], "guess").status_code == 403
        assert ask(client, CALLS["control"][0], SECRET["control"]).status_code == 200
    found = trail(setup)
    assert REFUSAL_BURST < len(found) < REFUSAL_BURST + 100
    skipped = sum(line.get("skipped_refusals", 0) for line in found)
    assert len(found) - 1 + skipped == REFUSAL_BURST + 150
    assert (found[-1]["by"], found[-1]["status"]) == ("control-holder@127.0.0.1", 200)


def test_the_audit_log_is_rotated_and_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr("homeostat.serving.auth.audit.MAX_BYTES", 10_000)
    monkeypatch.setattr("homeostat.serving.auth.audit.MAX_ROTATED", 2)
    audit = AuditLog(tmp_path / "audit.jsonl")
    for number in range(2_000):
        audit.write({"number": number, "message": "x" * 80})
    files = sorted(tmp_path.glob("audit.jsonl*"))
    assert [file.name for file in files] == ["audit.jsonl", "audit.jsonl.1", "audit.jsonl.2"]
    assert all(file.stat().st_size < 10_200 for file in files)
    numbers = [
        json.loads(line)["number"] for file in reversed(files) for line in file.read_text().splitlines()
    ]
    assert numbers == list(range(numbers[0], 2_000))
    audit.write({"path": "x" * 100_000})
    newest = max(tmp_path.glob("audit.jsonl*"), key=lambda file: file.stat().st_mtime_ns)
    assert len(newest.read_text().splitlines()[-1]) < 20_000


def test_an_audit_log_that_cannot_be_written_does_not_stop_a_call(tmp_path, caplog):
    (tmp_path / "a file").touch()
    audit = AuditLog(tmp_path / "a file" / "audit.jsonl")
    audit.write({"at": "now"})
    assert "cannot write the audit file" in caplog.text
    assert str(tmp_path) not in caplog.records[-1].getMessage()


def test_by_default_only_control_needs_a_token(tmp_path):
    setup = make_gateway_fixture(tmp_path)
    setup.begin(setup.version())
    with serving(setup) as client:
        client.ready()
        assert not client.app._guards_scoring
        for scope in ("predict", "label", "read"):
            for call in CALLS[scope]:
                assert ask(client, call).status_code == 200
        assert ask(client, CALLS["control"][0]).status_code == 401
        assert ask(client, CALLS["control"][0], TOKEN).status_code == 200


@pytest.mark.parametrize("announced", [True, False])
def test_a_control_call_that_is_too_large_is_413(closed, announced):
    _, client = closed
    body = b'{"reason": "' + b"x" * (4 * MAX_CONTROL_BYTES) + b'"}'
    headers = {"Authorization": f"Bearer {SECRET['control']}", "Content-Type": "application/json"}
    content = body if announced else (body[i : i + 1000] for i in range(0, len(body), 1000))
    response = client.http.post("/control/models/pump/rollback", content=content, headers=headers)
    assert response.status_code == 413
    assert client.http.get("/ping").status_code == 200


def test_a_body_is_not_read_without_a_token(closed):
    _, client = closed
    response = raw(
        client, "POST", "/control/models/pump/rollback", "Content-Type: application/json", body=b"{"
    )
    assert response == 401


def test_the_api_description_lists_which_calls_need_a_token(closed):
    _, client = closed
    spec = client.http.get("/openapi.json", headers={"Authorization": f"Bearer {SECRET['read']}"}).json()
    assert spec["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
    orders = [path for path in spec["paths"] if path.startswith("/control/")]
    assert orders
    assert all(spec["paths"][path]["post"]["security"] == [{"HTTPBearer": []}] for path in orders)


@pytest.mark.parametrize(
    "value", ["a\r\nSet-Cookie: x=1", "a\nb", "a\x00b", "../../etc", "a" * 129, "é", "<script>", ""]
)
def test_an_invalid_request_id_is_never_returned(closed, value):
    _, client = closed
    import socket

    host, port = client.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as sock:
        head = (
            "POST /models/pump/invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n"
        )
        sock.sendall((head + f"X-Request-Id: {value}\r\n\r\n").encode("latin-1") + b"{}")
        response = b""
        while chunk := sock.recv(65536):
            response += chunk
    headers = response.partition(b"\r\n\r\n")[0].decode("latin-1").lower()
    assert headers.startswith("http/1.1 4")
    assert "set-cookie" not in headers
    made = re.search(r"x-request-id: (.*)", headers)
    assert made is None or re.fullmatch(r"[0-9a-f]{32}|[\w./]+", made[1].strip())
