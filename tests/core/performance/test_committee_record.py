"""Which members serve: another subset takes over only on evidence."""

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.core.performance import SubsetLosses, choose_members, mean_by_block, subsets, window_bounds

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def record(losses):
    """One entry per window of losses of shape (windows, subsets, blocks)."""
    return [SubsetLosses(T0 + timedelta(days=n), blocks) for n, blocks in enumerate(losses)]


def noise(windows, *, spread=0.03, seed=0, k=3):
    """Losses of 0.2 on average; what is common to all subsets is large, as weeks are easy or hard."""
    rng = np.random.default_rng(seed)
    common = 0.2 + rng.normal(scale=0.1, size=(windows, 1, 7))
    return common + rng.normal(scale=spread, size=(windows, len(subsets(k)), 7))


def test_the_subset_of_all_members_comes_first():
    assert subsets(1) == ((0,),)
    assert subsets(3) == ((0, 1, 2), (0, 1), (0, 2), (1, 2), (0,), (1,), (2,))


def test_chance_rarely_changes_the_members():
    changed = sum(choose_members(record(noise(30, seed=seed)), 0).index != 0 for seed in range(200))
    assert changed <= 6


@pytest.mark.parametrize("better", [1, 4, 6])
def test_a_clearly_better_subset_is_chosen(better):
    losses = noise(12)
    losses[:, better] -= 0.05
    choice = choose_members(record(losses), 0)
    assert choice.index == better
    assert choice.improvement == pytest.approx(0.05, abs=0.02)
    assert choice.improvement > 3 * choice.standard_error > 0


def test_weeks_that_differ_together_are_no_evidence():
    """A difference that comes and goes by stretches of weeks counts for less than its rows say."""
    losses = noise(24, spread=0.01)
    losses[:12, 3] -= 0.04
    losses[12:, 3] += 0.02
    assert choose_members(record(losses), 0).index == 0
    steady = noise(24, spread=0.01)
    steady[:, 3] -= 0.01
    assert choose_members(record(steady), 0).index == 3


def test_new_windows_count_more():
    losses = noise(120, spread=0.005)
    losses[:60, 5] -= 0.05
    losses[60:, 5] += 0.05
    losses[60:, 2] -= 0.02
    assert choose_members(record(losses), 0).index != 5


def test_fewer_than_two_windows_decide_nothing():
    losses = noise(1)
    losses[:, 1] = 0
    assert choose_members(record(losses), 0).index == 0
    assert choose_members([], 4).index == 4


def test_only_allowed_subsets_are_chosen():
    losses = noise(20)
    losses[:, 1] -= 0.1
    losses[:, 5] -= 0.08
    assert choose_members(record(losses), 4, allowed=[4, 5, 6], switch_se=1).index == 5


def test_windows_with_missing_losses_are_left_out():
    losses = noise(20)
    losses[:, 1] -= 0.05
    losses[7, 0, 2] = np.nan
    assert choose_members(record(losses), 0).index == 1


@settings(max_examples=60)
@given(
    windows=st.integers(2, 40),
    seed=st.integers(0, 999),
    current=st.integers(0, 6),
    scale=st.sampled_from([1e-6, 1.0, 1e6]),
)
def test_the_choice_does_not_depend_on_the_unit_of_the_loss(windows, seed, current, scale):
    losses = noise(windows, seed=seed)
    losses[:, 3] -= 0.02
    one, other = (choose_members(record(each), current) for each in (losses, losses * scale))
    assert one.index == other.index
    assert other.improvement == pytest.approx(one.improvement * scale)


@given(st.integers(0, 6), st.integers(2, 30))
def test_equal_subsets_keep_the_current_one(current, windows):
    same = np.broadcast_to(noise(windows)[:, :1], (windows, 7, 7))
    assert choose_members(record(same), current).index == current


@given(rows=st.integers(7, 500), seed=st.integers(0, 99))
def test_block_means_weighted_by_their_rows_are_the_mean(rows, seed):
    losses = np.random.default_rng(seed).random((3, rows))
    sizes = np.diff(np.linspace(0, rows, 8).round().astype(int))
    found = mean_by_block(losses)
    assert found.shape == (3, 7)
    np.testing.assert_allclose(found @ sizes / rows, losses.mean(axis=1))


@given(rows=st.integers(0, 5000), window=st.integers(1, 400))
def test_windows_cover_all_rows_evenly(rows, window):
    bounds = window_bounds(rows, window)
    if not bounds:
        assert rows <= window / 2 or rows < 7
        return
    assert (bounds[0][0], bounds[-1][1]) == (0, rows)
    sizes = [end - start for start, end in bounds]
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= 7
    assert all(a[1] == b[0] for a, b in pairwise(bounds))


def test_losses_survive_json():
    entry = record(noise(1))[0]
    found = SubsetLosses.from_json(json.loads(json.dumps(entry.to_json())))
    assert found.end == entry.end
    np.testing.assert_allclose(found.blocks, entry.blocks, atol=1e-8)
