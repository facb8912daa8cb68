"""Find a local mirror of Terraform's provider."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

#: Folders that often contain a mirror.
PLACES = ("/opt", "/srv", "/var/lib", "/usr/local")
_AWS_PROVIDER = "registry.terraform.io/hashicorp/aws"


def find_mirror() -> tuple[Path, str]:
    """Return a folder with the AWS provider; otherwise a message with what to install."""
    if not shutil.which("terraform"):
        return (
            Path(),
            "terraform is not on PATH, so infra/terraform is not tested: install Terraform 1.11 or newer",
        )
    for folder in _mirrors():
        if any(folder.glob(f"{_AWS_PROVIDER}/*/*")) or any(folder.glob(f"{_AWS_PROVIDER}/*.zip")):
            return folder, ""
    return Path(), (
        "no mirror of the AWS provider, so infra/terraform is not tested: "
        "run `cd infra/terraform && terraform providers mirror FOLDER`, and set TF_PLUGIN_MIRROR=FOLDER"
    )


def _mirrors() -> Iterator[Path]:
    """Yield configured folders, Terraform's default folders, and common folders."""
    for name in ("TF_PLUGIN_MIRROR", "TF_PLUGIN_CACHE_DIR"):
        if os.environ.get(name):
            yield Path(os.environ[name])
    for settings in (Path(os.environ.get("TF_CLI_CONFIG_FILE") or "~/.terraformrc"), Path("~/.terraformrc")):
        with contextlib.suppress(OSError):
            for path in re.findall(
                r'^\s*(?:path|plugin_cache_dir)\s*=\s*"(.+)"', settings.expanduser().read_text(), re.MULTILINE
            ):
                yield Path(path).expanduser()
    yield from (Path("~/.terraform.d/plugins").expanduser(), Path("~/.terraform.d/plugin-cache").expanduser())
    data = [os.environ.get("XDG_DATA_HOME") or "~/.local/share"]
    data += (os.environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share").split(":")
    yield from (Path(each).expanduser() / "terraform" / "plugins" for each in data)
    for place in PLACES:
        for depth in ("*", "*/*"):
            yield from (path.parent for path in sorted(Path(place).glob(f"{depth}/registry.terraform.io")))
