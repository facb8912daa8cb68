"""Every command with all options: typer's own documentation of the application."""

from __future__ import annotations

import re

import typer
from typer.cli import get_docs_for_click

from homeostat.cli.app import app


def section() -> str:
    """Return a chapter for each command, without the common option ``--help``."""
    command = typer.main.get_command(app)
    text = get_docs_for_click(obj=command, ctx=typer.Context(command), name="homeostat")
    text = "\n## " + text.partition("\n## ")[2]
    text = re.sub(r"^\* `--help`: .*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"\*\*Options\*\*:\n\n(?=\n|\Z|##)", "", text)
    text = re.sub(r"&#x27;", "'", text)
    return re.sub(r"^## `(homeostat [\w-]+)`$", r"### \1", text, flags=re.MULTILINE)
