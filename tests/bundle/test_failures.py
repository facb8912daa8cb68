"""An estimator that fails on its rows: one sentence with pipeline, column and cure."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from homeostat.bundle.predictor import Predictor
from homeostat.config.errors import PipelineError

ROWS = pd.DataFrame({"a": [0.0, 1, 2, 3], "b": [1.0, 0, 1, 0]})
KINDS = {"a": "number", "b": "number"}


@pytest.mark.parametrize(
    ("estimator", "task", "instead"),
    [
        (LinearRegression(), "regression", "Regressor"),
        (LogisticRegression(), "classification", "Classifier"),
        (make_pipeline(StandardScaler(), LogisticRegression()), "classification", "Classifier"),
    ],
)
@pytest.mark.parametrize("as_matrix", [True, False])
def test_a_missing_value_that_the_estimator_does_not_take(estimator, task, instead, as_matrix):
    fitted = estimator.fit(ROWS.to_numpy() if as_matrix else ROWS, [0, 1, 1, 0])
    predictor = Predictor(fitted, KINDS, task, as_matrix, pipeline="m/pipeline.py:build")
    with pytest.raises(PipelineError) as caught:
        predictor.predict(ROWS.assign(b=[np.nan, 1, np.nan, 0]))
    name = type(getattr(estimator, "steps", [("", estimator)])[-1][1]).__name__
    assert str(caught.value) == (
        f"m/pipeline.py:build: {name} takes no missing values (predict failed), but of 4 rows column 'b' "
        "has 2: put a SimpleImputer before it in the pipeline, or use an estimator that takes missing "
        f"values, such as HistGradientBoosting{instead}"
    )


class Broken:
    """Fails for a reason of its own."""

    def predict(self, rows):
        msg = "no table\nfor these"
        raise KeyError(msg)


def test_another_failure_is_one_sentence_with_its_cause():
    predictor = Predictor(Broken(), KINDS, "regression", as_matrix=True)
    with pytest.raises(PipelineError, match=r"^Broken: predict failed with KeyError: 'no table\\n"):
        predictor.predict(ROWS.assign(b=[np.nan, 1, 2, 0]))
