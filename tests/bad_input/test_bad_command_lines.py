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
    "doctor",
    "promote",
    "rollback",
    "gateway",
    "token",
    "new",
)


def put_champions(config, *versions):
    """What two promotions leave in the ledger, without the work."""
    ledger, now = open_ledger(Settings.from_env().ledger), SystemClock().now()
    for version in versions:
        traffic = ledger.read(config.name)
        step = begin(
            traffic, VersionRef(version, version * 64), f"r{version}", Plan.of(config), now, serve=False
        )
        ledger.write(step.traffic, kind=step.kind, reason=step.reason, by="test", at=now)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_what_it_does(cli, command):
    said = cli(command, "--help")
    assert said.status == 0
    assert "Usage" in said.out


def test_the_list_of_commands_is_whole(cli):
    assert {command.name or command.callback.__name__ for command in app.registered_commands} == set(COMMANDS)
    said = cli("--help")
    assert all(command in said.out for command in COMMANDS)


def test_a_shell_gets_the_sentence_whole_however_narrow_the_terminal(shell):
    sentence = shell("status", "pump").refused("no model 'pump'", "there are: toy")
    assert len(sentence) > 60


@pytest.mark.parametrize("command", ["status", "check", "retrain", "promote", "rollback"])
@pytest.mark.parametrize("name", ["nobody", "../toy", "toy/../toy", "a.b"])
def test_a_model_that_there_is_not_lists_those_that_there_are(cli, command, name):
    cli(command, name).refused("ConfigError", f"no model '{name}'", "there are: toy")


def test_with_no_model_at_all_the_cure_is_said(cli, folder):
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    said = cli("status")
    assert (said.status, said.err) == (0, "")
    assert "homeostat new MODEL" in said.out
    assert cli("status", "--json").json == {}
    cli("status", "toy").refused("none yet: 'homeostat new MODEL'")


def test_status_with_nothing_there_says_what_to_do_next(cli):
    said = cli("status")
    assert said.status == 0
    assert "no champion yet" in said.out
    assert "homeostat retrain toy" in said.out
    assert cli("status", "--json").json["toy"]["champion"] is None


def test_what_people_write_as_a_reason_is_shown_as_it_stands(cli, config):
    put_champions(config, "1", "2")
    reason = "see [/] and [red]42[/red] :bug:"
    assert cli("rollback", "toy", "--reason", reason).status == 0
    assert cli("status", "--json").json["toy"]["events"][-1]["reason"] == reason
    assert "[red]42[/red]" in " ".join(cli("status").out.split())


# Rollback: the one command that has to work when nothing else does


def test_a_rollback_without_a_version_before_is_refused_and_changes_nothing(cli, config):
    cli("rollback", "toy").refused("NoPrevious", "no previous version", "homeostat promote")
    put_champions(config, "1")
    cli("rollback", "toy", "--json").refused("NoPrevious", "no previous version")
    state = cli("status", "--json").json["toy"]
    assert (state["champion"]["version"], state["revision"]) == ("1", 1)


def test_a_rollback_needs_neither_mlflow_nor_airflow_nor_gateway(shell, cli, config, monkeypatch):
    monkeypatch.setenv("HOMEOSTAT_CONTROL_TOKEN", "a token, but nobody to show it to")
    put_champions(config, "1", "2")
    begun = time.monotonic()
    said = shell("rollback", "toy", "--reason", "looks wrong", "--json")
    assert time.monotonic() - begun < 30
    assert (said.status, said.err) == (0, "")
    assert said.json["toy"]["champion"]["version"] == "1"
    assert said.json["toy"]["events"][-1]["reason"] == "looks wrong"
    cli("rollback", "toy").refused("NoPrevious", "version 2 was itself taken back (looks wrong)")


def test_a_rollback_does_not_wait_for_a_model_yaml_to_be_mended(cli, config, home):
    put_champions(config, "1", "2")
    (home / "models" / "toy" / "model.yaml").write_text("name: [toy")
    said = cli("rollback", "toy", "--json")
    assert said.json["toy"]["champion"]["version"] == "1"


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
        assert cli("rollback", "toy", "--json").json["toy"]["champion"]["version"] == "1"


