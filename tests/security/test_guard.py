"""Over real HTTP: who gets in where, and what of it stands in the audit trail."""

import json
import re
from dataclasses import replace

import pytest

from homeostat.serving.auth.audit import REFUSED_BURST, Audit
from homeostat.serving.auth.guard import MAX_ORDER_BYTES
from homeostat.serving.auth.tokens import Token
from serving.gateway_harness import TOKEN, make_world, serving

SCOPES = ("predict", "label", "read", "control")
SECRET = {scope: f"secret-of-the-{scope}-token" for scope in SCOPES}
ROW = {"dataframe_records": [{"a": 1.0, "b": 0.0, "colour": "red"}]}
LABELS = {"labels": [{"id": "x", "label": 1}]}
#: What is called with which scope.
CALLS = {
    "predict": [("POST", "/models/pump/invocations", ROW), ("POST", "/invocations", ROW)],
    "label": [("POST", "/models/pump/labels", LABELS)],
    "read": [
        ("GET", path, None)
        for path in ("/models", "/models/pump", "/metrics", "/version", "/openapi.json", "/overview.json")
    ],
    "control": [("POST", "/control/flush", None), ("POST", "/control/models/pump/rollback", {"reason": "x"})],
}
OPEN = ("/ping", "/health", "/")


def guarded(tmp_path, require="predict,read,label"):
    world = make_world(tmp_path)
    entries = [Token.of(f"{scope}-holder", SECRET[scope], [scope]).entry() for scope in SCOPES]
    asked = tuple(require.split(",")) if require else ()
    world.settings = replace(world.settings, tokens=json.dumps(entries), require_token=asked)
    world.begin(world.version())
    return world


@pytest.fixture(scope="module")
def closed(tmp_path_factory):
    world = guarded(tmp_path_factory.mktemp("closed"))
    with serving(world) as client:
        client.ready()
        yield world, client


def ask(client, call, token=None):
    method, path, body = call
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return client.http.request(method, path, json=body, headers=headers)


