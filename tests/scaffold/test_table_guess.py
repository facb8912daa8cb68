"""What a table of rows with labels is taken for: its time, its task, its features, its pace."""

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.adapters.tables import open_table
from homeostat.config.errors import ConfigError, DataError
from homeostat.scaffold.from_table import is_grouped
from homeostat.scaffold.table_checks import sum_note, without_copies, without_counters
from homeostat.scaffold.table_guess import guess_table, wide_range
from homeostat.scaffold.table_pace import DEFAULT_PACE, pace_of
from homeostat.scaffold.table_scan import scan_table
from homeostat.scaffold.table_time import TimeColumn, choose_time, require_column

N = 240


def columns_of(**columns):
    """A table with these columns, and two that are always there: a number, and a label of text."""
    rng = np.random.default_rng(0)
    base = {"x": rng.normal(size=N).round(3), "y": np.where(rng.random(N) < 0.4, "yes", "no")}
    return pd.DataFrame({**base, **columns})


def scanned(tmp_path, frame, **formats):
    path = tmp_path / "rows.csv"
    frame.to_csv(path, index=False)
    return scan_table(open_table(str(path)), formats)


def guess(tmp_path, frame, label="y", task=None, time=""):
    columns = scanned(tmp_path, frame)
    when = choose_time(columns, label, time, {}, "rows.csv")
    return guess_table(columns, label, when, "rows.csv", task)


def days(count=N):
    return pd.date_range("2026-01-01", periods=count, freq="h").strftime("%d.%m.%Y %H:%M")


def test_text_is_classified_and_many_numbers_are_a_regression(tmp_path):
    found = guess(tmp_path, columns_of())
    assert (found.task, found.classes, found.metric) == ("classification", ("no", "yes"), "accuracy")
    assert list(found.features) == ["x"]
    found = guess(tmp_path, columns_of(), label="x")
    assert (found.task, found.classes, found.metric) == ("regression", (), "mae")
    assert found.features["y"].categories == ("no", "yes")


def test_a_few_whole_numbers_are_classes_unless_a_regression_is_asked_for(tmp_path):
    frame = columns_of(stars=np.arange(N) % 5 + 1)
    found = guess(tmp_path, frame, label="stars")
    assert (found.task, found.classes) == ("classification", ("1", "2", "3", "4", "5"))
    assert any("--task regression" in note for note in found.notes)
    assert guess(tmp_path, frame, label="stars", task="regression").metric == "mae"


def test_where_one_class_is_most_rows_accuracy_says_too_little(tmp_path):
    found = guess(tmp_path, columns_of(fraud=np.arange(N) % 10 == 0), label="fraud")
    assert found.classes == ("0", "1")
    assert found.metric == "balanced_accuracy"
    assert any("90% of the rows have fraud = '0'" in note for note in found.notes)


@pytest.mark.parametrize(
    ("column", "why"),
    [
        (["de"] * N, "same value in every row"),
        (range(5000, 5000 + N), "identifies rows"),
        ([f"{i:05d}-{i * i}" for i in range(N)], "different text in most rows"),
        ([None] * N, "has no value"),
        (pd.date_range("2020-01-01", periods=N, freq="3D").strftime("%Y-%m-%d"), "holds dates"),
    ],
    ids=["constant", "running-number", "text-of-each-row", "empty", "second-date"],
)
def test_a_column_that_says_nothing_is_left_out_with_the_reason(tmp_path, column, why):
    frame = columns_of(timestamp=days(), extra=column)
    found = guess(tmp_path, frame)
    assert list(found.features) == ["x"]
    assert why in found.left_out["extra"]


def test_an_identifier_that_repeats_is_proposed_as_the_key(tmp_path):
    found = guess(tmp_path, columns_of(customer_id=[f"c{i % 20}" for i in range(N)]))
    assert "customer_id" not in found.features
    assert "key: customer_id" in found.left_out["customer_id"]