@pytest.mark.parametrize("url", ["http://[", "localhost:8080", "http://nowhere.invalid", "ftp://x"])
def test_a_gateway_address_that_is_none_does_not_stop_a_rollback(cli, config, monkeypatch, url):
    put_champions(config, "1", "2")
    monkeypatch.setenv("HOMEOSTAT_CONTROL_TOKEN", "t")
    monkeypatch.setenv("HOMEOSTAT_GATEWAY", url)
    assert cli("rollback", "toy", "--json").json["toy"]["champion"]["version"] == "1"


def test_a_wrong_token_is_named_and_changes_nothing(cli, config, monkeypatch):
    put_champions(config, "1", "2")
    monkeypatch.setenv("HOMEOSTAT_CONTROL_TOKEN", "wrong")
    body = json.dumps({"error_code": "FORBIDDEN", "message": "The token is not the one."}).encode()
    with answering(403, body, "application/json") as url:
        monkeypatch.setenv("HOMEOSTAT_GATEWAY", url)
        cli("rollback", "toy").refused("Refused", "HOMEOSTAT_CONTROL_TOKEN", url, "The token is not the one")
    assert cli("status", "--json").json["toy"]["champion"]["version"] == "2"


def test_a_ledger_that_is_none_is_named(cli, monkeypatch):
    monkeypatch.setenv("HOMEOSTAT_LEDGER", "nonsense")
    cli("rollback", "toy").refused("HOMEOSTAT_LEDGER", "sqlite:////path/ledger.db")
    monkeypatch.setenv("HOMEOSTAT_LEDGER", "sqlite:////proc/nowhere/ledger.db")
    cli("status").refused("ledger")


# MLflow away


def test_a_check_with_mlflow_down_answers_within_seconds_and_names_it(shell, monkeypatch):
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR")
    begun = time.monotonic()
    said = shell("check", "toy")
    assert time.monotonic() - begun < 30  # a busy machine included; without one it is four
    said.refused("Unavailable", "MLflow at http://127.0.0.1:", "Connection refused", "MLFLOW_TRACKING_URI")


def test_a_retrain_with_mlflow_down_frees_the_right_of_way(cli, recent_rows):
    for _ in range(2):  # the second would be told that the first one is still at it
        said = cli("retrain", "toy", "--json")
        assert (said.status, said.out) == (1, "")
        assert said.err.strip().splitlines()[-1].startswith("Unavailable: ")
        assert "MLFLOW_TRACKING_URI" in said.err


@pytest.mark.parametrize("uri", ["localhost:5000", "mlflow", "foo://localhost:5000"])
def test_an_mlflow_address_that_is_none_is_named(cli, monkeypatch, uri, home):
    monkeypatch.chdir(home)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    cli("check", "toy").refused("ConfigError", f"MLFLOW_TRACKING_URI is '{uri}'", "http://127.0.0.1:5000")
    assert not (home / uri).exists()


def test_an_approval_stands_although_mlflow_is_down(cli, config):
    ledger, now = open_ledger(Settings.from_env().ledger), SystemClock().now()
    put_champions(config, "1")
    plan = Plan.of(config, approval=True)
    step = begin(ledger.read("toy"), VersionRef("2", "2" * 64), "r2", plan, now, serve=False)
    ledger.write(step.traffic, kind=step.kind, reason=step.reason, by="test", at=now)
    said = cli("promote", "toy", "--json")
    assert said.status == 0
    assert said.json["toy"]["champion"]["version"] == "2"
    assert "MLflow's aliases follow" in said.err


def test_nothing_to_approve_is_said(cli):
    cli("promote", "toy").refused("Refused", "nothing to approve")


def test_promoting_a_version_with_mlflow_down_is_refused_and_changes_nothing(cli):
    cli("promote", "toy", "3").refused("Unavailable", "cannot read version 3 of toy", "MLFLOW_TRACKING_URI")
    assert cli("status", "--json").json["toy"]["revision"] == 0


