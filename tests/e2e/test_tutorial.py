"""The commands of docs/tutorial.md, run in their order in an empty folder, until the model has healed."""

import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from page_commands import Terminal, commands

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "tutorial.md").read_text(encoding="utf-8")
#: Kind of block ("" for the first terminal) and its text.
BLOCKS = re.findall(r"^```sh ?([\w-]*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
PATIENCE = 900


class Background:
    """A terminal in which one command goes on until it is stopped."""

    def __init__(self, terminal, command):
        self.lines, self.seen = [], threading.Event()
        # exec: the shell becomes the command, so that the command itself gets the signal
        self.process = subprocess.Popen(
            ["bash", "-c", f"exec {command}"],
            cwd=terminal.folder,
            env=terminal.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line)
            if "Ctrl-C" in line:
                self.seen.set()
        self.seen.set()

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=90)
        self.reader.join(timeout=10)
        self.process.stdout.close()


@pytest.fixture
def terminal(tmp_path):
    folder = tmp_path / "clone"
    folder.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HOMEOSTAT", "MLFLOW"))}
    program = folder.parent / "bin"
    program.mkdir()
    for name, words in (("homeostat", "-m homeostat.cli"), ("python", "")):
        (program / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        (program / name).chmod(0o755)
    return Terminal(
        folder,
        {
            **kept,
            "PATH": f"{program}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOMEOSTAT_MODELS": str(folder / "include" / "models"),
            "HOMEOSTAT_STATE": str(folder / ".homeostat"),
        },
    )


def run(terminal, block):
    printed = ""
    for command in commands(block):
        step = terminal.run(command)
        assert step.status == 0, f"{command}\n{step.output}"
        printed += step.output
    return printed


def wait_until(terminal, block, pattern):
    """Repeat a command of the page until it prints the pattern."""
    deadline = time.monotonic() + PATIENCE
    while not re.search(pattern, printed := run(terminal, block)):
        assert time.monotonic() < deadline, printed
        time.sleep(2)
    return printed


def test_the_page_has_the_blocks_that_this_test_knows():
    kinds = [kind for kind, _ in BLOCKS if kind]
    assert kinds == ["install", "terminal", "traffic", "until-healed", "cleanup"]
    assert len(BLOCKS) > 10


def test_a_model_made_from_the_page_heals_itself(terminal):
    background, printed = [], []
    try:
        for kind, block in BLOCKS:
            if kind in ("terminal", "traffic"):
                background.append(Background(terminal, block.strip()))
                if kind == "terminal":
                    assert background[-1].seen.wait(PATIENCE), background[-1].lines
                    [address] = re.findall(r"HOMEOSTAT_GATEWAY=(\S+)", "".join(background[-1].lines)) or [
                        pytest.fail("homeostat up ended:\n" + "".join(background[-1].lines))
                    ]
                    terminal.environment["HOMEOSTAT_GATEWAY"] = address  # ports may be taken on this machine
            elif kind == "until-healed":
                printed.append(wait_until(terminal, block, r"version ([2-9]|\d\d) is champion and serves"))
            elif kind == "cleanup":
                while background:
                    background.pop().stop()
                run(terminal, block)
            elif kind != "install":
                printed.append(run(terminal, block))
        everything = "\n".join(printed)
        assert "version 1 is champion" in everything
        assert "x-homeostat-version: 1" in everything
        assert "no drift of the inputs" in everything
        assert re.search(r"shadow begins", everything)
        assert "canary passed" in everything
        assert [path.name for path in terminal.folder.iterdir()] == ["include"]
    finally:
        while background:
            background.pop().stop()
