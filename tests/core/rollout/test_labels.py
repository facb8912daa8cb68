"""The labels check: two versions on the same labelled requests."""

from __future__ import annotations

from dataclasses import replace
from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.core.rollout import (
    LABELLED_PAIRS,
    HealthCheckName,
    HealthVerdict,
    LabelFacts,
    PairLosses,
    Phase,
    Rollout,
    Tally,
    Traffic,
    VersionRef,
    champion_watch,
    differ,
)
from homeostat.core.rollout.health import ALPHA, CandidateEvidence
from homeostat.core.rollout.health.labels import labels
from homeostat.core.rollout.health.paired_mean import log_e_mean_above_zero
from homeostat.core.rollout.label_pairs import LEVELS
from rollout_plan import PLAN
from sample_model import T0

REGRESSION = replace(PLAN, metric="mae", labels=LabelFacts(spread=10.0))
BALANCED = replace(
    PLAN, metric="balanced_accuracy", labels=LabelFacts(class_shares=(("no", 0.9), ("yes", 0.1)))
)


def check(tally, plan=PLAN, stage="shadow"):
    return labels(CandidateEvidence(plan, stage, {LABELLED_PAIRS: tally}, ALPHA / 20))


def counts(both_right, only_candidate, only_champion, both_wrong=0):
    losses = (both_right, only_candidate, only_champion, both_wrong)
    return Tally(rows=sum(losses), losses=losses)


@pytest.mark.parametrize(
    ("tally", "verdict", "says"),
    [
        (Tally(), HealthVerdict.INCONCLUSIVE, "no label has arrived"),
        (counts(15, 3, 2), HealthVerdict.INCONCLUSIVE, "30 are needed"),
        (counts(700, 60, 60, 180), HealthVerdict.PASS, "no worse than gate.max_regression (0.02) allows"),
        (counts(700, 30, 90, 180), HealthVerdict.CONTINUE, "but not significantly"),
        (counts(700, 20, 200, 80), HealthVerdict.FAIL, "significantly worse"),
        (counts(400, 400, 86, 114), HealthVerdict.PASS, "significantly better"),
        (counts(0, 0, 20), HealthVerdict.FAIL, "significantly worse"),
    ],
)
def test_labels_are_tested_in_pairs(tally, verdict, says):
    found = check(tally)
    assert found.verdict is verdict
    assert says in found.reason


def test_the_reason_gives_the_score_of_both():
    assert check(counts(700, 20, 200, 80)).reason == (
        "on 1000 labelled requests that both predicted, accuracy 0.72 of the candidate and 0.9 of the"
        " champion: significantly worse than gate.max_regression (0.02) allows"
    )
    assert "0.72 of the new champion and 0.9 of the former one" in (
        check(counts(700, 20, 200, 80), stage="champion").reason
    )


@pytest.mark.parametrize("metric", ["f1", "roc_auc", "log_loss", ""])
def test_a_metric_that_is_no_mean_over_rows_does_not_decide(metric):
    found = check(counts(0, 0, 500), replace(PLAN, metric=metric))
    assert found.verdict is HealthVerdict.INCONCLUSIVE
    assert "is no mean over rows" in found.reason


def pairs(plan, candidate, champion, truth, *, ids=None):
    names = ids or [f"request-{i}" for i in range(len(truth))]
    return PairLosses.of(plan).count(zip(names, truth, candidate, champion, strict=True))


def test_classes_are_compared_by_their_text():
    tally = pairs(PLAN, [1, "1", 0.0, None], ["0", 1.0, True, "1"], ["1", "1", "1", "1"])
    # The first: only the candidate is right; the second: both; the third and fourth: only the champion.
    assert tally == Tally(rows=4, losses=(1, 1, 2, 0))


def test_a_rare_class_weighs_as_much_as_its_metric_says():
    rng = np.random.default_rng(0)
    truth = np.where(rng.random(4000) < 0.1, "yes", "no")
    always_no, often_yes = np.full(4000, "no"), np.where(truth == "yes", "yes", "no")
    often_yes[(truth == "no") & (rng.random(4000) < 0.2)] = "yes"  # less accurate, but finds the rare class
    assert check(pairs(PLAN, often_yes, always_no, truth), PLAN).verdict is HealthVerdict.FAIL
    found = check(pairs(BALANCED, often_yes, always_no, truth), BALANCED)
    assert found.reason.endswith("significantly better")
    assert found.figures["other_score"] == pytest.approx(0.5, abs=0.02)
    assert found.figures["score"] == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize("metric", ["mae", "rmse", "r2"])
