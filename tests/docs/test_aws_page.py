"""Everything that docs/aws.md names exists, and its picture and costs are those of their scripts."""

import json
import re
import runpy
from dataclasses import fields
from pathlib import Path

import pytest
import typer

from homeostat.cli.app import app
from homeostat.config import Settings
from homeostat.config.model import Monitor, Training
from homeostat.serving.options import Options
from homeostat.storage.parallel_map import READERS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "aws.md").read_text(encoding="utf-8")
MODULE = ROOT / "infra" / "terraform"
TERRAFORM = "\n".join(path.read_text(encoding="utf-8") for path in sorted(MODULE.glob("*.tf")))
STEPS = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_every_environment_variable_on_the_page_exists():
    named = set(re.findall(r"\bHOMEOSTAT_[A-Z_]+[A-Z]\b", PAGE))
    settings = set(re.findall(r"\bHOMEOSTAT_\w+", Settings.__doc__))
    gateway = {f"HOMEOSTAT_GATEWAY_{field.name.upper()}" for field in fields(Options)}
    assert len(named) > 5
    assert named - settings - gateway - set(re.findall(r"\bHOMEOSTAT_\w+", TERRAFORM)) == set()


@pytest.mark.parametrize("word", ["output", "output -json"])
def test_every_output_on_the_page_exists(word):
    existing = set(re.findall(r'^output "(\w+)"', TERRAFORM, re.MULTILINE))
    named = set(re.findall(rf"terraform(?: -chdir=\S+)? {word} (\w+)", PAGE))
    assert named
    assert named <= existing
    assert set(re.findall(r"`(\w+_policy_arn)`", PAGE)) <= existing


@pytest.mark.parametrize("name", ["artifact_lock_days", "destroy_data", "training_secrets", "models"])
def test_every_terraform_variable_on_the_page_exists(name):
    assert name in PAGE
    assert f'variable "{name}"' in TERRAFORM


def test_the_page_names_exactly_the_existing_alarms():
    names = set(re.findall(r'alarm_name += "\$\{var.project\}-([^"]+)"', TERRAFORM))
    each = set(
        re.findall(r"^    ([a-z-]+) += aws_sqs_queue\.\w+\.name", TERRAFORM, re.MULTILINE)
    )  # one per queue of failed messages
    existing = {name.removesuffix("-${each.key}") for name in names - {"${each.key}"}} | each
    named = set(re.findall(r"alarm \*([\w-]+)\*", PAGE))
    assert named == existing


def test_every_homeostat_command_and_option_on_the_page_exists():
    known = {each.name: each for each in typer.main.get_command(app).commands.values()}
    found = re.findall(r"homeostat ([a-z]+(?:-[a-z]+)?)((?: --[\w-]+| [A-Z]+)*)", PAGE)
    commands = [(name, rest) for name, rest in found if name in known]
    assert {"doctor", "train-step"} <= {name for name, _ in commands}
    for name, rest in commands:
        options = {option for each in known[name].params for option in each.opts}
        assert set(re.findall(r"--[\w-]+", rest)) <= options


def test_the_settings_of_model_yaml_exist_with_these_choices():
    block = re.search(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[1]
    for key, choices in re.findall(r"(runs_on|parity): \w+ +# ([\w| ]+)", block):
        kinds = [kind for kind in (Monitor, Training) if key in kind.model_fields]
        allowed = [set(kind.model_fields[key].annotation.__args__) for kind in kinds]
        assert set(choices.split(" | ")) in allowed, key


def test_every_file_in_the_steps_exists():
    for path in re.findall(r"(?<![\w/.])(infra/[\w./-]+)", "\n".join(STEPS.findall(PAGE))):
        if path != "infra/terraform/terraform.tfvars":
            assert (ROOT / path).exists(), path


def test_the_picture_is_current(monkeypatch):
    script = ROOT / "docs" / "pictures" / "draw_aws.py"
    monkeypatch.syspath_prepend(script.parent)  # as when Python runs a script
    drawn = runpy.run_path(str(script))["svg"]()
    assert script.with_name("aws.svg").read_text(encoding="utf-8") == drawn


def test_the_costs_are_current():
    costs = runpy.run_path(str(ROOT / "benchmarks" / "aws_costs.py"))
    counts = json.loads((ROOT / "benchmarks" / "aws_requests.json").read_text(encoding="utf-8"))
    printed = costs["tables"](counts)
    assert f"{costs['BEGIN']}\n{printed}\n{costs['END']}" in PAGE


def test_the_costs_assume_the_number_of_parallel_reads_in_the_code():
    assert runpy.run_path(str(ROOT / "benchmarks" / "aws_costs.py"))["Usage"]().readers == READERS


def test_costs_grow_with_their_usage():
    costs = runpy.run_path(str(ROOT / "benchmarks" / "aws_costs.py"))
    counts = json.loads((ROOT / "benchmarks" / "aws_requests.json").read_text(encoding="utf-8"))

    def of(models, **use):
        return {name: cost for name, _, cost in costs["lines"](models, costs["Usage"](**use), counts)}

    ten, hundred = of(10), of(100)
    assert set(ten) == set(costs["PRICES"])
    once = {"SQS FIFO", "CloudWatch, dashboard", "KMS, key", "ECR"}
    alarms = "CloudWatch, alarms"
    for name in ten.keys() - {alarms}:
        assert hundred[name] == pytest.approx(ten[name] if name in once else 10 * ten[name]), name
    assert hundred[alarms] == pytest.approx(ten[alarms] + 90 * 0.10)
    rare = of(10, flush_seconds=60)
    assert rare["S3, writes and listings"] < ten["S3, writes and listings"] / 5
    assert of(10, retrains=4)["Fargate, memory"] == pytest.approx(2 * ten["Fargate, memory"])
