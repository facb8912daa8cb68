"""A fresh clone of this repository, with the manual edits that docs/aws.md describes."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
VARIABLES = Path("infra/terraform/terraform.tfvars")

#: A stand-in for docker that records its calls; a push puts a manifest into ECR, as docker does.
DOCKER = """#!{python}
import hashlib, json, os, sys

arguments = sys.argv[1:]
stdin = sys.stdin.read() if arguments[0] == "login" else ""
with open(os.environ["DOCKER_CALLS"], "a") as calls:
    plain = os.environ.get("BUILDX_NO_DEFAULT_ATTESTATIONS")
    calls.write(json.dumps({{"arguments": arguments, "stdin": stdin, "plain": plain}}) + "\\n")
if arguments[0] == "push":
    import boto3

    image, _, tag = arguments[1].rpartition(":")
    layer = "sha256:" + image.encode().hex().ljust(64, "0")[-64:]
    manifest = {{
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {{"mediaType": "application/octet-stream", "digest": layer, "size": 1}},
        "layers": [],
    }}
    text = json.dumps(manifest)
    digest = "sha256:" + hashlib.sha256(text.encode()).hexdigest()
    boto3.client("ecr", region_name=image.split(".")[3]).put_image(
        repositoryName=image.partition("/")[2], imageManifest=text, imageTag=tag, imageDigest=digest
    )
    print(f"{{tag}}: digest: {{digest}} size: {{len(text)}}")
"""


def clone(folder: Path) -> Path:
    """Copy tracked and untracked files and link this virtualenv, as in a clone after `make setup`."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # deleted, but not committed
            shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    link_virtualenv(folder / ".venv")
    return folder


def link_virtualenv(folder: Path) -> None:
    """Create a virtualenv like that of `make setup`, from links to the one that runs these tests.

    The mark files are new: with a stale mark, `make setup` would install into the linked virtualenv.
    """
    (folder / "bin").mkdir(parents=True)
    for path in (*Path(sys.prefix).glob("[!.]*"), *(Path(sys.prefix) / "bin").iterdir()):
        if path.name != "bin":
            (folder / path.relative_to(sys.prefix)).symlink_to(path)
    command = folder / "bin" / "homeostat"
    if not command.exists():  # the package is not installed
        command.write_text(f"#!{folder / 'bin' / 'python'}\nfrom homeostat.cli import main\n\nmain()\n")
        command.chmod(0o755)
    for mark in (".made", ".runtime-is-set-up"):
        (folder / mark).touch()


def commit(folder: Path) -> None:
    """Commit all files as the first commit of a new repository."""
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"]
    environment = os.environ | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    for command in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-q", "-m", "all"]):
        subprocess.run(["git", *command], cwd=folder, env=environment, check=True, capture_output=True)


def move_to_aws(folder: Path, models: Mapping[str, str]) -> None:
    """Set monitor.runs_on, monitor.every and training.runs_on in each model.yaml, as in docs/aws.md."""
    for name, every in models.items():
        path = folder / "include" / "models" / name / "model.yaml"
        text = path.read_text()
        for old, new in (
            (r"^monitor: \{every: \w+", f"monitor: {{runs_on: lambda, every: {every}"),
            (r"^training: \{", "training: {runs_on: ecs, "),
        ):
            text, count = re.subn(old, new, text, flags=re.MULTILINE)
            assert count == 1, f"{path}: {old}"
        path.write_text(text)


def edit_variables(folder: Path, values: Mapping[str, Any]) -> None:
    """Set values in the copy of the example, where each variable occurs once, possibly in a comment."""
    path = folder / VARIABLES
    text = path.read_text()
    for name, value in values.items():
        text, count = re.subn(
            rf"^(?:# )?{name}( *)=.*$", rf"{name}\1= {json.dumps(value)}", text, flags=re.MULTILINE
        )
        assert count == 1, f"{name} is {count} times in the example, expected once"
    path.write_text(text)


def write_docker(path: Path) -> None:
    """Write the stand-in for docker."""
    path.parent.mkdir()
    path.write_text(DOCKER.format(python=sys.executable))
    path.chmod(0o755)
