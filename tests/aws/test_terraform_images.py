"""infra/aws/push_images.sh, run by the steps of docs/aws.md with a stand-in for docker."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest

from aws.clone import ROOT
from aws.docs_runner import PROJECT, REGION

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SCRIPT = "infra/aws/push_images.sh"
PARTS = {"detector": "infra/aws_lambda/Dockerfile", "platform": "Dockerfile"}


def head(clone_folder, form="--short=12"):
    """The commit that is checked out, as an image's tag; whole with ``--verify``."""
    done = subprocess.run(
        ["git", "rev-parse", form, "HEAD"],
        cwd=clone_folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.fixture(scope="module")
def repositories(aws_stack):
    """Return both repositories by image."""
    found = aws_stack.client("ecr").describe_repositories()["repositories"]
    return {each["repositoryName"].removeprefix(f"{PROJECT}-"): each for each in found}


def test_two_images_are_built_for_lambda_and_fargate_and_pushed(aws_stack, repositories):
    calls = aws_stack.docker_calls()[:5]
    address = {part: each["repositoryUri"] for part, each in repositories.items()}
    registry, tag = address["detector"].partition("/")[0], head(aws_stack.clone_folder)
    full = head(aws_stack.clone_folder, "--verify")
    expected = [["login", "--username", "AWS", "--password-stdin", registry]]
    for part, file in PARTS.items():
        image = f"{address[part]}:{tag}"
        revision = [] if part == "detector" else ["--build-arg", f"GIT_REVISION={full}"]
        expected += [
            ["build", "--platform", "linux/amd64", *revision, "--file", file, "--tag", image, "."],
            ["push", image],
        ]
    assert [each["arguments"] for each in calls] == expected
    assert calls[0]["stdin"].strip(), "a password"
    assert {each["plain"] for each in calls} == {"1"}


def test_the_digests_in_ecr_are_written_for_terraform(aws_stack, repositories):
    written = (aws_stack.clone_folder / "infra/terraform/images.auto.tfvars").read_text()
    variables = dict(re.findall(r'^(\w+) = "(\S+)"$', written, re.MULTILINE))
    in_ecr = {}
    for part, each in repositories.items():
        (image,) = aws_stack.client("ecr").describe_images(repositoryName=each["repositoryName"])[
            "imageDetails"
        ]
        in_ecr[part] = f"{each['repositoryUri']}@{image['imageDigest']}"
    assert variables == {"detector_image": in_ecr["detector"], "training_image": in_ecr["platform"]}
    pushed = next(step for step in aws_stack.steps if step.command == SCRIPT).output
    digests = re.findall(r"digest: (sha256:\w+)", pushed)
    assert digests == [variables[name].partition("@")[2] for name in ("detector_image", "training_image")]
    assert len(set(digests)) == 2


def test_a_commit_is_built_once(aws_stack):
    written = (aws_stack.clone_folder / "infra/terraform/images.auto.tfvars").read_text()
    before = aws_stack.docker_calls()
    again = subprocess.run(
        [aws_stack.clone_folder / SCRIPT],
        env=aws_stack.user_environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode == 0, again.stderr
    assert [each["arguments"][0] for each in aws_stack.docker_calls()[len(before) :]] == ["login"]
    assert (aws_stack.clone_folder / "infra/terraform/images.auto.tfvars").read_text() == written
    assert "No changes" in again.stderr


def test_tags_are_immutable_and_the_lambda_service_may_pull(aws_stack, repositories):
    ecr = aws_stack.client("ecr")
    for each in repositories.values():
        assert each["imageTagMutability"] == "IMMUTABLE"
        assert each["imageScanningConfiguration"]["scanOnPush"]
        assert ecr.get_lifecycle_policy(repositoryName=each["repositoryName"])["lifecyclePolicyText"]
    policy = json.loads(ecr.get_repository_policy(repositoryName=f"{PROJECT}-detector")["policyText"])
    (statement,) = policy["Statement"]
    assert statement["Principal"] == {"Service": "lambda.amazonaws.com"}
    function = f"arn:aws:lambda:{REGION}:123456789012:function:{PROJECT}-detector"
    assert statement["Condition"] == {"ArnEquals": {"aws:SourceArn": function}}


def test_a_missing_tfvars_file_is_named(tmp_path):
    script = tmp_path / SCRIPT
    script.parent.mkdir(parents=True)
    shutil.copy(ROOT / SCRIPT, script)
    done = subprocess.run([script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "copy terraform.tfvars.example" in done.stderr
