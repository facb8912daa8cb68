"""What a version learns from: members, their record, and the choice that it makes."""

from __future__ import annotations

import json
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from homeostat.bundle.committee import Committee
from homeostat.bundle.predictor import Predictor
from homeostat.config.errors import PipelineError, SingleClass
from homeostat.core.performance import subsets
from homeostat.retraining.fit import takes_weights
from homeostat.retraining.member_record import MemberRecord
from homeostat.retraining.recipes import FormerMembers, fit_version, probe_version, refit_version

START = pd.Timestamp("2024-01-01", tz="UTC")
DAYS = 40
HOLDOUT = 24
SHORT, MIDDLE = 96, 384
NAMES = ("all", "middle", "short")

IMPORTS = """\
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
"""
TREE = "DecisionTreeClassifier(max_depth=4, random_state=0)"
NEAREST = "KNeighborsClassifier(n_neighbors=1)"
RECORDING = """\
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

class Recording(ClassifierMixin, BaseEstimator):
    def fit(self, X, y, sample_weight=None):
        self.rows_, self.weights_, self.classes_ = len(X), sample_weight, np.unique(y)
        return self
    def predict(self, X):
        return np.repeat(self.classes_[:1], len(X))
"""


@pytest.fixture
def configured(model):
    """A model with this estimator, over hours: windows of 24 rows, a shortest stretch of 96."""

    def make(expression="LogisticRegression()", *, before=IMPORTS, task="classification", **training):
        settings = {"min_rows": 50} | training
        code = f"{before}\ndef build():\n    return {expression}\n"
        block = f"training: {json.dumps(settings)}\nmonitor: {{every: 1h, window: 24h, min_rows: 24}}\n"
        return model(code, more=block, task=task)

    return make


def stream(*, days=DAYS, changed=None, seed=0, noise=0.1, labels=None):
    """Hours whose label follows ``a``, from hour ``changed`` on ``b``; the last day is the holdout."""
    rng = np.random.default_rng(seed)
    n = days * 24
    a, b = rng.normal(size=(2, n))
    rule = np.where(np.arange(n) < (n if changed is None else changed), a, b) > 0
    y = (rule != (rng.random(n) < noise)).astype(int) if labels is None else labels(rng, n)
    rows = pd.DataFrame({"timestamp": pd.date_range(START, periods=n, freq="h"), "a": a, "b": b, "y": y})
    return rows[:-HOLDOUT].reset_index(drop=True), rows[-HOLDOUT:].reset_index(drop=True)


def until(holdout):
    return (holdout["timestamp"].iloc[-1] + pd.Timedelta(hours=1)).to_pydatetime()


def fitted(config, rows, former=None, **more):
    return fit_version(config, *rows, until(rows[1]), None, former, **more)


def left(config, version, rows):
    """What a version leaves to the next one."""
    predictor = Predictor.of(config, version.members)
    return FormerMembers(version.record, predictor, until(rows[1]), version.chosen)


def right(config, estimator, rows):
    return float((Predictor.of(config, estimator).predict(rows).prediction == rows["y"]).mean())


def test_a_version_is_a_committee_of_all_three_members(configured):
    config, rows = configured(), stream()
    version = fitted(config, rows)
    assert version.chosen == NAMES
    assert version.estimator is version.members
    assert version.estimator.names == version.holdout_estimator.names == list(NAMES)
    assert version.recipe == "all rows + middle 384 rows + short 96 rows"
    assert version.fits == 9 + 3 + 3
    assert set(version.scores) == set(NAMES)
    assert len(version.record.windows) == 12


def test_rows_and_weights_of_the_members(configured):
    config, rows = configured("Recording()", before=RECORDING), stream()
    version = fitted(config, rows)
    for estimator, n in ((version.estimator, DAYS * 24), (version.holdout_estimator, DAYS * 24 - HOLDOUT)):
        everything, middle, short = estimator.members
        assert [each.rows_ for each in (everything, middle, short)] == [n, MIDDLE, SHORT]
        assert everything.weights_ is short.weights_ is None
        np.testing.assert_allclose(middle.weights_, 0.5 ** (np.arange(MIDDLE)[::-1] / SHORT))


