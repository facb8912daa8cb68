"""Whole numbers of any size stay what they are."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from homeostat.core.profile import FeatureCounts
from homeostat.core.profile.binning import bin_numbers, bin_sorted
from homeostat.core.profile.fit_edges import fit_number_edges
from homeostat.core.profile.scan import number_labels
from homeostat.core.values.numbers import Spelling, parse_numbers
from homeostat.core.values.whole_numbers import (
    are_rounded,
    concatenate,
    ends_of,
    integers,
    text_integers,
    typed_integers,
)

whole = st.one_of(st.integers(-(2**53), 2**53), st.integers(-(2**63), 2**64), st.integers(-(10**37), 10**37))
wholes = st.lists(whole, min_size=1, max_size=30)


@given(wholes)
def test_texts_keep_every_digit(values):
    texts = pa.array([str(value) for value in values])
    assert text_integers(texts, parse_numbers(texts)).tolist() == values
    spelling = Spelling(",", ".")
    spelled = pa.array([f"{value:,}".replace(",", ".") + ",00" for value in values])
    assert text_integers(spelled, parse_numbers(spelled, spelling), spelling).tolist() == values


@given(wholes)
def test_types_keep_every_digit(values):
    expected = values if any(abs(value) >= 2**53 for value in values) else None
    found = typed_integers(pa.array([Decimal(value) for value in values], pa.decimal128(38, 0)))
    assert (None if found is None else found.tolist()) == expected
    if all(-(2**63) <= value < 2**63 for value in values):
        found = typed_integers(pa.array(values, pa.int64()))
        assert (None if found is None else found.tolist()) == expected


@given(wholes, wholes)
def test_counts_and_labels_are_those_of_the_integers(values, others):
    edges = fit_number_edges(integers(values))
    assert edges.cut_points == tuple(sorted(set(values)))
    assert bin_sorted(edges, np.sort(integers(values))) == bin_numbers(edges, [integers(values)])
    counts = bin_numbers(edges, [integers(others)])
    slots = FeatureCounts.empty(edges).slots.copy()
    for value in others:
        slots[2 * sum(cut < value for cut in edges.cut_points) + (value in edges.cut_points)] += 1
    assert counts.slots.tolist() == slots.tolist()
    assert number_labels(integers(others)) == {str(value): others.count(value) for value in others}


@given(wholes, st.lists(st.floats(allow_nan=True), max_size=20))
def test_floats_are_counted_exactly_on_integer_cut_points(values, floats):
    edges = fit_number_edges(integers(values))
    counts = bin_numbers(edges, [np.array(floats)])
    assert counts.missing == int(np.isnan(floats).sum())
    for at, cut in enumerate(edges.cut_points):
        assert counts.slots[2 * at + 1] == floats.count(cut)
        assert counts.slots[: 2 * at + 1].sum() == sum(value < cut for value in floats)


@given(wholes, st.lists(st.integers(-(2**53), 2**53), max_size=9))
def test_arrays_of_both_kinds_join_exactly(values, small):
    joined = concatenate([integers(values), np.array(small, dtype=np.float64)])
    assert joined.tolist() == [*values, *small]
    assert ends_of(joined) == (min(values + small), max(values + small))
    assert concatenate([integers(values), np.array([0.5])]).dtype == np.float64


def test_what_a_float_was_stays_that_float():
    texts = pa.array(["1.7451203862401843e+18", "1745120386240184321.0"])
    assert text_integers(texts, parse_numbers(texts)).tolist() == [
        int(1.7451203862401843e18),
        1745120386240184321,
    ]


def test_fractions_and_infinities_are_not_whole():
    assert are_rounded(np.array([2.0**53, 1.0]))
    assert not are_rounded(np.array([2.0**53, 0.5]))
    assert not are_rounded(np.array([np.inf, 1.0]))
    assert not are_rounded(np.array([1.0]))
    assert not are_rounded(np.empty(0))
    assert typed_integers(pa.array([Decimal("12345678901234567890.5")])) is None
