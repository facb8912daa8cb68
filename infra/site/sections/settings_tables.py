"""The environment variables, from the docstrings of Settings and of the gateway's Options."""

from __future__ import annotations

import re
from dataclasses import fields

from md_tables import plain, table

from homeostat.config import Settings
from homeostat.serving.options import Options


def installation() -> str:
    """Return the variables of every process."""
    body = (Settings.__doc__ or "").split("=" * 20)
    lines = [line.strip() for line in "".join(body[1:-1]).splitlines()]
    rows: list[list[str]] = []
    for line in lines:
        found = re.match(r"([A-Z_]{6,})\s{2,}(.*)", line)
        if found:
            rows.append([f"`{found[1]}`", found[2]])
        elif rows and line.strip("= "):
            rows[-1][1] += f" {line}"
    return table(("variable", "meaning (default)"), [(name, plain(text)) for name, text in rows])


def gateway() -> str:
    """Return the variables of the gateway, with their defaults."""
    meanings: dict[str, str] = {}
    names: list[str] = []
    for line in (Options.__doc__ or "").split("----------")[1].splitlines():
        if re.match(r" {4}\S", line):
            names = [name.strip() for name in line.split(",")]
        elif line.strip():
            for name in names:
                meanings[name] = f"{meanings.get(name, '')} {line.strip()}"
    rows = []
    for each in fields(Options):
        default = "the host's name" if each.name == "gateway" else f"`{getattr(Options(), each.name)}`"
        variable = f"HOMEOSTAT_GATEWAY_{'NAME' if each.name == 'gateway' else each.name.upper()}"
        rows.append((f"`{variable}`", default, plain(meanings[each.name])))
    return table(("variable", "default", "meaning"), rows)
