"""The standard error of the difference of two scores on the same holdout."""

import numpy as np
import pandas as pd
import pytest

from homeostat.bundle.evaluate import Evaluation
from homeostat.bundle.predictor import Predictions
from homeostat.config import load_model
from homeostat.retraining.drop_error import drop_error


def evaluated(truth, predicted, proba=None):
    predictions = Predictions(prediction=np.array(predicted), proba=proba, confidence=None)
    return Evaluation({}, 0.0, {}, 2, len(truth), np.array(truth), predictions, ("0", "1"))


@pytest.fixture
def config(folder):
    return load_model(folder)


def test_independent_rows_have_the_error_of_their_differences(config):
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 7000).astype(str)
    mine, theirs = (np.where(rng.random(7000) < share, truth, "9") for share in (0.8, 0.9))
    found = drop_error(config, evaluated(truth, mine), evaluated(truth, theirs))
    exact = np.std((mine == truth).astype(float) - (theirs == truth)) / np.sqrt(7000)
    assert found == pytest.approx(exact, rel=0.6), "seven blocks know it roughly"


def test_equal_versions_differ_by_nothing(config):
    truth = np.array(["0", "1"] * 50)
    assert drop_error(config, evaluated(truth, truth), evaluated(truth, truth)) == 0


def test_a_bad_day_counts_as_one_observation(config):
    truth = np.array(["0", "1"] * 84)
    bad = truth.copy()
    bad[:24] = "9"
    scattered = truth.copy()
    scattered[::7] = "9"
    clustered, spread = (
        drop_error(config, evaluated(truth, each), evaluated(truth, truth)) for each in (bad, scattered)
    )
    assert clustered == pytest.approx(1 / 7, rel=0.1)
    assert spread < clustered / 5


def test_where_the_metric_is_undefined_without_a_block_nothing_is_known(config):
    auc = config.model_copy(update={"gate": config.gate.model_copy(update={"metric": "roc_auc"})})
    truth = np.array(["1"] * 10 + ["0"] * 60)
    proba = np.column_stack([1 - pd.Series(range(70)) / 70, pd.Series(range(70)) / 70])
    one = evaluated(truth, truth, proba)
    assert drop_error(auc, one, one) is None, "all of one class are in one block"
    assert drop_error(config, evaluated(truth[:13], truth[:13]), evaluated(truth[:13], truth[:13])) is None
