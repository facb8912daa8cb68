"""Files of one folder that spell numbers and dates differently are one table to training."""

from __future__ import annotations

import pandas as pd
import pytest

from homeostat.adapters.source_files import read_table
from homeostat.adapters.source_rows import select_window
from homeostat.adapters.tables import open_table
from homeostat.config import ModelConfig
from homeostat.config.errors import DataError
from homeostat.core.training_data import OPEN_DATES, coerce_rows

CONFIG = ModelConfig.model_validate(
    {
        "name": "bike",
        "task": "regression",
        "pipeline": "pipeline.py:build",
        "source": {"kind": "csv", "uri": "x.csv"},
        "schema": {"label": {"name": "y"}, "features": {"temp": {"type": "number"}}},
    }
)


def read(folder, **files):
    for name, rows in files.items():
        text = "timestamp;temp;y\n" + "".join(f"{row}\n" for row in rows)
        (folder / f"{name}.csv").write_text(text)
    return read_table(open_table(str(folder)), CONFIG)


def test_each_file_is_read_in_its_own_spelling(tmp_path):
    rows = read(
        tmp_path,
        a=["31/01/2024;1.163,74;2,5", "01/02/2024;3;1,0"],
        b=["01/31/2024;1163.74;2.5", "02/01/2024;3;1.0"],
    )
    found = coerce_rows(rows, CONFIG, label=True).rows
    assert found["temp"].tolist() == [1163.74, 3, 1163.74, 3]
    assert found["y"].tolist() == [2.5, 1, 2.5, 1]
    assert found["timestamp"].tolist() == list(pd.to_datetime(["2024-01-31", "2024-02-01"] * 2, utc=True))


def test_files_of_which_nothing_tells_the_decimal_mark_are_an_error(tmp_path):
    with pytest.raises(
        DataError, match=r"column 'temp': a.csv, b.csv have numbers like 1,234 and like 1.234"
    ):
        read(tmp_path, a=["2024-01-31;3,639;1"], b=["2024-01-31;6.219;1"])


def test_a_file_that_takes_the_order_of_another_is_told(tmp_path):
    january = [f"{day:02d}/01/2024;{day};1" for day in range(1, 32)]
    february = [f"{day:02d}/02/2024;{day};1" for day in range(1, 13)]
    rows = read(tmp_path, a=january, b=february)
    selected = select_window(rows, CONFIG, None, None)
    assert selected["timestamp"].max() == pd.Timestamp("2024-02-12", tz="UTC")
    assert selected.attrs[OPEN_DATES] == (
        "day and month cannot be told apart in b.csv: read in the order of a.csv"
    )
    with pytest.raises(DataError, match=r"column 'timestamp': .* b.csv \(in .* 2024-02-01 to 2024-02-12\)"):
        read(tmp_path, a=january, b=[f"02/{row[:2]}/2024;1;1" for row in february])
