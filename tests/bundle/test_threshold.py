"""The positive class is predicted from its threshold on, in the gate's metrics as in a loaded bundle."""

import json

import numpy as np
import pytest

from homeostat.bundle.evaluate import evaluate, make_reference
from homeostat.bundle.files import load_bundle, tree_digest, write_bundle
from homeostat.bundle.predictor import Predictor
from homeostat.config.errors import ConfigError, PipelineError, Untrusted
from homeostat.retraining.fit import fit

SVC = "def build():\n    from sklearn.svm import LinearSVC\n    return LinearSVC()\n"


def loaded(config, estimator, rows, folder):
    reference = make_reference(config, Predictor.of(config, estimator), rows)
    write_bundle(folder, config, estimator, reference, {})
    return load_bundle(folder, config=config)


@pytest.mark.parametrize(("positive", "other"), [("worn", "fine"), ("fine", "worn")])
@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.9])
def test_predictions_follow_the_probability_of_the_positive_class(
    model, rows, tmp_path, threshold, positive, other
):
    config = model(more=f"threshold: {threshold}\n").with_positive(positive)
    frame = rows(400, labels=("fine", "worn"))
    found = loaded(config, fit(config, frame, None), frame, tmp_path / "bundle").predictor.predict(frame)
    column = ["fine", "worn"].index(positive)
    expected = np.where(found.proba[:, column] >= threshold, positive, other)
    assert found.prediction.tolist() == expected.tolist()
    own = np.where(expected == positive, found.proba[:, column], found.proba[:, 1 - column])
    assert found.confidence.tolist() == own.tolist(), "the confidence is that of the predicted class"


def test_the_metrics_are_those_of_the_thresholded_predictions(model, rows):
    from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

    frame, holdout = rows(400), rows(300, seed=1)
    for threshold in (0.2, 0.8):
        config = model(more=f"threshold: {threshold}\n").with_positive("1")
        estimator = fit(config, frame, None)
        proba = estimator.predict_proba(holdout[["a", "b"]].to_numpy())[:, 1]
        by_hand = (proba >= threshold).astype(int)
        metrics = evaluate(config, Predictor.of(config, estimator), holdout).metrics
        assert metrics["accuracy"] == pytest.approx(accuracy_score(holdout["y"], by_hand))
        assert metrics["f1"] == pytest.approx(f1_score(holdout["y"], by_hand))
        assert metrics["roc_auc"] == pytest.approx(roc_auc_score(holdout["y"], proba))


def test_the_positive_class_is_taken_from_the_names_where_they_say_it(model, rows, tmp_path):
    config, frame = model(more="threshold: 0.9\n"), rows(400)
    found = loaded(config, fit(config, frame, None), frame, tmp_path / "bundle")
    assert (found.manifest["threshold"], found.manifest["positive"]) == (0.9, "1")
    proba = found.predictor.predict(frame)
    assert proba.prediction.tolist() == (proba.proba[:, 1] >= 0.9).astype(int).tolist()


def test_a_version_keeps_its_threshold(model, rows, tmp_path):
    config, frame = model(more="threshold: 0.9\n"), rows(400)
    before = loaded(config, fit(config, frame, None), frame, tmp_path / "bundle").predictor.predict(frame)
    changed = config.model_copy(update={"threshold": 0.1})
    after = load_bundle(tmp_path / "bundle", config=changed).predictor.predict(frame)
    assert after.prediction.tolist() == before.prediction.tolist()


def test_classes_without_an_obvious_positive_are_refused_before_the_fit(model, rows):
    config = model("def build():\n    raise AssertionError\n", more="threshold: 0.3\n")
    with pytest.raises(
        ConfigError, match=r"which of the classes fine, worn is positive.*schema\.label\.positive"
    ):
        fit(config, rows(labels=("fine", "worn")), None)


def test_three_classes_are_refused_before_the_fit(model, rows):
    frame = rows()
    frame["y"] = np.arange(len(frame)) % 3
    with pytest.raises(ConfigError, match="two classes, but the labels have 3"):
        fit(model(more="threshold: 0.3\n"), frame, None)


def test_an_estimator_without_probabilities_is_refused(model, rows):
    config, frame = model(SVC, more="threshold: 0.3\n"), rows(missing=False)
    with pytest.raises(PipelineError, match="no predict_proba"):
        Predictor.of(config, fit(config, frame, None))


@pytest.mark.parametrize(
    ("more", "task", "said"),
    [
        ("threshold: 0\n", "classification", "greater than 0"),
        ("threshold: 1.5\n", "classification", "less than 1"),
        ("threshold: 0.3\n", "regression", "threshold is for classification"),
    ],
)
def test_a_wrong_threshold_is_an_error_of_its_line(model, more, task, said):
    with pytest.raises(ConfigError, match=said):
        model(more=more, task=task)


@pytest.mark.parametrize("threshold", ["0.3", True, 2.0, None, [0.5]], ids=repr)
def test_a_manifest_with_another_threshold_is_no_manifest(model, rows, tmp_path, threshold):
    config, frame = model(more="threshold: 0.9\n"), rows(400)
    loaded(config, fit(config, frame, None), frame, tmp_path / "bundle")
    path = tmp_path / "bundle/manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "threshold": threshold}))
    with pytest.raises(Untrusted, match="not the manifest"):
        load_bundle(tmp_path / "bundle", digest=tree_digest(tmp_path / "bundle"), config=config)
