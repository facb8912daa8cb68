"""The same value is the same category, whichever way it comes in."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from homeostat.adapters.configured_source import ConfiguredSource
from homeostat.adapters.store_memory import MemoryStore
from homeostat.config import ModelConfig, load_model
from homeostat.core.profile import CategoryEdges, count_arrow_column, count_parquet, count_series, fit_edges
from homeostat.core.training_data import as_label, coerce_rows
from homeostat.serving.http.protocols import parse_infer
from homeostat.serving.http.protocols.csv_rows import parse_csv
from homeostat.serving.recorder.labels import parse_labels
from homeostat.serving.scoring_request import InputSpec, Rows, parse

MODEL = """
name: shop
task: classification
pipeline: pipeline.py:build
source: {source}
schema:
  timestamp: at
  label: {{name: y}}
  features: {{v: {{type: number}}, c: {{type: category}}}}
"""
Values = list[Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the model and of all files."""
    path = tmp_path_factory.mktemp("models") / "shop"
    path.mkdir()
    return path


@cache
def configure(folder: Path, source: str) -> ModelConfig:
    (folder / "model.yaml").write_text(MODEL.format(source=source))
    return load_model(folder)


def read(folder: Path, kind: str, name: str, query: str = "") -> Values:
    """Read a source as training does, and return its categories."""
    source = f"{{kind: {kind}, uri: {name}{query}}}"
    config = configure(folder, source)
    typed = coerce_rows(ConfiguredSource(MemoryStore()).read(config, None, None), config)
    assert not len(typed.quarantined)
    return [None if pd.isna(text) else text for text in typed.rows["c"]]


def table(column: Any) -> dict[str, Any]:
    at = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=hour) for hour in range(len(column))]
    return {"at": at, "v": [1.0] * len(column), "c": column, "y": [0] * len(column)}


def from_pandas_csv(folder: Path, values: Values) -> Values:
    name = "pandas.csv"
    pd.DataFrame(table(pd.Series(values))).to_csv(folder / name, index=False)  # whole numbers may be floats
    return read(folder, "csv", name)


def from_arrow_csv(folder: Path, values: Values) -> Values:
    name = "arrow.csv"
    pyarrow.csv.write_csv(pa.table(table(pa.array(values))), folder / name)
    return read(folder, "csv", name)


def from_r_csv(folder: Path, values: Values) -> Values:
    """As write.csv writes it: NA, TRUE, numbers of 15 digits in the shorter of two forms, quoted text."""
    name = "r.csv"
    cells = table([_in_r(value) for value in values])
    cells["at"] = [f'"{at:%Y-%m-%dT%H:%M:%SZ}"' for at in cells["at"]]
    lines = ['"at","v","c","y"', *(",".join(map(str, row)) for row in zip(*cells.values(), strict=True))]
    (folder / name).write_bytes("\n".join([*lines, ""]).encode())
    return read(folder, "csv", name)


def _in_r(value: Any) -> str:
    if value is None:
        return "NA"
    if isinstance(value, str):
        return '"' + value.replace('"', '""') + '"'
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, int):
        return str(value)
    digits, exponent = f"{value:.14e}".split("e")
    digits = digits.rstrip("0").rstrip(".")
    fixed, scientific = format(Decimal(f"{digits}e{exponent}"), "f"), f"{digits}e{int(exponent):+03d}"
    return fixed if len(fixed) <= len(scientific) else scientific


def from_parquet(folder: Path, array: pa.Array) -> Values:
    name = "rows.parquet"
    pq.write_table(pa.table(table(array)), folder / name)
    return read(folder, "parquet", name)


def from_sql(folder: Path, values: Values) -> Values:
    with closing(sqlite3.connect(folder / "rows.db")) as db:
        pd.DataFrame(table(pd.Series(values))).to_sql("rows", db, index=False, if_exists="replace")
    return read(folder, "sql", "'sqlite:///rows.db'", ", query: 'select * from rows'")


def served(rows: Rows) -> Values:
    return list(rows.columns[1])


def spec(folder: Path) -> InputSpec:
    return InputSpec.of(configure(folder, "{kind: csv, uri: rows.csv}"))


def from_json(folder: Path, values: Values) -> list[Values]:
    records = [{"v": 1, "c": value} for value in values]
    bodies = [
        {"dataframe_records": records},
        {"dataframe_split": {"columns": ["c", "v"], "data": [[value, 1] for value in values]}},
        {"instances": [[1, value] for value in values]},
        {"inputs": {"v": [1] * len(values), "c": values}},
    ]
    return [served(parse(json.dumps(body).encode(), spec(folder))) for body in bodies]