def test_the_served_members_have_seen_the_holdout_and_those_of_the_probe_have_not(configured):
    config = configured(NEAREST)
    rows = stream(labels=lambda rng, n: rng.integers(0, 2, n))  # nothing to learn, only by heart
    version = fitted(config, rows)
    assert right(config, version.estimator, rows[1]) == 1
    assert right(config, version.holdout_estimator, rows[1]) < 0.8


def test_after_a_change_the_members_that_know_only_the_past_are_left_out(configured):
    config, rows = configured(TREE), stream(days=60, changed=40 * 24)
    version = fitted(config, rows)
    assert "all" not in version.chosen
    assert version.members.names == list(NAMES), "the record of the others goes on"
    assert version.fits == 9 + len(version.chosen) + 3


def test_on_a_steady_stream_a_short_memory_is_never_served_alone(configured):
    for seed in range(4):
        version = fitted(configured(TREE), stream(days=60, seed=seed))
        assert version.chosen != ("short",)
        assert "all" in version.chosen


def test_the_record_grows_with_the_rows_since_the_former_version(configured):
    config, before, rows = configured(), stream(days=30), stream(days=40)
    first = fitted(config, before)
    second = fitted(config, rows, left(config, first, before))
    assert second.fits == 3 + 3, "no fits of the reference"
    assert len(second.record.windows) == len(first.record.windows) + 10
    ends = [each.end for each in second.record.windows]
    assert ends == sorted(ends)
    new = second.record.windows[12]
    assert until(before[1]) < new.end < until(before[1]) + timedelta(days=1)
    day = pd.concat(rows).iloc[30 * 24 : 31 * 24]
    for each, losses in zip(subsets(3), new.blocks, strict=True):
        expected = 1 - right(config, first.members.select(each), day)
        assert np.average(losses, weights=[3, 4, 3, 4, 3, 4, 3]) == pytest.approx(expected, abs=0.03)


def test_the_newest_window_is_scored_by_the_probe(configured):
    config, before, rows = configured(NEAREST), stream(days=30), stream(days=40)
    second = fitted(config, rows, left(config, fitted(config, before), before))
    newest = second.record.windows[-1]
    assert newest.end == rows[1]["timestamp"].iloc[-1]
    wrong = 1 - right(config, second.holdout_estimator, rows[1])
    assert newest.blocks[0].mean() == pytest.approx(wrong, abs=0.03)


def test_the_members_change_when_the_record_says_so(configured):
    def flips(rows):
        for each in rows:
            later = each["timestamp"] >= START + pd.Timedelta(days=40)
            each["y"] = each["y"].where(~later, 1 - each["y"])
        return rows

    config = configured(TREE, committee=False)
    before = stream(days=40)
    version = fitted(config, before)
    assert version.chosen == ("all",)
    for days in range(43, 62, 3):
        rows = flips(stream(days=days))
        former = left(config, version, before)
        probe = probe_version(config, *rows, until(rows[1]), None, former)
        assert probe.switched == (set(probe.chosen) != set(version.chosen))
        version, before = fitted(config, rows, former), rows
    assert version.chosen != ("all",)


def test_a_record_survives_json(configured):
    record = fitted(configured(), stream()).record
    found = MemberRecord.from_json(json.loads(json.dumps(record.to_json())))
    assert found.members == record.members
    np.testing.assert_allclose(found.windows[3].blocks, record.windows[3].blocks, atol=1e-8)
    assert found.ageing == record.ageing


def test_the_reference_says_how_versions_age(configured):
    steady, changing = (fitted(configured(), stream(changed=at)).record for at in (None, 40 * 24 - 150))
    for record in (steady, changing):
        assert len(record.ageing) == 8 * 7
        assert {each["gap"] for each in record.ageing} == {4, 6}
    everything = [
        [each["gain"] for each in record.ageing if each["members"] == "all+middle+short"]
        for record in (steady, changing)
    ]
    assert abs(np.mean(everything[0])) < 0.05 < np.mean(everything[1])


