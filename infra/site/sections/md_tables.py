"""Tables in Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table; bars in cells are escaped and line breaks become blanks."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines) + "\n"


def plain(docstring: str) -> str:
    """Return text of a docstring as Markdown: roles and double backquotes become code."""
    text = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", docstring)
    return " ".join(text.replace("``", "`").split())


def _cell(cell: object) -> str:
    return " ".join(str(cell).split()).replace("|", "\\|")