# What is typed wrongly


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("check", "toy", "--window-end", "yesterday"), ("window_end 'yesterday'", "2026-01-05T07:00Z")),
        (("retrain", "toy", "--until", "soon"), ("until 'soon'", "2026-01-05T07:00Z")),
        (("retrain", "toy", "--training-window", "5"), ("training_window", "'5'", "180d")),
        (("retrain", "toy", "--training-window", "0d"), ("training_window", "greater than")),
        (("new", "a/b"), ("'a/b' cannot be a model's name", "'a_b' would do")),
        (("new", ".."), ("'..' cannot be a model's name",)),
        (("new", "toy"), ("is there already and stays as it is",)),
    ],
)
def test_a_value_that_is_none_is_named_with_a_right_one(cli, arguments, words, home):
    before = sorted(home.rglob("*"))
    said = cli(*arguments)
    assert (said.status, said.out) == (1, "")
    assert all(word in said.err for word in words)
    made = [path for path in sorted(home.rglob("*")) if path not in before and "state" not in path.parts]
    assert made == []


@pytest.mark.parametrize(
    "arguments", [("chek", "toy"), ("check",), ("gateway", "--port", "x"), ("gateway", "--port", "70000")]
)
def test_a_call_that_is_none_shows_the_usage(cli, arguments):
    said = cli(*arguments)
    assert (said.status, said.out) == (2, "")
    assert "Usage" in said.err
    assert "Traceback" not in said.err


def test_a_port_in_use_is_named_with_the_cure(shell, home):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        shell("gateway", "--port", port).refused("Unavailable", port, "already in use", "--port", "0 takes")


@pytest.mark.parametrize("host", ["256.1.1.1", "192.0.2.1", "::nowhere"])
def test_an_address_that_cannot_be_listened_on_is_named(cli, host):
    cli("gateway", "--host", host, "--port", "0").refused("cannot listen on", host)


# Replay


def test_rows_for_nobody_are_not_sent(cli, recent_rows):
    cli("replay", "toy", str(recent_rows)).refused(
        "no gateway at http", "homeostat gateway", "HOMEOSTAT_GATEWAY"
    )


def test_rows_for_some_other_server_are_not_sent(cli, recent_rows, monkeypatch):
    with answering(500, b"no") as url:
        monkeypatch.setenv("HOMEOSTAT_GATEWAY", url)
        cli("replay", "toy", str(recent_rows)).refused("no gateway at http", "something else answers there")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.csv", None, ("no such file",)),
        ("rows.csv", b"", ("cannot be read as CSV or Parquet", "No columns")),
        ("rows.parquet", b"a,b\n1,2\n", ("cannot be read as CSV or Parquet",)),
        ("rows.csv", b"\xff\xfe\x00", ("cannot be read as CSV or Parquet",)),
        ("rows.csv", b"at,a\n2026-01-01T00:00Z,1\n", ("no column 'b', 'kind'", "model.yaml")),
        ("rows.csv", b"a,b,kind\n1,2,red\n", ("no column 'at'", "model.yaml")),
        ("rows.csv", b"at,a,b,kind\n2026-01-01T00:00Z,1,2,red\nnoon,1,2,red\n", ("row 1", "'at'", "'noon'")),
        ("rows.csv", b"at,a,b,kind\n1767225600,1,2,red\n", ("row 0", "'at'", "1767225600", "2026-01-05T07")),
    ],
    ids=["missing", "empty", "no parquet", "no text", "columns", "time column", "a time", "numbers"],
)
def test_a_file_that_cannot_be_replayed_is_named(cli, tmp_path, name, content, words):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    cli("replay", "toy", str(path)).refused("ConfigError", str(path), *words)


def test_the_history_is_decided_again_and_a_forged_step_is_found_out(cli, config):
    put_champions(config, "1", "2")
    assert "2 of 2 steps come out the same" in cli("status", "toy", "--recompute").out
    ledger, now = open_ledger(Settings.from_env().ledger), SystemClock().now()
    ledger.write(ledger.read("toy"), kind="canary", reason="it looked good", by="nobody", at=now)
    found = cli("status", "toy", "--recompute", "--json")
    assert found.status == 1
    assert [step["agrees"] for step in json.loads(found.out)["toy"]] == [True, True, False]
