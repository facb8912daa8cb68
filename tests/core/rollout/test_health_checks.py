from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from homeostat.core.rollout import HealthVerdict, Tally
from homeostat.core.rollout.evidence import LATENCY_EDGES_MS
from homeostat.core.rollout.health import ALPHA, CANARY_CHECKS, CandidateEvidence
from homeostat.core.rollout.health.confidence import confidence
from homeostat.core.rollout.health.errors import errors
from homeostat.core.rollout.health.hard_limit import hard_limit_exceeded
from homeostat.core.rollout.health.latency import p99_latency, quantile, slower_than
from homeostat.core.rollout.health.output_range import output_range
from homeostat.core.rollout.health.prediction_distribution import prediction_distribution
from rollout_plan import PLAN

S, C0, C1 = "shadow", "canary:0", "canary:1"


def case(stage, evidence, **plan):
    return CandidateEvidence(replace(PLAN, **plan), stage, evidence, ALPHA / 5)


def latencies(ms, rows):
    counts = [0] * 141
    for value, count in zip(ms, rows, strict=True):
        counts[int(np.searchsorted(LATENCY_EDGES_MS, value))] += count
    return Tally(rows=sum(rows), latency=tuple(counts))


def test_a_version_that_always_fails_exceeds_the_hard_limit_at_the_third_row():
    assert [hard_limit_exceeded(n, n, 0.0, 0.01) for n in (1, 2, 3)] == [False, False, True]


def test_the_hard_limit_rises_with_the_champions_own_error_rate():
    assert hard_limit_exceeded(5, 50, 0.0, 0.01)
    assert not hard_limit_exceeded(5, 50, 0.1, 0.01)


@pytest.mark.parametrize(
    ("check", "bad"), [(errors, "nan"), (errors, "errors"), (output_range, "out_of_range")]
)
def test_three_bad_rows_fail_at_once_unless_the_champion_fails_as_often(check, bad):
    candidate = Tally(rows=8, **{bad: 3})
    alone = check(case(C0, {(C0, "candidate"): candidate, (C0, "control"): Tally(rows=8)}))
    assert alone.verdict is HealthVerdict.FAIL
    assert "hard limit is exceeded" in alone.reason
    beside = {(C0, "candidate"): candidate, (C0, "control"): Tally(rows=80, **{bad: 30})}
    assert check(case(C0, beside)).verdict is HealthVerdict.CONTINUE


def test_few_errors_in_each_stage_and_none_of_the_champion_add_up_over_the_stages():
    evidence = {
        (S, "shadow"): Tally(rows=500, nan=3),
        (S, "champion"): Tally(rows=500),
        (C0, "candidate"): Tally(rows=300, nan=3),
        (C0, "control"): Tally(rows=300),
        (C0, "champion"): Tally(rows=2400),
    }
    assert errors(case(C0, evidence)).verdict is HealthVerdict.FAIL


