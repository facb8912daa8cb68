"""Decay of slices: sums of losses, which steps count, verdicts, and the report."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.slices.slice_streams import config_of
from homeostat.core.slices import (
    LossSums,
    SliceBaseline,
    SliceDrift,
    SliceResult,
    SliceScore,
    SlicesReport,
    add_steps,
    assess_slices,
)

losses = st.lists(st.floats(0, 1e3), max_size=30).map(np.array)


@given(losses, losses)
def test_losses_add_up(one, other):
    both = LossSums.of(one) + LossSums.of(other)
    whole = np.concatenate([one, other])
    assert both.rows == len(whole)
    if len(whole):
        assert both.mean == pytest.approx(whole.mean())
        assert both.variance == pytest.approx(whole.var(), rel=1e-6, abs=1e-6 * (1 + whole.mean() ** 2))


def test_losses_that_are_not_finite_are_left_out():
    assert LossSums.of(np.array([1.0, np.nan, np.inf, 3.0])) == LossSums(2, 4.0, 10.0)


def test_the_newest_steps_count_until_there_are_rows_enough():
    steps = [{"a": LossSums(20, 1, 1)}, {}, {"a": LossSums(30, 2, 2)}, {"a": LossSums(60, 3, 3)}]
    assert add_steps(steps, "a", least=1, enough=10) == LossSums(20, 1, 1)
    assert add_steps(steps, "a", least=3, enough=10) == LossSums(50, 3, 3)
    assert add_steps(steps, "a", least=1, enough=100) == LossSums(110, 6, 6)
    assert add_steps(steps, "b", least=1, enough=100) == LossSums()


def assess(recent, held=(200, 20), *, task="some", inflation=1.0):
    config = config_of(task)
    baseline = SliceBaseline(LossSums(held[0], held[1], held[1]), inflation)
    return assess_slices(config, ["a"], {"a": baseline}, [{"a": LossSums(*recent)}])["a"]


@pytest.mark.parametrize(
    ("recent", "held", "verdict", "said"),
    [
        ((100, 40, 40), (200, 20), "alert", "decay 0.3, at or above trigger.decay (0.1), corrected p"),
        ((100, 15, 15), (200, 20), "pass", "accuracy 0.85 over 100 rows, baseline 0.9"),
        ((100, 22, 22), (200, 20), "pass", "at or above trigger.decay (0.1), but not significant"),
        ((29, 29, 29), (200, 20), "not_computable", "only 29 labelled rows, 30 are needed"),
        ((100, 40, 40), (29, 2), "not_computable", "only 29 rows in the version's holdout"),
        ((0, 0, 0), (200, 20), "pending", "no labelled rows yet"),
    ],
)
def test_verdicts(recent, held, verdict, said):
    found = assess(recent, held)
    assert found.verdict == verdict
    assert said in found.reason


def test_errors_of_a_regression_lose_relatively():
    config = config_of("normal")
    rng = np.random.default_rng(0)
    held, recent = np.abs(rng.normal(size=300)), np.abs(rng.normal(size=100)) * 2
    found = assess_slices(config, ["a"], {"a": SliceBaseline.of(held)}, [{"a": LossSums.of(recent)}])["a"]
    assert found.verdict == "alert"
    assert found.score == pytest.approx(recent.mean())
    assert found.decay == pytest.approx(recent.mean() / held.mean() - 1)


def test_a_slice_without_a_baseline_is_not_computable():
    found = assess_slices(config_of(), ["a"], {}, [{"a": LossSums(100, 40, 40)}])["a"]
    assert found.verdict == "not_computable"
    assert "registered without this slice" in found.reason


def test_a_constant_loss_has_a_p_value():
    same = assess((50, 0, 0), (50, 0))
    assert (same.verdict, same.p_value) == ("pass", 1.0)


def test_the_report_reads_back_and_names_the_worst_first():
    results = tuple(
        SliceResult(
            name,
            SliceDrift("alert" if name == "b" else "pass", "said", 50, 0.5, ("x",)),
            SliceScore("alert" if lost > 0.1 else "pass", "said", 0.5, 0.9, lost, 1e-9, 60),
        )
        for name, lost in (("a", 0.2), ("b", 0.4), ("c", 0.0))
    )
    report = SlicesReport("accuracy", results, "a note")
    assert SlicesReport.from_json(json.loads(json.dumps(report.to_json(), allow_nan=False))) == report
    assert list(report.decayed.items()) == [("b", 0.4), ("a", 0.2)]
    assert report.drifted == ("b",)
