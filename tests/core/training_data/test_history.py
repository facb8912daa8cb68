"""History and prediction log are joined: each row once, with the history's types."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.config import ModelConfig
from homeostat.config.label_text import label_text
from homeostat.core.training_data import coerce_rows, join_history

T0 = datetime(2026, 3, 1, tzinfo=UTC)


def configure(task="classification", key=None, label=None):
    return ModelConfig.model_validate(
        {
            "name": "shop",
            "task": task,
            "pipeline": "pipeline.py:build",
            "source": {"kind": "predictions", "history": {"kind": "csv", "uri": "rows.csv"}},
            "schema": {
                "timestamp": "at",
                "label": label or {"name": "y"},
                "features": {"amount": {"type": "number"}, "plan": {"type": "category"}},
                **({"key": key} if key else {}),
            },
        }
    )


def table(*rows, columns=("at", "amount", "plan", "y")):
    """Return rows whose times are hours after T0."""
    frame = pd.DataFrame(list(rows), columns=list(columns))
    frame["at"] = pd.to_datetime([T0 + timedelta(hours=h) for h in frame["at"]], utc=True)
    return frame


def logged(*rows, task="classification", **more):
    """Return rows in the types of the prediction log: numbers are float64, the rest is text."""
    frame = table(*rows, **more)
    frame["amount"] = frame["amount"].astype("float64")
    frame["plan"] = frame["plan"].astype("str")
    frame["y"] = [label_text(y) for y in frame["y"]] if task == "classification" else frame["y"].astype(float)
    return frame


def joined(history, log, config=None):
    config = config or configure()
    rows, origins = join_history(history, log, config)
    return rows.sort_values("at", kind="stable", ignore_index=True), origins


def test_rows_of_both_are_there_once():
    history = table((0, 1, "basic", 0), (1, 2, "plus", 1))
    log = logged((1, 2, "plus", 1), (2, 3, "basic", 0))
    rows, origins = joined(history, log)
    assert rows["amount"].tolist() == [1, 2, 3]
    assert rows["y"].tolist() == [0, 1, 0]
    assert origins == {"history": 2, "log": 2, "both": 1}


def test_without_a_log_the_history_is_unchanged():
    history = table((0, 1, "basic", 0), (0, 1, "basic", 0))
    rows, origins = join_history(history, logged(), configure())
    pd.testing.assert_frame_equal(rows, history)
    assert origins == {"history": 2, "log": 0, "both": 0}


def test_without_a_history_the_log_is_all():
    rows, origins = joined(table(), logged((0, 1, "basic", 0), (0, 1, "basic", 0)))
    assert rows["y"].tolist() == [0, 0]
    assert origins == {"history": 0, "log": 2, "both": 0}


def test_rows_of_one_time_without_a_key_are_told_apart_by_their_features():
    history = table((0, 1, "basic", 0), (0, 2, "basic", 0), (0, 2, "basic", 0), (0, 3, "plus", 1))
    log = logged((0, 2, "basic", 0), (0, 4, "basic", 1), (0, 3, "basic", 1))
    rows, origins = joined(history, log)
    assert sorted(rows["amount"]) == [1, 2, 2, 3, 3, 4]
    assert origins["both"] == 1


def test_equal_rows_within_one_part_stay():
    rows, origins = joined(table((0, 1, "a", 0)), logged((0, 1, "a", 0), (0, 1, "a", 0), (0, 1, "a", 0)))
    assert len(rows) == 3
    assert origins["both"] == 1


def test_the_label_of_the_history_counts_and_a_missing_one_comes_from_the_log():
    history = table((0, 1, "a", 0), (1, 2, "a", None))
    rows, origins = joined(history, logged((0, 1, "a", 1), (1, 2, "a", 1)))
    assert rows["y"].tolist() == [0, 1]
    assert origins["both"] == 2


@pytest.mark.parametrize("word", ["?", "NA", r"\N"])
def test_a_sign_for_a_missing_label_is_none(word):
    history = table((0, 1, "a", "0"), (1, 1, "a", word), (2, 1, "a", "1"))
    rows, origins = joined(history, logged((1, 1, "a", 1)))
    assert origins["both"] == 1
    assert coerce_rows(rows, configure(), label=True).rows["y"].tolist() == [0, 1, 1]


def test_rows_with_the_same_label_are_matched_first():
    rows, _ = joined(table((0, 1, "a", 0)), logged((0, 1, "a", 1), (0, 1, "a", 0)))
    assert sorted(rows["y"]) == [0, 1]


def test_a_history_in_32_bits_has_the_same_numbers():
    history = table((0, 0.1, "a", 0), (1, -0.0, "a", 1), (2, np.nan, "a", 1))
    history["amount"] = history["amount"].astype("float32")
    rows, origins = joined(history, logged((0, 0.1, "a", 0), (1, 0.0, "a", 1), (2, np.nan, "a", 1)))
    assert (len(rows), origins["both"]) == (3, 3)


def test_categories_and_keys_are_compared_as_text():
    columns = ("at", "who", "amount", "plan", "y")
    history = table((0, 7, 1, 3.0, 0), (1, 8, 1, None, 0), columns=columns)
    log = logged((0, "7", 1, "3", 0), (1, "8", 1, None, 0), columns=columns)
    log["plan"] = pd.Series(["3", None], dtype="str")
    rows, origins = joined(history, log, configure(key="who"))
    assert (len(rows), origins["both"]) == (2, 2)


def test_with_a_key_its_only_row_of_a_time_is_the_same_row():
    columns = ("at", "who", "amount", "plan", "y")
    history = table((0, "c1", 1.23, "a", 0), (0, "c2", 5, "a", 0), (0, "c2", 6, "a", 0), columns=columns)
    log = logged(
        (0, "c1", 1.2345, "a", 0), (0, "c2", 5, "a", 0), (0, "c2", 7, "a", 1), (0, "c2", 8, "a", 1),
        columns=columns,
    )  # fmt: skip
    rows, origins = joined(history, log, configure(key="who"))
    assert sorted(rows["amount"]) == [1.23, 5, 6, 7, 8], "c1 once, c2 as often as its rows differ"
    assert origins["both"] == 2


def test_another_key_is_another_row():
    columns = ("at", "who", "amount", "plan", "y")
    rows, _ = joined(
        table((0, "c1", 1, "a", 0), (0, None, 1, "a", 0), columns=columns),
        logged((0, "c2", 1, "a", 0), columns=columns),
        configure(key="who"),
    )
    assert len(rows) == 3


def test_a_key_and_a_feature_that_the_history_lacks_are_not_compared():
    history = table((0, 1, 0), columns=("at", "amount", "y"))
    log = logged((0, "c1", 1, "a", 0), columns=("at", "who", "amount", "plan", "y"))
    rows, origins = joined(history, log, configure(key="who"))
    assert (len(rows), origins["both"]) == (1, 1)


@pytest.mark.parametrize(
    ("history", "log", "expected"),
    [
        ([0, 1], ["1", "0"], [0, 1, 1, 0]),
        ([False, True], ["1", "0"], [False, True, True, False]),
        ([0.0, None], ["1"], [0, 1]),
        (["No", "Yes"], ["Yes"], ["No", "Yes", "Yes"]),
        (["0", "1"], ["1"], [0, 1, 1]),
        (["1.0", "x"], [1, "x"], ["1", "x", "1", "x"]),
        ([1, 2], ["3"], [1, 2, 3]),
        ([], ["1", "0"], [1, 0]),
        ([], ["01", "0"], ["01", "0"]),
    ],
)
def test_classes_of_the_log_get_the_types_of_the_history(history, log, expected):
    before = table(*((hour, 0, "a", label) for hour, label in enumerate(history)))
    rows, _ = joined(before, logged(*((9 + hour, 0, "a", label) for hour, label in enumerate(log))))
    typed = coerce_rows(rows, configure(), label=True).rows["y"]
    assert typed.tolist() == expected
    assert pd.api.types.is_integer_dtype(typed) == (not isinstance(expected[0], str))


def test_spellings_of_a_class_are_the_same_label():
    label = {"name": "y", "classes": [0, 1], "mapping": {"Yes": 1, "No": 0}}
    config = configure(label=label)
    rows, origins = joined(
        table((0, 1, "a", "No"), (1, 1, "a", "Yes")), logged((1, 1, "a", 1), (2, 1, "a", 0)), config
    )
    assert origins["both"] == 1
    assert coerce_rows(rows, config, label=True).rows["y"].tolist() == [0, 1, 0]


def test_labels_of_a_regression_are_numbers():
    config = configure("regression")
    log = logged((0, 1, "a", 0.1), (1, 1, "a", 0.25), task="regression")
    rows, origins = joined(table((0, 1, "a", np.float32(0.1))), log, config)
    assert rows["y"].tolist() == pytest.approx([0.1, 0.25])
    assert origins["both"] == 1


ROWS = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from([0.0, 0.1, 1.0]), st.sampled_from(["a", "b"])), max_size=12
)


@settings(deadline=None)
@given(ROWS, ROWS, st.data())
def test_of_equal_rows_as_many_stay_as_the_part_with_more_of_them_has(history, log, data):
    label = st.sampled_from([0, 1])
    mine = [(*row, data.draw(st.sampled_from([0, 1, None]))) for row in history]
    theirs = [(*row, data.draw(label)) for row in log]
    rows, origins = joined(table(*mine), logged(*theirs))
    counts = Counter(zip(rows["at"], rows["amount"], rows["plan"], strict=True))
    parts = [Counter((T0 + timedelta(hours=h), a, p) for h, a, p, _ in part) for part in (mine, theirs)]
    assert counts == parts[0] | parts[1]
    assert origins["both"] == (parts[0] & parts[1]).total()
    kept = [(h, a, p, y) for h, a, p, y in mine if y is not None]
    found = Counter(zip(rows["at"], rows["amount"], rows["plan"], map(label_text, rows["y"]), strict=True))
    assert Counter((T0 + timedelta(hours=h), a, p, str(y)) for h, a, p, y in kept) <= found


@settings(deadline=None)
@given(ROWS)
def test_a_history_that_was_replayed_as_traffic_is_not_doubled(history):
    mine = [(*row, n % 2) for n, row in enumerate(history)]
    rows, _ = joined(table(*mine), logged(*mine[::-1]))
    assert len(rows) == len(mine)