def from_csv_body(folder: Path, values: Values) -> Values:
    text = pd.DataFrame({"v": 1, "c": pd.Series(values)}).to_csv(index=False)
    return served(parse_csv(text.encode(), spec(folder)))


def from_tensors(folder: Path, values: Values, datatype: str) -> Values:
    shape = [len(values)]
    tensors = [
        {"name": "v", "shape": shape, "datatype": "FP64", "data": [1] * len(values)},
        {"name": "c", "shape": shape, "datatype": datatype, "data": values},
    ]
    return served(parse_infer(json.dumps({"inputs": tensors}).encode(), spec(folder)).rows)


FILES: tuple[Callable[[Path, Values], Values], ...] = (
    *(from_pandas_csv, from_arrow_csv, from_r_csv, from_sql, from_csv_body),
)
INTEGERS = {f"INT{n}": 2 ** (n - 1) for n in (8, 16, 32, 64)} | {f"UINT{n}": 2**n for n in (8, 16, 32, 64)}


def with_missing(each: st.SearchStrategy[Any]) -> st.SearchStrategy[Values]:
    lists = st.lists(each | st.none(), min_size=1, max_size=5)
    return lists.filter(lambda values: any(value is not None for value in values))


def slow(test: Any) -> Any:
    checks = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
    return settings(max_examples=15, deadline=None, suppress_health_check=checks)(test)


def agree(folder: Path, values: Values, expected: Values, arrays: list[pa.Array]) -> None:
    """Every entry, and every count, reads these values as the expected categories."""
    found = {way.__name__: way(folder, values) for way in FILES}
    found |= {f"parquet {array.type}": from_parquet(folder, array) for array in arrays}
    found |= {f"json {n}": each for n, each in enumerate(from_json(folder, values))}
    assert found == dict.fromkeys(found, expected)
    edges = fit_edges(pd.DataFrame({"c": pd.Series(expected, dtype="str")}), {"c": "category"}).features["c"]
    assert isinstance(edges, CategoryEdges)
    known = count_series(edges, pd.Series(expected, dtype="str"))
    for array in arrays:
        assert count_arrow_column(edges, array) == known
        assert count_series(edges, array.to_pandas()) == known


@slow
@given(with_missing(st.integers(-(2**53), 2**53)))
@example([3, None, 1])
@example([100_000, None])
def test_whole_numbers(folder, values):
    expected = [None if value is None else str(value) for value in values]
    wide = max(abs(value or 0) for value in values)
    arrays = [
        pa.array(values, pa.int64()),
        pa.array(values, pa.float64()),
        pa.array(values, pa.decimal128(38)),
    ]
    arrays += [arrays[0].dictionary_encode(), pa.array(expected), pa.array(expected).dictionary_encode()]
    arrays += [pa.array(values, pa.decimal128(20, 2))]
    arrays += [pa.array(values, pa.float32())] if wide < 2**24 else []
    agree(folder, values, expected, arrays)
    for datatype, limit in INTEGERS.items():
        if wide < limit and (datatype[0] == "I" or all((value or 0) >= 0 for value in values)):
            assert from_tensors(folder, values, datatype) == expected
    as_floats = [None if value is None else float(value) for value in values]
    assert from_tensors(folder, as_floats, "FP64") == expected
    assert from_json(folder, as_floats) == [expected] * 4
    if wide < 2**24:
        assert from_tensors(folder, as_floats, "FP32") == expected
    for spelled in (as_floats, expected):
        assert from_tensors(folder, [None if v is None else str(v) for v in spelled], "BYTES") == expected


@slow
@given(with_missing(st.booleans()))
def test_booleans(folder, values):
    expected = [None if value is None else "1" if value else "0" for value in values]
    arrays = [pa.array(values), pa.array(values).cast(pa.int8()), pa.array(values).cast(pa.string())]
    agree(folder, values, expected, [*arrays, arrays[2].dictionary_encode()])
    assert from_tensors(folder, values, "BOOL") == expected
    for words in (("false", "true"), ("False", "True"), ("FALSE", "TRUE"), (0.0, 1.0), (0, 1)):
        spelled = [None if value is None else words[value] for value in values]
        assert from_json(folder, spelled) == [expected] * 4


