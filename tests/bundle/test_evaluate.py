import json

import numpy as np
import pytest

from homeostat.bundle.evaluate import evaluate, make_reference
from homeostat.bundle.predictor import Predictor
from homeostat.config.errors import ConfigError, DataError
from homeostat.retraining.fit import fit

SLICES = "gate: {slices: [kind, a]}\n"


def fitted(config, data):
    return Predictor.of(config, fit(config, data, None))


def test_a_holdout_gives_metrics_and_missing_predictions(model, rows):
    config = model()
    found = evaluate(config, fitted(config, rows()), rows(seed=1))
    assert 0.5 < found.metrics["accuracy"] <= 1
    assert set(found.metrics) == {"accuracy", "balanced_accuracy", "f1", "roc_auc", "log_loss"}
    assert found.nan_rate == 0
    assert found.distinct_predictions > 2
    assert found.rows == len(found.predicted) == 300


def test_a_regression_is_scored_by_its_own_metrics(model, rows):
    code = "def build():\n    from sklearn.linear_model import Ridge\n    return Ridge()"
    config = model(code, task="regression")
    data = rows(labels=None, missing=False)
    found = evaluate(config, fitted(config, data), data)
    assert set(found.metrics) == {"mae", "rmse", "r2"}


def test_slices_are_scored_by_category_and_by_quarter_of_a_number(model, rows):
    config = model("mixed", category=True, more=SLICES)
    found = evaluate(config, fitted(config, rows()), rows(seed=1))
    kinds = {name: slice_ for name, slice_ in found.slices.items() if name.startswith("kind=")}
    assert set(kinds) == {"kind=x", "kind=y", "kind=z"}
    assert sum(slice_["rows"] for slice_ in kinds.values()) == rows(seed=1).kind.notna().sum()
    assert len([name for name in found.slices if name.startswith("a=")]) == 4
    assert all(0 <= slice_["score"] <= 1 for slice_ in found.slices.values())
    json.dumps(found.slices, allow_nan=False)


def test_slices_have_the_same_names_for_two_models_on_one_holdout(model, rows):
    config = model("mixed", category=True, more=SLICES)
    one = evaluate(config, fitted(config, rows()), rows(seed=1))
    other = evaluate(config, fitted(config, rows(seed=2)), rows(seed=1))
    assert set(one.slices) == set(other.slices)


def test_a_slice_of_few_rows_is_left_out(model, rows):
    config = model("mixed", category=True, more=SLICES)
    holdout = rows(seed=1)
    holdout.loc[:10, "kind"] = "rare"
    assert "kind=rare" not in evaluate(config, fitted(config, rows()), holdout).slices


def test_a_constant_model_has_one_distinct_prediction(model, rows):
    code = "def build():\n    from sklearn.dummy import DummyClassifier\n    return DummyClassifier()"
    config = model(code)
    assert evaluate(config, fitted(config, rows()), rows(seed=1)).distinct_predictions == 1


def test_missing_predictions_are_counted(model, rows):
    config = model()
    predictor = fitted(config, rows())
    answer = predictor.estimator.predict_proba

    class Sometimes:
        classes_ = np.array([0, 1])

        def predict(self, inputs):
            labels = answer(inputs).argmax(axis=1).astype(float)
            return np.where(np.arange(len(inputs)) % 4 == 0, np.nan, labels)

    spoilt = Predictor(Sometimes(), predictor.kinds, "classification", as_matrix=True)
    found = evaluate(config, spoilt, rows(seed=1))
    assert found.nan_rate == 0.25
    assert found.metrics["accuracy"] < evaluate(config, predictor, rows(seed=1)).metrics["accuracy"]


def test_no_rows_are_an_error(model, rows):
    config = model()
    with pytest.raises(DataError):
        evaluate(config, fitted(config, rows()), rows()[:0])


def test_a_regressions_reference_has_a_prediction_and_no_confidence(model, rows):
    code = "def build():\n    from sklearn.linear_model import Ridge\n    return Ridge()"
    config = model(code, task="regression")
    data = rows(labels=None, missing=False)
    features = make_reference(config, fitted(config, data), data).edges.features
    assert features["prediction"].kind == "number"
    assert "confidence" not in features
    assert make_reference(config, fitted(config, data), data).calibration is None


def test_a_reference_counts_right_and_wrong_predictions_by_confidence(model, rows):
    config = model()
    predictor, holdout = fitted(config, rows()), rows(seed=1)
    holdout.loc[:9, "y"] = np.nan
    reference = make_reference(config, predictor, holdout)
    right = (predictor.predict(holdout).prediction == holdout["y"])[10:]
    assert reference.calibration.rows == 290
    assert reference.calibration.right.binned == right.sum()
    assert reference.season is None


def test_a_reference_has_a_season_where_the_model_asks_for_one(model, rows):
    config = model(more="monitor: {season: hour_of_week}\n")
    reference = make_reference(config, fitted(config, rows()), rows(seed=1))
    assert reference.season.kind == "hour_of_week"
    assert reference.season.rows.tolist() == [2] * 132 + [1] * 36


def test_a_feature_named_like_an_output_is_refused_with_a_better_name(model, rows):
    config = model(more="    prediction: {type: number}\n")
    data = rows().assign(prediction=0.0)
    predictor = fitted(config, data)
    with pytest.raises(ConfigError, match=r"schema\.features\.prediction.*prediction_input"):
        make_reference(config, predictor, data)
