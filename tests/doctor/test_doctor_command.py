"""The command homeostat doctor: its table, its JSON and its exit status."""

import json
import os
import subprocess
import sys

import pytest
from rich.console import Console

from homeostat.cli.commands import doctor as command
from homeostat.doctor import Check


def environment(settings, **more):
    return {
        "HOMEOSTAT_HOME": str(settings.home),
        "HOMEOSTAT_MODELS": str(settings.models),
        "HOMEOSTAT_STATE": str(settings.state),
        "HOMEOSTAT_STORE": settings.store,
        "HOMEOSTAT_LEDGER": settings.ledger,
        "HOMEOSTAT_GATEWAY": settings.gateway,
        "HOMEOSTAT_CONTROL_TOKEN": settings.control_token,
        "MLFLOW_TRACKING_URI": settings.tracking_uri,
        **more,
    }


def test_a_bad_file_and_a_bad_setting_are_reported_and_the_rest_is_checked(deployment, tmp_path):
    (tmp_path / "models" / "torn").mkdir()
    (tmp_path / "models" / "torn" / "model.yaml").write_text("name: torn\ntask: guessing\n")
    env = environment(deployment.settings, HOMEOSTAT_ECS='{"cluster": "c"}')
    done = subprocess.run(
        [sys.executable, "-c", "from homeostat.cli import main; main()", "doctor", "--json"],
        env=os.environ | env | {"HOMEOSTAT_TRIGGERS": "", "HOMEOSTAT_PROJECT": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    assert set(found) == {"checks", "state"}
    assert found["state"] == "broken"
    assert {frozenset(check) for check in found["checks"]} == {
        frozenset({"name", "about", "state", "sentence", "remedy"})
    }
    broken = {
        (check["name"], check["about"]): check for check in found["checks"] if check["state"] == "broken"
    }
    assert "HOMEOSTAT_ECS" in broken["settings", "environment"]["sentence"]
    assert "guessing" in broken["model.yaml", "torn"]["sentence"]
    assert all(check["remedy"] for check in broken.values())
    states = {check["name"]: check["state"] for check in found["checks"]}
    assert states["store"] == states["ledger"] == states["mlflow"] == states["gateway"] == "ok"
    assert "Traceback" not in done.stderr


def test_a_deployment_without_errors_exits_with_status_0(deployment, monkeypatch, capsys):
    for name, value in environment(deployment.settings).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("HOMEOSTAT_TRIGGERS", raising=False)
    (deployment.config.folder / "model.yaml").unlink()
    monkeypatch.setattr(type(deployment.settings), "each_model", lambda _: iter([deployment.config]))
    command.check_deployment([], as_json=True)  # SystemExit otherwise
    found = json.loads(capsys.readouterr().out)
    assert found["state"] == "warning"  # there is no model.yaml
    assert {check["state"] for check in found["checks"]} == {"ok", "skipped", "warning"}


def test_an_unknown_model_is_named(deployment, monkeypatch):
    from homeostat.config.errors import ConfigError

    for name, value in environment(deployment.settings).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match="no model 'pimp'"):
        command.check_deployment(["pimp"], as_json=True)


CHECKS = [
    Check("settings", "environment", "ok", "readable", ""),
    Check(
        "store", "s3://a-bucket-with-a-long-name/and/a/prefix", "broken", "no response " * 9, "start it " * 9
    ),
    *(Check("champion", f"model-{n}", "ok", "version 1", "") for n in range(7)),
    Check("clock", "MLflow", "warning", "8 s ahead", "a time server"),
    *(Check("bundle", f"model-{n}", "skipped", "the store is unreachable", "") for n in range(7)),
    Check("serving", "model-0", "skipped", "the store is unreachable", ""),
]


@pytest.mark.parametrize("width", [80, 140])
def test_the_table_fits_the_width_and_groups_equal_rows(width):
    console = Console(width=width, record=True, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123  # the output is not read
    console.print(command.table(CHECKS, width))
    lines = console.export_text().splitlines()
    console.file.close()
    assert all(len(line) <= width for line in lines)
    text = " ".join(" ".join(lines).split())
    assert "7 models" in text
    assert ("s3://a-bucket-with-a-long-name/and/a/prefix" in text) == (width > 100)
    assert text.count("the store is unreachable") == 1
    assert "bundle, serving" in text
    assert "-> a time server" in text
    for word in ("broken", "warning", "skipped"):
        assert word in text


def test_a_few_healthy_models_get_a_row_each():
    console = Console(width=120, record=True, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123  # the output is not read
    console.print(
        command.table([check for check in CHECKS if check.about in ("model-1", "model-2")][:2], 120)
    )
    text = console.export_text()
    console.file.close()
    assert "model-1" in text
    assert "model-2" in text