fractions = st.builds(
    lambda digits, power: float(f"{digits}e{power}"), st.integers(-999, 999), st.integers(-9, 6)
)


@slow
@given(with_missing(fractions))
@example([0.1, None, 1e-5, 2.0])
def test_fractions(folder, values):
    def text(value: float) -> str:
        return format(Decimal(repr(value)), "f") if value % 1 else str(int(value))

    expected = [None if value is None else text(value) for value in values]
    agree(folder, values, expected, [pa.array(values), pa.array(values, pa.float32())])
    assert from_tensors(folder, values, "FP64") == expected
    short = [
        None if value is None else float(np.float32(value)) for value in values
    ]  # as its client sends it
    assert from_tensors(folder, short, "FP32") == expected


words = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), min_size=1, max_size=5)
codes = st.sampled_from(["007", "+1", "1.10", "1e5", "yes", "NO", "1,5", 'a "b"', "a,b", "Ω", "1.0.0"])


@slow
@given(with_missing(codes | words.map(lambda word: f"x{word}")))
def test_words_and_codes(folder, values):
    array = pa.array(values)
    arrays = [array, array.dictionary_encode(), array.cast(pa.large_string())]
    agree(folder, values, values, arrays)
    assert from_tensors(folder, values, "BYTES") == values


@pytest.mark.parametrize("name", ["NA", "None", "null", "nan", "N/A"])
def test_a_word_for_missing_is_a_category_where_the_format_has_its_own(folder, name):
    values = ["EMEA", name, None]
    arrays = [pa.array(values), pa.array(values).dictionary_encode()]
    found = [from_parquet(folder, array) for array in arrays]
    found += [from_sql(folder, values), *from_json(folder, values), from_csv_body(folder, values)]
    found += [from_tensors(folder, values, "BYTES")]
    assert found == [values] * len(found)


@pytest.mark.parametrize("word", ["NA", "nan", "null"])
def test_a_word_for_missing_in_a_column_of_numbers_is_missing_unless_it_is_listed(folder, word):
    config = configure(folder, "{kind: csv, uri: rows.csv}")
    rows = pd.DataFrame(table(["1", word, "3.0"]))
    assert coerce_rows(rows, config).rows["c"].isna().tolist() == [False, True, False]
    feature = config.columns.features["c"].model_copy(update={"categories": ("1", "3", word)})
    features = {**config.columns.features, "c": feature}
    listed = config.model_copy(update={"columns": config.columns.model_copy(update={"features": features})})
    assert coerce_rows(rows, listed).rows["c"].tolist() == ["1", word, "3"]


def test_a_parquet_file_is_counted_as_the_reference_whatever_its_types(folder):
    edges = fit_edges(pd.DataFrame({"c": ["1", "3", "0"]}), {"c": "category"})
    for n, array in enumerate(
        [pa.array([1, 3, 0]), pa.array([1.0, 3.0, 0.0]), pa.array(["1.0", "3", "false"])]
    ):
        pq.write_table(pa.table({"c": array}), folder / f"counted{n}.parquet")
        assert count_parquet(edges, folder / f"counted{n}.parquet").features["c"].unseen == 0


LABELS = [
    ([1, 0, 1], ["1", "0", "1"]),
    ([True, False], ["1", "0"]),
    (["2.0", "1", "true"], ["2", "1", "1"]),
    (["fraud", "NA", "None"], ["fraud", "NA", "None"]),
    (["007", "7"], ["007", "7"]),
]


@pytest.mark.parametrize(("sent", "expected"), LABELS)
def test_a_posted_label_is_the_class_that_training_learned(folder, sent, expected):
    config = configure(folder, "{kind: csv, uri: rows.csv}")
    items = [{"id": f"i{n}", "label": value} for n, value in enumerate(sent)]
    post = partial(parse_labels, config=config, now=datetime(2024, 1, 1, tzinfo=UTC), max_rows=10)
    posted = post(json.dumps({"labels": items}).encode(), classes=set(expected))
    assert [label.value for label in posted] == expected
    kinds = set()
    for column in (pd.Series(sent), pd.Series(list(map(str, sent))), pd.Series(expected, dtype="category")):
        learned = as_label(column, "classification").column
        assert [str(label) for label in learned] == expected
        kinds.add(str(learned.dtype))
    assert len(kinds) == 1  # the same predictions in JSON, whichever source was learned from
