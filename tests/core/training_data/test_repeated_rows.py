"""A source beside live traffic is named when a retrain would learn the same rows again."""

from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from homeostat.config import ModelConfig
from homeostat.core.training_data import newest_labelled, repeated_rows_warning

T0 = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
FILE = {"kind": "csv", "uri": "rows.csv"}


def configure(source=None, **more):
    return ModelConfig.model_validate(
        {
            "name": "shop",
            "task": "classification",
            "pipeline": "pipeline.py:build",
            "source": source or FILE,
            "schema": {"timestamp": "at", "label": {"name": "y"}, "features": {"a": {"type": "number"}}},
            **more,
        }
    )


def test_a_file_without_new_rows_is_named_with_both_times_and_the_fix():
    assert repeated_rows_warning(configure(), T0, T0 + DAY, T0 + 9 * DAY) == (
        "a retrain would learn the same rows again: the newest row of csv rows.csv is of 2026-03-01 00:00 "
        "UTC, the champion was trained until 2026-03-02 00:00 UTC; the gateway has logged requests since. "
        "To learn from them: source: {kind: predictions, history: {kind: csv, uri: rows.csv}}"
    )


def test_without_traffic_only_the_repetition_is_said():
    sentence = repeated_rows_warning(configure(), T0, T0 + DAY, None)
    assert sentence.startswith("a retrain would learn the same rows again: the newest row of csv rows.csv")
    assert "gateway" not in sentence
    assert repeated_rows_warning(configure(), T0, T0 + DAY, T0 - DAY) == sentence


def test_a_row_at_the_end_of_the_training_data_was_not_learned():
    assert repeated_rows_warning(configure(), T0, T0, T0) == ""


def test_a_source_that_lags_behind_the_traffic_is_named_without_calling_it_the_same_rows():
    trained = T0 - DAY
    assert repeated_rows_warning(configure(), T0, trained, T0 + DAY) == (
        "the newest row of csv rows.csv is of 2026-03-01 00:00 UTC; the gateway has logged requests since. "
        "To learn from them: source: {kind: predictions, history: {kind: csv, uri: rows.csv}}"
    )
    assert repeated_rows_warning(configure(), T0, trained, T0 + DAY - timedelta(hours=1)) == "", (
        "filled daily"
    )
    assert repeated_rows_warning(configure(monitor={"window": "7d"}), T0, trained, T0 + 6 * DAY) == ""


def test_a_window_without_rows_is_named():
    assert "csv rows.csv has no row with a label since 2026-03-01 00:00 UTC" in repeated_rows_warning(
        configure(), None, T0, T0 + DAY
    )
    assert "csv rows.csv has no row with a label in this window" in repeated_rows_warning(
        configure(), None, None, T0
    )


def test_a_first_version_has_nothing_to_repeat():
    assert repeated_rows_warning(configure(), T0, None, None) == ""
    assert repeated_rows_warning(configure(), None, None, None) == ""


@pytest.mark.parametrize(
    "config",
    [
        configure(serve="none"),
        configure({"kind": "predictions"}),
        configure({"kind": "predictions", "history": FILE}),
    ],
    ids=["batch", "log", "log with history"],
)
def test_models_whose_rows_are_their_traffic_are_not_warned_about(config):
    assert repeated_rows_warning(config, T0, T0 + DAY, T0 + 9 * DAY) == ""


def test_no_secret_is_in_the_warning():
    source = {"kind": "sql", "uri": "postgresql://me:hidden@db/x", "query": "select secret from rows"}
    sentence = repeated_rows_warning(configure(source), T0, T0 + DAY, T0 + 9 * DAY)
    assert sentence.endswith("source: {kind: predictions, history: {kind: sql, ...}}")
    assert "the SQL query" in sentence
    parquet = {"kind": "parquet", "uri": "s3://key:hidden@bucket/rows"}
    assert "hidden" not in repeated_rows_warning(configure(parquet), T0, T0 + DAY, T0 + 9 * DAY)


def test_the_newest_row_has_a_label_and_a_time():
    rows = pd.DataFrame(
        {"at": pd.to_datetime([T0, T0 + DAY, None, T0 + 2 * DAY], utc=True), "y": [0, 1, 1, None]}
    )
    assert newest_labelled(rows, configure()) == T0 + DAY
    assert newest_labelled(rows[:0], configure()) is None
    assert newest_labelled(rows[["at"]], configure()) is None
