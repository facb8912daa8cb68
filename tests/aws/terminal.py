"""The commands that a page tells people to type, and a terminal to type them into."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_FENCED = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Step:
    """A command, how it ended, and what it printed."""

    command: str
    status: int
    said: str

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


def blocks(page: Path, section: str) -> list[str]:
    """The shell blocks of one section of a page, as they stand there."""
    found = page.read_text(encoding="utf-8").partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    if not found:
        msg = f"{page.name} has no section {section!r}"
        raise LookupError(msg)
    return _FENCED.findall(found)


def commands(block: str) -> Iterator[str]:
    """The commands of a block, each with all of its lines: bash says where one ends."""
    held: list[str] = []
    for line in block.splitlines():
        held.append(line)
        text = "\n".join(held)
        if subprocess.run(["bash", "-n", "-c", text], capture_output=True, check=False).returncode == 0:
            yield text
            held = []
    if held:
        msg = f"no command of bash: {held}"
        raise ValueError(msg)


class Terminal:
    """A shell in a folder; what a command exports is there for the next."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.environment = dict(environment)

    def type(self, command: str, answer: str = "") -> Step:
        """Run a command as it is; ``answer`` is typed when it asks."""
        kept = self.folder.parent / "exported"
        done = subprocess.run(
            ["bash", "-c", f'{command}\nstatus=$?; env -0 >"$EXPORTED"; exit $status'],
            cwd=self.folder,
            env={**self.environment, "EXPORTED": str(kept)},
            input=answer,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if kept.exists():
            pairs = (each.partition("=") for each in kept.read_text().split("\0") if each)
            own = {"EXPORTED", "SHLVL", "PWD", "OLDPWD", "_"}
            self.environment = {name: value for name, _, value in pairs if name not in own}
            kept.unlink()
        return Step(command, done.returncode, done.stdout)
