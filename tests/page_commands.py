"""Extract the commands of a page, and run them in a shell."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_FENCED = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class CommandResult:
    """A command, its exit status, and its output."""

    command: str
    status: int
    output: str

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return asdict(self)


def blocks(page: Path, section: str) -> list[str]:
    """Return the shell blocks of a section."""
    found = page.read_text(encoding="utf-8").partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    if not found:
        msg = f"{page.name} has no section {section!r}"
        raise LookupError(msg)
    return _FENCED.findall(found)


def commands(block: str) -> Iterator[str]:
    """Yield the commands of a block; a command ends where bash accepts its lines as complete."""
    lines: list[str] = []
    for line in block.splitlines():
        lines.append(line)
        if line.endswith("\\"):  # bash accepts a backslash at the end of its input
            continue
        text = "\n".join(lines)
        read = subprocess.run(["bash", "-n", "-c", text], capture_output=True, text=True, check=False)
        if read.returncode == 0 and "here-document" not in read.stderr:  # it warns of one that has no end yet
            yield text
            lines = []
    if lines:
        msg = f"not a complete bash command: {lines}"
        raise ValueError(msg)


class Terminal:
    """A shell in a folder that keeps exported variables between commands."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.environment = dict(environment)

    def run(self, command: str, stdin: str = "") -> CommandResult:
        """Run a command with ``stdin`` as its input."""
        exported = self.folder.parent / "exported"
        done = subprocess.run(
            ["bash", "-c", f'{command}\nstatus=$?; env -0 >"$EXPORTED"; exit $status'],
            cwd=self.folder,
            env={**self.environment, "EXPORTED": str(exported)},
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if exported.exists():
            pairs = (each.partition("=") for each in exported.read_text().split("\0") if each)
            own = {"EXPORTED", "SHLVL", "PWD", "OLDPWD", "_"}
            self.environment = {name: value for name, _, value in pairs if name not in own}
            exported.unlink()
        return CommandResult(command, done.returncode, done.stdout)