@pytest.mark.parametrize(
    ("bad", "verdict"), [(1, HealthVerdict.CONTINUE), (2, HealthVerdict.CONTINUE), (3, HealthVerdict.FAIL)]
)
def test_the_third_error_beside_none_of_the_champion_decides_at_a_share_of_a_tenth(bad, verdict):
    evidence = {
        (C0, "candidate"): Tally(rows=288, errors=bad),
        (C0, "control"): Tally(rows=288),
        (C0, "champion"): Tally(rows=2304),
    }
    part = dict(CANARY_CHECKS)[errors]
    found = errors(CandidateEvidence(PLAN, C0, evidence, ALPHA * part))
    assert found.verdict is verdict
    both = {key: replace(tally, errors=tally.rows // 96) for key, tally in evidence.items()}
    assert errors(CandidateEvidence(PLAN, C0, both, ALPHA * part)).verdict is not HealthVerdict.FAIL


def test_a_rate_significantly_above_error_rate_fails_even_when_the_champion_is_no_better():
    tally = Tally(rows=1000, errors=60)
    found = errors(case(C0, {(C0, "candidate"): tally, (C0, "control"): tally}))
    assert found.verdict is HealthVerdict.FAIL
    assert "rollback.error_rate (0.01)" in found.reason


def test_without_a_shadow_the_distribution_is_inconclusive_and_only_the_guardrail_applies():
    candidate = Tally(rows=600, predictions=(500, 100))
    near = prediction_distribution(
        case(C0, {(C0, "candidate"): candidate, (C0, "control"): Tally(rows=600, predictions=(400, 200))})
    )
    assert near.verdict is HealthVerdict.INCONCLUSIVE
    assert "shadow was skipped" in near.reason
    far = {(C0, "candidate"): Tally(rows=600, predictions=(600,))}
    far[C0, "control"] = Tally(rows=600, predictions=(0, 600))
    assert prediction_distribution(case(C0, far)).verdict is HealthVerdict.FAIL


def test_a_better_model_may_predict_otherwise_than_the_champion():
    own, champion = (300, 700), (800, 200)
    evidence = {
        (S, "shadow"): Tally(rows=1000, predictions=own),
        (S, "champion"): Tally(rows=1000, predictions=champion),
        (C0, "candidate"): Tally(rows=1000, predictions=own),
        (C0, "control"): Tally(rows=1000, predictions=champion),
    }
    assert prediction_distribution(case(C0, evidence)).verdict is HealthVerdict.PASS
    evidence[C0, "candidate"] = Tally(rows=1000, predictions=(600, 400))
    assert prediction_distribution(case(C0, evidence)).verdict is HealthVerdict.FAIL


def test_predictions_are_pooled_over_the_canary_steps():
    evidence = {
        (S, "shadow"): Tally(rows=5000, predictions=(2500, 2500)),
        (C0, "candidate"): Tally(rows=100, predictions=(70, 30)),
    }
    assert prediction_distribution(case(C0, evidence)).verdict is HealthVerdict.CONTINUE
    evidence[C1, "candidate"] = Tally(rows=200, predictions=(140, 60))
    assert prediction_distribution(case(C1, evidence)).verdict is HealthVerdict.FAIL


def test_confidence_is_compared_with_shadow_or_else_with_the_control():
    high, low = (0,) * 45 + (600,), (0,) * 30 + (600,)
    evidence = {(C0, "candidate"): Tally(rows=600, confidence=low)}
    evidence[C0, "control"] = Tally(rows=600, confidence=high)
    assert confidence(case(C0, evidence)).verdict is HealthVerdict.FAIL
    evidence[S, "shadow"] = Tally(rows=600, confidence=low)
    assert confidence(case(C0, evidence)).verdict is HealthVerdict.PASS
    assert confidence(case(C0, {(C0, "candidate"): Tally(rows=600)})).verdict is HealthVerdict.INCONCLUSIVE


def spread(mean, rows):
    """Confidences around a mean, 0.15 wide on either side."""
    counts = [0] * 50
    for i in range(rows):
        counts[int((mean + 0.3 * (i + 0.5) / rows - 0.15) * 50)] += 1
    return Tally(rows=rows, confidence=tuple(counts))


@pytest.mark.parametrize(
    ("champion_now", "now", "verdict"),
    [
        (0.80, 0.71, HealthVerdict.FAIL),  # nothing else has changed: 11 % are too many
        (0.78, 0.71, HealthVerdict.PASS),  # the inputs have changed: 11 % of 100 rows may be 9 %
        (0.78, 0.62, HealthVerdict.FAIL),  # 22 % are no matter of chance
        (0.65, 0.65, HealthVerdict.PASS),  # the champion has changed as much
    ],
)
def test_confidence_near_its_limit_decides_nothing_once_the_inputs_have_changed(champion_now, now, verdict):
    evidence = {
        (S, "shadow"): spread(0.80, 300),
        (S, "champion"): spread(0.80, 300),
        (C0, "candidate"): spread(now, 100),
        (C0, "control"): spread(champion_now, 500),
        (C0, "champion"): spread(champion_now, 500),
    }
    result = confidence(case(C0, evidence))
    assert result.verdict is verdict, result


def test_a_slower_candidate_fails_but_not_for_a_negligible_difference():
    for factor, verdict in ((1.6, HealthVerdict.FAIL), (1.1, HealthVerdict.PASS)):
        own, other = latencies([20 * factor], [600]), latencies([20.0], [600])
        assert p99_latency(case(C0, {(C0, "candidate"): own, (C0, "control"): other})).verdict is verdict
    own, other = latencies([0.6], [600]), latencies([0.3], [600])
    assert (
        p99_latency(case(C0, {(C0, "candidate"): own, (C0, "control"): other})).verdict is HealthVerdict.PASS
    )


def test_a_version_that_is_half_as_slow_again_is_found_within_250_requests():
    rng = np.random.default_rng(5)
    usual, slow = (latencies(factor * 10 * rng.lognormal(0, 0.4, 250), [1] * 250) for factor in (1.0, 1.5))
    part = dict(CANARY_CHECKS)[p99_latency]
    evidence = {(C0, "candidate"): slow, (C0, "control"): usual, (S, "champion"): usual}
    assert p99_latency(CandidateEvidence(PLAN, C0, evidence, ALPHA * part)).verdict is HealthVerdict.FAIL


def test_a_candidate_with_more_members_may_take_as_much_longer():
    for factor, verdict in ((3.2, HealthVerdict.PASS), (5.0, HealthVerdict.FAIL)):
        own, other = latencies([20 * factor], [600]), latencies([20.0], [600])
        found = p99_latency(case(C0, {(C0, "candidate"): own, (C0, "control"): other}, slowdown=3.0))
        assert found.verdict is verdict
        assert "3 times the control's" in found.reason


def test_one_slow_request_of_two_hundred_proves_nothing():
    own, other = latencies([10.0, 190.0], [197, 3]), latencies([10.0], [200])
    assert (
        p99_latency(case(C0, {(C0, "candidate"): own, (C0, "control"): other})).verdict
        is not HealthVerdict.FAIL
    )


def test_a_latency_difference_needs_a_window_of_requests():
    for rows, verdict in ((90, HealthVerdict.CONTINUE), (200, HealthVerdict.FAIL)):
        own, other = latencies([80.0], [rows]), latencies([20.0], [rows])
        assert p99_latency(case(C0, {(C0, "candidate"): own, (C0, "control"): other})).verdict is verdict


def test_the_control_may_have_another_size():
    slow, usual = latencies([32.0], [3600]), latencies([20.0], [400])
    assert (
        p99_latency(case(C0, {(C0, "candidate"): slow, (C0, "control"): usual})).verdict is HealthVerdict.FAIL
    )
    same = latencies([20.0], [3600])
    assert (
        p99_latency(case(C0, {(C0, "candidate"): same, (C0, "control"): usual})).verdict is HealthVerdict.PASS
    )


def test_the_champion_replaces_a_control_that_was_not_counted():
    own, other = latencies([32.0], [600]), latencies([20.0], [600])
    assert (
        p99_latency(case(C0, {(C0, "candidate"): own, (C0, "champion"): other})).verdict is HealthVerdict.FAIL
    )


def test_at_a_share_of_one_the_checks_say_that_there_is_no_comparison():
    alone = {(C0, "candidate"): latencies([20.0], [600])}
    for check in (p99_latency, errors, output_range):
        found = check(case(C0, alone, steps=(1.0,)))
        assert found.verdict is HealthVerdict.INCONCLUSIVE
        assert "to compare with" in found.reason
    bad = {(C0, "candidate"): replace(latencies([20.0], [600]), nan=60)}
    assert errors(case(C0, bad, steps=(1.0,))).verdict is HealthVerdict.FAIL
    late = {(C0, "candidate"): latencies([500.0], [600])}
    assert p99_latency(case(C0, late, steps=(1.0,))).verdict is HealthVerdict.FAIL


def test_quantiles_lie_in_their_bin():
    tally = latencies([1.0, 10.0, 100.0], [50, 49, 1])
    assert quantile(tally.latency, 0.5) == pytest.approx(1.0, rel=0.1)
    assert quantile(tally.latency, 0.99) == pytest.approx(10.0, rel=0.1)
    assert quantile((), 0.99) == 0
    assert slower_than(tally.latency, 50.0) == 1
    assert slower_than(tally.latency, 0.9) in (50, 100)


def test_a_busy_machine_on_which_the_control_is_as_slow_fails_no_candidate():
    slow, busy = latencies([20, 300], [300, 100]), latencies([20, 300], [290, 110])
    found = p99_latency(case(C0, {(C0, "candidate"): slow, (C0, "control"): busy}))
    assert found.verdict is HealthVerdict.PASS
    assert "the control is above 200 ms as well" in found.reason
    idle = latencies([20], [400])
    assert p99_latency(case(C0, {(C0, "candidate"): slow, (C0, "control"): idle})).verdict is (
        HealthVerdict.FAIL
    )
    alone = p99_latency(case(C0, {(C0, "candidate"): slow}))
    assert alone.verdict is HealthVerdict.FAIL
