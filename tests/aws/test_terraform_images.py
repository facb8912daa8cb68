"""infra/aws/push_images.sh: repositories, images, digests. Docker is the one part that does not run here."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from aws.aws_stack import MODULE, REGION, ROOT, client, copy_module, credentials, environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

#: Writes down what it is told; a push brings a manifest into moto's ECR, as a registry would have it.
DOCKER = """#!{python}
import json, os, sys

asked = sys.argv[1:]
said = sys.stdin.read() if asked[0] == "login" else ""
with open(os.environ["DOCKER_CALLS"], "a") as calls:
    plain = os.environ.get("BUILDX_NO_DEFAULT_ATTESTATIONS")
    calls.write(json.dumps({{"asked": asked, "said": said, "plain": plain}}) + "\\n")
if asked[0] == "push":
    import boto3

    image, _, tag = asked[1].rpartition(":")
    digest = "sha256:" + image.encode().hex().ljust(64, "0")[-64:]
    manifest = {{
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {{"mediaType": "application/octet-stream", "digest": digest, "size": 1}},
        "layers": [],
    }}
    boto3.client("ecr").put_image(
        repositoryName=image.partition("/")[2], imageManifest=json.dumps(manifest), imageTag=tag
    )
"""


@pytest.fixture
def checkout(tmp_path, aws_endpoint):
    """A clean checkout of what the script uses, and a docker that only takes notes."""
    folder = tmp_path / "checkout"
    terraform = folder / "infra" / "terraform"
    terraform.parent.mkdir(parents=True)
    shutil.copytree(ROOT / "infra" / "aws", folder / "infra" / "aws")
    terraform.mkdir()
    copy_module(terraform / "images", aws_endpoint, MODULE / "images")
    (terraform / "terraform.tfvars").write_text(
        f'project = "pushed"\nregion = "{REGION}"\nmodels = {{ pump = {{}} }}\ndestroy_data = true\n'
    )
    (folder / ".gitignore").write_text("*.tfvars\n*.tfstate*\n.terraform/\n")
    who = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
    for command in (["init", "-q"], ["add", "-A"], [*who, "commit", "-q", "-m", "all"]):
        subprocess.run(["git", *command], cwd=folder, check=True, capture_output=True)
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(DOCKER.format(python=sys.executable))
    docker.chmod(0o755)
    return folder


def push(checkout, mirror, aws_endpoint, *, expect=0):
    calls = checkout.parent / "calls"
    calls.write_text("")
    env = {**environment(mirror), **credentials(aws_endpoint)}
    env |= {"PATH": f"{checkout.parent / 'bin'}:{os.environ['PATH']}", "PYTHON": sys.executable}
    done = subprocess.run(
        [checkout / "infra" / "aws" / "push_images.sh"],
        env=env | {"DOCKER_CALLS": str(calls)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == expect, done.stdout + done.stderr
    return [json.loads(line) for line in calls.read_text().splitlines()], done.stderr


def test_two_images_are_built_and_terraform_is_told_their_digests_once_a_commit(
    checkout, mirror, aws_endpoint
):
    calls, _ = push(checkout, mirror, aws_endpoint)
    assert [each["asked"][0] for each in calls] == ["login", "build", "push", "build", "push"]
    assert calls[0]["said"].strip()
    assert {each["plain"] for each in calls} == {"1"}
    builds = [each["asked"] for each in calls if each["asked"][0] == "build"]
    assert [each[each.index("--file") + 1] for each in builds] == ["infra/detector/Dockerfile", "Dockerfile"]
    assert all("linux/amd64" in each for each in builds)

    ecr = client(aws_endpoint, "ecr")
    held = {
        name: ecr.describe_images(repositoryName=name)["imageDetails"]
        for name in ("pushed-detector", "pushed-platform")
    }
    written = (checkout / "infra/terraform/images.auto.tfvars").read_text()
    told = dict(re.findall(r'^(\w+) = "(\S+)"$', written, re.MULTILINE))
    registry = f"123456789012.dkr.ecr.{REGION}.amazonaws.com"
    assert told == {
        "detector_image": f"{registry}/pushed-detector@{held['pushed-detector'][0]['imageDigest']}",
        "training_image": f"{registry}/pushed-platform@{held['pushed-platform'][0]['imageDigest']}",
    }
    patterns = re.findall(
        r'can\(regex\("(\^\[0-9\].*?)", var\.\w+_image', (MODULE / "variables.tf").read_text()
    )
    assert len(patterns) == 2
    assert all(re.search(patterns[0].replace("\\\\", "\\"), image) for image in told.values())

    calls, said = push(checkout, mirror, aws_endpoint)  # the same commit again
    assert [each["asked"][0] for each in calls] == ["login"]
    assert (checkout / "infra/terraform/images.auto.tfvars").read_text() == written
    assert "No changes" in said

    repositories = ecr.describe_repositories(repositoryNames=list(held))["repositories"]
    for each in repositories:
        assert each["imageTagMutability"] == "IMMUTABLE"
        assert each["imageScanningConfiguration"]["scanOnPush"]
        assert ecr.get_lifecycle_policy(repositoryName=each["repositoryName"])["lifecyclePolicyText"]
    pulls = json.loads(ecr.get_repository_policy(repositoryName="pushed-detector")["policyText"])["Statement"]
    assert pulls[0]["Principal"] == {"Service": "lambda.amazonaws.com"}

    done = subprocess.run(
        ["terraform", "destroy", "-auto-approve", "-var-file=../terraform.tfvars", "-compact-warnings"],
        cwd=checkout / "infra/terraform/images",
        env=environment(mirror),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert ecr.describe_repositories()["repositories"] == []


def test_without_its_settings_the_script_says_which_file_is_missing(checkout, mirror, aws_endpoint):
    (checkout / "infra/terraform/terraform.tfvars").unlink()
    calls, said = push(checkout, mirror, aws_endpoint, expect=1)
    assert calls == []
    assert "copy terraform.tfvars.example" in said