def test_the_record_of_some_members(configured):
    record = fitted(configured(), stream()).record
    part = record.of(("all", "short"))
    assert len(part.windows[0].blocks) == 3
    np.testing.assert_array_equal(part.windows[0].blocks, record.windows[0].blocks[[2, 4, 6]])
    assert record.of(NAMES).windows[0].blocks.shape == (7, 7)
    assert part.of(NAMES) is None


def test_a_record_of_other_members_begins_anew(configured):
    before, rows = stream(days=30), stream(days=40)
    config = configured(recipes=["all", "short"])
    former = left(config, fitted(config, before), before)
    version = fitted(configured(), rows, former)
    assert version.fits == 9 + 3 + 3
    assert version.record.members == NAMES
    again = fitted(configured(recipes=["all", "short"]), rows, left(configured(), version, rows))
    assert again.fits == 2 + 2


def test_recipes_limit_what_is_fitted(configured):
    version = fitted(configured(recipes=["short", "all"]), stream())
    assert version.chosen == ("all", "short")
    assert version.fits == 6 + 2 + 2
    only = fitted(configured(recipes=["short"]), stream())
    assert (only.chosen, only.recipe, only.fits) == (("short",), "short 96 rows", 2)
    assert only.members is only.record is None
    assert not isinstance(only.estimator, Committee)


def test_without_a_committee_the_record_chooses_one(configured):
    rows = stream(days=60, changed=40 * 24)
    version = fitted(configured(TREE, committee=False), rows)
    assert version.chosen in {("middle",), ("short",)}
    assert not isinstance(version.estimator, Committee)
    assert fitted(configured(TREE, committee=False), stream(days=60)).chosen == ("all",)
    assert version.members.names == list(NAMES)


def test_a_short_history_has_one_member(configured):
    version = fitted(configured(), stream(days=4))
    assert (version.chosen, version.recipe, version.fits) == (("all",), "all rows", 2)


def test_a_history_of_few_windows_begins_its_record_in_its_last_quarter(configured):
    version = fitted(configured(), stream(days=10))
    assert version.chosen == NAMES
    assert len(version.record.windows) == 3
    assert version.fits == 9 + 3 + 3


def test_an_estimator_without_weights_has_members_of_equal_weights(configured):
    config = configured(NEAREST)
    assert not takes_weights(config)
    assert fitted(config, stream()).chosen == NAMES
    assert set(fitted(config, stream(days=12)).scores) == {"all", "short"}, "the middle stretch is all rows"


@pytest.mark.parametrize("expression", ["LinearSVC()", TREE, NEAREST])
@pytest.mark.parametrize("text", [False, True])
def test_text_labels_and_members_without_probabilities(configured, expression, text):
    train, holdout = stream()
    if text:
        for rows in (train, holdout):
            rows["y"] = pd.Series(np.where(rows["y"], "yes", "no"), dtype="str")
    config = configured(expression)
    version = fitted(config, (train, holdout))
    assert right(config, version.holdout_estimator, holdout) > 0.6
    assert version.record.windows[-1].blocks[0].mean() < 0.4


def test_a_regression_averages_numbers(configured):
    rng = np.random.default_rng(1)
    train, holdout = stream()
    for rows in (train, holdout):
        rows["y"] = 3 * rows["a"] + rng.normal(scale=0.1, size=len(rows))
    config = configured("LinearRegression()", task="regression")
    version = fitted(config, (train, holdout))
    assert version.chosen == NAMES
    found = Predictor.of(config, version.estimator).predict(holdout).prediction
    np.testing.assert_allclose(found, 3 * holdout["a"], atol=0.1)
    assert all(score < 0.2 for score in version.scores.values())


def test_a_class_that_vanishes_is_still_a_class_of_the_committee(configured):
    def three(rng, n):
        y = rng.integers(0, 3, n)
        y[n - SHORT - HOLDOUT :] = np.minimum(y[n - SHORT - HOLDOUT :], 1)
        return y

    config = configured()
    version = fitted(config, stream(labels=three))
    assert [len(member.classes_) for member in version.members.members] == [3, 3, 2]
    predictor = Predictor.of(config, version.members)
    assert predictor.classes.tolist() == [0, 1, 2]
    assert predictor.predict(stream()[1]).proba.shape == (HOLDOUT, 3)


