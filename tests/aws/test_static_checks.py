"""Static checks of infra/: checkov, offline, and wildcards in policies without a reason."""

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

#: Three mistakes, each with the checkov check that finds it.
EXPECTED_FINDINGS = {
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
#: A wildcard at the end of a path below a named folder.
BELOW_A_FOLDER = re.compile(r'/(?:[a-z-]+|\$\{folder\})/\*"')


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Run checkov on the code and on a copy with mistakes; once for both, because it starts slowly.

    The network is unreachable for it.
    """
    own = ROOT / ".venv-checkov" / "bin" / "checkov"
    program = own if own.exists() else shutil.which("checkov")
    if program is None:
        message = "checkov is not installed, so infra/terraform is not checked: `make test` installs it"
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
    unreachable = "http://127.0.0.1:9"
    done = subprocess.run(
        [program, "-d", folder, "--framework", "terraform", "-o", "json", "--skip-download"],
        env=os.environ | {"HTTP_PROXY": unreachable, "HTTPS_PROXY": unreachable, "NO_PROXY": ""},
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


def bare_wildcards(text: str) -> list[str]:
    """Return lines with a wildcard without a comment on the same line or the line above."""
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
    """Return the policy documents of a file."""
    kept = re.findall(r'^data "aws_iam_policy_document" .*?^\}', path.read_text(), re.MULTILINE | re.DOTALL)
    return "\n".join(kept)


@pytest.mark.timeout(300)
def test_checkov_finds_nothing_and_every_exception_has_a_reason(found):
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
def test_checkov_finds_a_wildcard_a_public_bucket_and_an_unencrypted_queue(found):
    failed = {(each["resource"], each["check_id"]) for each in found["with_mistakes"]["failed_checks"]}
    assert set(EXPECTED_FINDINGS.items()) - failed == set()
    opened = 'aws_s3_bucket.this["data"]'  # reported too, because of the new access block
    assert {resource for resource, _ in failed} - {opened} == set(EXPECTED_FINDINGS)


def test_every_wildcard_in_a_policy_has_a_reason():
    documents = {path.name: blocks(path) for path in MODULE.rglob("*.tf") if ".terraform" not in path.parts}
    assert sum(text.count("statement {") for text in documents.values()) > 20
    assert {name: bare_wildcards(text) for name, text in documents.items() if bare_wildcards(text)} == {}


def test_policies_are_only_in_policy_documents():
    """The test above does not see a policy in a JSON string or in a resource."""
    elsewhere = [
        path.name
        for path in MODULE.rglob("*.tf")
        if ".terraform" not in path.parts
        and re.search(r'"?(Action|Principal|Effect)"?\s*[=:]', path.read_text())
    ]
    assert elsewhere == []


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
def test_a_bare_wildcard_is_found(line, bare):
    assert bool(bare_wildcards(f"statement {{\n{line}\n}}")) is bare


def test_checkovs_lock_is_exact_and_names_no_registry():
    text = (MODULE / "checkov.txt").read_text()
    lines = [line.split("#")[0].strip() for line in text.splitlines()]
    pins = [Requirement(line) for line in lines if line]
    assert [str(pin) for pin in pins if not re.fullmatch(r"==[^*,]+", str(pin.specifier))] == []
    direct = Requirement((MODULE / "checkov.in").read_text().splitlines()[-1])
    assert [pin.specifier for pin in pins if pin.name == direct.name] == [direct.specifier]
    assert "://" not in text


@pytest.mark.parametrize(
    "script",
    [*sorted((ROOT / "infra").glob("*/*.sh")), ROOT / ".ci" / "run"],
    ids=lambda path: path.name,
)
def test_shellcheck_finds_nothing(script):
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not installed, so scripts are not checked: apt-get install shellcheck")
    done = subprocess.run(["shellcheck", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
