"""Scores compared with scikit-learn's, and missing predictions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from homeostat.config.errors import DataError
from homeostat.core.performance import METRICS, all_metrics, higher_is_better, score

RNG = np.random.default_rng(0)
TRUTH = RNG.integers(0, 2, 200)
PROBA = np.clip(np.where(TRUTH == 1, 0.65, 0.35) + RNG.normal(0, 0.25, 200), 0.01, 0.99)
ANSWER = (PROBA > 0.5).astype(int)
BOTH = np.column_stack([1 - PROBA, PROBA])


def test_classification_is_scikit_learns():
    ours = all_metrics("classification", TRUTH, ANSWER, BOTH)
    assert ours == pytest.approx(
        {
            "rows": 200,
            "nan_rate": 0,
            "accuracy": metrics.accuracy_score(TRUTH, ANSWER),
            "balanced_accuracy": metrics.balanced_accuracy_score(TRUTH, ANSWER),
            "f1": metrics.f1_score(TRUTH, ANSWER),
            "roc_auc": metrics.roc_auc_score(TRUTH, PROBA),
            "log_loss": metrics.log_loss(TRUTH, BOTH),
        }
    )


def test_several_classes_are_scikit_learns():
    truth = RNG.choice(list("abc"), 300)
    proba = RNG.dirichlet([1, 1, 1], 300)
    answer = np.array(list("abc"))[proba.argmax(axis=1)]
    ours = all_metrics("classification", truth, answer, proba, classes=list("abc"))
    assert ours["f1"] == pytest.approx(metrics.f1_score(truth, answer, average="macro"))
    assert ours["log_loss"] == pytest.approx(metrics.log_loss(truth, proba))
    assert ours["roc_auc"] == pytest.approx(metrics.roc_auc_score(truth, proba, multi_class="ovr"))


def test_regression_is_scikit_learns():
    truth = RNG.normal(size=100)
    answer = truth + RNG.normal(0, 0.3, 100)
    assert all_metrics("regression", truth, answer) == pytest.approx(
        {
            "rows": 100,
            "nan_rate": 0,
            "mae": metrics.mean_absolute_error(truth, answer),
            "rmse": metrics.root_mean_squared_error(truth, answer),
            "r2": metrics.r2_score(truth, answer),
        }
    )


def test_a_missing_prediction_is_wrong_in_classification():
    assert score("classification", "accuracy", ["a", "b", "a"], ["a", None, np.nan]) == pytest.approx(1 / 3)
    assert all_metrics("classification", ["a", "b"], ["a", None])["nan_rate"] == 0.5


def test_a_missing_prediction_is_left_out_and_counted_in_regression():
    found = all_metrics("regression", [1.0, 2.0, 3.0, 4.0], [1.0, np.nan, np.inf, 5.0])
    assert (found["mae"], found["nan_rate"]) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("truth", "answer"),
    [([1, 0], [1.0, 0.0]), ([1, 0], ["1", "0"]), (["1", "0"], [1.0, 0.0]), ([True, False], [1, 0])],
)
def test_one_label_spelled_by_two_sources_is_one_label(truth, answer):
    assert score("classification", "accuracy", truth, answer) == 1


def test_rows_without_a_label_are_left_out():
    truth = pd.Series(["a", None, "b"])
    assert score("classification", "accuracy", truth, pd.Series(["a", "a", "b"])) == 1


@pytest.mark.parametrize(
    ("task", "metric", "truth", "answer", "proba", "says"),
    [
        ("classification", "accuracy", [], [], None, "none of 0 rows"),
        ("classification", "roc_auc", [1, 1], [1, 1], [0.5, 0.5], "columns for 1 classes"),
        ("classification", "roc_auc", [0, 1], [1, 1], None, "needs the probability"),
        ("regression", "mae", [1.0], [np.nan], None, "none of 1 rows"),
        ("regression", "r2", [1.0, 1.0], [1.0, 2.0], None, "labels that differ"),
        ("regression", "rmse", [1e300, 0.0], [-1e300, 0.0], None, "too large"),
    ],
)
def test_a_metric_that_cannot_be_computed_is_an_error(task, metric, truth, answer, proba, says):
    with pytest.raises(DataError, match=says):
        score(task, metric, truth, answer, proba)


def test_roc_auc_of_one_class_among_two_is_not_computable():
    with pytest.raises(DataError, match="two classes"):
        score("classification", "roc_auc", [1, 1], [1, 1], [[0.5, 0.5]] * 2, classes=[0, 1])


def test_f1_is_of_the_last_class_although_only_the_first_occurs():
    with pytest.raises(DataError, match="positive class '1'"):
        score("classification", "f1", [0, 0], [0, 0], classes=[0, 1])


def test_metrics_of_the_other_task_and_uneven_rows_are_refused():
    with pytest.raises(ValueError, match="is not defined for task"):
        score("classification", "mae", [1], [1])
    with pytest.raises(ValueError, match="pass the same rows"):
        score("classification", "accuracy", [1, 2], [1])
    with pytest.raises(DataError, match="no row has a label"):
        all_metrics("regression", [np.nan], [1.0])


def test_the_direction_of_each_metric():
    down = {metric for names in METRICS.values() for metric in names if not higher_is_better(metric)}
    assert down == {"log_loss", "mae", "rmse"}


VALUES = st.lists(
    st.tuples(st.sampled_from([*"ab", None]), st.sampled_from([*"abc", None])), min_size=1, max_size=30
)


@settings(max_examples=60, deadline=None)
@given(rows=VALUES)
def test_scores_are_finite_and_within_their_range(rows):
    truth, answer = zip(*rows, strict=True)
    if all(label is None for label in truth):
        return
    found = all_metrics("classification", truth, answer)
    assert all(0 <= value <= 1 for name, value in found.items() if name != "rows")


@given(st.integers(0, 2**32), st.integers(2, 60), st.integers(1, 6), st.integers(2, 4))
@settings(max_examples=60, deadline=None)
def test_the_area_under_the_curve_is_scikit_learns_with_ties_too(seed, rows, levels, classes):
    rng = np.random.default_rng(seed)
    names = [str(n) for n in range(classes)]
    truth = np.array([*names[:2], *rng.choice(names, rows)])
    proba = rng.integers(0, levels, (len(truth), classes)) + 0.5
    proba /= proba.sum(axis=1, keepdims=True)
    ours = score("classification", "roc_auc", truth, truth, proba, classes=names)
    if classes == 2:
        wanted = metrics.roc_auc_score(truth == "1", proba[:, 1])
    else:
        areas = [metrics.roc_auc_score(truth == one, proba[:, int(one)]) for one in sorted(set(truth))]
        wanted = float(np.mean(areas))
    assert ours == pytest.approx(wanted, abs=1e-12)
