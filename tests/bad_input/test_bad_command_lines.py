"""The command line: every error is one sentence and exit status 1; JSON is alone on standard output."""

import json
import socket
import time

import pytest

from bad_input.other_server import answering
from homeostat.adapters import open_ledger
from homeostat.adapters.clock import SystemClock
from homeostat.cli.app import app
from homeostat.config import Settings
from homeostat.core.rollout import Plan, VersionRef, begin

COMMANDS = (
    "up",
    "demo",
    "replay",
    "check",
    "drift",
    "backtest",
    "retrain",
    "train-step",
    "status",
    "explain",
    "doctor",
    "promote",
    "rollback",
    "gateway",
    "token",
    "new",
    "quickstart",
)


def put_champions(config, *versions):
    """Write promotions of these versions to the ledger, without a rollout."""
    ledger, now = open_ledger(Settings.from_env().ledger), SystemClock().now()
    for version in versions:
        traffic = ledger.read(config.name)
        step = begin(
            traffic, VersionRef(version, version * 64), f"r{version}", Plan.of(config), now, serve=False
        )
        ledger.write(step.traffic, kind=step.kind, reason=step.reason, by="test", at=now)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(cli, command):
    said = cli(command, "--help")
    assert said.status == 0
    assert "Usage" in said.out


def test_the_list_of_commands_is_complete(cli):
    assert {command.name or command.callback.__name__ for command in app.registered_commands} == set(COMMANDS)
    said = cli("--help")
    assert all(command in said.out for command in COMMANDS)


def test_errors_are_not_wrapped_in_a_narrow_terminal(shell):
    sentence = shell("status", "pump").refused("no model 'pump'", "models: sample")
    assert len(sentence) > 60


@pytest.mark.parametrize("command", ["status", "check", "retrain", "promote", "rollback"])
@pytest.mark.parametrize("name", ["nobody", "../sample", "sample/../sample", "a.b"])
def test_an_unknown_model_lists_the_existing_ones(cli, command, name):
    cli(command, name).refused("ConfigError", f"no model '{name}'", "models: sample")


def test_without_any_model_the_command_for_a_new_one_is_shown(cli, folder):
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    said = cli("status")
    assert (said.status, said.err) == (0, "")
    assert "homeostat new MODEL" in said.out
    assert cli("status", "--json").json == {}
    cli("status", "sample").refused("none yet: 'homeostat new MODEL'")


def test_status_without_a_champion_shows_the_next_command(cli):
    said = cli("status")
    assert said.status == 0
    assert "no champion yet" in said.out
    assert "homeostat retrain sample" in said.out
    assert cli("status", "--json").json["sample"]["champion"] is None


def test_a_reason_is_shown_unchanged(cli, config):
    put_champions(config, "1", "2")
    reason = "see [/] and [red]42[/red] :bug:"
    assert cli("rollback", "sample", "--reason", reason).status == 0
    assert cli("status", "--json").json["sample"]["events"][-1]["reason"] == reason
    assert "[red]42[/red]" in " ".join(cli("status").out.split())


# Rollback: the one command that has to work when nothing else does


def test_a_rollback_without_a_previous_version_is_refused_and_changes_nothing(cli, config):
    cli("rollback", "sample").refused("NoPrevious", "no previous version", "homeostat promote")
    put_champions(config, "1")
    cli("rollback", "sample", "--json").refused("NoPrevious", "no previous version")
    state = cli("status", "--json").json["sample"]
    assert (state["champion"]["version"], state["revision"]) == ("1", 1)


def test_a_rollback_needs_neither_mlflow_nor_airflow_nor_gateway(shell, cli, config, monkeypatch):
    monkeypatch.setenv("HOMEOSTAT_CONTROL_TOKEN", "a token, but no gateway")
    put_champions(config, "1", "2")
    begun = time.monotonic()
    said = shell("rollback", "sample", "--reason", "looks wrong", "--json")
    assert time.monotonic() - begun < 30
    assert (said.status, said.err) == (0, "")
    assert said.json["sample"]["champion"]["version"] == "1"
    assert said.json["sample"]["events"][-1]["reason"] == "looks wrong"
    cli("rollback", "sample").refused("NoPrevious", "version 2 was itself rolled back (looks wrong)")


