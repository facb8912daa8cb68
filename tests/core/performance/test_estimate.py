"""Estimates without labels: the coverage of the interval, and each reason to abstain."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from homeostat.config.model import ModelConfig
from homeostat.core.performance import Estimate, PerformanceReport, assess, estimate
from homeostat.core.performance.calibration import calibrate, separation
from homeostat.core.profile import CalibrationCounts, count_series, fit_edges

CURVES = {
    "calibrated": lambda c: c,
    "overconfident": lambda c: 0.5 + 0.7 * (c - 0.5),
    "underconfident": lambda c: np.clip(0.5 + 1.3 * (c - 0.5), 0, 1),
    "steep": lambda c: 0.5 + 0.5 / (1 + np.exp(-14 * (c - 0.75))),
}


def answers(rng, n, a=2.0, b=1.5, truth=CURVES["calibrated"]):
    """Confidences between 1/2 and 1, and which predictions were right."""
    confidence = 0.5 + 0.5 * rng.beta(a, b, n)
    return pd.Series(confidence), rng.random(n) < truth(confidence)


def frame_of(confidence):
    return fit_edges(pd.DataFrame({"c": confidence}), {"c": "number"}).features["c"]


def holdout(rng, n=1000, **more):
    confidence, right = answers(rng, n, **more)
    return CalibrationCounts.from_rows(frame_of(confidence), confidence, right)


def window_of(outcomes, confidence):
    return count_series(outcomes.right.edges, confidence)


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize(("a", "b"), [(2, 1.5), (1.2, 2), (4, 1)], ids=["still", "less-sure", "surer"])
def test_the_interval_holds_what_the_labels_show_under_covariate_shift(curve, a, b):
    rng = np.random.default_rng(0)
    held, off, answered, tries = 0, [], 0, 200
    for _ in range(tries):
        before = holdout(rng, truth=CURVES[curve])
        confidence, right = answers(rng, 500, a, b, CURVES[curve])
        found = estimate(before, window_of(before, confidence))
        if found.value is None:
            continue
        answered += 1
        held += found.low <= right.mean() <= found.high
        off.append(found.value - CURVES[curve](confidence).mean())
    assert answered >= 0.95 * tries
    assert held / answered >= 0.9
    assert abs(np.mean(off)) < 0.01


def test_the_interval_is_not_wider_than_needed():
    rng = np.random.default_rng(1)
    before = holdout(rng, 5000)
    confidence, _ = answers(rng, 500, 1.2, 2)
    found = estimate(before, window_of(before, confidence))
    alone = 2 * 1.96 * np.sqrt(found.value * (1 - found.value) / 500)
    assert found.high - found.low < 1.3 * alone
    assert found.value < found.baseline - 0.05


def test_more_predictions_and_a_longer_holdout_narrow_it():
    rng = np.random.default_rng(2)
    widths = []
    for n, m in ((500, 100), (500, 5000), (20_000, 5000)):
        before = holdout(rng, n)
        found = estimate(before, window_of(before, answers(rng, m)[0]))
        widths.append(found.high - found.low)
    assert widths == sorted(widths, reverse=True)


def test_accuracy_never_falls_as_confidence_rises():
    calibration = calibrate(holdout(np.random.default_rng(3), truth=CURVES["steep"]))
    assert (np.diff(calibration.right / calibration.rows) > 0).all()
    assert (np.diff(calibration.block) >= 0).all()
    assert calibration.rows.sum() == 1000


def test_on_the_holdout_itself_it_is_the_holdouts_accuracy():
    before = holdout(np.random.default_rng(4))
    found = estimate(before, before.total)
    assert found.value == pytest.approx(found.baseline) == pytest.approx(before.right.binned / 1000)


def test_separation_is_the_area_under_the_curve():
    from sklearn.metrics import roc_auc_score

    confidence, right = answers(np.random.default_rng(5), 120)
    found = CalibrationCounts.from_rows(frame_of(confidence), confidence, right)
    assert separation(found)[0] == pytest.approx(roc_auc_score(right, confidence))


RNG = np.random.default_rng(6)
GOOD = holdout(RNG)
STILL = window_of(GOOD, answers(RNG, 300)[0])


def beside(truth, n=1000, draw=None):
    """A holdout whose predictions are right at other confidences, and a window like it."""
    rng = np.random.default_rng(7)
    confidence = pd.Series(draw(rng, n)) if draw else answers(rng, n)[0]
    found = CalibrationCounts.from_rows(frame_of(confidence), confidence, rng.random(n) < truth(confidence))
    return found, found.total


@pytest.mark.parametrize(
    ("before", "window", "says"),
    [
        (holdout(RNG, 199), None, "the holdout has 199 labelled predictions, 200 are needed"),
        (*beside(np.ones_like), "none of the holdout's 1000 predictions was wrong"),
        (*beside(np.zeros_like), "none of the holdout's 1000 predictions was right"),
        (*beside(lambda c: np.full_like(c, 0.8)), "does not separate right from wrong predictions"),
        (*beside(lambda c: 1.4 - c), "does not separate right from wrong predictions"),
        (*beside(lambda c: 0.9 + 0 * c, draw=lambda r, n: np.ones(n)), "does not separate right"),
        (
            *beside(lambda c: np.select([c < 0.65, c < 0.8], [0.75, 0.5], 0.98)),
            "accuracy does not rise",
        ),
        (
            GOOD,
            window_of(GOOD, pd.Series([0.8] * 29)),
            "29 predictions of this window have a confidence, an estimate needs 30",
        ),
        (
            GOOD,
            window_of(GOOD, pd.Series([0.8] * 90 + [np.nan] * 10)),
            "10.0% of the predictions have no confid",
        ),
        (GOOD, window_of(GOOD, pd.Series([0.8] * 80 + [0.2] * 20)), "20.0% are beyond"),
        (GOOD, window_of(GOOD, pd.Series([0.51] * 300)), "where the holdout had few or no rows"),
    ],
)
def test_it_abstains_with_a_reason(before, window, says):
    found = estimate(before, before.total if window is None else window)
    assert (found.value, found.low, found.high) == (None, None, None)
    assert says in found.reason


def test_a_gap_in_the_holdouts_confidences_is_not_bridged():
    draw = lambda rng, n: np.where(rng.random(n) < 0.03, 0.5, rng.uniform(0.9, 1, n))  # noqa: E731  # one line
    before, _ = beside(lambda c: c, 3000, draw)
    found = estimate(before, window_of(before, pd.Series(np.linspace(0.6, 0.8, 300))))
    assert "where the holdout had few or no rows: on average up to" in found.reason


def test_a_few_predictions_where_the_holdout_had_none_do_not_make_it_abstain():
    confidence = pd.concat([answers(np.random.default_rng(8), 290)[0], pd.Series([0.2] * 10)])
    assert estimate(GOOD, window_of(GOOD, confidence)).value is not None


def labelled(rng, n, truth):
    confidence, right = answers(rng, n, truth=truth)
    return CalibrationCounts.from_rows(GOOD.right.edges, confidence, right)


def test_labels_that_contradict_it_make_it_abstain():
    rng = np.random.default_rng(9)
    as_ever = [labelled(rng, 60, CURVES["calibrated"]) for _ in range(10)]
    turned = labelled(rng, 60, lambda c: 1 - c)
    assert estimate(GOOD, STILL, labelled=as_ever).value is not None
    found = estimate(GOOD, STILL, labelled=[*as_ever, turned])
    assert found.value is None
    assert "concept drift): of 60 labelled predictions" in found.reason


def test_a_small_concept_drift_shows_in_ten_batches_together():
    rng = np.random.default_rng(10)
    slipping = [labelled(rng, 60, lambda c: c - 0.1) for _ in range(10)]
    alone = [estimate(GOOD, STILL, labelled=[batch]).value is not None for batch in slipping]
    assert sum(alone) >= 8
    assert "of 600 labelled predictions" in estimate(GOOD, STILL, labelled=slipping).reason


def test_covariate_shift_alone_is_not_taken_for_concept_drift():
    rng = np.random.default_rng(11)
    silenced = 0
    for _ in range(200):
        confidence, right = answers(rng, 200, 1.2, 2)
        batch = CalibrationCounts.from_rows(GOOD.right.edges, confidence, right)
        silenced += estimate(GOOD, STILL, labelled=[batch]).value is None
    assert silenced <= 8


def test_batches_that_vary_more_than_independent_rows_widen_the_interval():
    rng = np.random.default_rng(14)
    calm = [labelled(rng, 400, CURVES["calibrated"]) for _ in range(10)]
    drawn = [0.05, -0.05] * 5
    uneven = [labelled(rng, 400, lambda c, by=by: np.clip(c + by, 0, 1)) for by in drawn]
    alone, with_calm, with_uneven = (estimate(GOOD, STILL, labelled=seen) for seen in ([], calm, uneven))
    width = alone.high - alone.low
    assert with_calm.high - with_calm.low < 1.3 * width
    assert with_uneven.high - with_uneven.low > 1.5 * width
    assert with_uneven.value == alone.value


def test_too_few_labels_contradict_nothing():
    wrong = labelled(np.random.default_rng(12), 29, lambda c: 0 * c)
    assert estimate(GOOD, STILL, labelled=[wrong]).value is not None


def test_other_edges_are_refused():
    other = holdout(np.random.default_rng(13))
    with pytest.raises(ValueError, match="different edges"):
        estimate(GOOD, other.total)


def test_it_survives_json_alone_and_in_a_report():
    found = estimate(GOOD, STILL)
    assert Estimate.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False))) == found
    config = ModelConfig.model_validate(
        {
            "name": "sample",
            "task": "classification",
            "pipeline": "p.py:build",
            "source": {"kind": "csv", "uri": "x"},
            "schema": {"label": {"name": "y"}, "features": {"a": {"type": "number"}}},
        }
    )
    report = assess(config, 0.9, [], pending=True).with_estimate(found)
    raw = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert PerformanceReport.from_json(raw) == report
    assert report.verdict == "pending"
    assert PerformanceReport.from_json({k: v for k, v in raw.items() if k != "estimate"}).estimate is None
