"""All commands have the same form: MODEL first, --data, -h, --json, and a --no- form of every flag."""

import re

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from homeostat import __version__
from homeostat.cli.app import app
from homeostat.cli.command import without_taken_back

GROUP = typer.main.get_group(app)
COMMANDS = dict(GROUP.commands)
#: Commands whose first argument is no model, and what it is.
OTHERS = {"up": "", "gateway": "", "drift": "", "token": "NAME", "quickstart": "FILE", "doctor": "[MODEL]..."}
OPTIONAL = {"demo", "new", "status"}


def run(*arguments, status=0):
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "80", "NO_COLOR": "1"})
    assert result.exit_code == status, result.output
    return result.output


@pytest.mark.parametrize("flag", ["-h", "--help"])
@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_fits_into_80_columns_and_is_the_same_for_both_flags(name, flag):
    said = run(name, flag)
    assert max(map(len, said.splitlines())) <= 80
    assert "…" not in said
    assert said == run(name, "--help")


def test_the_version_is_printed():
    assert run("--version").strip() == f"homeostat {__version__}"


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_model_is_the_first_argument(name):
    usage = re.search(r"Usage: \S+(?: \S+)? (.*)", run(name, "--help"))[1].split()
    first = OTHERS.get(name, "[MODEL]" if name in OPTIONAL else "MODEL")
    place = usage.index("[OPTIONS]") + 1
    assert usage[place : place + 1] == ([first] if first else [])


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_file_of_rows_is_data_and_every_flag_can_be_taken_back(name):
    shown = {
        option: param
        for param in COMMANDS[name].params
        if not getattr(param, "hidden", False)
        for option in param.opts
    }
    assert not {"--file", "--rows", "--csv"} & set(shown)
    for option, param in shown.items():
        if not getattr(param, "is_flag", False) or option in ("--help", "-h"):
            continue
        back = f"--no-{option.removeprefix('--')}"
        assert back in param.secondary_opts or without_taken_back([option, back], {option}) == []


@given(st.lists(st.sampled_from(["--json", "--no-json", "--grid", "x", "--no-other"])))
def test_the_last_of_a_flag_and_its_no_form_counts(args):
    left = without_taken_back(args, {"--json", "--grid"})
    last = [each for each in args if each in ("--json", "--no-json")][-1:]
    assert ("--json" in left) == (last == ["--json"])
    assert "--no-json" not in left
    others = [each for each in args if each not in ("--json", "--no-json")]
    assert [each for each in left if each != "--json"] == others


def test_what_follows_two_dashes_is_no_option():
    assert without_taken_back(["--json", "--", "--no-json"], {"--json"}) == ["--json", "--", "--no-json"]


def test_no_json_is_text_again(tmp_path, monkeypatch):
    monkeypatch.setenv("HOMEOSTAT_MODELS", str(tmp_path))
    assert run("status", "--json", "--no-json").startswith("No models in")
    assert run("status", "--no-json", "--json").strip() == "{}"