def test_a_rollback_works_with_a_broken_model_yaml(cli, config, home):
    put_champions(config, "1", "2")
    (home / "models" / "sample" / "model.yaml").write_text("name: [sample")
    said = cli("rollback", "sample", "--json")
    assert said.json["sample"]["champion"]["version"] == "1"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"<html>some other server</html>"),
        (501, b"<html>Unsupported method</html>"),
        (404, b'{"error_code": "NOT_FOUND", "message": "No model of that name is served here"}'),
        (503, b'{"error_code": "TEMPORARILY_UNAVAILABLE", "message": "the ledger does not answer"}'),
    ],
    ids=["other server", "no post", "not served", "no ledger"],
)
def test_a_gateway_that_cannot_roll_back_does_not_stop_a_rollback(cli, config, monkeypatch, status, body):
    put_champions(config, "1", "2")
    monkeypatch.setenv("HOMEOSTAT_CONTROL_TOKEN", "t")
    with answering(status, body) as url:
        monkeypatch.setenv("HOMEOSTAT_GATEWAY", url)
        assert cli("rollback", "sample", "--json").json["sample"]["champion"]["version"] == "1"


@pytest.mark.parametrize("url", ["http://[", "localhost:8080", "http://nowhere.invalid", "ftp://x"])
def test_a_wrong_gateway_address_does_not_stop_a_rollback(cli, config, monkeypatch, url):
    put_champions(config, "1", "2")
    monkeypatch.setenv("HOMEOSTAT_CONTROL_TOKEN", "t")
    monkeypatch.setenv("HOMEOSTAT_GATEWAY", url)
    assert cli("rollback", "sample", "--json").json["sample"]["champion"]["version"] == "1"


def test_a_wrong_token_is_reported_and_changes_nothing(cli, config, monkeypatch):
    put_champions(config, "1", "2")
    monkeypatch.setenv("HOMEOSTAT_CONTROL_TOKEN", "wrong")
    body = json.dumps({"error_code": "FORBIDDEN", "message": "The token is not the one."}).encode()
    with answering(403, body, "application/json") as url:
        monkeypatch.setenv("HOMEOSTAT_GATEWAY", url)
        cli("rollback", "sample").refused(
            "Refused", "HOMEOSTAT_CONTROL_TOKEN", url, "The token is not the one"
        )
    assert cli("status", "--json").json["sample"]["champion"]["version"] == "2"


def test_a_wrong_ledger_address_is_reported(cli, monkeypatch):
    monkeypatch.setenv("HOMEOSTAT_LEDGER", "nonsense")
    cli("rollback", "sample").refused("HOMEOSTAT_LEDGER", "sqlite:////path/ledger.db")
    monkeypatch.setenv("HOMEOSTAT_LEDGER", "sqlite:////proc/nowhere/ledger.db")
    cli("status").refused("ledger")


# MLflow away


def test_a_check_with_mlflow_down_fails_within_seconds_and_names_it(shell, monkeypatch):
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR")
    begun = time.monotonic()
    said = shell("check", "sample")
    assert time.monotonic() - begun < 30  # a busy machine included; without one it is four
    said.refused("Unavailable", "MLflow at http://127.0.0.1:", "Connection refused", "MLFLOW_TRACKING_URI")


def test_a_retrain_with_mlflow_down_releases_the_lease(cli, recent_rows):
    for _ in range(2):  # the second would be refused if the first still held the lease
        said = cli("retrain", "sample", "--json")
        assert (said.status, said.out) == (1, "")
        assert said.err.strip().splitlines()[-1].startswith("Unavailable: ")
        assert "MLFLOW_TRACKING_URI" in said.err


@pytest.mark.parametrize("uri", ["localhost:5000", "mlflow", "foo://localhost:5000"])
def test_a_wrong_mlflow_address_is_reported(cli, monkeypatch, uri, home):
    monkeypatch.chdir(home)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    cli("check", "sample").refused("ConfigError", f"MLFLOW_TRACKING_URI is '{uri}'", "http://127.0.0.1:5000")
    assert not (home / uri).exists()


def test_an_approval_is_kept_while_mlflow_is_down(cli, config):
    ledger, now = open_ledger(Settings.from_env().ledger), SystemClock().now()
    put_champions(config, "1")
    plan = Plan.of(config, approval=True)
    step = begin(ledger.read("sample"), VersionRef("2", "2" * 64), "r2", plan, now, serve=False)
    ledger.write(step.traffic, kind=step.kind, reason=step.reason, by="test", at=now)
    said = cli("promote", "sample", "--json")
    assert said.status == 0
    assert said.json["sample"]["champion"]["version"] == "2"
    assert "MLflow's aliases follow" in said.err


def test_nothing_to_approve_is_an_error(cli):
    cli("promote", "sample").refused("Refused", "nothing to approve")


