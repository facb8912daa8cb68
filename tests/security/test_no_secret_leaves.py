"""A real gateway with many secrets and failures: no secret in responses, logs or files."""

import contextlib
import http.client
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import homeostat as package
from homeostat.adapters import build_ports
from homeostat.config import Settings
from homeostat.config.errors import ConfigError
from homeostat.config.redaction import find_secrets, redact_userinfo, secret_redactor
from homeostat.serving.auth.token_store import TokenStore
from homeostat.serving.auth.tokens import Token
from homeostat.serving.server.logging_setup import OneLineFormatter

INCLUDE = Path(package.__file__).parents[1]
SECRETS = {
    "control": "c0ntrol-t0ken-4711",
    "label": "l4bel-t0ken-4711",
    "ledger": "ledg3r-passw0rd-4711",
    "ledger, quoted": "ledg3r%2Dpassw0rd%2D4711",
    "mlflow": "mlfl0w-passw0rd-4711",
    "s3": "s3cret-4ccess-k3y-4711",
    "key id": "AKIA4711AKIA4711",
    "tried": "somebodys-guess-4711",
}
MODEL = """
name: tiny
task: classification
pipeline: pipeline.py:build
source: {kind: predictions}
schema: {label: {name: y}, features: {a: {type: number}, b: {type: number}}}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    model = folder / "include" / "models" / "tiny"
    model.mkdir(parents=True)
    (model / "model.yaml").write_text(MODEL)
    (model / "pipeline.py").write_text("def build():\n    raise NotImplementedError\n")
    return folder


def environment(home, **more):
    nobody = "127.0.0.1:1"
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "HOMEOSTAT_"))},
        "PYTHONPATH": str(INCLUDE),
        "HOMEOSTAT_HOME": str(home),
        "HOMEOSTAT_CONTROL_TOKEN": SECRETS["control"],
        "HOMEOSTAT_TOKENS": json.dumps([Token.of("ci", SECRETS["label"], ["label"]).entry()]),
        "HOMEOSTAT_LEDGER": f"postgresql+psycopg2://ledger:{SECRETS['ledger, quoted']}@{nobody}/ledger",
        "HOMEOSTAT_STORE": "s3://bucket/prefix",
        "MLFLOW_TRACKING_URI": f"http://mlflow-user:{SECRETS['mlflow']}@{nobody}",
        "AWS_ENDPOINT_URL": f"http://{nobody}",
        "AWS_ACCESS_KEY_ID": SECRETS["key id"],
        "AWS_SECRET_ACCESS_KEY": SECRETS["s3"],
        "AWS_DEFAULT_REGION": "us-east-1",
        "HOMEOSTAT_GATEWAY_FLUSH_SECONDS": "0.5",
        **more,
    }


def homeostat(home, *arguments, **more):
    code = "import sys; from homeostat.cli import main; sys.exit(main())"
    return [sys.executable, "-c", code, *arguments], {"env": environment(home, **more), "cwd": home}


def ask(port, method, path, body=b"", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body=body, headers={"Content-Type": "application/json", **names})
        response = connection.getresponse()
        return response.status, str(response.getheaders()) + response.read().decode("utf-8", "replace")
    finally:
        connection.close()


@pytest.fixture(scope="module")
def output(home):
    """What came out of a gateway that nothing around it answers: its log, its answers, its files."""
    command, more = homeostat(home, "gateway", "--port", "0")
    log = home / "gateway.log"
    responses, statuses = [], set()
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, **more)
    try:
        port = listening(process, log)
        control, label, guess = (f"Bearer {SECRETS[name]}" for name in ("control", "label", "tried"))
        rows = json.dumps({"inputs": {"a": [1], "b": [2]}}).encode()
        labels = json.dumps({"labels": [{"id": "x", "label": 1}]}).encode()
        rollback = "/control/models/tiny/rollback"
        calls = [
            ("GET", "/health", b"", {}),
            ("GET", "/ping", b"", {}),
            ("GET", "/models/tiny", b"", {}),
            ("GET", "/overview", b"", {}),
            ("GET", "/metrics", b"", {}),
            ("GET", "/openapi.json", b"", {}),
            ("GET", "/nothing", b"", {}),
            ("DELETE", "/models/tiny", b"", {}),
            ("POST", "/invocations", rows, {"Authorization": guess}),
            ("POST", "/invocations", b"{", {}),
            ("POST", "/invocations", b"a", {"Content_Type": "text/html"}),
            ("POST", "/models/tiny/labels", labels, {"Authorization": label}),
            ("POST", "/models/tiny/labels", labels, {"Authorization": guess}),
            ("POST", "/control/flush", b"", {"Authorization": control}),
            ("POST", rollback, b'{"reason": "x"}', {"Authorization": control}),
            ("POST", rollback, b'{"reason": 5}', {"Authorization": control}),
            ("POST", rollback, b"", {"Authorization": guess}),
            ("POST", rollback, b"", {"Authorization": label}),
            ("POST", rollback, b"", {}),
            ("POST", f"{rollback}?token={SECRETS['tried']}", b"", {}),
            ("POST", "/control/models/tiny/promote", b'{"version": "7"}', {"Authorization": control}),
            ("POST", "/control/models/tiny/approve", b"", {"Authorization": control}),
        ]
        for method, path, body, headers in calls:
            status, text = ask(port, method, path, body, **headers)
            responses.append(text)
            statuses.add(status)
        time.sleep(1.0)  # a round of flushing and of asking the ledger
        process.send_signal(signal.SIGTERM)
        process.wait(40)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    files = [path for path in (home / ".homeostat").rglob("*") if path.is_file()]
    written = {str(path): path.read_bytes().decode("utf-8", "replace") for path in files}
    return {"log": log.read_text(), "answers": "\n".join(responses), **written}, statuses


def listening(process, log):
    end = time.monotonic() + 60
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text()
        found = re.search(r"listening on http://127\.0\.0\.1:(\d+)", log.read_text())
        if found:
            with contextlib.suppress(OSError, http.client.HTTPException):
                ask(int(found[1]), "GET", "/ping")
                return int(found[1])
        time.sleep(0.1)
    raise AssertionError(log.read_text())


@pytest.mark.parametrize("name", SECRETS)
def test_a_failing_gateway_returns_logs_and_writes_no_secret(output, name):
    texts, statuses = output
    assert {200, 400, 401, 403, 404, 405, 415, 503} <= statuses
    assert "does not answer" in texts["log"]
    where = [place for place, text in texts.items() if SECRETS[name] in text]
    assert where == []


def test_no_response_names_the_server_software(output):
    assert "uvicorn" not in output[0]["answers"].lower()
    assert "'server'" not in output[0]["answers"].lower()


def test_the_log_contains_the_failures(output):
    texts, _ = output
    assert "ledger:***@127.0.0.1:1" in texts["log"] or "://***@127.0.0.1:1" in texts["log"]
    assert "audit" in "".join(texts)


WRONG = [
    {"HOMEOSTAT_LEDGER": f"postgresql+nodriver://u:{SECRETS['ledger']}@h/db"},
    {"HOMEOSTAT_LEDGER": f"://u:{SECRETS['ledger']}@h/db"},
    {"HOMEOSTAT_STORE": f"ftp://u:{SECRETS['s3']}@h/db"},
    {"MLFLOW_TRACKING_URI": f"u:{SECRETS['mlflow']}@h"},
    {"HOMEOSTAT_TOKENS": SECRETS["label"]},
]


def _use(settings):
    TokenStore(settings)
    build_ports(settings).registry.versions("tiny")


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_an_invalid_setting_is_named_without_its_secret(home, wrong):
    """Whoever prints it: this is the error itself."""
    settings = Settings.from_env({**environment(home), **wrong})
    with pytest.raises(ConfigError) as caught:
        _use(settings)
    assert next(iter(wrong)) in str(caught.value)
    assert not [name for name, secret in SECRETS.items() if secret in str(caught.value)]


def test_a_failed_start_prints_no_secret(home):
    command, more = homeostat(home, "gateway", "--port", "0", **WRONG[0])
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **more)
    assert done.returncode != 0
    assert "HOMEOSTAT_LEDGER" in done.stdout + done.stderr
    assert not [name for name, secret in SECRETS.items() if secret in done.stdout + done.stderr]


# The pieces


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("postgresql+psycopg2://u:p/w@h:5/db failed", "postgresql+psycopg2://***@h:5/db failed"),
        ("at http://token@h/x, and https://a:b@c/d", "at http://***@h/x, and https://***@c/d"),
        ("see http://h:5000/x for more", "see http://h:5000/x for more"),
        ("s3://bucket/key", "s3://bucket/key"),
        ("mail a@b.c", "mail a@b.c"),
    ],
)
def test_users_and_passwords_are_redacted_in_urls(text, masked):
    assert redact_userinfo(text) == masked


def test_secrets_are_found_in_the_environment():
    env = {
        "HOMEOSTAT_CONTROL_TOKEN": "abcdefgh",
        "AWS_SECRET_ACCESS_KEY": "ijklmnop",
        "SOME_PASSWORD": "qrstuvwx",
        "X_API_KEY": "yzyzyzyz",
        "DB": "postgresql://u:p%40ss-word@h/d",
        "HOMEOSTAT_TOKENS_FILE": "/etc/homeostat/tokens.yaml",
        "HOMEOSTAT_REQUIRE_TOKEN": "predict,label",
        "PATH": "/usr/bin:/bin",
        "MONKEY": "not secret",
        "SHORT_TOKEN": "abc",
    }
    expected = {"abcdefgh", "ijklmnop", "qrstuvwx", "yzyzyzyz", "p%40ss-word", "p@ss-word"}
    assert find_secrets(env) == expected
    assert secret_redactor(env)("it was p@ss-word, then abcdefgh") == "it was ***, then ***"


def test_a_log_message_is_one_line_and_a_traceback_contains_no_secret():
    formatter = OneLineFormatter(secret_redactor({"A_TOKEN": "hunter2hunter2"}))
    try:
        raise ValueError("the token hunter2hunter2 at http://u:p@h")
    except ValueError:
        record = logging.LogRecord(
            "x", logging.ERROR, "f", 1, "bad reason: %s", ("a\nERROR root: forged\r\x1b[2J",), sys.exc_info()
        )
    text = formatter.format(record)
    first = text.splitlines()[0]
    assert r"a\nERROR root: forged\r\x1b[2J" in first
    assert "Traceback" in text
    assert "hunter2" not in text
    assert "http://***@h" in text
