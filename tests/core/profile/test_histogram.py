"""Profiles: every row is counted, and parts add up to the whole."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.core.profile import (
    CategoryEdges,
    FeatureCounts,
    NumberEdges,
    Profile,
    Reference,
    count_dataframe,
    fit_edges,
)
from homeostat.core.profile.coerce import label_of

NUMBERS = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True, width=64), st.integers(-5, 5).map(float), st.none()
)
LABELS = st.one_of(st.sampled_from(["a", "b", "c"]), st.text(max_size=60), st.none())
ROWS = st.lists(st.tuples(NUMBERS, LABELS), max_size=40)
KINDS = {"x": "number", "c": "category"}


def table(rows):
    return pd.DataFrame(
        {
            "x": np.array([np.nan if x is None else x for x, _ in rows], dtype=float),
            "c": pd.Series([c for _, c in rows], dtype=object),
        }
    )


@settings(max_examples=60, deadline=None)
@given(reference=ROWS, rows=ROWS)
def test_every_row_is_counted_exactly_once(reference, rows):
    profile = count_dataframe(fit_edges(table(reference), KINDS, max_edges=5, max_categories=2), table(rows))
    assert profile.rows == len(rows)
    assert all(counts.rows == len(rows) for counts in profile.features.values())
    assert profile.features["x"].missing == sum(x is None or np.isnan(x) for x, _ in rows)
    assert profile.features["c"].missing == sum(not c for _, c in rows)


@settings(max_examples=60, deadline=None)
@given(reference=ROWS, parts=st.lists(ROWS, min_size=1, max_size=4), shuffle=st.randoms())
def test_profiles_of_parts_add_up_to_the_profile_of_the_whole_in_any_order(reference, parts, shuffle):
    edges = fit_edges(table(reference), KINDS, max_edges=4, max_categories=2)
    whole = count_dataframe(edges, table([row for part in parts for row in part]))
    profiles = [count_dataframe(edges, table(part)) for part in parts]
    shuffle.shuffle(profiles)
    total = Profile.empty(edges)
    for profile in profiles:
        total += profile
    assert total == whole
    a, b, c = (profiles * 3)[:3]
    assert (a + b) + c == a + (b + c)
    assert a + b == b + a


@settings(max_examples=40, deadline=None)
@given(rows=ROWS)
def test_bytes_survive_a_round_trip(rows):
    reference = Reference.fit(table(rows), KINDS, max_edges=4, max_categories=2)
    again = Reference.from_bytes(reference.to_bytes())
    assert again == reference
    assert again.digest == reference.digest
    assert type(reference.edges).from_bytes(reference.edges.to_bytes()).digest == reference.edges.digest
    assert Profile.from_bytes(reference.profile.to_bytes(), again.edges) == reference.profile


def test_a_cut_point_has_its_own_slot():
    edges = fit_edges(pd.DataFrame({"x": [1.0, 2.0, 2.0, 3.0]}), {"x": "number"})
    assert edges.features["x"] == NumberEdges((1.0, 2.0, 3.0), complete=True)
    window = pd.DataFrame({"x": [0.0, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, np.inf, -np.inf, np.nan]})
    counts = count_dataframe(edges, window).features["x"]
    assert counts.slots.tolist() == [2, 1, 1, 1, 1, 1, 2]
    assert (counts.missing, counts.unseen) == (1, 0)


def test_an_infinity_of_the_reference_shares_its_slot_with_nothing_finite():
    most = np.finfo(float).max
    edges = fit_edges(pd.DataFrame({"x": [-np.inf, 1.0, 2.0, np.inf]}), {"x": "number"})
    assert edges.features["x"] == NumberEdges((-most, 1.0, 2.0, most), complete=True)
    window = pd.DataFrame({"x": [-np.inf, np.inf, -1e300, 1e300, 1.0]})
    assert count_dataframe(edges, window).features["x"].slots.tolist() == [1, 0, 1, 1, 0, 0, 1, 0, 1]


def test_minus_zero_is_zero():
    a = fit_edges(pd.DataFrame({"x": [0.0, 1.0]}), {"x": "number"})
    b = fit_edges(pd.DataFrame({"x": [-0.0, 1.0]}), {"x": "number"})
    assert a.digest == b.digest


def test_atoms_of_a_long_tailed_column_stay_cut_points_when_there_are_more_values_than_edges():
    rng = np.random.default_rng(0)
    x = np.where(rng.random(5000) < 0.4, 0.0, rng.exponential(size=5000))
    edges = fit_edges(pd.DataFrame({"x": x}), {"x": "number"}, max_edges=32).features["x"]
    assert not edges.complete
    assert 0.0 in edges.cut_points
    assert len(edges.cut_points) <= 32
    assert (edges.cut_points[0], edges.cut_points[-1]) == (x.min(), x.max())


@pytest.mark.parametrize("n", [101, 600, 50_000])
def test_many_categories_keep_the_top_ones_and_a_rest_within_eight_kilobytes(n):
    values = [f"customer-{i:06d}-with-a-rather-long-name-of-its-own" for i in range(n)]
    rows = pd.DataFrame({"c": ["often"] * 500 + values * 3})
    reference = Reference.fit(rows, {"c": "category"})
    edges = reference.edges.features["c"]
    assert edges.labels[0] == "often"
    assert len(edges.labels) == 100
    assert len(reference.to_bytes()) <= 8 * 1024
    assert reference.profile.features["c"].rows == len(rows)
    rare = next(value for value in values if label_of(value) not in edges.labels)
    strange = count_dataframe(reference.edges, pd.DataFrame({"c": ["stranger", rare]})).features["c"]
    # A rare value differs from an unseen one, as long as the hashes of the rare ones are kept.
    assert (strange.unseen, int(strange.slots[-1])) == ((1, 1) if n <= 600 else (0, 2))
    assert edges.open is (n > 600)


@pytest.mark.parametrize(
    "spell",
    [
        lambda rng: "".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz0123456789"), 5)),
        lambda rng: "".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz0123456789"), 40)),
        lambda rng: "".join(map(chr, rng.integers(0x4E00, 0x9FFF, 13))),
        lambda rng: "".join(map(chr, rng.integers(0x10000, 0x3FFF0, 10))),
        lambda rng: "".join(map(chr, rng.integers(1, 31, 40))),
        lambda rng: "x" * 5000 + str(rng.integers(10**9)),
    ],
    ids=["short", "forty", "chinese", "emoji", "control", "long"],
)
@pytest.mark.parametrize("n", [300, 620, 900, 1500, 4000])
def test_labels_of_any_spelling_stay_within_eight_kilobytes(spell, n):
    rng = np.random.default_rng(n)
    labels = sorted({spell(rng) for _ in range(n)})
    rows = np.repeat(np.array(labels, dtype=object), rng.integers(2, 60, len(labels)))
    reference = Reference.fit(pd.DataFrame({"c": rows}), {"c": "category"})
    assert len(reference.to_bytes()) <= 8 * 1024
    assert Reference.from_bytes(reference.to_bytes()) == reference
    if n <= 620:
        assert not reference.edges.features["c"].open


def test_no_label_is_unseen_when_new_labels_are_expected():
    rng = np.random.default_rng(0)
    tail = (rng.pareto(0.8, 4000) * 10).astype(int).astype(str)  # a third of the rows bring a new label
    edges = fit_edges(pd.DataFrame({"c": tail[:2000]}), {"c": "category"})
    category = edges.features["c"]
    assert category.open
    rows = pd.Series(tail[:2000]).value_counts()
    assert set(category.labels) <= set(rows[rows > 7].index)
    assert list(category.labels) == sorted(category.labels, key=lambda label: (-rows[label], label))
    assert count_dataframe(edges, pd.DataFrame({"c": tail[2000:]})).features["c"].unseen == 0


def test_labels_of_similar_frequency_get_their_slots_by_hash_and_not_by_chance():
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"c": rng.integers(0, 1000, 200_000)})
    reference, again = Reference.fit(rows, {"c": "category"}), rng.integers(0, 1000, 200_000)
    window = count_dataframe(reference.edges, pd.DataFrame({"c": again})).features["c"]
    own = reference.profile.features["c"].slots[:-1].sum(), window.slots[:-1].sum()
    # The 100 most frequent ones would hold 12 % more rows here than in any other sample.
    assert own[0] == pytest.approx(own[1], rel=0.03)


def test_numbers_stay_within_eight_kilobytes():
    rng = np.random.default_rng(0)
    nasty = [
        rng.normal(size=100_000) * 1e-300,
        np.nan_to_num(rng.integers(0, 2**63, 100_000).view(np.float64), nan=np.inf),  # any bits
        np.r_[-np.inf, np.inf, np.nan, rng.uniform(-8e307, 8e307, 100_000)],
    ]
    for x in nasty:
        assert len(Reference.fit(pd.DataFrame({"x": x}), {"x": "number"}).to_bytes()) <= 8 * 1024


def test_never_seen_categories_are_unseen_and_missing_ones_are_missing():
    edges = fit_edges(pd.DataFrame({"c": ["a", "b", None]}), {"c": "category"})
    counts = count_dataframe(edges, pd.DataFrame({"c": ["a", "z", "y", None, ""]})).features["c"]
    assert counts.slots.tolist() == [1, 0, 0]
    assert (counts.missing, counts.unseen) == (2, 2)
    assert counts.missing_rate == pytest.approx(0.4)
    assert counts.unseen_share == pytest.approx(2 / 3)


def test_one_category_spelt_by_two_sources_is_one_category():
    edges = fit_edges(pd.DataFrame({"c": ["1", "2"]}), {"c": "category"})
    for column in (pd.Series([1, 2]), pd.Series([1.0, 2.0]), pd.Series([1, 2], dtype="category")):
        assert count_dataframe(edges, pd.DataFrame({"c": column})).features["c"].slots.tolist() == [1, 1, 0]


def test_a_value_that_is_not_a_number_is_unseen_and_not_missing():
    mixed = pd.Series([1, "2.5", "abc", None, True, [1], 10**400, -(10**400), np.inf], dtype=object)
    edges = fit_edges(pd.DataFrame({"x": [1.0, 2.5]}), {"x": "number"})
    counts = count_dataframe(edges, pd.DataFrame({"x": mixed})).features["x"]
    assert (counts.missing, counts.unseen) == (1, 2)
    assert counts.slots.tolist() == [1, 2, 0, 1, 2]


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([], dtype=float),
        pd.Series([None, None]),
        pd.Series([7.0] * 3),
        pd.Series([True, False, None], dtype="boolean"),
        pd.Series([1, None], dtype="Int64"),
        pd.Series(["a", None], dtype="category"),
        pd.to_datetime(pd.Series(["2024-01-01", None])),
        pd.Series([1 + 2j, 0j]),
        pd.Series([np.inf, -np.inf]),
        pd.Series([{"a": 1}, [1], None], dtype=object),
        pd.Series([10**400, 1], dtype=object),
    ],
    ids=lambda column: f"{column.dtype}-{len(column)}",
)
@pytest.mark.parametrize("kind", ["number", "category"])
def test_degenerate_columns_are_counted(column, kind):
    rows = pd.DataFrame({"v": column})
    reference = Reference.fit(rows, {"v": kind})
    assert reference.profile.features["v"].rows == len(rows)
    assert Reference.from_bytes(reference.to_bytes()) == reference


def test_an_absent_column_is_missing_in_every_row():
    edges = fit_edges(pd.DataFrame({"x": [1.0], "c": ["a"]}), KINDS)
    profile = count_dataframe(edges, pd.DataFrame({"other": [1, 2, 3]}))
    assert {name: counts.missing for name, counts in profile.features.items()} == {"x": 3, "c": 3}


def test_a_duplicate_column_is_refused():
    rows = pd.DataFrame([[1.0, 2.0]], columns=["x", "x"])
    with pytest.raises(ValueError, match=r"duplicate column .* \(2 times\)"):
        fit_edges(rows, {"x": "number"})


def test_profiles_on_different_edges_cannot_be_added():
    a = Reference.fit(pd.DataFrame({"x": [1.0]}), {"x": "number"}).profile
    b = Reference.fit(pd.DataFrame({"x": [2.0]}), {"x": "number"}).profile
    with pytest.raises(ValueError, match="different edges"):
        a + b


def test_counts_cannot_be_changed_and_survive_a_process_pool():
    reference = Reference.fit(pd.DataFrame({"x": [1.0], "c": ["a"]}), KINDS)
    with pytest.raises(ValueError, match="read-only"):
        reference.profile.features["x"].slots[0] = 5
    assert pickle.loads(pickle.dumps(reference)) == reference  # noqa: S301  # multiprocessing does the same


def test_counts_of_the_wrong_length_are_refused():
    with pytest.raises(ValueError, match="expected 2 slots"):
        FeatureCounts(CategoryEdges(("a",)), np.zeros(5, np.int64))
