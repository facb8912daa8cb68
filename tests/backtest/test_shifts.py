"""Backtests whose windows start later."""

from datetime import timedelta

import pandas as pd
import pytest

from homeostat.backtesting.shifts import Band, shifted_rows

ROWS = pd.DataFrame({"at": pd.date_range("2026-01-05", periods=48, freq="1h", tz="UTC"), "n": range(48)})


@pytest.mark.parametrize("length", [24, timedelta(days=1)])
def test_a_quarter_of_a_window_is_left_out(length):
    found = shifted_rows(ROWS, "at", length, 0.25)
    assert found["n"].tolist() == list(range(6, 48))
    assert found.index.tolist() == list(range(42))
    assert shifted_rows(ROWS, "at", length, 0.0).equals(ROWS)


def test_mean_and_spread_are_of_the_starts_that_have_a_value():
    band = Band((0.8, None, 0.9))
    assert band.mean == pytest.approx(0.85)
    assert band.spread == pytest.approx(0.1 / 2**0.5)
    assert Band((0.8,)).spread is None
    assert Band((None,)).to_json() == {"values": [None], "mean": None, "spread": None}
