"""F1 is of the positive class, and never of a class that nobody named."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from homeostat.config.errors import ConfigError, DataError
from homeostat.config.model import ModelConfig
from homeostat.config.positive_class import OBVIOUS, metric_title, obvious_positive
from homeostat.core.performance import (
    all_metrics,
    guessed_sentence,
    score,
    why_undefined,
    with_positive_class,
)

CLASSES = st.sampled_from(["fraud", "legit"])


def config(metric="f1", **label):
    return ModelConfig.model_validate(
        {
            "name": "m",
            "task": "classification",
            "pipeline": "pipeline.py:build",
            "source": {"kind": "csv", "uri": "x.csv"},
            "schema": {"label": {"name": "y", **label}, "features": {"x": {"type": "number"}}},
            "gate": {"metric": metric},
        }
    )


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(CLASSES, CLASSES), min_size=1), CLASSES)
def test_f1_of_a_class_is_scikit_learns(pairs, positive):
    truth, answer = zip(*pairs, strict=True)
    if positive not in {*truth, *answer}:
        with pytest.raises(DataError, match=f"the positive class '{positive}'"):
            score("classification", "f1", truth, answer, positive=positive)
        return
    expected = metrics.f1_score(truth, answer, pos_label=positive, labels=["fraud", "legit"])
    found = score("classification", "f1", truth, answer, positive=positive, known=["fraud", "legit"])
    assert found == pytest.approx(expected)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=1),
    st.sampled_from([None, "a", "b"]),
)
def test_of_three_classes_it_is_the_mean_or_of_the_one_that_is_named(pairs, positive):
    truth, answer = zip(*pairs, strict=True)
    if positive is None:
        expected = metrics.f1_score(truth, answer, average="macro")
    elif positive in {*truth, *answer}:
        expected = metrics.f1_score(truth, answer, labels=[positive], average=None)[0]
    else:
        return
    found = score("classification", "f1", truth, answer, positive=positive, known=list("abc"))
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("truth", [["fraud", "legit"], ["2", "1"], ["0", "2"], ["a", "b"], ["Ja", "Nein"]])
def test_of_two_classes_that_do_not_say_it_none_is_taken(truth):
    with pytest.raises(DataError, match=r"set schema\.label\.positive"):
        score("classification", "f1", truth, truth)
    assert "f1" not in all_metrics("classification", truth, truth)
    assert "f1" in all_metrics("classification", truth, truth, positive=truth[0])


def test_a_step_with_one_class_takes_the_positive_one_of_both():
    with pytest.raises(DataError, match="all rows have the class 'legit'"):
        score("classification", "f1", ["legit"] * 9, ["legit"] * 9)
    with pytest.raises(DataError, match="the positive class '1'"):
        score("classification", "f1", [0] * 9, [0] * 9, known=["0", "1"])
    assert score("classification", "f1", [0, 1], [1, 1], known=["0", "1"]) == pytest.approx(2 / 3)


def test_why_a_metric_is_undefined():
    assert "set schema.label.positive" in why_undefined("classification", "f1", ["a", "b"], ["a", "b"])
    assert why_undefined("classification", "accuracy", ["a", "b"], ["a", "b"]) == ""


@pytest.mark.parametrize(("positive", "negative"), OBVIOUS)
def test_some_names_say_which_is_positive(positive, negative):
    for change in (str, str.upper, str.title):
        assert obvious_positive([change(negative), change(positive)]) == change(positive)
    assert obvious_positive([positive]) is None
    assert obvious_positive([positive, negative, "other"]) is None


@given(st.sets(st.text(min_size=1, max_size=8), min_size=2, max_size=3))
def test_other_names_do_not(names):
    if not {name.lower() for name in names} & {word for pair in OBVIOUS for word in pair}:
        assert obvious_positive(names) is None


def test_the_title_names_the_class():
    assert metric_title("f1", "fraud") == "f1 of 'fraud'"
    assert metric_title("f1", None) == "f1"
    assert metric_title("accuracy", "fraud") == "accuracy"
    assert metric_title("f1", "x" * 100) == f"f1 of '{'x' * 37}...'"
    assert config(positive="fraud").metric_title == "f1 of 'fraud'"
    assert config("roc_auc", positive="fraud").served_metric_title == "accuracy"


def test_two_classes_without_a_positive_one_are_an_error_with_both_settings():
    with pytest.raises(ConfigError) as caught:
        with_positive_class(config(), ["legit", "fraud"])
    assert str(caught.value) == (
        "model.yaml, schema.label.positive: missing. gate.metric is f1, which is computed of one class, and "
        "the classes are 'fraud', 'legit': write positive: fraud or positive: legit"
    )
    with pytest.raises(ConfigError, match="write positive: '1' or positive: '2'"):
        with_positive_class(config(), ["1", "2"])
    with pytest.raises(ConfigError, match="write positive: 'off' or positive: spam"):
        with_positive_class(config(), ["spam", "off"])


def test_a_positive_class_that_the_data_lacks_is_an_error():
    with pytest.raises(ConfigError, match="'fruad' is none of the classes of the data: 'fraud', 'legit'"):
        with_positive_class(config(positive="fruad"), ["fraud", "legit"])
    listed = config(classes=["fraud", "legit"], positive="fraud")
    assert with_positive_class(listed, ["legit", "legit"]) == listed, "it is listed, and may come"


@pytest.mark.parametrize(
    ("metric", "label", "classes", "positive", "said"),
    [
        ("f1", {}, ["0", "1"], "1", True),
        ("f1", {"classes": ["No", "Yes"]}, [], "Yes", True),
        ("f1", {"positive": 0}, ["0", "1"], "0", False),
        ("f1", {}, ["a", "b", "c"], None, False),
        ("f1", {"positive": "a"}, ["a", "b", "c"], "a", False),
        ("f1", {}, ["a"], None, False),
        ("accuracy", {}, ["fraud", "legit"], None, False),
        ("accuracy", {}, ["0", "1"], "1", False),
    ],
)
def test_which_class_is_taken_and_whether_that_is_said(metric, label, classes, positive, said):
    before = config(metric, **label)
    known = with_positive_class(before, classes)
    assert known.columns.label.positive == positive
    assert bool(guessed_sentence(before, known)) is said
    if said:
        assert guessed_sentence(before, known).startswith(f"'{positive}' was taken as the positive class")


def test_the_rarer_class_is_not_positive_because_of_that():
    rng = np.random.default_rng(0)
    truth = rng.choice(["fraud", "legit"], 400, p=[0.02, 0.98])
    assert "f1" not in all_metrics("classification", truth, truth)
