"""The divergence check: a candidate is held to the disagreement that was seen before its rollout."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from homeostat.core.rollout import HOLDOUT, RECENT, HealthVerdict, Tally
from homeostat.core.rollout.health import ALPHA, CandidateEvidence
from homeostat.core.rollout.health.divergence import divergence, upper_bound, weighted_rate
from homeostat.core.rollout.health.sequential import log_e_above_limit
from rollout_plan import PLAN


def check(diverged, compared, before=None, *, bins=(), **plan):
    shadow = Tally(rows=compared, compared=compared, diverged=diverged, compared_bins=bins)
    evidence = {("shadow", "shadow"): shadow} | ({} if before is None else before)
    return divergence(CandidateEvidence(replace(PLAN, **plan), "shadow", evidence, ALPHA / 20))


def holdout(diverged, compared=1000, **more):
    return {HOLDOUT: Tally(compared=compared, diverged=diverged, **more)}


@pytest.mark.parametrize(
    ("diverged", "compared", "before", "verdict"),
    [
        (2, 20, 0, HealthVerdict.CONTINUE),  # too few rows
        (5, 100, 0, HealthVerdict.PASS),
        (12, 100, 0, HealthVerdict.CONTINUE),  # above 10 %, but not significantly
        (60, 100, 0, HealthVerdict.FAIL),
        (18, 20, 0, HealthVerdict.FAIL),
        (110, 200, 550, HealthVerdict.PASS),  # a right candidate beside a stale champion
        (640, 1000, 550, HealthVerdict.PASS),
        (670, 1000, 550, HealthVerdict.CONTINUE),
        (900, 1000, 550, HealthVerdict.FAIL),
    ],
)
def test_divergence_is_held_against_what_the_holdout_showed(diverged, compared, before, verdict):
    found = check(diverged, compared, holdout(before))
    assert found.verdict is verdict
    assert found.figures["low"] <= diverged / compared <= found.figures["high"]


def test_the_reason_names_the_figures_and_the_setting():
    assert check(640, 1000, holdout(550)).reason == (
        "640 of 1000 predictions differ from the champion's: 64.0% (56.6% to 71.0%), 55.0% expected from its"
        " holdout; shadow.max_divergence allows 10.0% more: within"
    )


def test_without_an_expectation_it_cannot_be_judged_and_does_not_block():
    for before in (None, holdout(50, compared=99)):
        found = check(400, 500, before)
        assert found.verdict is HealthVerdict.INCONCLUSIVE
        assert "100 are needed: it cannot be judged" in found.reason


def test_recent_requests_are_the_better_expectation_when_there_are_enough():
    assert check(300, 500, holdout(50) | {RECENT: Tally(compared=1000, diverged=600)}).verdict is (
        HealthVerdict.PASS
    )
    assert check(300, 500, holdout(50) | {RECENT: Tally(compared=99, diverged=60)}).verdict is (
        HealthVerdict.FAIL
    )


def test_the_expectation_follows_what_the_champion_predicts_now():
    # They disagree in 80 % of the rows for which the champion predicts the second class, which are more now.
    before = holdout(170, compared_bins=(900, 100), diverged_bins=(90, 80))
    assert check(310, 1000, before).verdict is HealthVerdict.CONTINUE
    found = check(310, 1000, before, bins=(700, 300))
    assert found.figures["expected"] == pytest.approx(0.7 * 0.1 + 0.3 * 0.8)
    assert found.verdict is HealthVerdict.PASS


def test_where_the_inputs_have_moved_it_cannot_be_judged():
    before = holdout(100, compared_bins=(900, 100), diverged_bins=(90, 10))
    found = check(400, 1000, before, bins=(500, 500))
    assert found.verdict is HealthVerdict.INCONCLUSIVE
    assert "the inputs have moved since: it cannot be judged" in found.reason
    assert check(400, 1000, before, bins=(890, 110)).verdict is HealthVerdict.FAIL


def test_a_rollout_that_began_under_release_0_1_expects_no_disagreement():
    found = check(60, 100, holdout(600), rules=1)
    assert found.verdict is HealthVerdict.FAIL
    assert "shadow.max_divergence allows 10.0%: significantly above" in found.reason


@given(rows=st.integers(1, 5000), share=st.floats(0, 1), alpha=st.floats(1e-5, 0.2))
def test_an_upper_bound_is_above_the_rate_and_falls_with_more_rows(rows, share, alpha):
    rate = round(rows * share) / rows
    assert rate <= upper_bound(rate, 4 * rows, alpha) <= upper_bound(rate, rows, alpha) <= 1


def test_an_upper_bound_is_that_of_clopper_and_pearson():
    # 7 of 10 rows: at most so many events have a chance of 2.5 % at this rate.
    assert binom.cdf(7, 10, upper_bound(0.7, 10, 0.025)) == pytest.approx(0.025)


def test_alpha_holds_at_every_look_with_an_estimated_expectation():
    # The true rate is exactly at the limit, and the check is looked at after every 50 rows.
    rng, alpha, runs, failed = np.random.default_rng(1), 0.05, 300, 0
    for _ in range(runs):
        high = upper_bound(rng.binomial(500, 0.3) / 500, 500, alpha / 2)
        count = 0
        for rows in range(50, 1501, 50):
            count += rng.binomial(50, 0.4)
            if log_e_above_limit(count, rows, high + 0.1) >= -np.log(alpha / 2):
                failed += 1
                break
    assert failed <= alpha * runs + 3 * np.sqrt(alpha * (1 - alpha) * runs)


@given(
    counts=st.lists(st.tuples(st.integers(0, 200), st.floats(0, 1)), min_size=1, max_size=6),
    now=st.lists(st.integers(0, 200), max_size=6),
)
def test_a_weighted_rate_lies_between_the_rates_that_were_seen(counts, now):
    rows = [row for row, _ in counts]
    events = [round(row * share) for row, share in counts]
    if not sum(rows):
        return
    before = Tally(
        compared=sum(rows), diverged=sum(events), compared_bins=tuple(rows), diverged_bins=tuple(events)
    )
    rates = [event / row for event, row in zip(events, rows, strict=True) if row] + [sum(events) / sum(rows)]
    assert min(rates) - 1e-9 <= weighted_rate(before, now) <= max(rates) + 1e-9
