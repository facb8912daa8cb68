"""Cells of rows count as columns do."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.core.profile import count_series, fit_edges
from homeostat.core.profile.cells import count_cells

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.sampled_from([2**53, 2**53 + 2, 0.0, -0.0, float("inf"), float("-inf"), float("nan")]),
    st.floats(),
    st.sampled_from(["", "a", "1", "1.0", "é", "x" * 60, "unknown"]),
)


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(["number", "category"]),
    reference=st.lists(VALUES, max_size=30),
    rows=st.lists(st.tuples(VALUES, st.integers(-1, 2)), max_size=40),
)
def test_each_group_counts_as_its_own_rows_do(kind, reference, rows):
    frame = pd.DataFrame({"x": pd.Series(reference, dtype=object)})
    edges = fit_edges(frame, {"x": kind}, max_edges=4, max_categories=3).features["x"]
    column = pd.Series([value for value, _ in rows], dtype=object)
    groups = np.array([group for _, group in rows], dtype=np.int64)
    found = count_cells(edges, column, groups, 3)
    for group in range(3):
        assert found[group].tolist() == count_series(edges, column[groups == group]).to_body()


@pytest.mark.parametrize("dtype", ["int64", "float32", "string", "category", "boolean"])
def test_columns_with_a_type_too(dtype):
    raw = [True, False, True, False] if dtype == "boolean" else [1, 2, 3, 0]
    column = pd.Series(raw * 3).astype("string" if dtype == "string" else dtype)
    kind = "category" if dtype in ("string", "category") else "number"
    edges = fit_edges(pd.DataFrame({"x": column[:3]}), {"x": kind}).features["x"]
    found = count_cells(edges, column, np.zeros(12, np.int64), 1)
    assert found[0].tolist() == count_series(edges, column).to_body()
