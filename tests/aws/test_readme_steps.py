"""README.md's section "On AWS" was followed word for word by the fixture: what came of each step."""

from __future__ import annotations

import re
import subprocess

import pytest

from aws.clone import ROOT
from aws.docs_runner import MODELS, PAGE, PROJECT, README
from aws.terminal import Terminal, blocks, commands

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TERRAFORM = "terraform -chdir=infra/terraform"
#: What the doctor looks at once, and has an address, which may stand beside its name or below it.
NAMED = {name: name for name in ("bucket", "ledger", "store")}
OUTPUT = f"{TERRAFORM} output -json airflow_environment"


def typed(page, section):
    """Every command of a section's blocks."""
    return [command for block in blocks(page, section) for command in commands(block)]


def said(aws_stack, command):
    """What that one step printed."""
    (step,) = (step for step in aws_stack.steps if step.command == command)
    return step.said


def test_the_commands_that_were_run_are_those_of_the_readme_and_no_others(aws_stack):
    """Between deploying and asking the README says in words what docs/aws.md has as a command."""
    run = [step.command for step in aws_stack.steps]
    (given,) = (command for command in run if OUTPUT in command)
    run.remove(given)
    assert run == typed(README, "On AWS")
    assert f"`{OUTPUT}`" in README.read_text()
    assert {step.command: step.status for step in aws_stack.steps[:-1] if step.status} == {}


def test_the_page_tells_the_same_steps_in_the_same_order(aws_stack):
    page = typed(PAGE, "Deploying") + typed(PAGE, "Is it well?")
    assert page == [step.command for step in aws_stack.steps]


def test_the_folders_own_readme_tells_the_same_steps():
    text = (ROOT / "infra" / "terraform" / "README.md").read_text()

    def section(name):
        lines = text.partition(f"\n## {name}\n")[2].partition("\n## ")[0].splitlines()
        return [line.partition("#")[0].strip() for line in lines if line.startswith("    ")]

    ask = ".venv/bin/homeostat doctor"
    assert section("From nothing") == [*(each for each in typed(README, "On AWS") if each != ask), OUTPUT]
    assert section("Taking it down") == typed(PAGE, "Taking it down")


def test_set_up_once_there_is_nothing_to_set_up(aws_stack):
    assert "Nothing to be done" in said(aws_stack, "make setup")


def test_terraform_asked_before_it_made_anything(aws_stack):
    applied = said(aws_stack, f"{TERRAFORM} apply")
    assert "Enter a value:" in applied
    counted = re.search(r"Apply complete! Resources: (\d+) added, 0 changed, 0 destroyed", applied)
    assert int(counted[1]) == len(aws_stack.terraform.state()) > 50
    assert "Warning" not in applied


def test_the_steps_leave_a_clean_checkout_and_no_secret_in_it(aws_stack):
    """Values, state and digests are ignored; a lock file that init had changed would be seen."""
    told = subprocess.run(
        ["git", "status", "--porcelain"], cwd=aws_stack.checkout, capture_output=True, text=True, check=True
    )
    assert told.stdout == ""


# --- homeostat doctor, the last step


@pytest.fixture(scope="module")
def lines(aws_stack):
    """What it said, by what was looked at: state, sentence, what helps. A long address has its own line."""
    told = said(aws_stack, ".venv/bin/homeostat doctor").splitlines()
    found, column = {}, re.match(r"ok +settings environment +", told[0]).end()
    for line in told[: told.index("")]:
        state, what, text = line[:8].strip(), line[8:column].strip(), line[column:].strip()
        if state:
            looked_at = NAMED.get(what.partition(" ")[0], what)
            found[looked_at] = (state, text, "")
        elif text.startswith("-> "):
            found[looked_at] = (*found[looked_at][:2], text.removeprefix("-> "))
    return found


def test_the_doctor_finds_everything_that_was_deployed_well(aws_stack, lines):
    deployed = [
        "settings environment",
        *(f"model.yaml {model}" for model in MODELS),
        "store",
        "clock store",
        "aws credentials caller",
        "bucket",
        f"queue {PROJECT}-triggers.fifo",
        f"dead letters {PROJECT}",
        f"failed checks {PROJECT}",
        f"detector {PROJECT}-detector",
        *(f"schedule {model}" for model in MODELS),
        f"cluster {PROJECT}",
        f"training task {PROJECT}-train",
    ]
    assert {what: lines.get(what, ("not told",))[0] for what in deployed} == dict.fromkeys(deployed, "ok")
    assert aws_stack.images["detector"][:19] in lines[f"detector {PROJECT}-detector"][1]
    assert aws_stack.images["training"][:19] in lines[f"training task {PROJECT}-train"][1]


def test_the_doctor_names_a_cure_for_what_is_not_there_yet(lines):
    broken = {what for what, told in lines.items() if told[0] == "broken"}
    assert broken == {
        "mlflow http://127.0.0.1:9",
        "gateway http://127.0.0.1:9",
        *(f"published {model}" for model in MODELS),
    }
    warned = {what for what, told in lines.items() if told[0] == "warning"}
    assert {"control token HOMEOSTAT_CONTROL_TOKEN", "ledger"} <= warned
    assert [what for what in broken | warned if not lines[what][2]] == []
    for model in MODELS:
        assert f"drift_check__{model} in Airflow publishes it" in lines[f"published {model}"][2]


def test_the_doctor_ends_with_1_while_something_is_broken(aws_stack):
    assert aws_stack.steps[-1].status == 1


# --- the terminal itself


def test_what_a_command_exports_is_there_for_the_next_and_how_it_ends_is_told(tmp_path):
    (tmp_path / "here").mkdir()
    terminal = Terminal(tmp_path / "here", {"PATH": "/usr/bin:/bin"})
    assert terminal.type("export A='two words'\nfalse").status == 1
    assert terminal.type('echo "$A"; read -r said; echo "$said"', "yes\n").said == "two words\nyes\n"
    assert terminal.environment == {"PATH": "/usr/bin:/bin", "A": "two words"}


def test_a_command_may_have_many_lines():
    assert list(commands("a\nb '\nc\n' |\nd\nif e; then\nf\nfi\n")) == [
        "a",
        "b '\nc\n' |\nd",
        "if e; then\nf\nfi",
    ]
