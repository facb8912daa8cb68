"""Drift checks, training and backtests read a file alike, or refuse it with the same sentence."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from homeostat.config.errors import DataError
from reader_entries import ENTRIES, NAMES, PLAIN, ROWS, drift, lines, write

READ: dict[str, str | bytes] = {
    "comment.csv": "# exported by me, 2024, 2, 3\n" + PLAIN,
    "title.csv": "Sales report;;;\n" + PLAIN.replace(",", ";"),
    "blanks.data": PLAIN.replace(",", "   "),
    "caret.csv": PLAIN.replace(",", "^"),
    "hive.txt": PLAIN.replace(",", "\x01"),
    "packed.csv": gzip.compress(PLAIN.encode()),
}
OBJECTS = [json.dumps(dict(zip(NAMES, row, strict=True))) + "\n" for row in ROWS]
NUMBERED = [[str(n), *row] for n, row in enumerate(ROWS, 1)]
REFUSED = {
    "lines.csv": ("".join(OBJECTS), "is JSON Lines"),
    "page.csv": ("<!DOCTYPE html>\n<html></html>\n", "is an HTML page"),
    "r.csv": (lines(",", [NAMES, *NUMBERED]), "has the first column no name"),
}


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("name", READ)
def test_every_entry_reads_the_same_rows(tmp_path: Path, name: str, entry: Callable[[str], Any]) -> None:
    found = entry(write(tmp_path / name, READ[name]))
    assert found == entry(write(tmp_path / "plain.csv", PLAIN))
    if entry is not drift:
        assert [row["x"] for row in found] == [float(row[1]) for row in sorted(ROWS)]


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("name", REFUSED)
def test_every_entry_refuses_with_the_same_sentence(
    tmp_path: Path, name: str, entry: Callable[[str], Any]
) -> None:
    content, message = REFUSED[name]
    with pytest.raises(DataError, match=message):
        entry(write(tmp_path / name, content))


@pytest.mark.parametrize("entry", ENTRIES)
def test_every_entry_refuses_parts_and_partitions_that_do_not_fit(
    tmp_path: Path, entry: Callable[[str], Any]
) -> None:
    write(tmp_path / "parts" / "a.csv", lines(",", [NAMES, *ROWS[:120]]))
    write(tmp_path / "parts" / "b.csv", lines(",", ROWS[120:]))
    with pytest.raises(DataError, match=r"b\.csv: its column names, .*does the file begin with a row"):
        entry(str(tmp_path / "parts"))
    write(tmp_path / "hive" / "g=a" / "1.csv", PLAIN)
    with pytest.raises(DataError, match="column 'g' holds b, its folder says g=a"):
        entry(str(tmp_path / "hive"))
