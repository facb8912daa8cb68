"""A booster with early stopping learns from all rows, with the rounds that were best on the newest ones."""

import numpy as np
import pandas as pd
import pytest

from homeostat.bundle.boosters.labels import unwrapped
from homeostat.bundle.predictor import Predictor
from homeostat.retraining.fit import fit

STOPS = {
    "xgboost": ("XGBClassifier", "n_estimators=300, learning_rate=0.3, early_stopping_rounds=5"),
    "lightgbm": ("LGBMClassifier", "n_estimators=300, learning_rate=0.3, early_stopping_round=5"),
    "catboost": ("CatBoostClassifier", "iterations=300, learning_rate=0.3, early_stopping_rounds=5"),
}
AROUND = {"alone": "{}", "last step": "make_pipeline(StandardScaler(), {})"}


def pipeline(library, around="{}", stop=True):
    name, settings = STOPS[library]
    settings = settings if stop else settings.rpartition(",")[0]
    return (
        "def build():\n"
        f"    from {library} import {name}\n"
        "    from sklearn.pipeline import make_pipeline\n"
        "    from sklearn.preprocessing import StandardScaler\n"
        f"    return {around.format(f'{name}({settings})')}\n"
    )


def booster(estimator):
    inner = unwrapped(estimator)
    return inner.steps[-1][1] if hasattr(inner, "steps") else inner


def rounds(estimator):
    found = booster(estimator)
    if hasattr(found, "tree_count_"):
        return found.tree_count_
    return (
        found.get_booster().num_boosted_rounds()
        if hasattr(found, "get_booster")
        else found.booster_.num_trees()
    )


def alone(library, frame, first, labels):
    """The best number of rounds, by the library itself."""
    numbers, codes = frame[["a", "b"]].to_numpy(), (frame["y"] == labels[1]).to_numpy().astype(int)
    older, newest = (numbers[:first], codes[:first]), (numbers[first:], codes[first:])
    if library == "xgboost":
        from xgboost import XGBClassifier

        found = XGBClassifier(n_estimators=300, learning_rate=0.3, early_stopping_rounds=5)
        return found.fit(*older, eval_set=[newest], verbose=False).best_iteration + 1
    if library == "lightgbm":
        from lightgbm import LGBMClassifier

        found = LGBMClassifier(n_estimators=300, learning_rate=0.3, early_stopping_round=5, verbose=-1)
        return found.fit(*older, eval_X=newest[0], eval_y=newest[1]).best_iteration_
    from catboost import CatBoostClassifier

    found = CatBoostClassifier(
        iterations=300, learning_rate=0.3, early_stopping_rounds=5, verbose=False, allow_writing_files=False
    )
    return found.fit(*older, eval_set=[newest]).get_best_iteration() + 1


@pytest.mark.parametrize("labels", [(0, 1), ("fine", "worn")], ids=str)
@pytest.mark.parametrize("library", STOPS)
def test_the_rounds_are_those_at_which_the_library_stops_on_the_newest_tenth(model, rows, library, labels):
    frame = rows(600, labels=labels)
    found = fit(model(pipeline(library)), frame, None)
    assert 1 < rounds(found) < 300
    assert rounds(found) == alone(library, frame, 540, labels)


@pytest.mark.parametrize("library", STOPS)
def test_the_share_is_a_setting(model, rows, library):
    frame = rows(600)
    config = model(pipeline(library), more="training: {early_stopping: 0.3}\n")
    assert rounds(fit(config, frame, None)) == alone(library, frame, 420, (0, 1))


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("library", STOPS)
def test_the_newest_rows_are_learned_from(model, rows, library, around):
    """They have a pattern of their own, which the older rows do not."""
    frame = rows(600, missing=False)
    frame.loc[540:, "a"] += 50.0
    frame.loc[540:, "y"] = (np.arange(60) % 2).astype(int)
    frame.loc[540:, "b"] = np.where(frame.loc[540:, "y"] == 1, 5.0, -5.0)
    config = model(pipeline(library, AROUND[around]))
    newest = frame.tail(60)
    found = Predictor.of(config, fit(config, frame, None)).predict(newest).prediction
    assert (found == newest["y"]).mean() > 0.9


@pytest.mark.parametrize("library", STOPS)
def test_categories_and_weights_work_with_it(model, rows, library):
    config = model(pipeline(library), category=True)
    frame = rows(600, labels=("fine", "worn"))
    found = fit(config, frame, np.linspace(0.5, 1.0, 600))
    assert (Predictor.of(config, found).predict(frame).prediction == frame["y"]).mean() > 0.9


@pytest.mark.parametrize("library", STOPS)
def test_a_class_that_only_the_newest_rows_have_is_learned(model, rows, library):
    frame = rows(600, missing=False)
    frame["y"] = frame["y"].map({0: "fine", 1: "worn"})
    frame.loc[570:, "y"], frame.loc[570:, "a"] = "broken", 40.0
    config = model(pipeline(library))
    found = Predictor.of(config, fit(config, frame, None)).predict(frame.tail(30)).prediction
    assert set(found.tolist()) == {"broken"}


@pytest.mark.parametrize("library", STOPS)
def test_without_early_stopping_the_rounds_are_those_that_were_set(model, rows, library):
    assert rounds(fit(model(pipeline(library, stop=False)), rows(), None)) == 300


def test_the_rows_are_not_changed(model, rows):
    frame = rows(300)
    before = frame.copy()
    fit(model(pipeline("lightgbm"), category=True), frame, None)
    pd.testing.assert_frame_equal(frame, before)
