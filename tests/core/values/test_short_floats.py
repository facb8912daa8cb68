"""The number of a short float is its shortest decimal, as NumPy prints it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from homeostat.core.profile.arrow_typed import read_typed
from homeostat.core.profile.coerce import as_numbers
from homeostat.core.training_data import as_number
from homeostat.core.values.short_floats import widen


def right(values):
    return [float(str(value)) for value in values]


@pytest.mark.parametrize("width", [16, 32])
@given(data=st.data())
def test_every_float_is_its_shortest_decimal(width, data):
    values = data.draw(arrays.arrays(f"float{width}", st.integers(0, 20), elements=st.floats(width=width)))
    np.testing.assert_array_equal(widen(values), right(values))


@given(st.lists(st.decimals(-(10**6), 10**6, places=2).filter(lambda each: len(each.as_tuple().digits) <= 6)))
def test_decimals_come_back(values):
    written = [float(value) for value in values]
    assert widen(np.array(written, dtype=np.float32)).tolist() == written


@pytest.mark.parametrize("dtype", ["float16", "float32", "Float32", "float[pyarrow]"])
def test_all_readers_agree(dtype):
    prices = [0.1, 0.2, 0.3, 0.7, 12.99, None]
    column = pd.Series(prices).astype(dtype)
    expected = [*prices[:5], np.nan] if dtype != "float16" else [0.1, 0.2, 0.3, 0.7, 12.99, np.nan]
    np.testing.assert_array_equal(as_number(column).column, expected)
    np.testing.assert_array_equal(as_numbers(column)[0], expected)
    assert read_typed(pa.array(column)).numbers.tolist() == expected[:5]
    objects = pd.Series([np.float32(0.1), "x"], dtype=object)
    assert as_number(objects).column[0] == 0.1
