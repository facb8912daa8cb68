"""Several fits that predict together: classes by label, probabilities, votes, numbers, and their bundle."""

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestCentroid
from sklearn.svm import LinearSVC

from homeostat.bundle.committee import Committee, committee_classes
from homeostat.bundle.evaluate import make_reference
from homeostat.bundle.files import load_bundle, write_bundle
from homeostat.bundle.inputs import takes_matrix
from homeostat.bundle.predictor import Predictor
from homeostat.retraining.fit import fit

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 2))
LABELS = np.array(["blue", "green", "red"])
Y = LABELS[np.digitize(X[:, 0], [-0.5, 0.5])]


class Fixed:
    """Predicts what it is given; without classes, as a hand-written estimator may be."""

    def __init__(self, predicted):
        self.predicted = predicted

    def predict(self, inputs):
        return self.predicted


def committee(*members, labels=Y):
    return Committee(members, [f"m{n}" for n in range(len(members))], committee_classes(members, labels))


def fitted(estimator, without=None, y=Y):
    kept = y != without
    return estimator.fit(X[kept], y[kept])


def test_probabilities_are_averaged_and_the_largest_decides():
    members = [fitted(LogisticRegression()), fitted(HistGradientBoostingClassifier(max_iter=5))]
    both = committee(*members)
    expected = np.mean([member.predict_proba(X) for member in members], axis=0)
    np.testing.assert_allclose(both.predict_proba(X), expected)
    np.testing.assert_array_equal(both.predict(X), LABELS[expected.argmax(axis=1)])
    assert both.predict(X).dtype.kind == "U"


@pytest.mark.parametrize("lost", LABELS)
def test_classes_are_aligned_by_label_where_a_member_has_not_seen_one(lost):
    whole, part = fitted(LogisticRegression()), fitted(LogisticRegression(), without=lost)
    both = committee(part, whole)
    np.testing.assert_array_equal(both.classes_, LABELS)
    found = both.predict_proba(X)
    at = list(LABELS).index(lost)
    np.testing.assert_allclose(found[:, at], whole.predict_proba(X)[:, at] / 2)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    for name in set(LABELS) - {lost}:
        mine = part.predict_proba(X)[:, list(part.classes_).index(name)]
        theirs = whole.predict_proba(X)[:, list(LABELS).index(name)]
        np.testing.assert_allclose(found[:, list(LABELS).index(name)], (mine + theirs) / 2)


def test_numbers_are_averaged():
    members = [HistGradientBoostingRegressor(max_iter=n).fit(X, X[:, 0]) for n in (3, 9)]
    both = Committee(members, ["a", "b"], None)
    np.testing.assert_allclose(both.predict(X), (members[0].predict(X) + members[1].predict(X)) / 2)
    assert not hasattr(both, "predict_proba")


def test_without_probabilities_the_members_vote_and_the_first_decides_a_tie():
    members = [fitted(LinearSVC()), fitted(NearestCentroid())]
    both = committee(*members)
    assert not hasattr(both, "predict_proba")
    np.testing.assert_array_equal(both.predict(X), members[0].predict(X))
    three = committee(*members, members[1])
    np.testing.assert_array_equal(three.predict(X), members[1].predict(X))


def test_a_single_member_without_probabilities_makes_all_vote():
    both = committee(fitted(LogisticRegression()), fitted(LinearSVC()))
    np.testing.assert_array_equal(both.predict(X), fitted(LogisticRegression()).predict(X))


@pytest.mark.parametrize(
    ("labels", "predicted", "expected"),
    [
        (["a", "b"], [["a", None], [None, None], ["b", None]], ["a", None]),
        ([0, 1], [[1.0, np.nan], [np.nan, np.nan], [0.0, np.nan]], [1.0, np.nan]),
        (["a", "b"], [["a", "z"], ["z", "z"], ["b", "z"]], ["a", None]),
    ],
    ids=["text", "numbers", "unknown classes"],
)
def test_members_without_classes_vote_and_missing_votes_do_not_count(labels, predicted, expected):
    members = [
        Fixed(np.array(each, dtype=object if isinstance(labels[0], str) else None)) for each in predicted
    ]
    found = committee(*members, labels=np.array(labels)).predict(np.zeros((2, 1)))
    pd.testing.assert_series_equal(pd.Series(found.tolist()), pd.Series(expected))


def test_a_selection_keeps_the_classes():
    both = committee(fitted(LogisticRegression()), fitted(LogisticRegression(), without="red"))
    one = both.select([1])
    np.testing.assert_array_equal(one.classes_, LABELS)
    assert one.names == ["m1"]
    assert (one.predict_proba(X)[:, 2] == 0).all()


def test_outputs_of_some_members_decide_as_their_committee_does():
    whole = committee(*(fitted(HistGradientBoostingClassifier(max_iter=n)) for n in (1, 3, 9)))
    outputs = whole.outputs(X)
    for chosen in ([0, 1, 2], [0, 2], [1]):
        np.testing.assert_array_equal(
            whole.decide([outputs[n] for n in chosen]), whole.select(chosen).predict(X)
        )
    np.testing.assert_array_equal(outputs[0], whole.members[0].predict_proba(X))


@pytest.mark.parametrize(
    ("labels", "category"),
    [((0, 1), False), (("no", "yes"), False), (("no", "yes"), True), (None, False)],
    ids=["numbers", "text", "categories", "regression"],
)
def test_a_bundle_holds_a_committee(model, rows, tmp_path, category, labels):
    task = "regression" if labels is None else "classification"
    kind = "Regressor" if labels is None else "Classifier"
    code = f"""
from sklearn.ensemble import HistGradientBoosting{kind}

def build():
    return HistGradientBoosting{kind}(max_iter=9, random_state=0)
"""
    config = model("mixed" if category else code, task=task, category=category)
    data = rows(labels=labels, missing=False)
    config_rows = [data, data.iloc[100:].reset_index(drop=True)]
    members = [fit(config, each, None) for each in config_rows]
    classes = None if labels is None else committee_classes(members, data["y"].to_numpy())
    both = Committee(members, ["all", "short"], classes)
    assert takes_matrix(both, config) == takes_matrix(members[0], config)
    predictor = Predictor.of(config, both)
    reference = make_reference(config, predictor, data)
    digest = write_bundle(tmp_path / "b", config, both, reference, {"recipe": "all rows + short 200 rows"})
    loaded = load_bundle(tmp_path / "b", digest=digest, config=config)
    assert loaded.predictor.estimator.names == ["all", "short"]
    found, expected = loaded.predictor.predict(data), predictor.predict(data)
    np.testing.assert_array_equal(found.prediction, expected.prediction)
    if labels is not None:
        np.testing.assert_array_equal(loaded.predictor.classes, labels)
        np.testing.assert_array_equal(found.proba, expected.proba)
        np.testing.assert_array_equal(found.prediction, np.array(labels)[found.proba.argmax(axis=1)])


def test_a_missing_probability_is_a_missing_prediction(model, rows):
    class Broken(LogisticRegression):
        def predict_proba(self, inputs):
            proba = super().predict_proba(inputs)
            proba[0] = np.nan
            return proba

    y = (Y == "red").astype(int)
    both = committee(fitted(LogisticRegression(), y=y), Broken().fit(X, y), labels=y)
    assert np.isnan(both.predict(X)[0])
    config = model()
    found = Predictor.of(config, both).predict(pd.DataFrame(X, columns=["a", "b"]))
    assert found.missing.tolist() == [True] + [False] * 299
