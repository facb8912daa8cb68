"""Tables of mixed types, in every format, are read by every entry: no row or column is lost, none differs.

``HOMEOSTAT_FUZZ_EXAMPLES=10000`` runs so many tables.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import os
import tempfile
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeostat.adapters.configured_source import ConfiguredSource
from homeostat.adapters.store_memory import MemoryStore
from homeostat.adapters.tables import open_table
from homeostat.cli.commands.backtest_history import read_history
from homeostat.cli.commands.drift_compare import compare_tables
from homeostat.config import ModelConfig
from homeostat.config.errors import HomeostatError
from homeostat.config.model import Monitor
from homeostat.core.profile import Reference, count_dataframe
from homeostat.core.training_data import coerce_rows
from homeostat.serving.scoring_request import InputSpec, parse

EXAMPLES = int(os.environ.get("HOMEOSTAT_FUZZ_EXAMPLES", "100"))
pytestmark = [pytest.mark.exhaustive, pytest.mark.timeout(0)]
fuzz = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

LETTERS = st.characters(exclude_categories=("Cs", "Cc"), include_characters="\n\t")
WORDS = [
    "NA",
    "None",
    "null",
    "n/a",
    "#N/A",
    "nan",
    "007",
    "1.0",
    "1",
    "True",
    "1e5",
    "?",
    "off",
    "1,5",
    'a"b',
    "a;b",
]
CELLS = {
    "float": st.floats(allow_nan=False, allow_infinity=False),
    "int": st.integers(-(2**53), 2**53),
    "few": st.integers(0, 3),
    "bool": st.booleans(),
    "date": st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)),  # noqa: DTZ001  # UTC below
    "text": st.text(LETTERS, min_size=1, max_size=12) | st.sampled_from(WORDS),
    "mixed": st.floats(-1e6, 1e6).map(repr) | st.sampled_from(WORDS),
}
TYPES = {
    "float": pa.float64(),
    "int": pa.int64(),
    "few": pa.int64(),
    "bool": pa.bool_(),
    "date": pa.timestamp("us", "UTC"),
    "text": pa.string(),
    "mixed": pa.string(),
}
NAMES = st.text(LETTERS, min_size=1, max_size=8).filter(lambda name: name.strip() == name and name != "at")


class Written(NamedTuple):
    """A table: kind and cells by column, each None where a cell is missing."""

    kinds: dict[str, str]
    cells: dict[str, list[Any]]

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(next(iter(self.cells.values())))


class Dialect(NamedTuple):
    """How a CSV file is written."""

    separator: str
    newline: str
    quoting: Literal[0, 1, 2, 3]
    encoding: str
    blank_lines: int
    packed: bool
    files: int


def not_doubtful(names: list[str]) -> bool:
    """Whether no separator is in a name: without rows, or where all rows hold it too, it separates columns.

    A comma may be in one of several names: another separator is more likely than it.
    """
    return not set(";\t|" if len(names) > 1 else ",;\t|") & set("".join(names))


@st.composite
def tables(draw, *, least: int = 1):
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True).filter(not_doubtful))
    kinds = {name: draw(st.sampled_from(sorted(CELLS))) for name in names}
    rows = draw(st.integers(least, 40))
    cells = {}
    for name, kind in kinds.items():
        some = draw(st.lists(CELLS[kind], min_size=1, max_size=8))
        holes = draw(st.booleans())
        picked = draw(st.lists(st.integers(0, len(some) - 1 + holes), min_size=rows, max_size=rows))
        cells[name] = [None if at == len(some) else some[at] for at in picked]
        if kind == "date":
            cells[name] = [None if value is None else value.replace(tzinfo=UTC) for value in cells[name]]
    return Written(kinds, cells)


dialects = st.builds(
    Dialect,
    st.sampled_from(",;\t|"),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.integers(0, 2),
    st.booleans(),
    st.integers(1, 2),
)


def spelled(value: Any) -> str:
    if value is None:
        return ""
    return str(value)


def write_csv(table: Written, dialect: Dialect, folder: Path) -> str:
    """Write the table as one or two CSV files; return the file or the folder."""
    folder.mkdir()
    if len(table.cells) == 1:  # nothing shows its separator
        dialect = dialect._replace(separator=",")
    texts = [cell for cells in table.cells.values() for cell in cells if isinstance(cell, str)]
    if any("," in text for text in texts):  # each file of numbers has a spelling of its own: 1,5 and 1.5
        dialect = dialect._replace(files=1)
    bounds = np.linspace(0, table.rows, dialect.files + 1).astype(int).tolist()
    name = "csv.gz" if dialect.packed else "csv"
    for at, (start, end) in enumerate(pairwise(bounds)):
        text = io.StringIO(newline="")
        text.write(dialect.newline * dialect.blank_lines)
        out = csv.writer(
            text, delimiter=dialect.separator, lineterminator=dialect.newline, quoting=dialect.quoting
        )
        out.writerow(table.cells)
        out.writerows([spelled(column[row]) for column in table.cells.values()] for row in range(start, end))
        content = text.getvalue().encode(dialect.encoding)
        (folder / f"{at}.{name}").write_bytes(gzip.compress(content) if dialect.packed else content)
    return str(folder if dialect.files > 1 else folder / f"0.{name}")


def write_parquet(table: Written, path: Path) -> str:
    columns = {name: pa.array(cells, TYPES[table.kinds[name]]) for name, cells in table.cells.items()}
    pq.write_table(pa.table(columns), path)
    return str(path)


def profile(uri: str, config: ModelConfig | None = None) -> tuple[Any, dict[str, Any]]:
    """Compare a table with itself; return the numbers of rows, and what each column was taken for."""
    table = open_table(uri)
    found = compare_tables(table, open_table(uri), Monitor(), config, lambda _: None)
    columns = {}
    for column in found.columns:
        counts = column.reference
        slots = None if counts is None else (counts.slots.tolist(), counts.missing, counts.unseen)
        columns[column.name] = (column.kind, column.stats.missing_reference, slots)
    return tuple(found.rows), columns


def model(features: dict[str, str], uri: str, label: str, *numbers: str) -> ModelConfig:
    """Return a model whose features have the type of their kind; those in ``numbers`` are numbers."""
    return ModelConfig.model_validate(
        {
            "name": "fuzz",
            "task": "classification",
            "pipeline": "pipeline.py:build",
            "source": {"kind": "csv", "uri": uri},
            "schema": {
                "timestamp": "at",
                "label": {"name": label},
                "features": {
                    name: {"type": "number" if kind in ("float", "int", "few", *numbers) else "category"}
                    for name, kind in features.items()
                },
            },
        }
    )


@fuzz
@given(tables(), dialects)
def test_a_table_has_the_same_profile_in_every_format(table, dialect):
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        parquet = profile(write_parquet(table, folder / "t.parquet"))
        assert parquet[0] == (table.rows, table.rows)
        assert list(parquet[1]) == list(table.cells)
        assert profile(write_csv(table, dialect, folder / "csv")) == parquet


def with_times(table: Written) -> Written:
    times = [datetime.fromtimestamp(1.7e9 + 3600 * row, UTC) for row in range(table.rows)]
    label = [str(row % 2) for row in range(table.rows)]
    return Written({**table.kinds, "at": "date", "y ": "text"}, {**table.cells, "at": times, "y ": label})


@fuzz
@given(tables(least=5), dialects)
def test_training_backtest_and_gateway_read_the_same_rows(table, dialect):
    full = with_times(table)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        uris = [write_csv(full, dialect, folder / "csv"), write_parquet(full, folder / "t.parquet")]
        typed, names = [], ["at", *table.cells, "y "]
        for uri in uris:
            config = model(table.kinds, uri, "y ")
            raw = ConfiguredSource(MemoryStore()).read(config, None, None)
            history, notes = read_history(config, uri)
            for rows in (raw, history):
                typed.append(coerce_rows(rows, config, label=True))
                assert len(typed[-1].rows) + len(typed[-1].quarantined) == table.rows
            assert notes == []
        for other in typed[1:]:
            pd.testing.assert_frame_equal(other.rows[names], typed[0].rows[names])
            assert other.quarantined["reason"].tolist() == typed[0].quarantined["reason"].tolist()
        if len(typed[0].rows) < table.rows:
            return  # the gateway refuses what training quarantines, row by row
        features = config.columns.features
        edges = Reference.fit(typed[0].rows, {name: each.type for name, each in features.items()}).edges
        rows = parse(
            json.dumps({"dataframe_records": as_json(table, typed[0].rows)}).encode(), InputSpec.of(config)
        )
        served = pd.DataFrame(dict(zip(config.feature_names, rows.columns, strict=True)))
        assert count_dataframe(edges, served) == count_dataframe(edges, typed[0].rows)


def as_json(table: Written, typed: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows as a client sends them: null for a word that means missing in its column."""
    missing = {name: typed[name].isna().tolist() for name in table.cells}
    return [
        {
            name: None
            if missing[name][row]
            else str(cell)
            if isinstance((cell := cells[row]), datetime)
            else cell
            for name, cells in table.cells.items()
        }
        for row in range(table.rows)
    ]


