"""The arithmetic of benchmarks/fleet.py."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from fleet_measure import (
    Sample,
    fits,
    hourly_limit,
    longest_gap,
    needs,
    per_check,
    per_day,
    percentile,
    steady,
)
from hypothesis import given
from hypothesis import strategies as st

T0 = datetime(2026, 3, 2, tzinfo=UTC)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1), st.floats(0, 1, exclude_min=True))
def test_a_percentile_is_the_nearest_rank(values, share):
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values)
    assert sum(value < found for value in values) < share * len(values)


def test_percentiles_agree_with_numpy():
    values = [float(n) for n in np.random.default_rng(0).normal(size=101)]
    expected = np.quantile(values, [0.5, 0.95, 1.0], method="inverted_cdf")
    assert [percentile(values, share) for share in (0.5, 0.95, 1.0)] == list(expected)


@pytest.mark.parametrize(("values", "share"), [([], 0.5), ([1.0], 0.0), ([1.0], 1.1)])
def test_a_percentile_of_nothing_is_an_error(values, share):
    with pytest.raises(ValueError, match="percentile"):
        percentile(values, share)


def test_the_steady_part_leaves_start_up_and_the_last_checks_out():
    idle = [Sample(second, 0, {"tasks": 5.0}) for second in range(30)]
    busy = [Sample(30 + second, 2 * second, {"tasks": 5.0 + 3.0 * second}) for second in range(101)]
    tail = [Sample(131 + second, 200, {"tasks": 305.0 + 50 * second}) for second in range(60)]
    found = steady([*idle, *busy, *tail], 200)
    assert (found.seconds, found.checks) == (80, 160)
    assert found.rate == pytest.approx(2.0)
    assert found.cpu == {"tasks": pytest.approx(1.5)}
    assert found.busy == pytest.approx(3.0)
    assert hourly_limit(found.rate) == 7200


def test_a_part_that_starts_later_counts_from_zero():
    samples = [Sample(10, 5, {"tasks": 1.0}), Sample(20, 9, {"tasks": 3.0, "scheduler": 4.0})]
    assert steady(samples, 10).cpu == {"tasks": 0.5, "scheduler": 1.0}


@pytest.mark.parametrize("checks", [[], [0], [0, 10], [0, 5, 10], [5, 5]])
def test_too_few_samples_have_no_steady_part(checks):
    assert steady([Sample(n, done, {}) for n, done in enumerate(checks)], 10) is None


def test_the_longest_gap_reaches_to_the_end():
    beats = [T0 + timedelta(seconds=second) for second in (12, 0, 5)]
    assert longest_gap(beats, T0 + timedelta(seconds=15)) == 7
    assert longest_gap(beats, T0 + timedelta(seconds=50)) == 38


def test_growth_is_shared_by_the_checks():
    before, after = {"ledger": 1000, "store": 500}, {"ledger": 5000, "store": 500}
    growth = per_check(before, after, 40)
    assert growth == {"ledger": 100, "store": 0}
    assert per_day(growth["ledger"], 1000) == 24 * 1000 * 100
    with pytest.raises(ValueError, match="at least one check"):
        per_check(before, after, 0)


def test_needs_of_a_size_follow_from_a_check():
    found = needs(1000, 6.0, {"tasks": 2.4, "scheduler": 0.6, "mlflow": 0.6}, constant=0.25)
    assert found.slots == 3  # 1000 * 6 / 3600 * 1.5 = 2.5
    assert found.task_cores == pytest.approx(1.0)
    assert found.shared_cores == pytest.approx(0.75)
    assert needs(1, 0.1, {"tasks": 0.1}).slots == 1


def test_what_fits_into_a_machine_needs_its_cores():
    cpu = {"tasks": 2.0, "scheduler": 0.5, "mlflow": 0.5}
    assert fits(4, cpu) == 3200  # 4 * 3600 / 1.5 / 3
    found = needs(3200, 1.0, cpu)
    assert found.task_cores + found.shared_cores == pytest.approx(4)


@given(st.integers(1, 5000), st.floats(0.1, 60), st.floats(0.1, 30))
def test_needs_grow_with_the_models(models, slot_seconds, cpu):
    one, two = (needs(n, slot_seconds, {"tasks": cpu}) for n in (models, 2 * models))
    assert one.slots <= two.slots <= 2 * one.slots
    assert two.task_cores == pytest.approx(2 * one.task_cores)
