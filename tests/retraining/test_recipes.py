"""One version of several recipes: the holdout chooses what is learnt from, and is learnt from in the end."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from homeostat.bundle.predictor import Predictor
from homeostat.config.errors import PipelineError, SingleClass
from homeostat.retraining.fit import takes_weights
from homeostat.retraining.recipes import fit_version

START = pd.Timestamp("2024-01-01", tz="UTC")
UNTIL = (START + timedelta(days=30)).to_pydatetime()
HOLDOUT = 90
WHOLE, LATEST = "whole window, recent rows weigh more", "last third"

IMPORTS = """\
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
"""
TREE = "DecisionTreeClassifier(max_depth=6, random_state=0)"
NEAREST = "KNeighborsClassifier(n_neighbors=1)"
RECORDING = """\
from sklearn.base import BaseEstimator, ClassifierMixin

class Recording(ClassifierMixin, BaseEstimator):
    def fit(self, X, y, sample_weight=None):
        self.rows_, self.weights_, self.classes_ = len(X), sample_weight, sorted(set(y))
        return self
    def predict(self, X):
        return [self.classes_[0]] * len(X)
"""


@pytest.fixture
def configured(model):
    """A model with this estimator and this ``training`` block, over thirty days of hours."""

    def make(
        expression, *, window="{kind: auto, length: 30d}", before=IMPORTS, more="", task="classification"
    ):
        code = f"{before}\ndef build():\n    return {expression}\n"
        block = f"training: {{window: {window}, min_rows: 50{more}}}\n"
        return model(code, more=block, task=task)

    return make


def stream(*, changed=None, seed=0, noise=0.1, labels=None):
    """Hours whose label follows ``a``, from hour ``changed`` on ``b``; as training rows and holdout."""
    rng = np.random.default_rng(seed)
    n = 30 * 24
    a, b = rng.normal(size=(2, n))
    rule = np.where(np.arange(n) < (n if changed is None else changed), a, b) > 0
    y = (rule != (rng.random(n) < noise)).astype(int) if labels is None else labels(rng, n)
    rows = pd.DataFrame({"timestamp": pd.date_range(START, periods=n, freq="h"), "a": a, "b": b, "y": y})
    return rows[:-HOLDOUT].reset_index(drop=True), rows[-HOLDOUT:].reset_index(drop=True)


def right(config, estimator, rows):
    return float((Predictor.of(config, estimator).predict(rows).prediction == rows["y"]).mean())


@pytest.mark.parametrize("expression", ["LogisticRegression()", TREE], ids=["linear", "tree"])
@pytest.mark.parametrize("seed", range(4))
def test_after_an_abrupt_change_the_last_third_is_chosen(configured, expression, seed):
    config = configured(expression)
    fitted = fit_version(config, *stream(changed=480, seed=seed), UNTIL)
    assert fitted.recipe == LATEST
    assert fitted.scores[LATEST] > fitted.scores[WHOLE]


@pytest.mark.parametrize("expression", ["LogisticRegression()", TREE], ids=["linear", "tree"])
def test_on_a_steady_stream_the_whole_window_is_mostly_chosen(configured, expression):
    config = configured(expression)
    chosen = [fit_version(config, *stream(seed=seed), UNTIL).recipe for seed in range(12)]
    assert chosen.count(WHOLE) > 6


def test_of_equal_recipes_the_whole_window_is_chosen(configured):
    fitted = fit_version(configured("LogisticRegression()"), *stream(noise=0), UNTIL)
    assert fitted.recipe == max(fitted.scores, key=fitted.scores.get)
    constant = configured("Recording()", before=RECORDING)
    fitted = fit_version(constant, *stream(), UNTIL)
    assert fitted.scores[WHOLE] == fitted.scores[LATEST]
    assert fitted.recipe == WHOLE


def test_for_an_error_metric_the_lower_score_is_chosen(configured):
    config = configured("DecisionTreeRegressor(max_depth=3, random_state=0)", task="regression")
    train, holdout = stream(changed=480)
    for rows in (train, holdout):
        rows["y"] = rows["y"].astype(float)
    fitted = fit_version(config, train, holdout, UNTIL)
    assert fitted.recipe == LATEST
    assert fitted.scores[LATEST] < fitted.scores[WHOLE]


def test_weights_halve_in_a_quarter_of_the_window_and_are_one_at_its_end(configured):
    config = configured("Recording()", before=RECORDING)
    train, holdout = stream()
    fitted = fit_version(config, train, holdout, UNTIL)
    assert fitted.recipe == WHOLE
    assert (fitted.holdout_estimator.rows_, fitted.estimator.rows_) == (len(train), len(train) + len(holdout))
    age = (UNTIL - train["timestamp"]) / timedelta(days=7.5)
    np.testing.assert_allclose(fitted.holdout_estimator.weights_, 0.5**age)
    assert fitted.estimator.weights_[-1] == pytest.approx(0.5 ** (1 / 180))


def test_a_recency_window_uses_the_half_life_of_model_yaml_only(configured):
    config = configured("Recording()", before=RECORDING, window="{kind: recency, half_life: 5d}")
    train, holdout = stream()
    fitted = fit_version(config, train, holdout, UNTIL)
    assert (fitted.recipe, dict(fitted.scores)) == ("recency", {})
    for estimator, rows in (
        (fitted.holdout_estimator, train),
        (fitted.estimator, pd.concat([train, holdout])),
    ):
        age = (UNTIL - rows["timestamp"]) / timedelta(days=5)
        np.testing.assert_allclose(estimator.weights_, 0.5**age)


@pytest.mark.parametrize("kind", ["{kind: sliding, length: 30d}", "{kind: expanding}"])
def test_other_windows_have_equal_weights(configured, kind):
    fitted = fit_version(configured("Recording()", before=RECORDING, window=kind), *stream(), UNTIL)
    assert fitted.recipe in kind
    assert fitted.holdout_estimator.weights_ is fitted.estimator.weights_ is None


def test_an_estimator_without_weights_uses_the_whole_window_unweighted(configured):
    config = configured("KNeighborsClassifier(n_neighbors=15)")
    assert not takes_weights(config)
    assert set(fit_version(config, *stream(), UNTIL).scores) == {"whole window", LATEST}
    assert fit_version(config, *stream(changed=480), UNTIL).recipe == LATEST


def test_the_served_estimator_has_seen_the_holdout_and_the_holdout_estimator_has_not(configured):
    config = configured(NEAREST)
    train, holdout = stream(labels=lambda rng, n: rng.integers(0, 2, n))  # nothing to learn, only by heart
    fitted = fit_version(config, train, holdout, UNTIL)
    assert right(config, fitted.estimator, holdout) == 1
    assert right(config, fitted.holdout_estimator, holdout) < 0.7
    assert right(config, fitted.holdout_estimator, holdout) == fitted.scores[fitted.recipe]


def test_the_served_estimator_is_fitted_on_the_chosen_rows_only(configured):
    config = configured(NEAREST)
    train, holdout = stream(changed=480, noise=0)
    fitted = fit_version(config, train, holdout, UNTIL)
    assert fitted.recipe == LATEST
    young = train["timestamp"] >= UNTIL - timedelta(days=10)
    assert (
        right(config, fitted.estimator, train[young])
        == right(config, fitted.holdout_estimator, train[young])
        == 1
    )
    assert right(config, fitted.estimator, train[~young]) < 0.7


def test_without_a_refit_the_holdout_estimator_serves(configured):
    config = configured(NEAREST, more=", refit: false")
    fitted = fit_version(config, *stream(), UNTIL)
    assert fitted.holdout_estimator is fitted.estimator
    assert set(fitted.scores) == {"whole window", LATEST}


def test_one_class_in_the_last_third_chooses_the_whole_window(configured):
    train, holdout = stream()
    train.loc[train["timestamp"] >= UNTIL - timedelta(days=10), "y"] = 1
    fitted = fit_version(configured("LogisticRegression()"), train, holdout, UNTIL)
    assert (fitted.recipe, set(fitted.scores)) == (WHOLE, {WHOLE})


def test_too_few_rows_in_the_last_third_choose_the_whole_window(configured):
    train, holdout = stream()
    train = train[train["timestamp"] < UNTIL - timedelta(days=9)]
    fitted = fit_version(configured(TREE), train, holdout, UNTIL)
    assert (fitted.recipe, set(fitted.scores)) == (WHOLE, {WHOLE})


def test_a_pipeline_that_needs_more_rows_than_the_last_third_uses_the_whole_window(configured):
    picky = """
