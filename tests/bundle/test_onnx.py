"""ONNX as a serving format: the same predictions as the pipeline, or the pipeline itself with the reason."""

import hashlib
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from homeostat.bundle.committee import Committee, committee_classes
from homeostat.bundle.evaluate import make_reference
from homeostat.bundle.files import dump_estimator, load_bundle, write_bundle
from homeostat.bundle.inputs import model_inputs, takes_matrix
from homeostat.bundle.onnx_format.compare import TOLERANCE, NotConverted, converted
from homeostat.bundle.onnx_format.model import OnnxModel
from homeostat.bundle.predictor import Predictor
from homeostat.config.errors import MissingExtra, PipelineError
from homeostat.retraining.fit import fit, label_array
from homeostat.retraining.serving_format import ServingFormat

IMPORTS = (
    "    from sklearn.compose import ColumnTransformer\n"
    "    from sklearn.calibration import CalibratedClassifierCV\n"
    "    from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier, RandomForestRegressor\n"
    "    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor\n"
    "    from sklearn.ensemble import VotingClassifier\n"
    "    from sklearn.impute import SimpleImputer\n"
    "    from sklearn.linear_model import LogisticRegression, Ridge\n"
    "    from sklearn.naive_bayes import GaussianNB\n"
    "    from sklearn.neural_network import MLPClassifier\n"
    "    from sklearn.pipeline import make_pipeline\n"
    "    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler\n"
    "    from sklearn.svm import LinearSVC\n"
    "    from sklearn.tree import DecisionTreeClassifier\n"
)
HIST = "HistGradientBoostingClassifier(max_iter=15, random_state=0)"
CLASSIFIERS = {
    "boosted": HIST,
    "forest": "RandomForestClassifier(8, random_state=0)",
    "extra": "ExtraTreesClassifier(8, random_state=0)",
    "tree": "DecisionTreeClassifier(random_state=0)",
    "linear": "make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression())",
    "indicated": "make_pipeline(SimpleImputer(strategy='median', add_indicator=True), LogisticRegression())",
    "neural": "make_pipeline(SimpleImputer(), MLPClassifier((5,), max_iter=2000, random_state=0))",
    "bayes": "make_pipeline(SimpleImputer(), GaussianNB())",
}
REGRESSORS = {
    "boosted": "HistGradientBoostingRegressor(max_iter=15, random_state=0)",
    "absolute": "HistGradientBoostingRegressor(max_iter=15, loss='absolute_error')",
    "forest": "RandomForestRegressor(8, random_state=0)",
    "linear": "make_pipeline(SimpleImputer(), StandardScaler(), Ridge())",
}
ENCODERS = {
    "ignore": "OneHotEncoder(handle_unknown='ignore', sparse_output=False)",
    "sparse": "OneHotEncoder(handle_unknown='ignore')",
    "infrequent": "OneHotEncoder(handle_unknown='infrequent_if_exist', max_categories=2,"
    " sparse_output=False)",
    "dropped": "OneHotEncoder(handle_unknown='ignore', drop='first', sparse_output=False)",
}


def code(estimator, encoder=None):
    if encoder is not None:
        columns = f"[('n', 'passthrough', ['a', 'b']), ('c', {encoder}, ['kind'])]"
        estimator = f"make_pipeline(ColumnTransformer({columns}, sparse_threshold=0), {estimator})"
    return f"def build():\n{IMPORTS}    return {estimator}\n"


def onnx_of(config, estimator, frame):
    inputs = model_inputs(frame, config, as_matrix=takes_matrix(estimator, config))
    kinds = {name: feature.type for name, feature in config.columns.features.items()}
    return converted(estimator, inputs, kinds)


def loaded(config, estimator, frame, folder):
    reference = make_reference(config, Predictor.of(config, estimator), frame)
    digest = write_bundle(folder, config, estimator, reference, {})
    return load_bundle(folder, digest=digest, config=config).predictor


@pytest.mark.parametrize("labels", [("fine", "worn"), (3, 7)], ids=str)
@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_a_classifier_predicts_the_same_from_its_bundle(model, rows, tmp_path, kind, labels):
    config, frame = model(code(CLASSIFIERS[kind])), rows(400, labels=labels)
    estimator = fit(config, frame, None)
    onnx = loaded(config, onnx_of(config, estimator, frame), frame, tmp_path / "bundle")
    assert isinstance(onnx.estimator, OnnxModel)
    unseen = rows(2000, seed=5)  # rows that were not compared when it was converted
    before, after = Predictor.of(config, estimator).predict(unseen), onnx.predict(unseen)
    assert after.prediction.tolist() == before.prediction.tolist()
    assert np.abs(after.proba - before.proba).max() < 1e-12
    assert onnx.classes.tolist() == sorted(labels)


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_three_classes_are_the_same(model, rows, kind):
    config, frame = model(code(CLASSIFIERS[kind])), rows(400)
    frame["y"] = np.array(["high", "low", "middle"])[np.digitize(frame["b"], [-0.5, 0.5])]
    estimator = fit(config, frame, None)
    onnx = onnx_of(config, estimator, frame)
    inputs = model_inputs(rows(2000, seed=5), config, as_matrix=True)
    assert np.abs(onnx.predict_proba(inputs) - estimator.predict_proba(inputs)).max() < 1e-12
    assert onnx.predict(inputs).tolist() == estimator.predict(inputs).tolist()