def test_a_member_with_one_class_is_left_out(configured):
    config, rows = configured(), stream()
    n = len(rows[0])
    rows[0].loc[n - SHORT :, "y"] = 1
    rows[1]["y"] = 1
    version = fitted(config, rows)
    assert "short" not in version.chosen
    assert version.estimator.names == ["all", "middle"]
    assert version.recipe == "all rows + middle 384 rows"
    later = stream(days=44)
    assert fitted(config, later, left(config, version, rows)).chosen == ("all", "middle", "short")[:2]


def test_a_pipeline_that_needs_more_rows_than_a_stretch_has(configured):
    picky = """
class Picky(DecisionTreeClassifier):
    def fit(self, X, y, sample_weight=None):
        if len(X) < 300:
            raise ValueError("fewer rows than leaves were asked for")
        return super().fit(X, y, sample_weight)
"""
    version = fitted(configured("Picky(max_depth=3)", before=IMPORTS + picky), stream())
    assert version.estimator.names == ["all", "middle"]


def test_without_a_refit_the_probe_serves(configured):
    version = fitted(configured(NEAREST, refit=False), stream())
    assert version.holdout_estimator is version.estimator
    assert version.fits == 9 + 3
    assert version.members.names == list(NAMES)


def test_only_the_chosen_members_are_fitted_when_asked_to(configured):
    config, rows = configured(), stream()
    refit = refit_version(config, *rows, until(rows[1]), ("all", "short"), only_chosen=True)
    assert refit.estimator.names == ["all", "short"]
    assert refit.fits == 2
    version = fitted(config, rows, chosen=("middle",))
    assert (version.chosen, version.record) == (("middle",), None)


@pytest.mark.parametrize("kind", [{"kind": "sliding", "length": "30d"}, {"kind": "expanding"}])
def test_other_windows_have_equal_weights(configured, kind):
    version = fitted(configured("Recording()", before=RECORDING, window=kind), stream())
    assert version.recipe == kind["kind"]
    assert version.holdout_estimator.weights_ is version.estimator.weights_ is None
    assert version.fits == 2


def test_a_recency_window_uses_the_half_life_of_model_yaml_only(configured):
    window = {"kind": "recency", "half_life": "5d"}
    rows = stream()
    version = fitted(configured("Recording()", before=RECORDING, window=window), rows)
    for estimator, known in ((version.holdout_estimator, rows[0]), (version.estimator, pd.concat(rows))):
        age = (until(rows[1]) - known["timestamp"]) / timedelta(days=5)
        np.testing.assert_allclose(estimator.weights_, 0.5**age)


def test_without_a_holdout_score_the_members_are_fitted_all_the_same(model):
    train, holdout = stream()
    holdout["y"] = 1
    code = f"{IMPORTS}\ndef build():\n    return LogisticRegression()\n"
    version = fitted(
        model(code, more="training: {min_rows: 50}\ngate: {metric: roc_auc}\n"), (train, holdout)
    )
    assert dict(version.scores) == {}


@pytest.mark.parametrize(
    ("expression", "labels", "error"),
    [
        ("LogisticRegression()", lambda rng, n: np.ones(n, int), SingleClass),
        ("LogisticRegression(C=-1)", None, PipelineError),
    ],
    ids=["one class", "does not fit"],
)
def test_rows_that_cannot_be_fitted_are_an_error(configured, expression, labels, error):
    with pytest.raises(error):
        fitted(configured(expression), stream(labels=labels))


def test_another_pipeline_is_fitted_throughout(configured):
    config = configured("1 / 0", before=f"{IMPORTS}\ndef other():\n    return {TREE}\n")
    rows = stream()
    version = fit_version(config, *rows, until(rows[1]), "pipeline.py:other")
    every = [*version.members.members, *version.holdout_estimator.members]
    assert {type(member).__name__ for member in every} == {"DecisionTreeClassifier"}


def test_the_input_rows_are_not_changed(configured):
    train, holdout = stream()
    before = train.copy(deep=True), holdout.copy(deep=True)
    fitted(configured(TREE), (train, holdout))
    pd.testing.assert_frame_equal(train, before[0])
    pd.testing.assert_frame_equal(holdout, before[1])
