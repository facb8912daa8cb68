"""The sequential tests: rare false alarms when nothing is wrong, and detection when something is."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from homeostat.core.rollout.evidence import LATENCY_EDGES_MS
from homeostat.core.rollout.health.sequential import (
    distance,
    log_e_above_limit,
    log_e_excess,
    log_e_shift,
    log_e_slower,
    radius,
    rate_interval,
)

ALPHA = 0.1
RUNS, EVALUATIONS = 300, 30
COUNTS = st.lists(st.integers(0, 10_000), max_size=30)


def ever(wealth) -> float:
    """The share of runs in which the wealth ever reaches 1/ALPHA, over many evaluations."""
    hits = 0
    for seed in range(RUNS):
        rng = np.random.default_rng(seed)
        hits += any(value >= -log(ALPHA) for value in wealth(rng))
    return hits / RUNS


def test_a_steady_rate_is_rarely_called_above_the_limit():
    def run(rng):
        events = np.cumsum(rng.binomial(10, 0.05, EVALUATIONS))
        return [log_e_above_limit(int(k), 10 * (i + 1), 0.05) for i, k in enumerate(events)]

    assert ever(run) <= ALPHA


def test_equal_error_rates_are_rarely_called_an_increase():
    def run(rng):
        own, other = (
            np.cumsum(rng.binomial(20, 0.05, EVALUATIONS)),
            np.cumsum(rng.binomial(60, 0.05, EVALUATIONS)),
        )
        return [
            log_e_excess([(int(a), 20 * i, int(b), 60 * i)])
            for i, (a, b) in enumerate(zip(own, other, strict=True), 1)
        ]

    assert ever(run) <= ALPHA


@pytest.mark.parametrize("frozen", [True, False])
def test_equal_distributions_are_rarely_called_shifted(frozen):
    def run(rng):
        shape = rng.dirichlet(np.ones(8))
        reference, current, found = rng.multinomial(300, shape), np.zeros(8, dtype=int), []
        for _ in range(EVALUATIONS):
            current += rng.multinomial(15, shape)
            if not frozen:
                reference = reference + rng.multinomial(15, shape)
            found.append(log_e_shift(reference.tolist(), current.tolist(), frozen=frozen))
        return found

    assert ever(run) <= ALPHA


def test_latencies_up_to_the_tolerance_are_rarely_called_slower():
    def run(rng):
        own, other, found = np.zeros(12, dtype=int), np.zeros(12, dtype=int), []
        shape = np.r_[rng.dirichlet(np.ones(10)), 0, 0]
        for _ in range(EVALUATIONS):
            own += rng.multinomial(15, np.roll(shape, 1))
            other += rng.multinomial(15, shape)
            found.append(log_e_slower(other.tolist(), own.tolist(), 1))
        return found

    assert ever(run) <= ALPHA


def binned(latency_ms):
    return np.bincount(np.searchsorted(LATENCY_EDGES_MS, latency_ms), minlength=141)


def at_most(alpha: float, hits: int, runs: int) -> bool:
    """Whether so many false alarms are plausible when their probability is at most alpha (one in 10,000)."""
    return hits <= binom.ppf(0.9999, runs, alpha)


def false_alarms(wealth_of_run, runs: int) -> dict[float, int]:
    """In how many runs the highest wealth of all evaluations, so of any schedule, reaches 1/alpha."""
    highest = np.array([max(wealth_of_run(np.random.default_rng(seed))) for seed in range(runs)])
    return {alpha: int((highest >= -log(alpha)).sum()) for alpha in (0.3, 0.1, 0.03, 0.01)}


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_alpha_holds_under_any_schedule_when_errors_rise_for_both_sides_at_once(share):
    def run(rng):
        quiet = (0, 400, int(rng.binomial(4000, 0.001)), 4000)
        own, other, found = 0, 0, []
        rates = rng.choice([0.0, 0.004, 0.1], EVALUATIONS)  # bursts that hit both sides
        for i, rate in enumerate(rates, 1):
            own += int(rng.binomial(round(100 * share), rate))
            other += int(rng.binomial(round(100 * (1 - share)), rate))
            found.append(
                log_e_excess([quiet, (own, round(100 * share) * i, other, round(100 * (1 - share)) * i)])
            )
        return found

    for alpha, hits in false_alarms(run, 400).items():
        assert at_most(alpha, hits, 400)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("deviation", [0.05, 0.4])
def test_alpha_holds_under_any_schedule_at_the_tolerated_slowdown_while_the_load_wanders(share, deviation):
    def run(rng):
        own, other, load, found = np.zeros(141), np.zeros(141), 0.0, []
        for _ in range(EVALUATIONS):
            load = 0.95 * load + rng.normal(0, 0.08)
            rows = rng.binomial(20, share)
            own += binned(11 * np.exp(load + rng.normal(0, deviation, rows)))
            other += binned(10 * np.exp(load + rng.normal(0, deviation, 20 - rows)))
            found.append(log_e_slower(other.tolist(), own.tolist(), 1))
        return found

    for alpha, hits in false_alarms(run, 200).items():
        assert at_most(alpha, hits, 200)


def test_three_events_at_a_share_of_a_tenth_are_worth_almost_all_that_they_can_be():
    assert 3 * log(10) > log_e_excess([(3, 300, 0, 2700)]) > 3 * log(10) - 0.5


def test_a_stage_without_a_fault_hardly_hides_one_in_the_next():
    fault = (20, 300, 1, 2700)
    for clean in ((0, 5000, 0, 5000), (0, 5000, 90, 5000), (50, 5000, 60, 5000)):
        assert log_e_excess([clean, fault]) >= log_e_excess([fault]) - log(10) - 1e-9


STAGES = st.lists(
    st.tuples(st.integers(0, 50), st.integers(50, 900), st.integers(0, 50), st.integers(50, 900)),
    min_size=1,
    max_size=4,
)


@settings(max_examples=60)
@given(STAGES, st.randoms(use_true_random=False))
def test_the_order_of_stages_does_not_matter(stages, random):
    shuffled = random.sample(stages, len(stages))
    assert log_e_excess(shuffled) == pytest.approx(log_e_excess(stages))


@settings(max_examples=60)
@given(STAGES)
def test_an_event_more_counts_against_the_side_that_it_falls_on(stages):
    (a, n, b, m), *rest = stages
    assert log_e_excess([(a + 1, n, b, m), *rest]) >= log_e_excess(stages)
    assert log_e_excess([(a, n, b + 1, m), *rest]) <= log_e_excess(stages)


LATENCIES = st.lists(st.integers(0, 200), min_size=3, max_size=60)


@settings(max_examples=60)
@given(LATENCIES, LATENCIES, st.data())
def test_a_slower_request_counts_against_its_side(control, candidate, data):
    def slower(counts):
        i = data.draw(st.sampled_from(range(len(counts) - 1)))
        moved = min(1, counts[i])
        return [*counts[:i], counts[i] - moved, counts[i + 1] + moved, *counts[i + 2 :]]

    before = log_e_slower(control, candidate, 1, where=control)
    assert log_e_slower(control, slower(candidate), 1, where=control) >= before - 1e-9
    assert log_e_slower(slower(control), candidate, 1, where=control) <= before + 1e-9


def test_a_slowdown_of_few_requests_is_detected():
    usual, slow = [0] * 60, [0] * 60
    usual[50], slow[50], slow[59] = 2000, 1880, 120
    assert log_e_slower(usual, slow, 1) > 10


def test_the_confidence_sequence_of_a_rate_covers_it_at_every_evaluation():
    misses = 0
    for seed in range(100):
        events = np.cumsum(np.random.default_rng(seed).binomial(10, 0.1, EVALUATIONS))
        bounds = [rate_interval(int(k), 10 * (i + 1), ALPHA) for i, k in enumerate(events)]
        misses += any(not low <= 0.1 <= high for low, high in bounds)
    assert misses / 100 <= ALPHA


def test_a_real_difference_is_detected():
    assert log_e_above_limit(30, 300, 0.01) > 10
    assert log_e_excess([(10, 200, 0, 1800)]) > 10
    assert log_e_shift([500, 500], [350, 150], frozen=True) > 10
    assert log_e_slower([0, 400, 0, 0, 0], [0, 0, 0, 400, 0], 1) > 10


@settings(max_examples=60)
@given(COUNTS, COUNTS)
def test_any_counts_give_a_finite_result(a, b):
    for value in (
        log_e_shift(a, b, frozen=True),
        log_e_shift(a, b, frozen=False),
        log_e_slower(a, b, 1),
        log_e_slower(a, b, 1, where=b),
        distance(a, b),
        log_e_above_limit(sum(a), sum(a) + sum(b), 0.01),
        log_e_excess([(sum(a), 2 * sum(a) + 5, sum(b), 3 * sum(b) + 5)]),
    ):
        assert np.isfinite(value)
    assert 0 <= distance(a, b) <= 1


@settings(max_examples=60)
@given(COUNTS)
def test_the_distance_of_a_distribution_to_itself_is_zero(counts):
    assert distance(counts, counts) == 0
    assert log_e_shift(counts, counts, frozen=False) <= 1e-9
    assert log_e_slower(counts, counts, 1) <= 1e-9


@settings(max_examples=60)
@given(st.integers(0, 1000), st.integers(0, 1000))
def test_an_interval_contains_the_observed_rate_and_narrows_with_alpha(count, more):
    rows = count + more
    low, high = rate_interval(count, rows, 0.01)
    wide = rate_interval(count, rows, 0.0001)
    assert wide[0] <= low <= high <= wide[1]
    if rows:
        assert low <= count / rows <= high
    else:
        assert (low, high) == (0, 1)


def test_bands_narrow_with_rows():
    assert radius(0, 0.01) == 1
    assert radius(100, 0.01) > radius(10_000, 0.01)