@pytest.mark.parametrize("kind", REGRESSORS)
def test_a_regressor_predicts_the_same_from_its_bundle(model, rows, tmp_path, kind):
    config, frame = model(code(REGRESSORS[kind]), task="regression"), rows(400, labels=None)
    estimator = fit(config, frame, None)
    onnx = loaded(config, onnx_of(config, estimator, frame), frame, tmp_path / "bundle")
    unseen = rows(2000, labels=None, seed=5)
    before = Predictor.of(config, estimator).predict(unseen).prediction
    assert np.abs(onnx.predict(unseen).prediction - before).max() < 1e-11
    assert not hasattr(onnx.estimator, "predict_proba")


@pytest.mark.parametrize("link", ["poisson", "gamma"])
def test_a_loss_with_a_logarithm_predicts_the_same(model, rows, link):
    config = model(code(f"HistGradientBoostingRegressor(max_iter=15, loss='{link}')"), task="regression")
    frame = rows(400, labels=None)
    frame["y"] = frame["y"].abs() + 0.1
    estimator = fit(config, frame, None)
    inputs = model_inputs(rows(500, seed=5), config, as_matrix=True)
    assert np.allclose(
        onnx_of(config, estimator, frame).predict(inputs), estimator.predict(inputs), rtol=1e-12
    )


@pytest.mark.filterwarnings("ignore:Found unknown categories")
@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("missing", [True, False], ids=["missing", "complete"])
def test_categories_missing_and_unseen_values_are_encoded_alike(model, rows, tmp_path, encoder, missing):
    config = model(code(HIST, ENCODERS[encoder]), category=True)
    frame = rows(400, labels=("fine", "worn"), missing=missing)
    estimator = fit(config, frame, None)
    onnx = loaded(config, onnx_of(config, estimator, frame), frame, tmp_path / "bundle")
    unseen = rows(1000, seed=5)
    unseen["kind"] = pd.Series(np.resize(["x", "y", "z", "other", None, "ü"], len(unseen)), dtype="str")
    before, after = Predictor.of(config, estimator).predict(unseen), onnx.predict(unseen)
    assert np.abs(after.proba - before.proba).max() < 1e-12


def test_values_between_two_floats_end_in_the_same_leaves(model, rows):
    """A threshold that is rounded to float32 sends a row beside it to the other leaf."""
    config, frame = model(code(HIST)), rows(400, missing=False)
    estimator = fit(config, frame, None)
    nodes = np.concatenate([each[0].nodes for each in estimator._predictors])
    at = nodes["num_threshold"][~nodes["is_leaf"].astype(bool)]
    matrix = np.concatenate([np.column_stack([np.nextafter(at, to), at]) for to in (-np.inf, np.inf)])
    onnx = onnx_of(config, estimator, frame)
    assert np.abs(onnx.predict_proba(matrix) - estimator.predict_proba(matrix)).max() < 1e-12


def test_a_constant_label_in_one_leaf_is_predicted(model, rows):
    config = model(code("HistGradientBoostingRegressor(max_iter=2)"), task="regression")
    frame = rows(400, labels=None).assign(y=2.5)
    estimator = fit(config, frame, None)
    inputs = model_inputs(frame, config, as_matrix=True)
    assert onnx_of(config, estimator, frame).predict(inputs).tolist() == [2.5] * len(frame)


def test_a_missing_number_fails_where_it_fails_in_the_pipeline(model, rows, tmp_path):
    config = model(code("make_pipeline(StandardScaler(), LogisticRegression())"))
    frame = rows(300, missing=False)
    onnx = loaded(config, onnx_of(config, fit(config, frame, None), frame), frame, tmp_path / "bundle")
    assert onnx.estimator.required == ["a", "b"]
    with pytest.raises(PipelineError, match=r"takes no missing values .* column 'b' has 300"):
        onnx.predict(frame.assign(b=np.nan))


