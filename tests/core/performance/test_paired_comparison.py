"""Paired comparisons of two versions add up."""

from __future__ import annotations

import json
from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from homeostat.core.performance import PairedComparison, row_variance

LOSSES = npst.arrays(
    np.float64, st.shared(st.integers(0, 40), key="rows"), elements=st.sampled_from([0.0, 1.0, 0.25, np.nan])
)


def compare(share_a, share_b, rows=400, seed=0):
    """0/1 losses of two versions with independent errors."""
    rng = np.random.default_rng(seed)
    return PairedComparison.of(*((rng.random(rows) < share).astype(float) for share in (share_a, share_b)))


@settings(max_examples=100, deadline=None)
@given(a=LOSSES, b=LOSSES, cut=st.integers(0, 40))
def test_steps_add_up_to_the_whole(a, b, cut):
    parts, whole = (
        PairedComparison.of(a[:cut], b[:cut]) + PairedComparison.of(a[cut:], b[cut:]),
        PairedComparison.of(a, b),
    )
    assert parts.rows == whole.rows == int((np.isfinite(a) & np.isfinite(b)).sum())
    assert (parts.gap, parts.loss) == pytest.approx((whole.gap, whole.loss))
    assert PairedComparison() + parts == parts + PairedComparison() == parts


@settings(max_examples=100, deadline=None)
@given(a=LOSSES, b=LOSSES)
def test_swapping_the_versions_changes_the_sign(a, b):
    one, other = PairedComparison.of(a, b), PairedComparison.of(b, a)
    assert (other.rows, other.gap) == (one.rows, -one.gap)
    assert other.variance == pytest.approx(one.variance)
    assert other.z == pytest.approx(-one.z)
    assert other.improvement(relative=False) == pytest.approx(-one.improvement(relative=False))
    assert other.loss == pytest.approx(one.loss - one.gap)


def test_rows_that_either_did_not_predict_are_left_out():
    a, b = np.array([1.0, np.nan, 1.0, 0.0]), np.array([0.0, 0.0, np.inf, 1.0])
    assert PairedComparison.of(a, b) == PairedComparison.of(a[[0, 3]], b[[0, 3]])


def test_improvement_is_per_row_or_a_share_of_the_losses():
    a, b = np.array([4.0, 2.0]), np.array([3.0, 1.5])
    assert PairedComparison.of(a, b).improvement(relative=False) == 0.75
    assert PairedComparison.of(a, b).improvement(relative=True) == 0.25
    assert (
        PairedComparison().improvement(relative=True)
        == PairedComparison().improvement(relative=False)
        == PairedComparison().z
        == 0
    )


def test_z_is_the_gap_in_standard_errors():
    a, b = np.r_[np.ones(30), np.zeros(70)], np.r_[np.zeros(30), np.ones(10), np.zeros(60)]
    order = np.random.default_rng(0).permutation(100)
    gap = (a - b)[order]
    found = PairedComparison.of(a[order], b[order])
    assert found.z == pytest.approx(gap.sum() / np.sqrt(100 * row_variance(gap)))
    assert found.z > 2


def test_equal_versions_differ_by_chance_alone():
    errors = [compare(0.3, 0.3, seed=seed).z for seed in range(80)]
    assert np.mean(np.abs(errors) > 1.96) <= 0.1
    assert compare(0.3, 0.2).z > 2


def test_correlated_errors_count_as_fewer_rows():
    rng = np.random.default_rng(0)
    days = np.repeat(rng.random(40) < 0.6, 24).astype(float)
    shuffled = rng.permutation(days)
    zeros = np.zeros(len(days))
    assert PairedComparison.of(days, zeros).gap == PairedComparison.of(shuffled, zeros).gap
    assert PairedComparison.of(days, zeros).z < 0.5 * PairedComparison.of(shuffled, zeros).z


def test_a_constant_difference_is_plain_json():
    certain = PairedComparison.of(np.ones(60), np.zeros(60))
    assert certain.variance == 0
    json.dumps([*astuple(certain), certain.z], allow_nan=False)
    assert certain.z > 10
    assert PairedComparison.of(np.zeros(60), np.ones(60)).z < -10
    assert PairedComparison.of(np.ones(60), np.ones(60)).z == 0
