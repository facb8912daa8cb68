"""A holdout alone: all usable rows of a time range, none of them for training."""

from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.config import load_model
from homeostat.config.errors import DataError
from homeostat.core.training_data import assemble_holdout
from sample_model import MODEL, PIPELINE, rows_between

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
ROWS = rows_between(BEGIN, BEGIN + timedelta(hours=10))
HOURS = st.integers(0, 10)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample") / "sample"
    folder.mkdir()
    (folder / "model.yaml").write_text(MODEL)
    (folder / "pipeline.py").write_text(PIPELINE)
    return load_model(folder)


@settings(max_examples=15, deadline=None)
@given(first=HOURS, last=HOURS, order=st.randoms(use_true_random=False))
def test_the_holdout_has_exactly_the_rows_of_the_range_in_order(config, first, last, order):
    begin, end = BEGIN + timedelta(hours=first), BEGIN + timedelta(hours=last)
    shuffled = ROWS.iloc[order.sample(range(len(ROWS)), len(ROWS))]
    expected = ROWS[(ROWS["at"] >= begin) & (ROWS["at"] < end)].reset_index(drop=True)
    if len(expected) < config.monitor.min_rows:
        with pytest.raises(DataError, match=r"0 usable labelled rows from .* monitor.min_rows is 60"):
            assemble_holdout(shuffled, config, begin=begin, end=end)
        return
    found = assemble_holdout(shuffled, config, begin=begin, end=end)
    assert found.train.empty
    assert found.weights is None
    assert found.holdout["at"].tolist() == expected["at"].tolist()
    assert found.holdout["a"].tolist() == expected["a"].tolist()
    assert found.report["holdout"]["rows"] == len(expected)


def test_without_bounds_all_rows_count(config):
    assert len(assemble_holdout(ROWS, config, begin=None, end=None).holdout) == len(ROWS)


def test_unusable_rows_are_quarantined_and_counted(config):
    broken = ROWS.astype({"a": object})
    broken.loc[3, "a"] = "broken"
    broken.loc[4, "y"] = None
    found = assemble_holdout(broken, config, begin=None, end=None)
    assert len(found.holdout) == len(ROWS) - 2
    assert "broken" in set(found.quarantined["a"])
    outside = assemble_holdout(broken, config, begin=BEGIN + timedelta(hours=1), end=None)
    assert outside.quarantined.empty, "they are before the range"


def test_the_form_of_the_rows_is_that_of_training(config):
    found = assemble_holdout(ROWS, config, begin=None, end=None).holdout
    assert found.dtypes["a"] == "float64"
    assert isinstance(found.dtypes["at"], pd.DatetimeTZDtype)
