import numpy as np
import pandas as pd
import pytest

from homeostat.bundle.predictor import Predictor
from homeostat.config.errors import DataError, PipelineError
from homeostat.retraining.fit import fit

KINDS = {"a": "number", "b": "number"}
FRAME = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [0.0, 0.0, np.nan]})


class Answering:
    """An estimator that answers what it was told to."""

    def __init__(self, answers, proba=None, classes=None):
        self.answers = answers
        if proba is not None:
            self.predict_proba = lambda inputs: np.asarray(proba)[: len(inputs)]
        if classes is not None:
            self.classes_ = np.array(classes)

    def predict(self, inputs):
        self.given = inputs
        return self.answers[: len(inputs)] if isinstance(self.answers, list) else self.answers


def asked(estimator, task="classification", frame=FRAME, *, as_matrix=True):
    return Predictor(estimator, KINDS, task, as_matrix).predict(frame)


def test_classes_come_with_the_largest_probability_as_confidence(model, rows):
    config = model()
    predictor = Predictor.of(config, fit(config, rows(), None))
    answers = predictor.predict(rows())
    assert answers.proba.shape == (300, 2)
    np.testing.assert_array_equal(answers.confidence, answers.proba.max(axis=1))
    np.testing.assert_array_equal(
        answers.prediction, predictor.estimator.predict(rows()[["a", "b"]].to_numpy())
    )


def test_a_matrix_and_a_frame_give_the_same_predictions(model, rows):
    config = model()
    predictor = Predictor.of(config, fit(config, rows(), None))
    data = rows()
    one, other = predictor.predict(data), predictor.predict_matrix(data[["a", "b"]].to_numpy())
    np.testing.assert_array_equal(one.proba, other.proba)


def test_columns_are_found_by_name_and_extra_ones_are_ignored():
    estimator = Answering([0, 0, 0])
    asked(estimator, frame=FRAME[["b", "a"]].assign(other=1))
    np.testing.assert_array_equal(estimator.given, FRAME.to_numpy())


def test_a_model_without_probabilities_has_no_confidence():
    answers = asked(Answering([1, 0, 1]))
    assert answers.confidence is None
    assert answers.prediction.tolist() == [1, 0, 1]


def test_predict_is_called_where_it_may_differ_from_the_largest_probability():
    answers = asked(Answering([1, 1, 1], proba=[[0.6, 0.4]] * 3, classes=[0, 1]))
    assert answers.prediction.tolist() == [1, 1, 1]
    assert answers.confidence.tolist() == [0.6] * 3


@pytest.mark.parametrize(
    ("answers", "task", "missing"),
    [
        ([1.0, np.nan, 0.0], "classification", [False, True, False]),
        ([1.0, np.inf, -np.inf], "regression", [False, True, True]),
        (np.array(["x", None, "y"], dtype=object), "classification", [False, True, False]),
        ([[1.0], [2.0], [np.nan]], "regression", [False, False, True]),
    ],
    ids=["nan", "inf", "none", "column"],
)
def test_missing_predictions_are_detected(answers, task, missing):
    assert asked(Answering(answers), task).missing.tolist() == missing


def test_a_nan_probability_gives_no_confidence():
    answers = asked(Answering([0, 1, 0], proba=[[0.5, 0.5], [np.nan, 0.5], [0.9, 0.1]], classes=[0, 1]))
    assert answers.confidence.tolist()[::2] == [0.5, 0.9]
    assert np.isnan(answers.confidence[1])


def test_a_text_label_with_a_nan_probability_becomes_none(model, rows, monkeypatch):
    config = model()
    predictor = Predictor.of(config, fit(config, rows(labels=("no", "yes")), None))
    ruined = np.array([[np.nan, np.nan], [0.2, 0.8]])
    monkeypatch.setattr(type(predictor.estimator), "predict_proba", lambda *_: ruined)
    assert predictor.predict(rows()[:2]).prediction.tolist() == [None, "yes"]


@pytest.mark.parametrize("answers", [[1, 2], 3, [[1, 2]] * 3], ids=["too few", "one", "two a row"])
def test_a_wrong_number_of_predictions_is_an_error(answers):
    with pytest.raises(PipelineError, match="expected one value per row"):
        asked(Answering(np.array(answers)))


def test_a_regression_that_predicts_text_is_an_error():
    with pytest.raises(PipelineError, match="must return numbers"):
        asked(Answering(np.array(["a", "b", "c"])), "regression")


def test_a_missing_feature_is_named():
    with pytest.raises(DataError, match="no column 'b'"):
        asked(Answering([0]), frame=FRAME[["a"]])


def test_no_rows_need_no_estimator():
    nothing = FRAME.iloc[:0]
    assert len(asked(Answering([]), "regression", nothing).prediction) == 0
    empty = asked(Answering([], proba=[[0.5, 0.5]], classes=["x", "y"]), frame=nothing)
    assert (len(empty.prediction), empty.proba.shape) == (0, (0, 2))


def test_a_model_with_categories_refuses_a_matrix():
    predictor = Predictor(Answering([0]), {"a": "category"}, "classification", as_matrix=False)
    with pytest.raises(TypeError, match="DataFrame"):
        predictor.predict_matrix(np.zeros((1, 1)))


def test_categories_reach_the_estimator_as_text():
    estimator = Answering([0, 0])
    kinds = {"a": "number", "kind": "category"}
    frame = pd.DataFrame({"a": [1, 2], "kind": pd.Series(["x", None], dtype=object)})
    Predictor(estimator, kinds, "classification", as_matrix=False).predict(frame)
    assert [str(dtype) for dtype in estimator.given.dtypes] == ["float64", "str"]
    assert estimator.given.kind.isna().tolist() == [False, True]
