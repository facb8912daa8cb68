"""The tables of docs/data.md hold: every row is read as it says, by drift checks and by training."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from homeostat.core.profile.infer import decide_reading
from homeostat.core.profile.reading import Reading, ReadingKind
from homeostat.core.profile.scan import ColumnScan
from homeostat.core.training_data import as_number, as_time
from homeostat.core.values.missing import MISSING_SIGNS, MISSING_WORDS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
WORDS = {"missing": None, "unread": "unread", "ambiguous": "ambiguous"}


def rows(heading: str) -> list[tuple[list[str], list[str]]]:
    """Return the cells, and what they are read as, of the first table below a heading."""
    section = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    table = re.findall(r"^\| (`.*`) \| (`.*`) \|$", section, re.MULTILINE)
    return [(re.findall(r"`([^`]*)`", cells), re.findall(r"`([^`]*)`", meant)) for cells, meant in table]


def shown(pair: tuple[list[str], list[str]] | list[str]) -> str:
    return " ".join(pair) if isinstance(pair[0], str) else ""


def scanned(cells: list[str], kind: ReadingKind) -> list[float | None]:
    """Return the number of each cell as ``homeostat drift`` reads the column; None where it reads none."""
    asked = Reading(kind)  # of a few cells, the share of words says nothing
    whole = ColumnScan(keep_numbers=True, asked=asked)
    whole.add(pa.array(cells))
    reading, _, _ = decide_reading(whole, None, asked)
    found = []
    for cell in cells:
        one = ColumnScan(keep_numbers=True, reading=reading)
        one.add(pa.array([cell]))
        found.append(one.all_numbers()[0] if one.numbers else None)
    return found


@pytest.mark.parametrize(("cells", "meant"), rows("Numbers"), ids=shown)
def test_numbers_are_read_as_the_table_says(cells, meant):
    assert len(cells) == len(meant)
    right = [None if text in WORDS else float(text) for text in meant]
    typed = as_number(pd.Series(cells, dtype="str"))
    unread = typed.faults.get("mistyped", np.zeros(len(cells), dtype=bool))
    for at, text in enumerate(meant):
        assert bool(unread[at]) is (text == "unread"), cells[at]
        # an infinity is a number to drift checks, and a fault of training
        infinite = right[at] is not None and np.isinf(right[at])
        if right[at] is None or infinite:
            assert np.isnan(typed.column[at])
        else:
            assert typed.column[at] == pytest.approx(right[at], rel=1e-12)
    assert scanned(cells, "numbers") == [
        None if each is None else pytest.approx(each, rel=1e-12) for each in right
    ]


@pytest.mark.parametrize(("cells", "meant"), rows("Dates"), ids=shown)
def test_dates_are_read_as_the_table_says(cells, meant):
    assert len(cells) == len(meant)
    typed = as_time(pd.Series(cells, dtype="str"))
    for at, text in enumerate(meant):
        if text in WORDS:
            fault = "ambiguous" if text == "ambiguous" else "mistyped"
            assert typed.faults[fault][at]
            assert pd.isna(typed.column[at])
        else:
            assert typed.column[at] == datetime.fromisoformat(text).replace(tzinfo=UTC)
    right = [
        None if text in WORDS else datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
        for text in meant
    ]
    assert scanned(cells, "dates") == right


def test_the_words_for_missing_are_those_of_the_page():
    (line,) = re.findall(r"^\| numbers and dates \| (.*) \|$", PAGE, re.MULTILINE)
    named = {word.lower() for word in re.findall(r"`([^`]*)`", line)}
    assert named <= MISSING_WORDS | MISSING_SIGNS
    assert named >= MISSING_SIGNS
    assert {"na", "null", "none", "nan"} <= named