def test_promoting_a_version_with_mlflow_down_is_refused_and_changes_nothing(cli):
    cli("promote", "sample", "3").refused(
        "Unavailable", "cannot read version 3 of sample", "MLFLOW_TRACKING_URI"
    )
    assert cli("status", "--json").json["sample"]["revision"] == 0


# What is typed wrongly


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("check", "sample", "--window-end", "yesterday"), ("--window-end 'yesterday'", "07:00Z, or now")),
        (("retrain", "sample", "--until", "soon"), ("until 'soon'", "2026-01-05T07:00Z")),
        (("retrain", "sample", "--training-window", "5"), ("training_window", "'5'", "180d")),
        (("retrain", "sample", "--training-window", "0d"), ("training_window", "greater than")),
        (("new", "a/b"), ("'a/b' is not a valid model name", "for example 'a_b'")),
        (("new", ".."), ("'..' is not a valid model name",)),
        (("new", "sample"), ("already exists and was not changed",)),
    ],
)
def test_an_invalid_value_is_reported_with_a_valid_one(cli, arguments, words, home):
    before = sorted(home.rglob("*"))
    said = cli(*arguments)
    assert (said.status, said.out) == (1, "")
    assert all(word in said.err for word in words)
    made = [path for path in sorted(home.rglob("*")) if path not in before and "state" not in path.parts]
    assert made == []


@pytest.mark.parametrize(
    "arguments", [("chek", "sample"), ("check",), ("gateway", "--port", "x"), ("gateway", "--port", "70000")]
)
def test_an_invalid_call_shows_the_usage(cli, arguments):
    said = cli(*arguments)
    assert (said.status, said.out) == (2, "")
    assert "Usage" in said.err
    assert "Traceback" not in said.err


def test_a_port_in_use_is_reported_with_the_option_to_change_it(shell, home):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        shell("gateway", "--port", port).refused(
            "Unavailable", port, "already in use", "--port", "0 picks a free one"
        )


@pytest.mark.parametrize("host", ["256.1.1.1", "192.0.2.1", "::nowhere"])
def test_an_address_that_cannot_be_bound_is_reported(cli, host):
    cli("gateway", "--host", host, "--port", "0").refused("cannot listen on", host)


# Replay


def test_rows_are_not_sent_without_a_gateway(cli, recent_rows):
    cli("replay", "sample", str(recent_rows)).refused(
        "no gateway at http", "homeostat gateway", "HOMEOSTAT_GATEWAY"
    )


def test_rows_are_not_sent_to_another_server(cli, recent_rows, monkeypatch):
    with answering(500, b"no") as url:
        monkeypatch.setenv("HOMEOSTAT_GATEWAY", url)
        cli("replay", "sample", str(recent_rows)).refused(
            "no gateway at http", "another server responds there"
        )


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.csv", None, ("DataError", "does not exist")),
        ("rows.csv", b"", ("DataError", "is empty", "column names")),
        ("rows.parquet", b"a,b\n1,2\n", ("DataError", "is not a Parquet file", "is it CSV")),
        ("rows.csv", b"\xff\xfe\x00", ("DataError", "is not text in UTF-8")),
        (
            "rows.csv",
            b"at,a\n2026-01-01T00:00Z,1\n",
            ("ConfigError", "no column 'b', 'kind'", "model.yaml"),
        ),
        ("rows.csv", b"a,b,kind\n1,2,red\n", ("ConfigError", "no column 'at'", "model.yaml")),
        (
            "rows.csv",
            b"at,a,b,kind\n2026-01-01T00:00Z,1,2,red\nnoon,1,2,red\n",
            ("ConfigError", "row 2", "'at'", "'noon'"),
        ),
        (
            "rows.csv",
            b"at,a,b,kind\n1767225600,1,2,red\n",
            ("DataError", "'at'", "1767225600", "2026-01-31T14", "schema.timestamp_format"),
        ),
    ],
    ids=["missing", "empty", "no parquet", "no text", "columns", "time column", "a time", "numbers"],
)
def test_a_file_that_cannot_be_replayed_is_reported(cli, tmp_path, name, content, words):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    cli("replay", "sample", str(path)).refused(str(path), *words)


def test_recompute_finds_a_forged_event(cli, config):
    put_champions(config, "1", "2")
    assert "2 of 2 decisions are the same" in cli("status", "sample", "--recompute").out
    ledger, now = open_ledger(Settings.from_env().ledger), SystemClock().now()
    ledger.write(ledger.read("sample"), kind="canary", reason="it looked good", by="nobody", at=now)
    found = cli("status", "sample", "--recompute", "--json")
    assert found.status == 1
    assert [step["agrees"] for step in json.loads(found.out)["sample"]] == [True, True, False]
