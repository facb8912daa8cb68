"""Drift checks, training and backtests read a file alike, or refuse it with the same sentence."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from homeostat.adapters.configured_source import ConfiguredSource
from homeostat.adapters.store_memory import MemoryStore
from homeostat.adapters.tables import open_table
from homeostat.cli.commands.backtest_history import read_history
from homeostat.cli.commands.drift_compare import compare_tables
from homeostat.config import ModelConfig
from homeostat.config.errors import DataError
from homeostat.config.model import Monitor
from homeostat.core.training_data import coerce_rows

NAMES = ["at", "x", "g", "y"]
ROWS = [[f"2024-01-01T{n % 24:02}:{n // 24:02}:00Z", str(n / 8), "ab"[n % 2], str(n % 2)] for n in range(240)]


def lines(separator: str, rows: list[list[str]]) -> str:
    return "".join(separator.join(row) + "\n" for row in rows)


PLAIN = lines(",", [NAMES, *ROWS])
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


def model(uri: str) -> ModelConfig:
    features = {"x": {"type": "number"}, "g": {"type": "category"}}
    return ModelConfig.model_validate(
        {
            "name": "entry",
            "task": "classification",
            "pipeline": "pipeline.py:build",
            "source": {"kind": "csv", "uri": uri},
            "schema": {"timestamp": "at", "label": {"name": "y"}, "features": features},
        }
    )


def drift(uri: str) -> Any:
    found = compare_tables(open_table(uri), open_table(uri), Monitor(), model(uri), lambda _: None)
    return found.rows, [(column.name, column.kind, column.reference) for column in found.columns]


def train(uri: str) -> Any:
    return typed(ConfiguredSource(MemoryStore()).read(model(uri), None, None), uri)


def backtest(uri: str) -> Any:
    return typed(read_history(model(uri), uri)[0], uri)


def typed(rows: pd.DataFrame, uri: str) -> list[dict[Any, Any]]:
    return coerce_rows(rows, model(uri), label=True).rows.to_dict("records")


def write(path: Path, content: str | bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


ENTRIES = [drift, train, backtest]


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
