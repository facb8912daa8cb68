"""Fast counting gives the same result as one plain search per value, in any container."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.core.profile import (
    CategoryEdges,
    FeatureCounts,
    NumberEdges,
    binning,
    count_arrow_column,
    count_arrow_table,
    count_dataframe,
    count_parquet,
    count_series,
    fit_edges,
)
from homeostat.core.profile.coerce import as_labels, as_numbers, hash_of
from homeostat.core.profile.fit_edges import fit_sorted_numbers

TINY, HUGE = 5e-324, 1.7976931348623157e308
FLOATS = st.one_of(
    st.floats(width=64),
    st.sampled_from([0.0, -0.0, TINY, -TINY, HUGE, -HUGE, np.inf, -np.inf, np.nan]),
    st.sampled_from([1.0, np.nextafter(1, 2), np.nextafter(1, 0), 1 + 1e-10]),  # one and the same float32
    st.integers(-3, 3).map(float),
)
LABELS = st.one_of(st.sampled_from(["a", "b", "1", "1.0", ""]), st.text(max_size=50))


def search_each(edges, column):
    """Return the counts by their definition: search the slot of every single value."""
    numbers, not_numbers = as_numbers(column)
    cuts = np.asarray(edges.cut_points, dtype=np.float64)
    present = numbers[~np.isnan(numbers)]
    slots = [2 * int((cuts < x).sum()) + int((cuts == x).any()) for x in present]
    return FeatureCounts(
        edges, np.bincount(slots, minlength=edges.size), numbers.size - present.size, not_numbers
    )


def find_each(edges, column):
    per_label, labels, missing = as_labels(column)
    values, unseen = np.zeros(edges.size, dtype=np.int64), 0
    for label, rows in zip(labels, per_label, strict=True):
        if label in edges.labels:
            values[edges.labels.index(label)] += rows
        elif edges.open or hash_of(label) in edges.rest:
            values[-1] += rows
        else:
            unseen += int(rows)
    return FeatureCounts(edges, values, missing, unseen)


@pytest.mark.parametrize("always_float32", [False, True])
@settings(max_examples=100, deadline=None)
@given(
    cuts=st.lists(FLOATS.filter(lambda x: not np.isnan(x)), max_size=9, unique=True),
    pieces=st.lists(st.lists(FLOATS, max_size=30), max_size=4),
    chunk=st.integers(1, 40),
)
def test_sorting_counts_every_float_in_the_slot_that_a_search_finds(always_float32, cuts, pieces, chunk):
    edges = NumberEdges(tuple(sorted({cut + 0.0 for cut in cuts})), complete=False)
    arrays = [np.array(piece, dtype=np.float64) for piece in pieces]
    before = [array.copy() for array in arrays]
    expected = search_each(edges, pd.Series(np.concatenate([np.empty(0), *arrays])))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(binning, "CHUNK", chunk)
        if always_float32:
            patch.setattr(binning, "_MIN_FLOAT32", 0)
            patch.setattr(binning, "_MAX_AMBIGUOUS", 99)
            patch.setattr(binning, "_MAX_AMBIGUOUS_SHARE", 1.0)
        assert binning.bin_numbers(edges, arrays) == expected
        assert binning.bin_numbers(edges, arrays, not_numbers=2).unseen == 2
    for array, kept in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, kept)  # the caller's rows are not sorted


@settings(deadline=None)
@given(st.lists(FLOATS.filter(lambda x: not np.isnan(x)), max_size=60), st.integers(2, 9))
def test_numbers_in_order_are_fitted_and_counted_like_any(numbers, most):
    ordered = np.sort(np.array(numbers, dtype=np.float64))
    edges = fit_sorted_numbers(ordered, most)
    finite = sorted({x + 0.0 for x in numbers if np.isfinite(x)})
    assert edges.complete == (len(finite) <= most)
    largest = {np.sign(x) * HUGE for x in numbers if np.isinf(x)}
    if edges.complete:
        assert edges.cut_points == tuple(sorted({*finite, *largest}))
    else:
        assert set(edges.cut_points) <= {*finite, *largest}
        assert {finite[0], finite[-1], *largest} <= set(edges.cut_points)
    assert "-0.0" not in map(str, edges.cut_points)
    assert binning.bin_sorted(edges, ordered) == search_each(edges, pd.Series(ordered))


COLUMNS = {
    "normal": lambda rng, n: rng.normal(size=n),
    "integers": lambda rng, n: rng.integers(-40, 40, n),
    "heavy": lambda rng, n: rng.standard_cauchy(n) * 1e300,
    "tiny": lambda rng, n: rng.normal(size=n) * 1e-300,
    "crowded": lambda rng, n: 1 + rng.normal(size=n) * 1e-9,
    "ties": lambda rng, n: np.where(rng.random(n) < 0.4, 0.0, rng.lognormal(size=n)),
    "late ties": lambda rng, n: np.where(np.arange(n) > n // 2, 0.5, rng.normal(size=n)),
    "rounded": lambda rng, n: rng.normal(size=n).round(1),
    "constant": lambda rng, n: np.full(n, 7.5),
    "holes": lambda rng, n: np.where(rng.random(n) < 0.1, np.nan, rng.normal(size=n)),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_long_columns_of_every_shape_are_counted_as_a_search_counts_them(name):
    rng = np.random.default_rng(1)
    n = 2 * binning.CHUNK + 4321
    x = COLUMNS[name](rng, n)
    other = COLUMNS[name](rng, n)
    edges = fit_edges(pd.DataFrame({"x": other}), {"x": "number"}).features["x"]
    window = np.asarray(x, dtype=np.float64)
    below = np.searchsorted(edges.cut_points, window)
    slots = 2 * below + (np.append(edges.cut_points, np.nan)[below] == window)
    expected = np.bincount(slots[~np.isnan(window)], minlength=edges.size)
    assert count_series(edges, pd.Series(x)) == FeatureCounts(edges, expected, int(np.isnan(window).sum()))


@settings(max_examples=60, deadline=None)
@given(reference=st.lists(LABELS | st.none(), max_size=30), rows=st.lists(LABELS | st.none(), max_size=30))
def test_labels_are_the_same_from_objects_text_categories_and_arrow(reference, rows):
    known = pd.DataFrame({"c": pd.Series(reference, dtype=object)})
    edges = fit_edges(known, {"c": "category"}, max_categories=2).features["c"]
    column = pd.Series(rows, dtype=object)
    expected = find_each(edges, column)
    array = pa.array(rows, type=pa.string())
    halves = pa.chunked_array([array[: len(rows) // 2], array[len(rows) // 2 :]])
    for same in (column, column.astype("str"), column.astype("category")):
        assert count_series(edges, same) == expected
    for same in (array, array.cast(pa.large_string()), array.dictionary_encode(), halves, _coded(halves)):
        assert count_arrow_column(edges, same) == expected


def _coded(halves):
    """Each chunk with a dictionary of its own, which holds a null and a label that no row has."""
    chunks = []
    for chunk in halves.chunks:
        labels = [*dict.fromkeys(chunk.to_pylist()), "unused"]
        codes = pa.array([labels.index(label) for label in chunk.to_pylist()], type=pa.int8())
        chunks.append(pa.DictionaryArray.from_arrays(codes, pa.array(labels, type=pa.string())))
    return pa.chunked_array(chunks, type=pa.dictionary(pa.int8(), pa.string()))


INSTANT = dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC)
ARROW = {
    "float64": pa.array([1.0, None, np.nan, -0.0, np.inf, -np.inf, 1e300, 2.0]),
    "float32": pa.array([1.0, None, np.nan, 0.1, np.inf], pa.float32()),
    "int64": pa.array([1, 2, 3, 2**53 + 1, -(2**62)]),
    "int64 with nulls": pa.array([1, 2, None, 2**53 + 1]),
    "uint64": pa.array([1, 2**64 - 1], pa.uint64()),
    "int8": pa.array([1, -1, None], pa.int8()),
    "bool": pa.array([True, False, True]),
    "bool with nulls": pa.array([True, None, False]),
    "text": pa.array(["1", "a", "", None, "2.5", "1" * 60]),
    "codes of text": pa.array(["1", "a", None, "a"]).dictionary_encode(),
    "codes of numbers": pa.array([1.0, 2.0, None, 1.0]).dictionary_encode(),
    "nothing": pa.nulls(3),
    "no rows": pa.array([], pa.float64()),
    "instants": pa.array([INSTANT, None], pa.timestamp("us", tz="UTC")),
    "days": pa.array([INSTANT.date(), None], pa.date32()),
    "decimals": pa.array([1, 2, None], pa.decimal128(5, 2)),
    "lists": pa.array([[1], None, [1, 2]]),
}


@pytest.mark.parametrize("name", ARROW)
@pytest.mark.parametrize(
    "edges",
    [
        NumberEdges((0.0, 1.0, 2.0, 9007199254740992.0), complete=False),
        CategoryEdges(("1", "a"), rest=(hash_of("2"), hash_of("0"))),
        CategoryEdges(("1",), open=True),
    ],
    ids=["number", "category", "open category"],
)
def test_an_arrow_column_counts_like_the_same_column_in_pandas(name, edges):
    array = ARROW[name]
    column = array.to_pandas()
    expected = (search_each if edges.kind == "number" else find_each)(edges, column)
    assert count_series(edges, column) == expected
    assert count_arrow_column(edges, array) == expected
    assert count_arrow_column(edges, pa.chunked_array([array[:1], array[1:]])) == expected
    assert expected.rows == len(array)


@pytest.fixture
def rows():
    rng = np.random.default_rng(2)
    n = 3000
    return pd.DataFrame(
        {
            "x": np.where(rng.random(n) < 0.1, np.nan, rng.normal(size=n)),
            "k": rng.integers(0, 9, n),
            "yes": rng.random(n) < 0.5,
            "c": pd.Series(rng.choice(["a", "b", "c", None], n), dtype="str"),
            "many": pd.Series([f"id-{i % 900}" for i in range(n)], dtype="str"),
            "day": pd.to_datetime("2024-01-01") + pd.to_timedelta(rng.integers(0, 9, n), unit="D"),
            "ignored": rng.normal(size=n),
        }
    )


@pytest.fixture
def edges(rows):
    kinds = {
        "x": "number",
        "k": "number",
        "yes": "category",
        "c": "category",
        "many": "category",
        "day": "category",
        "gone": "number",
        "also gone": "category",
    }
    return fit_edges(rows.head(1000).drop(columns="ignored"), kinds, max_edges=32)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("row_group_size", [None, 700])
def test_a_parquet_file_an_arrow_table_and_a_frame_have_one_profile(
    rows, edges, threads, row_group_size, tmp_path
):
    expected = count_dataframe(edges, rows, threads=1)
    table = pa.Table.from_pandas(rows)
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=row_group_size)
    assert count_dataframe(edges, rows, threads=threads) == expected
    assert count_arrow_table(edges, table, threads=threads) == expected
    assert count_parquet(edges, tmp_path / "rows.parquet", threads=threads) == expected
    assert expected.features["gone"].missing == expected.features["also gone"].missing == len(rows)


def test_a_file_without_rows_has_an_empty_profile(rows, edges, tmp_path):
    rows.head(0).to_parquet(tmp_path / "rows.parquet")
    assert count_parquet(edges, tmp_path / "rows.parquet") == count_dataframe(edges, rows.head(0))


def test_batches_of_a_table_add_up_to_it(rows, edges):
    first, *others = (count_arrow_table(edges, batch) for batch in pa.Table.from_pandas(rows).to_batches(500))
    assert sum(others, first) == count_dataframe(edges, rows)


def test_many_values_are_counted_on_several_threads_and_few_on_none(monkeypatch):
    from threading import current_thread

    from homeostat.core.profile import parallel

    monkeypatch.setattr(parallel, "available_cores", lambda: 64)
    main = current_thread().name
    few = parallel.run_parallel(lambda _: current_thread().name, range(40), values=parallel.MIN_VALUES - 1)
    many = parallel.run_parallel(lambda _: current_thread().name, range(40), values=parallel.MIN_VALUES)
    assert set(few) == {main}
    assert main not in many
    assert len(set(many)) <= parallel.MAX_THREADS


def test_the_error_names_a_duplicate_column(tmp_path):
    edges = fit_edges(pd.DataFrame({"x": [1.0]}), {"x": "number"})
    twice = pa.table([pa.array([1.0]), pa.array([2.0])], names=["x", "x"])
    pq.write_table(twice, tmp_path / "twice.parquet")
    with pytest.raises(ValueError, match="duplicate column 'x' in the table"):
        count_arrow_table(edges, twice)
    with pytest.raises(ValueError, match=r"duplicate column 'x' in .*twice\.parquet"):
        count_parquet(edges, tmp_path / "twice.parquet")
