"""The gate's latency check: against the champion, and against the limit."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from homeostat.core.gate import CHECKS, GateEvidence
from homeostat.core.gate.latency import NEGLIGIBLE

LIMIT, MOST = 200.0, 1.5

times = st.floats(0.001, 1e5)
factors = st.floats(0.2, 20)


@pytest.fixture(scope="session")
def check(config, evidence):
    """Check a measurement: p99s in milliseconds, and the ratio with its interval."""

    def run(wall, unloaded=None, champion=None, ratio=None, *, low=None, high=None, added=None, **more):
        slowdown = ratio and {
            "ratio": ratio,
            "low": low if low is not None else ratio,
            "high": high if high is not None else ratio,
            "added_ms": added if added is not None else (unloaded or wall) * (1 - 1 / ratio),
        }
        measured = {
            "p99_latency_ms": wall,
            "unloaded_p99_ms": unloaded,
            "champion_unloaded_p99_ms": champion,
            "slowdown": slowdown or None,
        }
        return CHECKS["latency"](evidence(**measured | more), config())

    return run


@given(wall=times, unloaded=times)
def test_a_first_version_is_held_to_the_limit_by_its_time_without_other_load(check, wall, unloaded):
    assume(unloaded <= wall)
    assert check(wall, unloaded).verdict == ("pass" if unloaded <= LIMIT else "alert")


@given(wall=times, unloaded=st.floats(0.001, LIMIT), champion=times, ratio=st.floats(0.2, MOST))
def test_no_wait_for_a_cpu_fails_a_version_that_is_fast_enough(check, wall, unloaded, champion, ratio):
    assert check(max(wall, unloaded), unloaded, champion, ratio).verdict == "pass"


@given(unloaded=st.floats(10.0, 1e4), low=st.floats(MOST + 0.01, 20), wider=st.floats(1, 2))
def test_surely_slower_than_allowed_is_refused_whatever_the_limit_says(check, unloaded, low, wider):
    found = check(unloaded, unloaded, unloaded / low, low * wider, low=low, machine_slowdown=1.0)
    assert found.verdict == "alert"
    assert (found.value, found.threshold) == (low * wider, MOST)
    assert "gate.max_slowdown" in found.reason


@given(unloaded=st.floats(0.001, LIMIT), ratio=factors, low=st.floats(0.1, MOST))
def test_perhaps_slower_is_not_refused(check, unloaded, ratio, low):
    assert check(unloaded, unloaded, unloaded / ratio, ratio, low=low).verdict == "pass"


@given(ratio=factors, added=st.floats(0, NEGLIGIBLE * LIMIT))
def test_microseconds_are_never_refused(check, ratio, added):
    assert check(0.05, 0.05, 0.05 / ratio, ratio, added=added).verdict == "pass"


@given(unloaded=times, ratio=factors, machine=st.floats(1, 20))
def test_a_slower_machine_changes_no_verdict(check, unloaded, ratio, machine):
    assume(abs(unloaded - LIMIT) > 1e-6)  # rounding
    assume(abs(unloaded * (1 - 1 / ratio) - NEGLIGIBLE * LIMIT) > 1e-6)

    def verdict(machine):
        took = unloaded * machine
        return check(took, took, took / ratio, ratio, machine_slowdown=machine).verdict

    assert verdict(machine) == verdict(1.0)


def test_a_candidate_is_measured_by_the_champions_time_now_and_then(check):
    found = check(437.0, 430.0, 425.0, 1.01, machine_slowdown=4.25)
    assert found.verdict == "pass"
    assert found.value == pytest.approx(430 / 4.25)
    assert "101.2 ms (437 ms with this machine's other load: the champion takes 4.25 times" in found.reason
    assert "the champion's 100 ms, 1.01 times the champion's per row" in found.reason
    assert check(437.0, 430.0, 310.0, 1.39, machine_slowdown=1.05).verdict == "alert"
    assert check(100.0, 100.0, 50.0, 1.0, machine_slowdown=0.1).value == 100.0


def test_a_wait_for_a_cpu_is_reported_and_does_not_decide(check):
    found = check(437.0, 150.0)
    assert found.verdict == "pass"
    assert "150 ms (437 ms with this machine's other load: calls waited for a CPU)" in found.reason


def test_a_champion_without_a_record_that_exceeds_the_limit_too_is_the_measure(check):
    assert check(437.0, 437.0, 430.0, 1.02, low=0.99).verdict == "pass"
    assert check(437.0, 437.0, 430.0, 1.2, low=1.1).verdict == "alert"
    assert check(437.0, 437.0, 150.0, 1.02, low=0.99).verdict == "alert"
    assert check(437.0, 437.0, 430.0, 1.02, low=0.99, machine_slowdown=1.0).verdict == "alert"


@given(wall=st.floats(0, 1e5))
def test_a_result_of_an_older_release_is_held_to_the_limit_alone(config, wall):
    old = {"metrics": {"accuracy": 0.9}, "p99_latency_ms": wall}
    found = GateEvidence.of(old, old | {"p99_latency_ms": None}, 5000)
    assert CHECKS["latency"](found, config()).verdict == ("pass" if wall <= LIMIT else "alert")


def test_the_evidence_is_read_from_the_step_result(config):
    slowdown = {"ratio": 2.0, "low": 1.9, "high": 2.1, "added_ms": 4.0, "rows": 100}
    mine = {"p99_latency_ms": 9.0, "unloaded_p99_ms": 8.0, "slowdown": slowdown, "machine_slowdown": 1.0}
    found = GateEvidence.of(mine, {"p99_latency_ms": 5.0, "unloaded_p99_ms": 4.0}, 5000)
    assert CHECKS["latency"](found, config()).verdict == "alert"
    assert CHECKS["latency"](found, config(max_slowdown=2)).verdict == "pass"


@pytest.mark.parametrize("nothing", [None, math.nan, math.inf, "no number", -1.0, 0.0], ids=str)
def test_figures_that_are_no_times_are_left_out(check, nothing):
    bare = dict.fromkeys(("ratio", "low", "high", "added_ms"), nothing)
    found = check(100.0, nothing, nothing, slowdown=bare, machine_slowdown=nothing)
    assert (found.verdict, found.value) == ("pass", 0.0 if nothing == 0 else 100.0)


@given(members=st.floats(1.0, 3.0), ratio=st.floats(1.6, 9.0))
def test_a_candidate_with_more_members_may_take_longer(check, members, ratio):
    found = check(9.0, 9.0, 9.0 / ratio, ratio, machine_slowdown=1.0, members_ratio=members)
    assert found.verdict == ("alert" if ratio > MOST * members else "pass")
    fewer = check(9.0, 9.0, 9.0 / ratio, ratio, machine_slowdown=1.0, members_ratio=1 / members)
    assert fewer.verdict == "alert", "a champion with more members makes the limit no stricter, and no wider"
