"""How fast versions age: the estimate is shrunk, finds streams that age, and rarely others."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.core.performance import (
    Ageing,
    AgeingObservation,
    ageing,
    block_sums,
    mean_of_blocks,
)
from homeostat.core.performance.ageing import paired_cusum

WEEK = timedelta(weeks=1)
NOW = datetime(2026, 1, 5, tzinfo=UTC)


def observed(weeks_ago, gain, gap=4.0, variance=1e-4, champion="1", members="all"):
    return AgeingObservation(NOW - weeks_ago * WEEK, champion, members, gap, gain, variance)


def estimate(observations, champion="1", members="all"):
    return ageing(observations, champion=champion, members=members, now=NOW, window=WEEK)


OBSERVATIONS = st.lists(
    st.builds(
        observed,
        st.integers(0, 60),
        st.floats(-0.3, 0.3),
        st.floats(0.5, 40),
        st.floats(0, 0.01),
        st.sampled_from(["", "1", "2"]),
    ),
    min_size=1,
    max_size=20,
)


def test_the_formulas():
    """Computed again, observation by observation, as docs/how-homeostat-decides.md gives them."""
    known = [observed(5, 0.03, 4), observed(2, 0.02, 1), observed(1, 0.05, 2), observed(0, 0.01, 3)]
    g = [0.5 ** (age / 26) for age in (5, 2, 1, 0)]
    q = [0.7**age for age in (5, 2, 1, 0)]
    h, x = [math.sqrt(each.gap) for each in known], [each.gain for each in known]
    ghx = sum(a * b * c for a, b, c in zip(g, h, x, strict=True))
    ghh = sum(a * b * b for a, b in zip(g, h, strict=True))
    b0 = ghx / ghh
    v0 = max(1e-4, sum(a * (c - b0 * b) ** 2 for a, b, c in zip(g, h, x, strict=True)) / sum(g)) + 1e-8
    z = ghx / math.sqrt(v0 * sum(a * a * b * b for a, b in zip(g, h, strict=True)))
    pooled = b0 * z**2 / (1 + z**2)
    n0 = 2 * ghh / sum(g)
    local = (sum(a * b * c for a, b, c in zip(q, h, x, strict=True)) + n0 * pooled) / (
        sum(a * b * b for a, b in zip(q, h, strict=True)) + n0
    )
    cusum = 0.0
    for each in x:
        cusum = max(0.0, cusum + each / math.sqrt(v0) - 0.5)
    assert estimate(known) == Ageing(*map(pytest.approx, (pooled, z, local, v0, cusum)), 4)
    assert estimate(known).expected_gain(9) == pytest.approx(3 * local)


def test_without_observations_nothing_is_expected():
    assert estimate([]) == Ageing()
    others = [observed(0, 0.2, members="short"), observed(-1, 0.2), observed(1, math.nan), observed(1, 1, 0)]
    assert estimate(others) == Ageing(), "of other members, of the future, not finite, or not fresher"
    assert Ageing().expected_gain(10) == 0


@settings(max_examples=150, deadline=None)
@given(known=OBSERVATIONS)
def test_the_pooled_rate_is_shrunk_towards_no_ageing_and_never_negative(known):
    found = estimate(known)
    weights = np.array([0.5 ** ((NOW - each.end) / WEEK / 26) for each in known])
    root, gain = np.sqrt([each.gap for each in known]), np.array([each.gain for each in known])
    plain = (weights * root * gain).sum() / (weights * root**2).sum()
    assert 0 <= found.pooled <= max(plain, 0) + 1e-12
    assert found.z > 0 or found.pooled == 0
    assert found.local <= max(found.pooled, *(each.gain / math.sqrt(each.gap) for each in known)) + 1e-9
    assert all(math.isfinite(each) for each in (found.pooled, found.z, found.local, found.cusum))


@settings(max_examples=100, deadline=None)
@given(known=OBSERVATIONS, shuffle=st.randoms())
def test_the_order_does_not_matter(known, shuffle):
    mixed = list(known)
    shuffle.shuffle(mixed)
    assert estimate(mixed) == estimate(known)


@settings(max_examples=100, deadline=None)
@given(known=OBSERVATIONS, more=st.floats(0, 0.2))
def test_a_larger_gain_lately_is_more_evidence_for_the_cusum(known, more):
    """At the same variance; the estimate of the variance may grow with an outlier."""
    last = max(range(len(known)), key=lambda at: (known[at].end, known[at].gain))
    raised = [replace(one, gain=one.gain + more * (at == last)) for at, one in enumerate(known)]
    gains, higher = ([one.gain for one in each] for each in (known, raised))
    assert paired_cusum(higher, 0.01) >= paired_cusum(gains, 0.01) - 1e-12


@settings(max_examples=100, deadline=None)
@given(gain=st.floats(0.001, 0.2), times=st.integers(1, 30), gap=st.floats(1, 26))
def test_the_same_gain_again_is_more_evidence(gain, times, gap):
    fewer, more = (estimate([observed(ago, gain, gap) for ago in range(n)]) for n in (times, times + 1))
    assert more.z >= fewer.z * (1 - 1e-9) or times > 20, "weights of old windows fade"
    assert more.cusum >= fewer.cusum - 1e-9 or more.variance > fewer.variance


@pytest.mark.parametrize("weeks", [0, 500, 5_000, 100_000])
def test_a_record_of_a_long_past_has_the_same_rate(weeks):
    """A window of a minute, and rows that end a month ago."""
    known = [observed(5, 0.03, 4), observed(2, 0.02, 1), observed(1, 0.05, 2)]
    past = [replace(each, end=each.end - weeks * WEEK / 60) for each in known]
    found = ageing(past, champion="1", members="all", now=NOW, window=WEEK / 60)
    near = ageing(known, champion="1", members="all", now=NOW - WEEK, window=WEEK / 60)
    assert found.pooled == pytest.approx(near.pooled)
    assert found.z == pytest.approx(near.z)
    assert found.variance == pytest.approx(near.variance)


def test_the_cusum_counts_this_champions_windows_alone():
    known = [observed(3, 0.05, champion="0"), observed(2, 0.05, champion="0"), observed(0, 0.05)]
    assert estimate(known).cusum < estimate(known, champion="0").cusum
    assert estimate(known, champion="2").cusum == 0
    assert paired_cusum([1, -3, 2, 2], 1.0) == 3.0


def test_json_survives():
    one = observed(3, 0.01, 2.5)
    assert AgeingObservation.from_json(json.loads(json.dumps(one.to_json())) | {"later": 1}) == one


# Blocks


def test_blocks_give_the_mean_and_its_variance():
    values = np.random.default_rng(0).random(168)
    mean, variance = mean_of_blocks(block_sums(values))
    means = values.reshape(7, 24).mean(axis=1)
    assert (mean, variance) == (pytest.approx(values.mean()), pytest.approx(means.var(ddof=1) / 7))
    hours = np.array([(1, value) for value in values])
    assert mean_of_blocks(hours) == (pytest.approx(mean), pytest.approx(variance)), "steps are joined"


def test_blocks_of_few_rows():
    assert mean_of_blocks(block_sums(np.array([]))) == (0.0, math.inf)
    assert mean_of_blocks(block_sums(np.array([2.0]))) == (2.0, math.inf)
    assert mean_of_blocks(block_sums(np.array([1.0, np.nan, 3.0])))[0] == 2.0


# Streams: how often ageing is found


def probes(rate, seed, windows=26, rows=168, wrong=0.15):
    """A champion that never changes, probed at every window: its loss grows with the root of its age."""
    rng = np.random.default_rng(seed)
    found = []
    for at in range(1, windows):
        # Losses of a version a window old and of the champion, on rows of which most are hard for both.
        fresh = rng.random(rows) < wrong
        worse = rng.random(rows) < 0.04 + rate * math.sqrt(at)
        better = rng.random(rows) < 0.04
        old = np.where(fresh, ~better, worse)
        mean, variance = mean_of_blocks(block_sums(old.astype(float) - fresh))
        shift = wrong * 0.04 - (1 - wrong) * 0.04  # the rows on which they differ by chance
        found.append(observed(windows - 1 - at, mean + shift, float(at), variance))
    return found


def shown(rate, seed):
    found = estimate(probes(rate, seed))
    return found.z >= 1.64


def test_ageing_is_found_and_a_stationary_stream_rarely():
    false = np.mean([shown(0.0, seed) for seed in range(200)])
    power = np.mean([shown(0.006, seed) for seed in range(100)])
    assert false <= 0.1
    assert power >= 0.9
