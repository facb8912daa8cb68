"""Whole rollouts, simulated; a thousand of each kind, with these figures, are in benchmarks/rollout.py."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from rollout_fixture import CASES, NUMBERS, Case, Streams, Version, play

GOOD = [name for name, (_, promoted) in CASES.items() if promoted]
BAD = {
    "1 % errors that shadow did not show, classification": "errors failed",
    "50 % slower, regression": "p99_latency failed",
    "predictions shifted by KS 0.2 since shadow, regression": "prediction_distribution failed",
    "predictions shifted by KS 0.2 since shadow, classification": "prediction_distribution failed",
}


def outcomes(case, runs):
    return [play(Streams(case, seed)) for seed in range(runs)]


@pytest.mark.parametrize("name", GOOD)
def test_a_good_version_is_rarely_rolled_back(name):
    found = outcomes(CASES[name][0], 20)
    assert sum(not outcome.promoted for outcome in found) <= 1
    assert sum(outcome.extended for outcome in found) <= 4


@pytest.mark.parametrize("name", BAD)
def test_a_bad_version_is_caught_for_the_right_reason(name):
    found = outcomes(CASES[name][0], 30)
    assert sum(outcome.promoted for outcome in found) == 0
    assert all(outcome.reason.startswith(BAD[name]) for outcome in found)


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_predictions_shifted_by_a_fifth_since_shadow_are_caught_within_400_rows(task):
    found = outcomes(CASES[f"predictions shifted by KS 0.2 since shadow, {task}"][0], 40)
    assert sum(outcome.canary_rows <= 400 for outcome in found) >= 39


def test_a_model_that_predicts_nan_is_caught_within_a_few_requests():
    always = Case(NUMBERS, Version(errors=1.0), skip_shadow=True, rate=10)
    assert all(not o.promoted and o.canary_rows <= 12 for o in outcomes(always, 40))
    often = outcomes(replace(always, candidate=Version(errors=0.3)), 40)
    assert not any(outcome.promoted for outcome in often)
    assert np.median([outcome.canary_rows for outcome in often]) <= 12


@pytest.mark.parametrize("steps", [(0.1, 0.9), (0.3, 0.7, 1.0)])
def test_above_a_share_of_a_half_the_control_is_the_rest(steps):
    plan = replace(CASES[GOOD[0]][0].plan, steps=steps)
    assert all(o.promoted for o in outcomes(Case(NUMBERS, NUMBERS, plan=plan), 15))
    slow = Case(NUMBERS, NUMBERS, replace(NUMBERS, slowness=1.5), plan=replace(plan, steps=steps[1:]))
    assert not any(o.promoted for o in outcomes(slow, 15))


def test_a_canary_without_traffic_is_inconclusive_and_not_a_regression():
    found = play(Streams(Case(NUMBERS, NUMBERS, skip_shadow=True, rate=0), 1))
    assert not found.promoted
    assert found.extended
    assert found.reason.startswith("inconclusive after 20 minutes of canary step 1 of 2, not a regression")
