"""The labelled pairs of a rollout depend on the rows, not on their order, grouping or repetition."""

from __future__ import annotations

from collections import Counter
from itertools import groupby, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.core.rollout import PairLosses, Tally
from homeostat.serving.sync.labelled_pairs import Kind, LabelledPairs

ACCURACY = PairLosses("accuracy", (0.0, 1.0), 1.0, 0.02, 1.0)
MAE = PairLosses("mae", (0.0, 0.25, 1.0), 1.1, 0.0, 4.0, spread=2.0)
BALANCED = PairLosses(
    "balanced_accuracy", (0.0, 0.5, 1.0), 1.0, 0.02, 2.0, weights=(("no", 0.25), ("yes", 1.0))
)
CLASSES = st.sampled_from(["yes", "no", None])
NUMBERS = st.one_of(st.none(), st.floats(-3, 3), st.just(float("nan")))


def rows(values):
    """Rows of any kind; few ids and times, so that they meet."""
    return st.lists(
        st.tuples(
            st.sampled_from(list(Kind)),
            st.sampled_from([f"r{i}" for i in range(12)]),
            st.integers(0, 2),
            values,
        ),
        max_size=60,
    )


def tally_of(losses, files, **limits):
    """Add rows file by file; count after each file, as the gateway does."""
    pairs = LabelledPairs(losses, **limits)
    for file in files:
        for kind, of_kind in groupby(sorted(file, key=lambda row: row[0].name), key=lambda row: row[0]):
            _, ids, received, values = zip(*of_kind, strict=True)
            pairs.add(kind, ids, np.array(received), values)
        pairs.tally()
    return pairs.tally()


def expected(losses, all_rows):
    """The same by plain dictionaries: the first row of each kind and id."""
    first: dict[tuple[Kind, str], tuple[int, object]] = {}
    for kind, name, received, value in all_rows:
        before = first.get((kind, name))
        if before is None or received < before[0]:
            first[kind, name] = (received, value)
    found = []
    for (kind, name), (received, mine) in first.items():
        theirs, label = first.get((Kind.OTHER, name)), first.get((Kind.LABEL, name))
        if kind is Kind.CANDIDATE and theirs is not None and label is not None and theirs[0] == received:
            found.append((label[1], mine, theirs[1]))
    return found


@st.composite
def files_and_shuffled(draw, values):
    all_rows = draw(rows(values))
    again = all_rows + (draw(st.lists(st.sampled_from(all_rows), max_size=20)) if all_rows else [])
    shuffled = draw(st.permutations(again))
    cuts = sorted(draw(st.lists(st.integers(0, len(shuffled)), max_size=5)))
    bounds = [0, *cuts, len(shuffled)]
    return [all_rows], [shuffled[a:b] for a, b in pairwise(bounds)]


@pytest.mark.parametrize("losses", [ACCURACY, BALANCED])
@given(files_and_shuffled(CLASSES))
def test_order_grouping_and_repetition_of_files_change_nothing(losses, files):
    at_once, in_pieces = files
    assert tally_of(losses, in_pieces) == tally_of(losses, at_once)


@given(files_and_shuffled(NUMBERS))
def test_the_same_holds_for_numbers(files):
    at_once, in_pieces = files
    assert tally_of(MAE, in_pieces) == tally_of(MAE, at_once)


@given(files_and_shuffled(CLASSES), st.integers(1, 8), st.integers(1, 8))
def test_what_does_not_fit_is_left_out_alike_in_every_order(files, predictions, labels):
    at_once, in_pieces = files
    limits = {"max_predictions": predictions, "max_labels": labels}
    found = tally_of(ACCURACY, in_pieces, **limits)
    assert found == tally_of(ACCURACY, at_once, **limits)
    assert found.rows <= predictions


@given(st.permutations(range(30)), st.data())
def test_pairs_are_counted_as_one_by_one(order, data):
    all_rows = []
    for i in order:
        received = {kind: data.draw(st.integers(0, 1)) for kind in Kind}
        all_rows += [(kind, f"r{i}", received[kind], data.draw(CLASSES)) for kind in Kind]
    found = expected(ACCURACY, all_rows)
    tally = tally_of(ACCURACY, [all_rows])
    assert tally.rows == len(found)
    wrong = Counter(
        (mine is None or mine != label, theirs is None or theirs != label) for label, mine, theirs in found
    )
    cells = [(False, False), (False, True), (True, False), (True, True)]
    assert tally.losses == (tuple(wrong[cell] for cell in cells) if found else ())


def add(pairs, kind, *rows):
    ids, received, values = zip(*rows, strict=True)
    pairs.add(kind, ids, np.array(received), values)


def test_a_label_that_comes_twice_counts_once_and_the_first_received_wins():
    pairs = LabelledPairs(ACCURACY)
    add(pairs, Kind.CANDIDATE, ("a", 5, "1"))
    add(pairs, Kind.OTHER, ("a", 5, "0"))
    assert pairs.tally() == Tally()
    add(pairs, Kind.LABEL, ("a", 9, "0"), ("a", 9, "0"))
    assert pairs.tally() == Tally(rows=1, losses=(0, 0, 1, 0)), "the candidate is wrong"
    add(pairs, Kind.LABEL, ("a", 10, "1"))
    assert pairs.tally() == Tally(rows=1, losses=(0, 0, 1, 0)), "a later label changes nothing"
    add(pairs, Kind.LABEL, ("a", 8, "1"))
    assert pairs.tally() == Tally(rows=1, losses=(0, 1, 0, 0)), "an earlier one, found late, replaces it"


def test_an_id_that_stands_for_two_requests_is_no_pair():
    pairs = LabelledPairs(ACCURACY)
    add(pairs, Kind.CANDIDATE, ("a", 7, "1"))
    add(pairs, Kind.OTHER, ("a", 5, "0"), ("a", 7, "0"))
    add(pairs, Kind.LABEL, ("a", 9, "0"))
    assert pairs.tally() == Tally()


def test_weights_of_classes_and_unknown_classes():
    pairs = LabelledPairs(BALANCED)
    add(pairs, Kind.CANDIDATE, ("a", 1, "no"), ("b", 1, "maybe"), ("c", 1, None))
    add(pairs, Kind.OTHER, ("a", 1, "yes"), ("b", 1, "maybe"), ("c", 1, "no"))
    add(pairs, Kind.LABEL, ("a", 2, "yes"), ("b", 2, "maybe"), ("c", 2, "yes"))
    # a: only the candidate errs, on the rare class; b: both right; c: both wrong.
    assert pairs.tally() == Tally(rows=3, losses=(1, 0, 0, 0, 0, 0, 1, 0, 1))


def test_many_rows_stay_within_the_limits_and_large_files_are_counted_like_small_ones():
    rng = np.random.default_rng(1)
    names = [f"request-{i}" for i in range(6000)]
    values = {kind: rng.choice(["0", "1"], len(names)).tolist() for kind in Kind}
    results = []
    for size in (6000, 700):
        pairs = LabelledPairs(ACCURACY, max_predictions=1000, max_labels=6000)
        for start in range(0, len(names), size):
            for kind in Kind:
                part = slice(start, start + size)
                pairs.add(kind, names[part], np.arange(len(names))[part], values[kind][part])
            pairs.tally()
        results.append(pairs.tally())
    assert results[0] == results[1]
    assert 500 <= results[0].rows <= 1000
