"""What can be seen without applying anything: checkov, offline, and stars that nobody gave a reason for."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "infra" / "terraform"

#: Three mistakes, and a name of the check that each is found by.
PLANTED = {
    "aws_iam_policy.star": "CKV_AWS_63",
    "aws_s3_bucket_public_access_block.open": "CKV_AWS_53",
    "aws_sqs_queue.plain": "CKV_AWS_27",
}
MISTAKES = """
resource "aws_iam_policy" "star" {
  name   = "star"
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "*", Resource = "*" }]
  })
}

resource "aws_s3_bucket_public_access_block" "open" {
  bucket              = aws_s3_bucket.this["data"].id
  block_public_acls   = false
  block_public_policy = false
}

resource "aws_sqs_queue" "plain" {
  name                    = "plain"
  sqs_managed_sse_enabled = false
}
"""
#: A star that only ends a path below a folder that is named.
BELOW_A_FOLDER = re.compile(r'/(?:[a-z-]+|\$\{folder\})/\*"')


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What checkov says of the code as it is, and of a copy with mistakes: one run, for it is slow to start.

    It could not reach a network if it wanted to.
    """
    own = ROOT / ".venv-checkov" / "bin" / "checkov"
    program = own if own.exists() else shutil.which("checkov")
    if program is None:
        message = "checkov is not there, so infra/terraform is not checked by it: `make test` sets it up"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    folder = tmp_path_factory.mktemp("checkov")
    for path in MODULE.rglob("*.tf"):
        if ".terraform" not in path.parts:
            for copy in ("as_it_is", "with_mistakes"):
                to = folder / copy / path.relative_to(MODULE)
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, to)
    (folder / "with_mistakes" / "mistakes.tf").write_text(MISTAKES)
    nowhere = "http://127.0.0.1:9"
    done = subprocess.run(
        [program, "-d", folder, "--framework", "terraform", "-o", "json", "--skip-download"],
        env=os.environ | {"HTTP_PROXY": nowhere, "HTTPS_PROXY": nowhere, "NO_PROXY": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in {0, 1}, done.stderr
    results = json.loads(done.stdout)["results"]
    assert results["parsing_errors"] == []

    def of(copy):
        return {
            kind: [each for each in results[kind] if each["file_path"].startswith(f"/{copy}/")]
            for kind in ("passed_checks", "failed_checks", "skipped_checks")
        }

    return {copy: of(copy) for copy in ("as_it_is", "with_mistakes")}


def stars(text: str) -> list[str]:
    """Lines with a star in a policy that neither they nor the line above them give a reason for."""
    lines = text.splitlines()
    found = []
    for number, line in enumerate(lines):
        literals = [each for each in re.findall(r'"[^"]*\*[^"]*"', line) if not BELOW_A_FOLDER.search(each)]
        if not literals or line.lstrip().startswith("#"):
            continue
        reason = re.search(r"#\s*\w+", line) or lines[number - 1].lstrip().startswith("#")
        if not reason:
            found.append(line.strip())
    return found


def blocks(path: Path) -> str:
    """Everything that is a policy's document, and no more."""
    kept = re.findall(r'^data "aws_iam_policy_document" .*?^\}', path.read_text(), re.MULTILINE | re.DOTALL)
    return "\n".join(kept)


@pytest.mark.timeout(300)
def test_checkov_finds_nothing_and_every_exception_has_its_reason(found):
    found = found["as_it_is"]
    assert [(each["check_id"], each["resource"]) for each in found["failed_checks"]] == []
    assert len(found["passed_checks"]) > 200
    bare = [
        (each["check_id"], each["resource"])
        for each in found["skipped_checks"]
        if len((each["check_result"].get("suppress_comment") or "").split()) < 5
    ]
    assert bare == []


@pytest.mark.timeout(300)
def test_checkov_would_find_a_star_a_public_bucket_and_a_queue_in_the_clear(found):
    failed = {(each["resource"], each["check_id"]) for each in found["with_mistakes"]["failed_checks"]}
    assert set(PLANTED.items()) - failed == set()
    opened = 'aws_s3_bucket.this["data"]'  # found as well, by what now opens it
    assert {resource for resource, _ in failed} - {opened} == set(PLANTED)


def test_every_star_in_a_policy_has_its_reason_beside_it():
    documents = {path.name: blocks(path) for path in MODULE.rglob("*.tf") if ".terraform" not in path.parts}
    assert sum(text.count("statement {") for text in documents.values()) > 20
    assert {name: stars(text) for name, text in documents.items() if stars(text)} == {}


def test_policies_are_nowhere_else_than_where_that_is_looked_for():
    """A policy as JSON in a string, or in a resource, would not be seen."""
    strangers = [
        path.name
        for path in MODULE.rglob("*.tf")
        if ".terraform" not in path.parts
        and re.search(r'"?(Action|Principal|Effect)"?\s*[=:]', path.read_text())
    ]
    assert strangers == []


@pytest.mark.parametrize(
    ("line", "bare"),
    [
        ('resources = ["*"]', True),
        ('actions = ["s3:*"]', True),
        ('actions = ["s3:Get*"]', True),
        ('resources = ["${aws_s3_bucket.data.arn}/*"]', True),
        ('resources = ["*"] # X-Ray has none', False),
        ('resources = ["*"] #', True),
        ('resources = ["${local.store}/log/*"]', False),
        ('resources = [for folder in ["log"] : "${local.store}/${folder}/*"]', False),
    ],
)
def test_a_bare_star_is_found(line, bare):
    assert bool(stars(f"statement {{\n{line}\n}}")) is bare


def test_the_lock_of_checkov_is_exact_and_names_no_registry():
    text = (MODULE / "checkov.txt").read_text()
    lines = [line.split("#")[0].strip() for line in text.splitlines()]
    pins = [Requirement(line) for line in lines if line]
    assert [str(pin) for pin in pins if not re.fullmatch(r"==[^*,]+", str(pin.specifier))] == []
    asked = Requirement((MODULE / "checkov.in").read_text().splitlines()[-1])
    assert [pin.specifier for pin in pins if pin.name == asked.name] == [asked.specifier]
    assert "://" not in text


@pytest.mark.parametrize(
    "script",
    [*sorted((ROOT / "infra" / "aws").glob("*.sh")), ROOT / ".ci" / "run"],
    ids=lambda path: path.name,
)
def test_scripts_are_clean(script):
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not installed, so the scripts are not checked: apt-get install shellcheck")
    done = subprocess.run(["shellcheck", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
