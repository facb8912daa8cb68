import numpy as np
import pandas as pd
import pytest

from homeostat.bundle.pipeline import load_pipeline
from homeostat.bundle.predictor import Predictor
from homeostat.config.errors import ConfigError, PipelineError, SingleClass
from homeostat.retraining.fit import fit, weight_parameter


def returning(expression, imports=""):
    return f"{imports}\ndef build():\n    return {expression}\n"


IMPORTS = """\
from sklearn.compose import *
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import *
"""
RECORDING = """\
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.pipeline import make_pipeline

class Recording(ClassifierMixin, BaseEstimator):
    def fit(self, X, y, sample_weight=None):
        self.X_, self.y_, self.weights_, self.classes_ = X, y, sample_weight, sorted(set(y))
        return self
    def predict(self, X):
        return [self.classes_[0]] * len(X)

class Same(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        return self
    def transform(self, X):
        return X
"""


def test_numbers_alone_are_fitted_as_a_plain_matrix(model, rows):
    config = model()
    estimator = fit(config, rows(), None)
    assert not hasattr(estimator, "feature_names_in_")
    assert Predictor.of(config, estimator).as_matrix


def test_categories_are_fitted_as_a_frame_in_the_order_of_the_model(model, rows):
    config = model("mixed", category=True)
    shuffled = rows()[["y", "kind", "b", "timestamp", "a"]]
    estimator = fit(config, shuffled, None)
    assert list(estimator.feature_names_in_) == ["a", "b", "kind"]
    assert not Predictor.of(config, estimator).as_matrix


@pytest.mark.parametrize(
    "expression",
    [
        "make_pipeline(ColumnTransformer([('n', StandardScaler(), ['a'])]), LogisticRegression())",
        "make_pipeline(make_column_transformer((Normalizer(), make_column_selector())), GaussianNB())",
        "make_pipeline(FunctionTransformer(lambda x: x[['a']].fillna(0)), LogisticRegression())",
        "HistGradientBoostingClassifier(categorical_features=['a'], max_iter=2)",
    ],
)
def test_steps_that_select_columns_by_name_get_a_frame(model, rows, expression):
    config = model(returning(expression, IMPORTS))
    data = rows(missing=False)
    data["a"] = data["a"].round().clip(0, 3)
    predictor = Predictor.of(config, fit(config, data, None))
    assert not predictor.as_matrix
    matrix = data[["a", "b"]].to_numpy()
    np.testing.assert_array_equal(predictor.predict_matrix(matrix).proba, predictor.predict(data).proba)


def test_weights_reach_the_last_step_of_a_pipeline(model, rows):
    data, weights = rows(), np.linspace(0.1, 1, 300)
    estimator = fit(model(RECORDING + returning("make_pipeline(Same(), Recording())")), data, weights)
    np.testing.assert_array_equal(estimator[-1].weights_, weights)


@pytest.mark.parametrize(
    ("expression", "name"),
    [
        ("LogisticRegression()", "sample_weight"),
        ("make_pipeline(StandardScaler(), LogisticRegression())", "logisticregression__sample_weight"),
        ("make_pipeline(StandardScaler(), KNeighborsClassifier())", None),
        ("KNeighborsClassifier()", None),
        ("GridSearchCV(LogisticRegression(), {'C': [1]})", "sample_weight"),
        (
            "GridSearchCV(make_pipeline(LogisticRegression()), {'logisticregression__C': [1]})",
            "logisticregression__sample_weight",
        ),
        (
            "make_pipeline(make_pipeline(StandardScaler(), LogisticRegression()))",
            "pipeline__logisticregression__sample_weight",
        ),
        ("TransformedTargetRegressor(Ridge())", "sample_weight"),
    ],
)
def test_the_weights_name_is_found_through_pipelines_and_wrappers(model, expression, name):
    estimator = load_pipeline(model(returning(expression, IMPORTS)))()
    assert weight_parameter(estimator) == name


def test_weights_change_the_fit(model, rows):
    config = model()
    data = rows()
    data.loc[:149, "y"] = 1 - data.loc[:149, "y"]
    recent = np.r_[np.full(150, 1e-6), np.ones(150)]
    plain = Predictor.of(config, fit(config, data, None)).predict(data[150:])
    weighted = Predictor.of(config, fit(config, data, recent)).predict(data[150:])
    truth = data.y[150:].to_numpy()
    assert (weighted.prediction == truth).mean() > (plain.prediction == truth).mean()


def test_an_estimator_without_weights_is_refused(model, rows):
    imports = "from sklearn.neighbors import KNeighborsClassifier"
    config = model(returning("KNeighborsClassifier()", imports))
    with pytest.raises(PipelineError, match="KNeighborsClassifier takes no sample_weight"):
        fit(config, rows(missing=False), np.ones(300))
    fit(config, rows(missing=False), None)


@pytest.mark.parametrize("size", [300, 0])
def test_one_class_is_refused_before_anything_is_built(model, rows, size):
    config = model("def build(): raise RuntimeError('must not be called')")
    data = rows().assign(y=1)[:size]
    with pytest.raises(SingleClass, match="one class"):
        fit(config, data, None)


def test_a_measure_as_class_is_refused_before_anything_is_built(model, rows):
    config = model("def build(): raise RuntimeError('must not be called')")
    with pytest.raises(ConfigError, match=r"the label 'y' has 300 different values.*task: regression"):
        fit(config, rows().assign(y=np.arange(300) / 7), None)


def test_text_labels_stay_text(model, rows):
    config = model()
    predictor = Predictor.of(config, fit(config, rows(labels=("no", "yes")), None))
    assert predictor.classes.tolist() == ["no", "yes"]
    assert set(predictor.predict(rows()).prediction) <= {"no", "yes"}


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (returning("1/0"), "ZeroDivisionError while building"),
        (returning("None"), "returned None, expected an unfitted scikit-learn estimator"),
        (returning("LogisticRegression", IMPORTS), "the class LogisticRegression"),
        (
            returning("LogisticRegression()", IMPORTS),
            r"LogisticRegression takes no missing values .* column 'a' has 21: .*GradientBoostingClassifier",
        ),
        (returning("StandardScaler()", IMPORTS), "which cannot predict"),
    ],
    ids=["raises", "nothing", "a class", "does not take NaN", "no predictor"],
)  # fmt: skip
def test_a_broken_pipeline_is_reported_with_file_and_cause(model, rows, code, said):
    config = model(code)
    with pytest.raises(PipelineError, match=said) as error:
        fit(config, rows(), None)
    assert "pipeline.py" in str(error.value)


def test_the_training_rows_are_not_changed(model, rows):
    data = rows()
    before = data.copy(deep=True)
    fit(model("mixed", category=True), data, None)
    pd.testing.assert_frame_equal(data, before)