def trail(world):
    return [json.loads(line) for line in (world.settings.state / "audit.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("needed", "call"), [(s, c) for s in SCOPES for c in CALLS[s]], ids=lambda value: str(value)[:40]
)
def test_each_call_takes_its_own_scope_or_control_and_no_other(closed, needed, call):
    _, client = closed
    none = ask(client, call)
    assert none.status_code == 401
    assert none.headers["www-authenticate"] == "Bearer"
    assert needed in none.json()["message"]
    wrong = ask(client, call, "nobody's")
    assert (wrong.status_code, "invalid_token" in wrong.headers["www-authenticate"]) == (403, True)
    for held in SCOPES:
        answer = ask(client, call, SECRET[held])
        if held in (needed, "control"):
            assert answer.status_code in (200, 409), answer.text
        else:
            assert answer.status_code == 403
            assert f'error="insufficient_scope", scope="{needed}"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize("path", OPEN)
def test_probes_and_the_empty_page_are_open_and_say_nothing_more(closed, path):
    _, client = closed
    answer = client.http.get(path)
    assert answer.status_code == 200
    assert "pump" not in answer.text
    if path == "/health":
        assert answer.json() == {"status": "ok"}
        whole = client.http.get(path, headers={"Authorization": f"Bearer {SECRET['read']}"})
        assert set(whole.json()) >= {"status", "troubles"}


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
def test_no_other_spelling_of_a_path_gets_past_the_door(closed, path):
    _, client = closed
    answer = raw(client, "POST", path)
    assert answer in (400, 401, 403, 404, 405)


def raw(client, method, path, *headers, body=b""):
    """The status of a request written by hand: httpx would tidy the path."""
    import socket

    host, port = client.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as sock:
        lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", "Connection: close"]
        sock.sendall("\r\n".join([*lines, *headers, "", ""]).encode("latin-1") + body)
        answer = b""
        while chunk := sock.recv(65536):
            answer += chunk
    return int(answer.split()[1])


def test_whoever_has_no_token_learns_no_models_name(closed):
    _, client = closed
    for path in ("/models/nobody/invocations", "/models/nobody/labels", "/control/models/nobody/rollback"):
        answer = client.http.post(path, json={})
        assert answer.status_code == 401
        assert "pump" not in answer.text


def test_every_order_and_every_refusal_stands_in_the_trail_with_names_and_without_tokens(tmp_path):
    world = guarded(tmp_path)
    with serving(world) as client:
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
    found = trail(world)
    assert [(line["by"].partition("@")[0], line["status"]) for line in found] == [
        ("anybody", 401),
        ("label-holder", 403),
        ("control-holder", 409),
        ("control-holder", 400),
        ("control-holder", 404),
        ("operator", 200),
        ("anybody", 403),
        ("predict-holder", 403),
    ]
    assert all(line["by"].endswith("@127.0.0.1") and line["at"] for line in found)
    text = (world.settings.state / "audit.jsonl").read_text()
    assert not any(secret in text for secret in (*SECRET.values(), TOKEN, "nobody's"))
    assert found[2]["asked"] == {"reason": "one two [31m", "version": ""}
    assert (world.settings.state / "audit.jsonl").stat().st_mode & 0o077 == 0


def test_a_flood_of_refusals_is_counted_and_leaves_the_trail_small(tmp_path):
    world = guarded(tmp_path)
    with serving(world) as client:
        client.ready()
        for _ in range(REFUSED_BURST + 150):
            assert ask(client, CALLS["control"][0], "guess").status_code == 403
        assert ask(client, CALLS["control"][0], SECRET["control"]).status_code == 200
    found = trail(world)
    assert REFUSED_BURST < len(found) < REFUSED_BURST + 100
    passed_over = sum(line.get("refused_before_and_not_written", 0) for line in found)
    assert len(found) - 1 + passed_over == REFUSED_BURST + 150
    assert (found[-1]["by"], found[-1]["status"]) == ("control-holder@127.0.0.1", 200)


def test_the_trail_is_rotated_and_bounded(tmp_path):
    audit = Audit(tmp_path / "audit.jsonl", max_bytes=10_000, kept=2)
    for number in range(2_000):
        audit.write({"number": number, "said": "x" * 80})
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


def test_a_disk_that_takes_no_audit_stops_no_rollback(tmp_path, caplog):
    (tmp_path / "a file").touch()
    audit = Audit(tmp_path / "a file" / "audit.jsonl")
    audit.write({"at": "now"})
    assert "cannot be written" in caplog.text
    assert str(tmp_path) not in caplog.records[-1].getMessage()


def test_by_default_scoring_labels_and_state_are_open_and_control_is_not(tmp_path):
    world = make_world(tmp_path)
    world.begin(world.version())
    with serving(world) as client:
        client.ready()
        assert not client.app._guarded
        for scope in ("predict", "label", "read"):
            for call in CALLS[scope]:
                assert ask(client, call).status_code == 200
        assert ask(client, CALLS["control"][0]).status_code == 401
        assert ask(client, CALLS["control"][0], TOKEN).status_code == 200


@pytest.mark.parametrize("announced", [True, False])
def test_an_order_that_is_too_large_is_refused_without_being_read(closed, announced):
    _, client = closed
    body = b'{"reason": "' + b"x" * (4 * MAX_ORDER_BYTES) + b'"}'
    headers = {"Authorization": f"Bearer {SECRET['control']}", "Content-Type": "application/json"}
    content = body if announced else (body[i : i + 1000] for i in range(0, len(body), 1000))
    answer = client.http.post("/control/models/pump/rollback", content=content, headers=headers)
    assert answer.status_code == 413
    assert client.http.get("/ping").status_code == 200


def test_a_body_is_not_read_for_who_has_no_token(closed):
    _, client = closed
    answer = raw(client, "POST", "/control/models/pump/rollback", "Content-Type: application/json", body=b"{")
    assert answer == 401


def test_the_description_of_the_api_says_which_calls_take_a_token(closed):
    _, client = closed
    spec = client.http.get("/openapi.json", headers={"Authorization": f"Bearer {SECRET['read']}"}).json()
    assert spec["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
    orders = [path for path in spec["paths"] if path.startswith("/control/")]
    assert orders
    assert all(spec["paths"][path]["post"]["security"] == [{"HTTPBearer": []}] for path in orders)


@pytest.mark.parametrize(
    "value", ["a\r\nSet-Cookie: x=1", "a\nb", "a\x00b", "../../etc", "a" * 129, "é", "<script>", ""]
)
def test_a_request_id_that_is_none_never_comes_back(closed, value):
    _, client = closed
    import socket

    host, port = client.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as sock:
        head = (
            "POST /models/pump/invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n"
        )
        sock.sendall((head + f"X-Request-Id: {value}\r\n\r\n").encode("latin-1") + b"{}")
        answer = b""
        while chunk := sock.recv(65536):
            answer += chunk
    headers = answer.partition(b"\r\n\r\n")[0].decode("latin-1").lower()
    assert headers.startswith("http/1.1 4")
    assert "set-cookie" not in headers
    made = re.search(r"x-request-id: (.*)", headers)
    assert made is None or re.fullmatch(r"[0-9a-f]{32}|[\w./]+", made[1].strip())
