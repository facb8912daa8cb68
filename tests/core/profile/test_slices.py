"""Slices: every row is in one slice of each feature, so profiles by slice add up to the whole's."""

from functools import reduce
from operator import add

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.config.errors import DataError
from homeostat.config.slices import SliceBy
from homeostat.core.profile import Reference, SliceReference, Slices, count_dataframe, count_slices

KINDS = {"region": "category", "plan": "category", "age": "number"}
BY = (
    SliceBy(feature="region"),
    SliceBy(feature="plan", values=("basic", "1")),
    SliceBy(feature="age"),
)
values = {
    "region": st.sampled_from(["north", "south", "east", "", None, "Übersee", "=", "north "]),
    "plan": st.sampled_from(["basic", "plus", 1, 1.0, True, "true", "1.0", None, float("nan")]),
    "age": st.one_of(
        st.none(),
        st.sampled_from([0.0, -0.0, 1.0, float("inf"), float("-inf"), float("nan"), "12", "unknown"]),
        st.floats(-1e6, 1e6),
    ),
}


def frames(least=0):
    rows = st.lists(st.fixed_dictionaries(values), min_size=least, max_size=60)
    return rows.map(lambda rows: pd.DataFrame(rows, columns=list(values), dtype=object))


@settings(max_examples=150, deadline=None)
@given(reference=frames(1), window=frames(), most=st.integers(0, 9))
def test_the_whole_is_the_sum_of_the_slices_of_each_feature(reference, window, most):
    whole = Reference.fit(reference, KINDS)
    slices = Slices.fit(BY, reference, KINDS, most=most)
    found = count_slices(whole.edges, window, slices)
    assert list(found) == list(slices.names)
    assert len(set(slices.names)) == len(slices.names)
    expected = count_dataframe(whole.edges, window)
    for slicing in slices.slicings:
        assert reduce(add, [found[name] for name in slicing.names]) == expected


@settings(max_examples=60, deadline=None)
@given(parts=st.lists(frames(), min_size=1, max_size=4), reference=frames(1))
def test_profiles_by_slice_of_parts_add_up(parts, reference):
    edges, slices = Reference.fit(reference, KINDS).edges, Slices.fit(BY, reference, KINDS)
    counted = [count_slices(edges, part, slices) for part in parts]
    together = count_slices(edges, pd.concat(parts, ignore_index=True), slices)
    assert all(reduce(add, [each[name] for each in counted]) == together[name] for name in slices.names)


@settings(max_examples=40, deadline=None)
@given(reference=frames(1))
def test_a_reference_with_slices_reads_back(reference):
    plain = Reference.fit(reference, KINDS)
    own = SliceReference.of(Slices.fit(BY, reference, KINDS), plain.edges, reference)
    stored = Reference(plain.edges, plain.profile, slices=own)
    read = Reference.from_bytes(stored.to_bytes())
    assert read.slices == own
    assert read.digest == stored.digest != plain.digest
    assert Reference.from_bytes(plain.to_bytes()).slices is None


def test_rows_are_in_the_slice_of_their_value():
    frame = pd.DataFrame(
        {
            "region": ["north", "north", "south", "north", None, "east"],
            "plan": ["basic", 1, True, "plus", None, "1.0"],
            "age": [1.0, 2.0, 3.0, 4.0, 5.0, None],
        },
        dtype=object,
    )
    slices = Slices.fit(BY, frame, KINDS)
    found = {name: at.tolist() for name, at in slices.positions(frame).items()}
    assert found == {
        "region=north": [0, 1, 3],
        "region=east": [5],
        "region=south": [2],
        "region (rest)": [4],
        "plan=basic": [0],
        "plan=1": [1, 2, 5],
        "plan (rest)": [3, 4],
        "age=(-inf, 2]": [0, 1],
        "age=(2, 3]": [2],
        "age=(3, 4]": [3],
        "age=(4, inf]": [4],
        "age (rest)": [5],
    }
    later = pd.DataFrame({"region": ["west"], "age": ["text"]})  # a new value, text, and a lacking column
    assert [name for name, at in slices.positions(later).items() if len(at)] == [
        "region (rest)",
        "plan (rest)",
        "age (rest)",
    ]


def test_beyond_the_bound_the_most_frequent_values_are_slices_and_the_others_rest():
    frame = pd.DataFrame({"region": list("aaabbcdd"), "plan": list("xxxxyyyz"), "age": range(8)})
    wanted = (SliceBy(feature="region"), SliceBy(feature="plan"), SliceBy(feature="age"))
    assert Slices.fit(wanted, frame, KINDS, most=7).names == (
        "region=a",
        "region (rest)",
        "plan=x",
        "plan=y",
        "plan (rest)",
        *("age=(-inf, 1.75]", "age=(1.75, 3.5]", "age=(3.5, 5.25]", "age=(5.25, inf]", "age (rest)"),
    )
    assert [len(s.labels) for s in Slices.fit(wanted, frame, KINDS).slicings] == [4, 3, 0]


def test_quarters_are_those_of_pandas():
    rng = np.random.default_rng(1)
    column = pd.Series(rng.choice([0.0, 1.0, 2.5, 2.5, 7.0], 500))
    frame = pd.DataFrame({"age": column})
    found = Slices.fit((SliceBy(feature="age"),), frame, KINDS).positions(frame)
    own = sorted(at.tolist() for at in found.values() if len(at))
    theirs = column.groupby(pd.qcut(column, 4, duplicates="drop"), observed=True).indices.values()
    assert own == sorted(at.tolist() for at in theirs)


def test_cuts_that_look_alike_have_names_of_their_own():
    frame = pd.DataFrame({"age": 1e6 + np.arange(8) / 1000})
    assert len(set(Slices.fit((SliceBy(feature="age"),), frame, KINDS).names)) == 5


@pytest.mark.parametrize("raw", [[{}], [{"feature": "a", "kind": "text"}], [None], "x"])
def test_damaged_slices_are_said_to_be(raw):
    with pytest.raises(DataError):
        Slices.from_body(raw)