REFUSED = {
    "no probabilities": ("make_pipeline(SimpleImputer(), LinearSVC())", None, "it has no probabilities"),
    "no converter": (f"VotingClassifier([('one', {HIST})], voting='soft')", None, "cannot be converted"),
    "other answers": (f"CalibratedClassifierCV({HIST}, cv=2)", None, "cannot be converted|differ"),
    "an error for unseen values": (HIST, "OneHotEncoder(sparse_output=False)", "fails where 'kind' is"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_predict_the_same_keeps_its_format_with_the_reason(model, rows, case):
    estimator, encoder, why = REFUSED[case]
    config = model(
        code(estimator, encoder), category=encoder is not None, more="training: {serving_format: onnx}\n"
    )
    frame = rows(300, labels=("fine", "worn"))
    fitted = fit(config, frame, None)
    with pytest.raises(NotConverted, match=why):
        onnx_of(config, fitted, frame)
    form = ServingFormat(config, frame)
    assert form.of(fitted) is fitted
    assert form.facts == {"serving_format": "skops"}
    assert form.sentence.startswith("; stored as skops and not as ONNX (training.serving_format): ")


def test_a_model_with_another_answer_is_not_taken_for_equal(model, rows, monkeypatch):
    """The comparison finds a difference just above what is allowed."""
    config, frame = model(code(HIST)), rows(300)
    estimator = fit(config, frame, None)
    plain = OnnxModel._outputs
    for more, equal in ((TOLERANCE / 2, True), (TOLERANCE * 2, False)):
        monkeypatch.setattr(OnnxModel, "_outputs", lambda self, inputs, more=more: plain(self, inputs) + more)
        if equal:
            onnx_of(config, estimator, frame)
        else:
            with pytest.raises(NotConverted, match=r"differ: by up to 2e-09, allowed is 1e-09"):
                onnx_of(config, estimator, frame)


def test_a_booster_of_another_library_keeps_its_own_format(model, rows):
    config = model(
        "def build():\n    from lightgbm import LGBMClassifier\n    return LGBMClassifier(n_estimators=5)\n",
        more="training: {serving_format: onnx}\n",
    )
    frame = rows(300)
    fitted, form = fit(config, frame, None), ServingFormat(config, frame)
    assert form.of(fitted) is fitted
    assert "cannot be converted" in form.reason


def test_a_committee_is_converted_with_all_its_members(model, rows, tmp_path):
    config = model(code(HIST), more="training: {serving_format: onnx}\n")
    frame = rows(400, labels=("fine", "worn"))
    members = [fit(config, frame, None), fit(config, frame.tail(200), None)]
    whole = Committee(members, ["all", "short"], committee_classes(members, label_array(frame["y"])))
    form = ServingFormat(config, frame)
    served, one = form.of(whole), form.of(whole.select([1]))
    assert [type(each) for each in served.members] == [OnnxModel, OnnxModel]
    assert one.members == served.members[1:]  # converted once
    found = loaded(config, served, frame, tmp_path / "bundle").predict(frame)
    expected = Predictor.of(config, whole).predict(frame)
    assert np.abs(found.proba - expected.proba).max() < 1e-12
    assert form.sentence == "; stored as ONNX, which predicts the same on the holdout"


DIGEST = """
import sys, hashlib, pandas as pd
from pathlib import Path
from homeostat.bundle.files import dump_estimator
from homeostat.config.load import load_model
from homeostat.retraining.fit import fit
from homeostat.retraining.serving_format import ServingFormat
config, frame = load_model(Path(sys.argv[1])), pd.read_parquet(sys.argv[2])
onnx = ServingFormat(config, frame).of(fit(config, frame, None))
print(hashlib.sha256(dump_estimator(config, onnx)).hexdigest())
"""


def test_two_fits_in_two_processes_have_the_same_bytes(model, rows, tmp_path):
    config = model(code(HIST, ENCODERS["ignore"]), category=True, more="training: {serving_format: onnx}\n")
    frame = rows(labels=("fine", "worn"))
    frame.to_parquet(tmp_path / "rows.parquet")
    done = subprocess.run(
        [sys.executable, "-c", DIGEST, config.folder, tmp_path / "rows.parquet"],
        capture_output=True,
        text=True,
        check=True,
    )
    onnx = ServingFormat(config, frame).of(fit(config, frame, None))
    assert done.stdout.split() == [hashlib.sha256(dump_estimator(config, onnx)).hexdigest()]


@pytest.mark.parametrize(("threads", "used"), [("", 1), ("3", 3)])
def test_it_predicts_on_as_many_threads_as_openmp_may_use(model, rows, monkeypatch, threads, used):
    config, frame = model(code(HIST)), rows(200)
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    session = onnx_of(config, fit(config, frame, None), frame)._run.__self__
    assert session.get_session_options().intra_op_num_threads == used


def test_a_missing_library_is_named_before_the_fit_and_when_a_bundle_is_loaded(
    model, rows, tmp_path, monkeypatch
):
    config, frame = model(code(HIST), more="training: {serving_format: onnx}\n"), rows(200)
    onnx = ServingFormat(config, frame).of(fit(config, frame, None))
    loaded(config, onnx, frame, tmp_path / "bundle")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    for call in (
        lambda: ServingFormat(config, frame),
        lambda: load_bundle(tmp_path / "bundle", config=config),
    ):
        with pytest.raises(MissingExtra, match=r"pip install 'homeostat\[onnx\]'"):
            call()