@fuzz
@given(tables(least=5), dialects)
def test_rows_that_are_not_of_their_type_are_told_in_every_format(table, dialect):
    full = with_times(table)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        found = []
        for uri in (write_csv(full, dialect, folder / "csv"), write_parquet(full, folder / "t.parquet")):
            config = model(table.kinds, uri, "y ", "mixed", "text", "bool")
            typed = coerce_rows(ConfiguredSource(MemoryStore()).read(config, None, None), config, label=True)
            assert len(typed.rows) + len(typed.quarantined) == table.rows
            told = sum(each.rows for each in typed.findings if each.kind != "date")
            assert told >= len(typed.quarantined)
            found.append((typed.rows[["at", *table.cells]], typed.quarantined["reason"].tolist()))
        pd.testing.assert_frame_equal(found[0][0], found[1][0])
        assert found[0][1] == found[1][1]


def only_known_errors(uri: str) -> None:
    """Read a file by every entry; anything but an error of Homeostat's fails the test."""
    config = model({"a": "float"}, uri, "y ")
    for entry in (
        lambda: profile(uri),
        lambda: coerce_rows(ConfiguredSource(MemoryStore()).read(config, None, None), config, label=True),
        lambda: read_history(config, uri),
    ):
        with contextlib.suppress(HomeostatError):
            entry()


@fuzz
@given(tables(least=5), dialects, st.data())
def test_a_damaged_file_is_an_error_that_says_so(table, dialect, data):
    full = with_times(table)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for uri in (
            write_csv(full, dialect._replace(files=1), folder / "csv"),
            write_parquet(full, folder / "t.parquet"),
        ):
            content = bytearray(Path(uri).read_bytes())
            at = data.draw(st.integers(0, len(content) - 1))
            if data.draw(st.booleans()):
                del content[at:]
            else:
                content[at] = data.draw(st.integers(0, 255))
            Path(uri).write_bytes(content)
            only_known_errors(uri)