class Picky(DecisionTreeClassifier):
    def fit(self, X, y, sample_weight=None):
        if len(X) < 400:
            raise ValueError("fewer rows than leaves were asked for")
        return super().fit(X, y, sample_weight)
"""
    fitted = fit_version(configured("Picky(max_depth=3)", before=IMPORTS + picky), *stream(), UNTIL)
    assert (fitted.recipe, set(fitted.scores)) == (WHOLE, {WHOLE})


def test_without_a_holdout_score_the_first_recipe_is_chosen(configured, model):
    """The gate says that its metric is not computable; that is not for the fit to fail on."""
    train, holdout = stream()
    holdout["y"] = 1
    code = f"{IMPORTS}\ndef build():\n    return LogisticRegression()\n"
    block = "training: {window: {kind: auto, length: 30d}, min_rows: 50}\ngate: {metric: roc_auc}\n"
    fitted = fit_version(model(code, more=block), train, holdout, UNTIL)
    assert (fitted.recipe, dict(fitted.scores)) == (WHOLE, {})


@pytest.mark.parametrize(
    ("expression", "labels", "error"),
    [
        ("LogisticRegression()", lambda rng, n: np.ones(n, int), SingleClass),
        ("LogisticRegression(C=-1)", None, PipelineError),
    ],
    ids=["one class", "does not fit"],
)
def test_a_whole_window_that_cannot_be_fitted_is_an_error(configured, expression, labels, error):
    with pytest.raises(error):
        fit_version(configured(expression), *stream(labels=labels), UNTIL)


def test_another_pipeline_is_fitted_throughout(configured):
    config = configured("1 / 0", before=f"{IMPORTS}\ndef other():\n    return {TREE}\n")
    fitted = fit_version(config, *stream(), UNTIL, "pipeline.py:other")
    assert {type(fitted.holdout_estimator).__name__, type(fitted.estimator).__name__} == {
        "DecisionTreeClassifier"
    }


def test_the_input_rows_are_not_changed(configured):
    train, holdout = stream()
    before = train.copy(deep=True), holdout.copy(deep=True)
    fit_version(configured(TREE), train, holdout, UNTIL)
    pd.testing.assert_frame_equal(train, before[0])
    pd.testing.assert_frame_equal(holdout, before[1])
