"""The results of the steps in docs/aws.md, which the fixture runs word for word."""

from __future__ import annotations

import re
import subprocess

import pytest

from aws.clone import ROOT
from aws.docs_runner import MODELS, PAGE, PROJECT
from page_commands import Terminal, blocks, commands

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TERRAFORM = "terraform -chdir=infra/terraform"
#: Checks that run once, whose address may be on the same line or on the next.
SINGLE_CHECKS = {name: name for name in ("bucket", "ledger", "store")}
OUTPUT = f"{TERRAFORM} output -json airflow_environment"


def commands_of(page, section):
    """Return every command of a section."""
    return [command for block in blocks(page, section) for command in commands(block)]


def output(aws_stack, command):
    """Return the output of a command."""
    (step,) = (step for step in aws_stack.steps if step.command == command)
    return step.output


def test_exactly_the_commands_of_the_page_were_run(aws_stack):
    assert {step.command: step.status for step in aws_stack.steps[:-1] if step.status} == {}
    page = commands_of(PAGE, "Deploying") + commands_of(PAGE, "Checking the deployment")
    assert page == [step.command for step in aws_stack.steps]


def test_the_readme_of_infra_terraform_has_the_same_steps():
    text = (ROOT / "infra" / "terraform" / "README.md").read_text()

    def section(name):
        lines = text.partition(f"\n## {name}\n")[2].partition("\n## ")[0].splitlines()
        return [line.partition("#")[0].strip() for line in lines if line.startswith("    ")]

    assert section("Deploying") == [
        *(each for each in commands_of(PAGE, "Deploying") if OUTPUT not in each),
        OUTPUT,
    ]
    assert section("Taking it down") == commands_of(PAGE, "Taking it down")


def test_a_second_setup_does_nothing(aws_stack):
    assert "Nothing to be done" in output(aws_stack, "make setup")


def test_terraform_asks_before_it_creates_resources(aws_stack):
    applied = output(aws_stack, f"{TERRAFORM} apply")
    assert "Enter a value:" in applied
    counted = re.search(r"Apply complete! Resources: (\d+) added, 0 changed, 0 destroyed", applied)
    assert int(counted[1]) == len(aws_stack.terraform.state()) > 50
    assert "Warning" not in applied


def test_the_steps_leave_no_files_that_git_does_not_ignore(aws_stack):
    """Variables, state and digests are ignored by git; a lock file changed by init would show."""
    done = subprocess.run(
        ["git", "status", "--porcelain"],
        cwd=aws_stack.clone_folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == ""


# --- homeostat doctor, the last step


@pytest.fixture(scope="module")
def lines(aws_stack):
    """Parse the doctor's table: check -> state, sentence, remedy. A long address has its own line."""
    printed = output(aws_stack, ".venv/bin/homeostat doctor").splitlines()
    found, column = {}, re.match(r"ok +settings environment +", printed[0]).end()
    for line in printed[: printed.index("")]:
        state, what, text = line[:8].strip(), line[8:column].strip(), line[column:].strip()
        if state:
            check = SINGLE_CHECKS.get(what.partition(" ")[0], what)
            found[check] = (state, text, "")
        elif text.startswith("-> "):
            found[check] = (*found[check][:2], text.removeprefix("-> "))
    return found


def test_the_doctor_reports_everything_deployed_as_ok(aws_stack, lines):
    deployed = [
        "settings environment",
        *(f"model.yaml {model}" for model in MODELS),
        "store",
        "clock store",
        "aws credentials caller",
        "bucket",
        f"trigger queue {PROJECT}-triggers.fifo",
        f"dead letters {PROJECT}",
        f"failed checks {PROJECT}",
        f"lambda function {PROJECT}-detector",
        *(f"schedule {model}" for model in MODELS),
        f"cluster {PROJECT}",
        f"training task {PROJECT}-train",
    ]
    assert {what: lines.get(what, ("missing",))[0] for what in deployed} == dict.fromkeys(deployed, "ok")
    assert aws_stack.images["detector"][:19] in lines[f"lambda function {PROJECT}-detector"][1]
    assert aws_stack.images["training"][:19] in lines[f"training task {PROJECT}-train"][1]


def test_the_doctor_prints_a_remedy_for_what_is_not_deployed(lines):
    broken = {what for what, line in lines.items() if line[0] == "broken"}
    assert broken == {
        "mlflow http://127.0.0.1:9",
        "gateway http://127.0.0.1:9",
        *(f"model state {model}" for model in MODELS),
    }
    warned = {what for what, line in lines.items() if line[0] == "warning"}
    assert {"control token HOMEOSTAT_CONTROL_TOKEN", "ledger"} <= warned
    assert [what for what in broken | warned if not lines[what][2]] == []
    for model in MODELS:
        assert f"the DAG drift_check__{model}, which publishes it" in lines[f"model state {model}"][2]


def test_the_doctor_exits_with_1_while_something_is_broken(aws_stack):
    assert aws_stack.steps[-1].status == 1


# --- the terminal itself


def test_the_terminal_keeps_exports_and_returns_the_exit_status(tmp_path):
    (tmp_path / "here").mkdir()
    terminal = Terminal(tmp_path / "here", {"PATH": "/usr/bin:/bin"})
    assert terminal.run("export A='two words'\nfalse").status == 1
    assert terminal.run('echo "$A"; read -r line; echo "$line"', "yes\n").output == "two words\nyes\n"
    assert terminal.environment == {"PATH": "/usr/bin:/bin", "A": "two words"}


def test_a_command_may_span_several_lines():
    assert list(commands("a\nb '\nc\n' |\nd\nif e; then\nf\nfi\n")) == [
        "a",
        "b '\nc\n' |\nd",
        "if e; then\nf\nfi",
    ]
