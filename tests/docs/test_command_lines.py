"""Each `homeostat` command in the docs has only options and arguments that the command line knows."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from homeostat.cli.app import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted(ROOT.glob("include/models/*/README.md")),
]
GROUP = typer.main.get_command(app)
#: A table of former forms; `drift --config` is one of them.
FORMER = ROOT / "docs" / "upgrading.md"


def command_lines():
    """Yield page and words of each line of a code block that begins with homeostat."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        for line in re.findall(r"^(?:    |\$ |)(?:\.venv/bin/)?(homeostat [a-z-]+.*)$", text, re.MULTILINE):
            words = shlex.split(line, comments=True)
            if page != FORMER and words[1] in GROUP.commands:
                yield pytest.param(words[1:], id=f"{page.stem}: {' '.join(words[1:])}"[:90])


@pytest.mark.parametrize("words", list(command_lines()))
def test_a_command_of_the_docs_is_understood(words, tmp_path, monkeypatch):
    command, ran = GROUP.commands[words[0]], []
    monkeypatch.setattr(command, "callback", lambda **options: ran.append(options))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hour.csv").touch()  # the one file that must exist: of the demo
    command.main([word.replace("/path/to/", "") for word in words[1:]], standalone_mode=False)
    assert len(ran) == 1


def test_the_docs_have_commands():
    assert len(list(command_lines())) > 20