def test_a_regression_is_compared_in_its_own_metric(metric):
    plan, rng = replace(REGRESSION, metric=metric), np.random.default_rng(0)
    truth = rng.normal(0.0, 10.0, 6000)
    good, bad = truth + rng.normal(0.0, 3.0, 6000), truth + rng.normal(0.0, 4.0, 6000)
    worse, better = check(pairs(plan, bad, good, truth), plan), check(pairs(plan, good, bad, truth), plan)
    assert worse.verdict is HealthVerdict.FAIL
    assert better.reason.endswith("significantly better")
    error = good - truth
    right = {
        "mae": np.abs(error).mean(),
        "rmse": np.sqrt((error**2).mean()),
        "r2": 1 - (error**2).mean() / 100.0,
    }[metric]
    assert better.figures["score"] == pytest.approx(right, rel=0.05)


def test_a_regression_without_a_spread_of_its_labels_does_not_decide():
    assert PairLosses.of(replace(REGRESSION, labels=LabelFacts())) is None


NUMBERS = st.floats(-100, 100) | st.none()
ROWS = st.lists(st.tuples(st.floats(-100, 100), NUMBERS, NUMBERS), min_size=1, max_size=60)


@settings(max_examples=60)
@given(rows=ROWS, order=st.randoms(use_true_random=False), cut=st.integers(0, 60))
def test_order_and_delay_of_labels_change_nothing(rows, order, cut):
    named = [(f"id-{i}", *row) for i, row in enumerate(rows)]
    shuffled = order.sample(named, len(named))
    measure = PairLosses.of(REGRESSION)
    at_once, in_parts = measure.count(named), measure.count(shuffled[:cut]) + measure.count(shuffled[cut:])
    assert at_once == in_parts
    assert check(at_once, REGRESSION) == check(in_parts, REGRESSION)
    assert sum(at_once.losses) == at_once.rows == len(rows)
    assert len(at_once.losses) == LEVELS**2


def test_rounding_a_loss_to_its_levels_keeps_its_mean():
    rng = np.random.default_rng(2)
    truth, candidate, champion = (rng.normal(0.0, s, 20_000) for s in (10.0, 8.0, 7.0))
    measure = PairLosses.of(REGRESSION)
    tally = pairs(REGRESSION, candidate, champion, truth)
    mine = np.asarray(measure.levels) @ measure.histogram(tally).sum(axis=1) / tally.rows
    exact = np.mean([measure.loss(t, c) for t, c in zip(truth, candidate, strict=True)])
    assert mine == pytest.approx(exact, abs=3 * 0.06 / np.sqrt(20_000))


@pytest.mark.parametrize("every", [1, 7, 100])
def test_alpha_holds_under_any_looking_schedule(every):
    # The candidate is worse by exactly gate.max_regression, the worst case that is allowed.
    rng, alpha, runs, rows, failed = np.random.default_rng(3), 0.05, 150, 400, 0
    values = np.array([-1.0, 0.0, 1.0]) - 0.02
    for _ in range(runs):
        drawn = rng.choice(3, rows, p=[0.14, 0.70, 0.16])
        seen = np.cumsum(np.eye(3)[drawn], axis=0)[every - 1 :: every]
        failed += any(log_e_mean_above_zero(values, row, -1.02) >= -log(alpha) for row in seen)
    assert failed <= alpha * runs + 3 * np.sqrt(alpha * (1 - alpha) * runs)


def test_a_difference_is_measured_in_the_spread_of_the_label():
    assert not differ(100.0, 100.9, 10.0)
    assert differ(100.0, 101.1, 10.0)
    assert differ(None, 1.0, 10.0)
    assert differ(float("nan"), 1.0, 10.0)
    assert not differ(1, 1.0, None)
    assert differ("a", "b", None)


def promoted():
    rollout = Rollout("run", VersionRef("2", "b"), Phase.CHAMPION, 1, T0, PLAN)
    return Traffic(
        "m", 9, VersionRef("2", "b"), previous=VersionRef("1", "a"), rollout=rollout, promoted_at=T0
    )


def test_labels_after_the_promotion_bring_the_former_champion_back():
    evidence = {("champion:hour", "champion"): Tally(rows=500), LABELLED_PAIRS: counts(700, 20, 200, 80)}
    decision = champion_watch(promoted(), evidence, T0)
    assert decision.transition.traffic.champion == VersionRef("1", "a")
    assert decision.transition.reason.startswith("champion failed: on 1000 labelled requests")
    assert decision.checks[-1].name is HealthCheckName.LABELS


def test_labels_that_show_no_worse_champion_keep_it():
    decision = champion_watch(promoted(), {LABELLED_PAIRS: counts(700, 90, 80, 130)}, T0)
    assert decision.transition is None
    assert decision.checks[-1].verdict is HealthVerdict.PASS