def test_features_have_the_ranges_and_categories_of_the_rows(tmp_path):
    frame = columns_of(
        price=[f"{1000 + i},5" for i in range(N)],
        plan=["basic", "plus", None] * (N // 3),
        rooms=np.arange(N) % 4 + 1,
        many=[f"k{i % 60}" for i in range(N)],
    )
    found = guess(tmp_path, frame)
    assert found.found["price"] == (1000.5, 1239.5)
    low, high = found.features["price"].range
    assert low < 1000.5 - 200
    assert high > 1239.5 + 200
    assert found.features["plan"].categories == ("basic", "plus")
    assert not found.features["plan"].required
    assert found.features["price"].required
    assert found.features["rooms"].type == "number", "a fifth room is no mistake"
    assert found.features["many"].categories is None, "too many to list"


def test_the_column_of_times_is_found_in_a_local_format(tmp_path):
    found = guess(tmp_path, columns_of(Datum=days()))
    assert (found.timestamp, found.timestamp_format) == ("Datum", "")
    assert any("'Datum' is taken as the time of a row" in note for note in found.notes)


def test_among_several_dates_the_usual_name_is_taken_and_the_others_are_named(tmp_path):
    born = pd.date_range("1960-01-01", periods=N, freq="7D").strftime("%Y-%m-%d")
    found = guess(tmp_path, columns_of(born=born, event_time=days()))
    assert found.timestamp == "event_time"
    assert any("among 'born', 'event_time'" in note for note in found.notes)
    assert guess(tmp_path, columns_of(born=born, event_time=days()), time="born").timestamp == "born"


def test_numbers_that_count_seconds_are_times_with_their_unit(tmp_path):
    frame = columns_of(ts=1_767_225_600 + 60 * np.arange(N))
    assert guess(tmp_path, frame).timestamp_format == "s"
    assert guess(tmp_path, frame, time="ts").timestamp == "ts"


def test_without_dates_there_is_no_time(tmp_path):
    assert choose_time(scanned(tmp_path, columns_of()), "y", "", {}, "rows.csv") == TimeColumn()


def test_a_time_that_is_none_and_one_whose_order_is_unknown_are_errors(tmp_path):
    with pytest.raises(
        DataError, match=r"--time x: rows\.csv has no times in this column, which holds numbers"
    ):
        guess(tmp_path, columns_of(), time="x")
    open_order = [f"{i % 12 + 1:02d}/{i % 11 + 1:02d}/2026" for i in range(N)]
    with pytest.raises(DataError, match=r"--date-format day=%d/%m/%Y or --date-format day=%m/%d/%Y"):
        guess(tmp_path, columns_of(day=open_order), time="day")


@pytest.mark.parametrize(
    ("label", "says"),
    [
        ([None] * (N - 5) + ["a"] * 5, "has 5 rows with a value in this column"),
        (["a"] * N, "one and the same value"),
        ([f"text {i} of many" for i in range(N)], "a label is a number, or one of at most 100 classes"),
        (days(), "holds dates|has dates in this column"),
    ],
    ids=["too-few", "constant", "prose", "dates"],
)
def test_a_label_that_cannot_be_predicted_is_an_error(tmp_path, label, says):
    with pytest.raises(DataError, match=says):
        guess(tmp_path, columns_of(target=label), label="target")


def test_without_a_feature_the_error_says_why_each_column_is_none(tmp_path):
    frame = columns_of(country=["de"] * N)[["country", "y"]]
    with pytest.raises(
        DataError, match=r"no column is left to predict 'y' from .country: has the same value"
    ):
        guess(tmp_path, frame)


def test_a_wrong_name_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match=r"has no column 'chruned' \(is it 'Churned' here\?\)"):
        require_column("--label", "chruned", ["plan", "Churned"], "rows.csv")


@given(st.floats(-1e12, 1e12, allow_nan=False), st.floats(1e-6, 1e12, allow_nan=False, allow_infinity=False))
def test_a_range_holds_what_was_found_and_as_much_again(low, width):
    high = low + width
    first, last = wide_range(low, high)
    assert first <= low <= high <= last
    grown = 0.999 * (high - low)
    assert low - first >= grown or (first == 0 <= low)
    assert last - high >= grown or (last == 0 >= high)


def test_a_number_that_is_not_finite_has_no_range():
    assert wide_range(0.0, float("inf")) is None


@pytest.mark.parametrize(
    ("per_day", "every", "window"),
    [
        (24 * 60, timedelta(hours=1), timedelta(days=1)),
        (24 * 6, timedelta(hours=6), timedelta(hours=36)),
        (48, timedelta(days=1), timedelta(days=5)),
        (5, timedelta(days=7), timedelta(days=42)),
    ],
)
def test_windows_follow_from_the_pace_of_the_rows(per_day, every, window):
    seconds = np.arange(3000) * 86_400 / per_day
    pace = pace_of(seconds)
    assert (pace.every, pace.window, pace.delay) == (every, window, every)
    assert pace.rows_per_day == pytest.approx(per_day)
    assert pace.window % pace.every == timedelta(0)
    far = np.append(seconds, 1e11)  # one time that is a mistake changes nothing
    assert pace_of(far).every == every


def test_equal_times_have_no_pace():
    assert pace_of(np.zeros(50)) == DEFAULT_PACE


def test_a_column_that_is_the_label_in_other_words_is_left_out(tmp_path):
    frame = columns_of()
    frame["alive"] = frame["y"].map({"yes": "1", "no": "2"})
    found = without_copies(guess(tmp_path, frame), frame)
    assert list(found.features) == ["x"]
    frame = columns_of()
    frame["x_cents"] = frame["x"] * 100 + 3
    found = without_copies(guess(tmp_path, frame, label="x"), frame)
    assert "x_cents" in found.left_out
    assert "y" in found.features


def test_a_year_is_left_out_and_a_month_is_not(tmp_path):
    times = pd.Series(pd.date_range("2024-01-15", periods=N, freq="3D"))
    frame = columns_of(at=times.dt.strftime("%Y-%m-%d"), year=times.dt.year, month=times.dt.month)
    shuffled = frame.sample(frac=1, random_state=1, ignore_index=True)
    found = without_counters(guess(tmp_path, shuffled), shuffled, pd.to_datetime(shuffled["at"]))
    assert list(found.features) == ["x", "month"]
    assert "only grows with time" in found.left_out["year"]


def test_numbers_that_add_up_to_the_label_are_named(tmp_path):
    rng = np.random.default_rng(1)
    frame = columns_of(casual=rng.integers(0, 90, N), member=rng.integers(0, 300, N))
    frame["total"] = frame["casual"] + frame["member"]
    found = guess(tmp_path, frame, label="total")
    assert "'casual', 'member' together give 'total' exactly" in sum_note(found, frame)
    noisy = frame.assign(total=frame["total"] + rng.normal(0, 5, N))
    assert sum_note(guess(tmp_path, noisy, label="total"), noisy) == ""


@pytest.mark.parametrize(
    ("label", "grouped"),
    [
        (np.repeat(["a", "b", "c"], 50), True),
        (np.tile(["a", "b", "c"], 50), False),
        (np.sort(np.random.default_rng(0).normal(size=100)), True),
        (np.random.default_rng(0).normal(size=100), False),
    ],
    ids=["classes-sorted", "classes-mixed", "numbers-sorted", "numbers-mixed"],
)
def test_rows_sorted_by_their_label_are_recognized(label, grouped):
    assert is_grouped(pd.Series(label)) is grouped
