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
from homeostat.core.profile import (
    Reference,
    Season,
    SliceReference,
    Slices,
    count_dataframe,
    count_slices,
    covered_slots,
    fit_edges,
    reweight_slices,
    slice_season,
    slice_season_width,
)
from homeostat.core.profile.slice_season import seasons_from_body

MONDAY = pd.Timestamp("2026-03-02", tz="UTC")

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


times = st.one_of(st.none(), st.datetimes(pd.Timestamp("2026-03-02"), pd.Timestamp("2026-03-15")))


def timed(least=0):
    rows = st.lists(st.fixed_dictionaries({**values, "at": times}), min_size=least, max_size=60)
    return rows.map(lambda rows: pd.DataFrame(rows, columns=[*values, "at"], dtype=object))


def seasonal(frame, kind, most=None):
    edges = Reference.fit(frame, KINDS).edges
    at = pd.to_datetime(frame["at"], utc=True)
    season = Season.from_rows(edges, frame, at, kind)
    own = SliceReference.of(Slices.fit(BY, frame, KINDS, most=most), edges, frame, season, at)
    return edges, season, own


@settings(max_examples=60, deadline=None)
@given(frame=timed(1), kind=st.sampled_from(["hour_of_day", "hour_of_week"]), most=st.integers(0, 9))
def test_every_cell_of_a_season_is_the_sum_of_the_slices_of_each_feature(frame, kind, most):
    edges, season, own = seasonal(frame, kind, most)
    assert list(own.seasons) == list(own.slices.names)
    for slicing in own.slices.slicings:
        parts = [own.seasons[name] for name in slicing.names]
        assert reduce(add, [part.rows for part in parts]).tolist() == season.rows.tolist()
        for feature in edges.features:
            assert (reduce(add, [part.counts[feature] for part in parts]) == season.counts[feature]).all()


@settings(max_examples=30, deadline=None)
@given(frame=timed(1))
def test_seasons_of_slices_read_back_and_sum_up_to_the_slice(frame):
    edges, season, own = seasonal(frame, "hour_of_day")
    whole = Reference(edges, count_dataframe(edges, frame), season=season, slices=own)
    read = Reference.from_bytes(whole.to_bytes())
    assert read.slices == own
    assert read.digest == whole.digest
    known = frame[frame["at"].notna()]
    expected = count_slices(edges, known, own.slices)
    for name, each in own.seasons.items():
        for feature, counts in each.counts.items():
            assert counts.sum(axis=0).tolist() == expected[name].features[feature].to_body()


def test_a_slice_is_compared_with_its_own_hours():
    """North has its rows by day, south by night; a window of one hour is that hour of the slice."""
    hours = np.repeat(np.arange(24), 60)
    frame = pd.DataFrame({"age": hours * 1.0, "at": MONDAY + pd.to_timedelta(hours, "h")})
    frame["region"] = np.where((hours >= 8) & (hours < 20), "north", "south")
    edges, _, own = seasonal(frame, "hour_of_day")
    slots = {name: np.zeros(24, int) for name in own.seasons}
    slots["region=north"][[9, 23]] = 40, 5  # nothing of the slice is near 23 h
    found = reweight_slices(edges, own.seasons, slots)["region=north"]
    assert found == count_dataframe(edges, frame[hours == 9])
    same = reweight_slices(edges, own.seasons, {name: each.rows for name, each in own.seasons.items()})
    assert same == own.profiles
    covered = covered_slots(own.seasons["region=north"])
    assert covered.tolist() == [6 <= hour <= 21 for hour in range(24)]  # two hours are borrowed


@pytest.mark.parametrize(
    ("most", "width"), [(10**9, 1), (23 * 24, 1), (23 * 24 - 1, 2), (23 * 4, 6), (23 * 4 - 1, None)]
)
def test_seasons_of_slices_have_longer_hours_where_they_would_have_too_many_counts(monkeypatch, most, width):
    edges = fit_edges(pd.DataFrame({"age": range(10)}), {"age": "number"})  # 21 slots
    season = Season("hour_of_day", np.zeros(24, int), {})
    monkeypatch.setattr(slice_season, "MAX_COUNTS", most)
    assert slice_season_width(edges, season, ["one"]) == width
    assert slice_season_width(edges, season, ["one", "two"]) in (width, None, 2, 3, 4, 6)
    long = Season("hour_of_day", np.zeros(8, int), {})  # slots of 3 h: a slot of 4 h has parts of two
    assert slice_season_width(edges, long, ["one"]) == {1: 3, 2: 3}.get(width, width)


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "month"},
        {"width": 5},
        {"counts": {}},
        *(
            {"counts": {"x=1": {"x": raw}}}
            for raw in ([[0], []], [[0], [-1]], [[10**6], [1]], [[1, 0], [1, 1]])
        ),
    ],
)
def test_damaged_seasons_of_slices_are_said_to_be(change):
    edges = fit_edges(pd.DataFrame({"x": [1.0, 2.0]}), {"x": "number"})
    body = {"kind": "hour_of_day", "width": 6, "counts": {"x=1": {"x": [[3, 2], [4, 1]]}}}
    assert seasons_from_body(body, ["x=1"], edges)["x=1"].rows.tolist() == [5, 0, 0, 0]
    with pytest.raises(DataError, match="seasons of slices"):
        seasons_from_body(body | change, ["x=1"], edges)


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


def test_long_and_strange_values_booleans_and_lost_columns_have_their_slice():
    long, other = "x" * 300, "x" * 299 + "é"
    frame = pd.DataFrame({"text": [long, other, None, "="], "flag": [True, False, None, True]})
    kinds = {"text": "category", "flag": "category"}
    listed = Slices.fit(
        (SliceBy(feature="text", values=(long, other, "=")), SliceBy(feature="flag")), frame, kinds
    )
    assert [at.tolist() for at in listed.positions(frame).values()] == [
        *([0], [1], [3], [2]),
        *([0, 3], [1], [2]),
    ]
    assert max(len(name.encode()) for name in listed.names) <= 50
    lost = listed.positions(frame.drop(columns="text"))
    assert {name: at.tolist() for name, at in lost.items() if len(at) and "text" in name} == {
        "text (rest)": [0, 1, 2, 3]
    }


def test_cuts_that_look_alike_have_names_of_their_own():
    frame = pd.DataFrame({"age": 1e6 + np.arange(8) / 1000})
    assert len(set(Slices.fit((SliceBy(feature="age"),), frame, KINDS).names)) == 5


@pytest.mark.parametrize("raw", [[{}], [{"feature": "a", "kind": "text"}], [None], "x"])
def test_damaged_slices_are_said_to_be(raw):
    with pytest.raises(DataError):
        Slices.from_body(raw)
