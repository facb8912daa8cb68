from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.bundle import latency
from homeostat.bundle.latency import CallTime, compare_latency, median_interval, time_call

SEEDS = range(12)


class Version:
    """Stands for a predictor: its prediction of a row is what the row costs, here 1 to 1.2 milliseconds."""

    def __init__(self, factor=1.0, name="a version", costs=None):
        self.factor, self.name, self.costs = factor, name, costs or {}

    def predict(self, row):
        at = row.index[0]
        return self.factor * self.costs.get(at, 1.0 + 0.2 * at / 499)


class Machine:
    """A timer on which other processes run in spells.

    In a spell a call waits for a CPU most of the time, and shares its core, which makes it compute longer.
    ``counts_waits``: whether the wait can be told from the call's own time.
    """

    def __init__(self, seed=None, *, busy=0.5, counts_waits=True):
        self.rng = None if seed is None else np.random.default_rng(seed)
        self.busy, self.counts_waits = busy, counts_waits
        self.in_spell, self.spent, self.calls = False, 0.0, []

    def __call__(self, call):
        cost = call()
        self.calls.append((call.func.__self__.name, call.args[0].index[0]))
        wall = unloaded = cost
        if self.rng is not None:
            if self.rng.uniform() < 1 / 30:
                self.in_spell = self.rng.uniform() < self.busy
            if self.in_spell:
                unloaded = cost * self.rng.uniform(1, 2)
                wall = unloaded + self.rng.exponential(5 * cost)
        self.spent += wall
        return CallTime(wall, unloaded if self.counts_waits else wall)


def holdout(rows=500):
    return pd.DataFrame({"a": np.zeros(rows)})


def test_without_other_load_the_costs_are_measured_exactly():
    found = compare_latency(Version(2.0), Version(), holdout(), timer=Machine())
    assert (found.candidate.p99, found.candidate.unloaded_p99) == (2.4, 2.4)
    assert (found.champion.p99, found.champion.unloaded_p99) == (1.2, 1.2)
    assert found.champion.typical == pytest.approx(1.1, abs=0.002)
    slowdown = found.slowdown
    assert (slowdown.ratio, slowdown.low, slowdown.high) == (2.0, 2.0, 2.0)
    assert slowdown.added_ms == pytest.approx(found.champion.typical)
    assert slowdown.rows == 100


def test_a_first_version_is_timed_alone():
    found = compare_latency(Version(), None, holdout(), timer=Machine())
    assert found.candidate.p99 == 1.2
    assert found.champion is None
    assert found.slowdown is None


def test_the_versions_take_turns_in_beginning_on_every_row():
    machine = Machine()
    compare_latency(Version(name="A"), Version(name="B"), holdout(60), timer=machine)
    calls = machine.calls[2:]
    pairs = [(calls[i], calls[i + 1]) for i in range(0, len(calls), 2)]
    assert all(a[1] == b[1] and {a[0], b[0]} == {"A", "B"} for a, b in pairs)
    assert {a[1] for a, _ in pairs[:60]} == set(range(60))
    begins = {row: [a[0] for a, _ in pairs if a[1] == row] for row in range(60)}
    assert {"".join(each[:3]) for each in begins.values()} == {"ABA", "BAB"}
    assert [a[1] for a, _ in pairs[:60]] != [a[1] for a, _ in pairs[60:120]]


@pytest.mark.parametrize("counts_waits", [True, False])
def test_no_load_makes_an_equal_candidate_surely_slower_or_hides_one_of_twice_the_time(counts_waits):
    for seed in SEEDS:
        for factor, slower in ((1.0, False), (2.0, True)):
            machine = Machine(seed, counts_waits=counts_waits)
            found = compare_latency(Version(factor), Version(), holdout(), timer=machine).slowdown
            assert (found.low > 1.5) == slower, (seed, found)


def test_equal_versions_are_measured_as_equal_on_a_busy_machine():
    found = [compare_latency(Version(), Version(), holdout(), timer=Machine(s)).slowdown for s in SEEDS]
    assert max(abs(each.ratio - 1) for each in found) < 0.1
    assert all(each.low <= 1.05 for each in found)


def test_the_wait_for_a_cpu_does_not_enter_the_unloaded_time():
    def waiting(call):
        return CallTime(call() * 3 + 100.0, call())

    found = compare_latency(Version(), Version(), holdout(), timer=waiting)
    assert found.candidate.unloaded_p99 == 1.2
    assert found.candidate.p99 == 103.6


def test_a_row_that_was_disturbed_in_every_try_is_tried_again():
    machine, tries = Machine(), {}

    def disturbed(call):
        at = (call.func.__self__.name, call.args[0].index[0])
        tries[at] = tries.get(at, 0) + 1
        took = machine(call)
        late = at == ("A", 37) and tries[at] <= 3
        return CallTime(took.wall + 300.0 * late, took.unloaded + 300.0 * late)

    found = compare_latency(Version(name="A"), Version(name="B"), holdout(60), timer=disturbed)
    assert found.candidate.p99 < 1.2


def test_a_candidate_that_is_slow_on_few_rows_shows_it_in_p99():
    slow = Version(costs=dict.fromkeys(range(0, 60, 12), 40.0))
    found = compare_latency(slow, Version(), holdout(60), timer=Machine())
    assert found.candidate.unloaded_p99 == 40.0
    assert found.slowdown.ratio == 1.0


def test_slow_versions_are_timed_on_as_many_rows_as_an_interval_needs():
    machine = Machine()
    found = compare_latency(Version(500), Version(250), holdout(), timer=machine).slowdown
    assert (found.rows, found.low) == (16, 2.0)
    assert machine.spent < 65_000


def test_very_slow_versions_give_no_interval_after_a_minute():
    machine = Machine()
    found = compare_latency(Version(2e4), Version(2e4), holdout(), timer=machine)
    assert (found.slowdown.ratio, found.slowdown.low, found.slowdown.high) == (1.0, None, None)
    assert found.candidate.p99 >= 2e4
    assert len(machine.calls) == 2 + 2 * 2


def test_a_holdout_of_one_row_is_timed():
    found = compare_latency(Version(), Version(), holdout(1), timer=Machine())
    assert found.slowdown.rows == 1


def test_the_same_seed_takes_the_same_order():
    orders = []
    for seed in (1, 1, 2):
        machine = Machine()
        compare_latency(Version(name="A"), Version(name="B"), holdout(), timer=machine, seed=seed)
        orders.append(machine.calls)
    assert orders[0] == orders[1]
    assert orders[0] != orders[2]


@pytest.mark.parametrize(
    ("cpu", "waits", "counted", "unloaded"),
    [
        (0.003, (4, 4), True, 3.0),  # it computed, and waited for a CPU
        (0.003, (4, 5), True, 7.0),  # it waited for something itself
        (0.003, (4, 4), False, 7.0),  # the system does not tell
        (0.0, (4, 4), True, 7.0),  # a clock of coarse ticks
        (0.010, (4, 4), True, 7.0),
    ],
)
def test_a_call_that_never_waited_counts_by_its_cpu_time(monkeypatch, cpu, waits, counted, unloaded):
    walls, cpus, counts = iter((1.0, 1.007)), iter((2.0, 2.0 + cpu)), iter(waits)
    clock = SimpleNamespace(perf_counter=lambda: next(walls), thread_time=lambda: next(cpus))
    monkeypatch.setattr(latency, "time", clock)
    monkeypatch.setattr(latency, "_counts_waits", lambda: counted)
    monkeypatch.setattr(latency, "_waits", lambda: next(counts))
    called = []
    took = time_call(lambda: called.append(1))
    assert called == [1]
    assert took.wall == pytest.approx(7.0)
    assert took.unloaded == pytest.approx(unloaded)


def test_a_real_call_is_timed():
    took = time_call(lambda: sum(range(1000)))
    assert 0 < took.unloaded <= took.wall


values = st.lists(st.floats(0.01, 100), min_size=1, max_size=120)


@given(values, st.randoms())
def test_the_interval_contains_the_median_and_knows_no_order(found, random):
    median, low, high = median_interval(np.array(found))
    assert median == pytest.approx(np.median(found))
    assert (low is None) == (high is None) == (len(found) < 8)
    if low is not None:
        assert min(found) <= low <= median <= high <= max(found)
    random.shuffle(found)
    assert median_interval(np.array(found)) == (median, low, high)


@given(st.integers(8, 300))
def test_the_interval_misses_the_median_in_at_most_one_case_in_a_hundred(n):
    from scipy.stats import binom

    _, low, high = median_interval(np.arange(1.0, n + 1))
    assert low + high == n + 1
    assert 2 * binom.cdf(low - 1, n, 0.5) <= 0.01  # the median is below the low-th value, or above
    assert 2 * binom.cdf(low, n, 0.5) > 0.01  # the narrowest that does
