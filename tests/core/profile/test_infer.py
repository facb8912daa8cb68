"""Inferred kinds: the same column has the same kind, however the file spells it."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.core.profile.infer import (
    decide_reading,
    infer_kind,
    is_doubtful,
    is_index_like,
    missing_markers,
    value_family,
)
from homeostat.core.profile.reading import Reading
from homeostat.core.profile.scan import MAX_CODES, MAX_LABELS, ColumnScan

RNG = np.random.default_rng(7)


def scan(*arrays) -> ColumnScan:
    found = ColumnScan(keep_numbers=True)
    for array in arrays:
        found.add(array if isinstance(array, pa.Array) else pa.array(array))
    return found


def read(*arrays) -> tuple[str, ColumnScan]:
    """Return the kind of a column, and its scan in the reading that was decided."""
    found = scan(*arrays)
    reading = decide_reading(found, None)[0]
    for _ in range(2):
        if found.agrees(reading) and not is_doubtful([found]):
            break
        found = ColumnScan(keep_numbers=True, reading=reading)
        for array in arrays:
            found.add(array if isinstance(array, pa.Array) else pa.array(array))
        reading = decide_reading(found, None)[0]
    found.settle(words_are_values=found.words_are_values(reading))
    return infer_kind(found, reading.kind), found


def kind(*arrays):
    return read(*arrays)[0]


WEEKDAYS = [1, 2, 3, 4, 5, 6, 7] * 20
SPELT = {
    "int8": pa.array(WEEKDAYS, pa.int8()),
    "uint64": pa.array(WEEKDAYS, pa.uint64()),
    "float32": pa.array(WEEKDAYS, pa.float32()),
    "decimal": pa.array([Decimal(day) for day in WEEKDAYS]),
    "text": pa.array([str(day) for day in WEEKDAYS]),
    "text with a point": pa.array([f"{day}.0" for day in WEEKDAYS]),
    "text with blanks around": pa.array([f" {day} " for day in WEEKDAYS]),
    "large text": pa.array([str(day) for day in WEEKDAYS], pa.large_string()),
    "dictionary": pa.array([str(day) for day in WEEKDAYS]).dictionary_encode(),
}


@pytest.mark.parametrize("name", SPELT)
def test_whole_numbers_with_few_values_are_the_same_labels_however_they_are_spelt(name):
    inferred, found = read(SPELT[name])
    assert inferred == "category"
    assert found.labels() == {str(day): 20 for day in range(1, 8)}


@pytest.mark.parametrize(
    "array",
    [
        pa.array([True, False, None] * 9),
        pa.array(["true", "false", None] * 9),
        pa.array(["True", "FALSE", ""] * 9),
        pa.array([1, 0, None] * 9),
        pa.array([1.0, 0.0, np.nan] * 9),
    ],
    ids=["bool", "text", "other text", "int", "float with NaN"],
)
def test_booleans_are_one_and_zero_in_every_spelling(array):
    inferred, found = read(pa.concat_arrays([array, array]))
    assert inferred == "category"
    assert found.labels() == {"1": 18, "0": 18}
    assert (found.rows, found.missing) == (54, 18)


def test_booleans_are_a_category_however_few_rows_there_are():
    assert kind([True, False]) == "category"
    assert kind([1, 0]) == "number"


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (RNG.normal(size=50), "number"),
        ([str(x) for x in RNG.normal(size=50)], "number"),
        ([0.25, 0.5] * 50, "number"),
        (list(range(MAX_CODES)) * 10, "category"),
        (list(range(MAX_CODES + 1)) * 10, "number"),
        (list(range(MAX_CODES)) * 9, "number"),
        ([7] * 30, "category"),
        (["a", "b"] * 5, "category"),
        ([f"user {i}" for i in range(50)], "id"),
        (["007", "012", "100"] * 20, "category"),
        ([f"{i:05d}" for i in range(100)], "id"),
        ([None] * 5, "empty"),
        ([np.nan] * 5, "empty"),
        (["", ""], "empty"),
        (["NA", "null", "1.5"] * 9, "number"),
        (["NA", "null", "Oslo"] * 9, "category"),
        ([], "empty"),
        ([[1], [2]], "opaque"),
        ([{"a": 1}], "opaque"),
        ([b"\x00"], "opaque"),
        ([np.inf, -np.inf, 1.5], "number"),
        ([1e300, -1e300], "number"),
        ([2**63 - 1, -(2**63)], "number"),
        ([dt.date(2026, 1, 1)], "datetime"),
        ([dt.datetime(2026, 1, 1, tzinfo=dt.UTC)], "datetime"),
        (["2026-01-01", "2026-02-01"], "datetime"),
        (["2026-01-01T10:00:00Z", "2026-01-01 10:00:01+02:00"], "datetime"),
        (["1/31/2026 10:00", "2/1/2026 10:00"], "datetime"),
        (["31.1.2026", "1.2.2026"], "datetime"),
        ([dt.timedelta(seconds=90), dt.timedelta(seconds=95)], "number"),
        ([dt.time(10, 30), dt.time(9, 15)], "number"),
        (["2026-01", "x", "y", "z"] * 3, "category"),
    ],
)
def test_the_kind_follows_the_rule(array, expected):
    assert kind(array) == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["on", "off"] * 3, "number"),  # 6 of 96 rows
        ([f"word {i}" for i in range(6)] * 10, "number"),  # 60 of 150 rows, each of them 10 times: markers
        ([f"word {i}" for i in range(9)], "number"),  # 9 of 99 rows, each once
        ([f"word {i}" for i in range(11)], "id"),  # 11 of 101 rows, each once
        (["off"] * 91, "category"),  # more than half
        (["."] * 910, "number"),
    ],
)
def test_the_share_of_words_decides_not_their_number(words, expected):
    assert kind([str(x) for x in RNG.permutation(RNG.normal(size=90))] + words) == expected


def test_a_word_among_codes_is_a_missing_marker():
    assert read(["1", "2", "3"] * 30 + ["off"])[1].labels() == {"1": 30, "2": 30, "3": 30, "off": 1}


def test_dates_are_seconds_in_every_format():
    day = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
    seconds = day.timestamp()
    for array in (
        pa.array([day], pa.timestamp("ms", "UTC")),
        pa.array([day], pa.timestamp("ns", "Europe/Paris")),
        pa.array([day.replace(tzinfo=None)], pa.timestamp("us")),
        pa.array(["2026-03-01T12:00:00Z"]),
        pa.array(["2026-03-01 13:00+01:00"]),
    ):
        inferred, found = read(array)
        assert inferred == "datetime"
        assert found.all_numbers().tolist() == [seconds]


def test_the_other_table_decides_whether_the_day_or_the_month_comes_first():
    for day_first, text in ((True, "31/01/2026"), (False, "01/31/2026")):
        other, current = scan([text]), scan(["01/02/2026"])
        _, reading, ambiguous = decide_reading(other, current)
        assert not ambiguous
        found = ColumnScan(keep_numbers=True, reading=reading)
        found.add(pa.array(["01/02/2026"]))
        right = (
            dt.datetime(2026, 2, 1, tzinfo=dt.UTC) if day_first else dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
        )
        assert found.all_numbers().tolist() == [right.timestamp()]


def test_nobody_guesses_where_day_and_month_cannot_be_told_apart():
    assert decide_reading(scan(["01/02/2026"]), scan(["03/04/2026"]))[2] == {"/4": ("dmy", "mdy")}


@pytest.mark.parametrize("size", [1, 2, 4])
def test_words_beside_booleans_do_not_make_them_numbers(size):
    rows = pa.array([":", ":", "False", "True"])
    assert kind(*(rows[at : at + size] for at in range(0, 4, size))) == "category"


@given(
    st.lists(
        st.one_of(
            st.none(), st.floats(width=32), st.text(max_size=5), st.integers(), st.booleans(), st.dates()
        ),
        max_size=40,
    ),
    st.integers(1, 7),
)
@settings(max_examples=100, deadline=None)
def test_every_row_is_a_number_a_text_or_missing_whatever_the_batches(values, size):
    rows = pa.array([None if value is None else str(value) for value in values], pa.string())
    whole = scan(rows)
    parts = scan(*(rows[at : at + size] for at in range(0, len(rows), size)))
    for found in (whole, parts):
        assert found.rows == len(values)
        assert found.missing + found.numbers + sum((found.texts | found.words).values()) == found.rows
    kinds = [read(rows)[0], read(*(rows[at : at + size] for at in range(0, len(rows), size)))[0]]
    assert kinds[0] == kinds[1]
    shuffled = rows.take(pa.array(np.random.default_rng(size).permutation(len(rows))))
    again = read(shuffled)
    assert again[0] == kinds[0]
    assert again[1].labels() == read(rows)[1].labels()


def test_an_infinity_is_a_number_beside_an_empty_cell():
    assert kind(["inf", ""]) == kind(["inf"], [""]) == "number"


def test_the_number_of_kept_labels_is_bounded():
    found = ColumnScan()
    for batch in range(6):
        texts = [f"{batch}-{i}x" for i in range(MAX_LABELS // 2)]
        found.add(pa.array([*texts, *["often"] * 100]))
    assert len(found.texts) <= 2 * MAX_LABELS
    assert found.texts["often"] == 600
    assert sum(found.texts.values()) + found.dropped == found.rows
    assert infer_kind(found, "text") == "id"


def minutes(start: int, n: int):
    return scan(pa.array(np.arange(start, start + n) * 60_000_000, pa.timestamp("us")))


def days(first: int):
    return scan(pa.array(RNG.integers(first, first + 9, 99).astype(np.int32)).cast(pa.date32()))


def spread(low: int, high: int, n: int = 1000):
    """Return n different whole numbers of this range, in any order."""
    return scan(RNG.choice(np.arange(low, high), n, replace=False))


@pytest.mark.parametrize(
    ("reference", "current", "outside", "expected"),
    [
        (minutes(0, 100), minutes(100, 50), 1.0, True),
        (minutes(0, 100), minutes(50, 100), 0.5, False),
        (minutes(0, 100), minutes(0, 100), 0.0, False),
        (days(0), days(0), 0.0, False),
        (days(0), days(9), 1.0, True),
        (scan([dt.date(2026, 1, 1)] * 99), scan([dt.date(2026, 2, 1)] * 99), 1.0, False),
        (scan(np.arange(100)), scan(np.arange(100, 200)), 1.0, True),
        (scan(np.arange(100, 200)), scan(np.arange(100)), 1.0, True),
        (scan(np.arange(100)), scan(RNG.permutation(np.arange(200, 300))), 1.0, True),
        (scan(np.arange(100) * 10.0), scan(np.arange(100, 200) * 10), 1.0, True),
        (spread(0, 3000), spread(3000, 9000), 1.0, True),
        (spread(0, 10**6), spread(10**6, 2 * 10**6), 1.0, False),
        (scan(np.arange(100)), scan(RNG.permutation(100)), 0.0, False),
        (scan(np.arange(100)), scan(RNG.permutation(60)), 0.0, True),
        (scan(np.arange(1, 61) * 10), scan(np.arange(1, 101) * 10), 0.4, True),
        (scan(np.arange(100)), scan(np.arange(1, 61)), 0.0, False),
        (scan(np.arange(100)), scan(np.delete(np.arange(60), 5)), 0.0, False),
        (scan(np.arange(100)), scan(np.append(np.arange(60), 5)), 0.0, False),
        (scan(np.arange(5)), scan(np.arange(5, 10)), 1.0, False),
        (scan(RNG.normal(size=99)), scan(RNG.normal(9, 1, size=99)), 1.0, False),
        (scan(np.full(99, 7)), scan(np.full(99, 9)), 1.0, False),
        (scan(np.repeat(np.arange(50), 2)), scan(np.repeat(np.arange(60, 99), 2)), 1.0, False),
        (scan(np.sort(RNG.uniform(0, 1, 99))), scan(np.sort(RNG.uniform(2, 3, 99))), 1.0, False),
    ],
    ids=[
        *("later", "half later", "the same span", "unordered dates", "unordered dates, moved", "one date"),
        *("ids", "falling ids", "shuffled ids", "tens", "ids of a part", "whole measures", "the same ids"),
        *("restart", "restart in tens", "another start", "a gap", "one twice"),
        *("too few", "a measure that moved", "a constant", "steps", "a sorted measure"),
    ],
)
def test_index_like_columns_are_recognised(reference, current, outside, expected):
    assert is_index_like(reference, current, outside) is expected


@given(
    st.lists(st.integers(-50, 50), min_size=1, max_size=60),
    st.integers(0, 60),
    st.randoms(use_true_random=False),
)
@settings(max_examples=100, deadline=None)
def test_the_order_of_the_rows_does_not_decide_what_an_index_is(values, shift, random):
    values = [float(value) for value in values]
    before, now = values, [value + shift for value in values]
    mixed = [random.sample(side, len(side)) for side in (before, now)]
    assert is_index_like(scan(before), scan(now), 1.0) is is_index_like(scan(mixed[0]), scan(mixed[1]), 1.0)


def test_repetition_is_found_in_any_order_and_in_bounded_memory():
    rows = np.arange(200_000.0)
    for order in (rows, rows[::-1], RNG.permutation(rows)):
        found = scan(*np.array_split(order, 7)).distinct
        assert found.is_dense(0, 199_999)
        assert found._kept.size <= 4096
    assert scan(RNG.integers(0, 10**6, 200_000)).distinct.repeated
    assert scan([2.0**60, 2.0**60 + 256]).distinct.repeated, "floats cannot tell"
    assert scan([2**60, 2**60 + 1]).distinct.step == 1


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        ([1.5], "numbers"),
        (["1,5", "2"], "numbers"),
        (["1"], "numbers"),
        (["a", "b", "1"], "text"),
        (["2026-01-01"], "dates"),
        ([None], ""),
    ],
)
def test_value_families(array, expected):
    assert value_family(scan(array)) == expected


def test_infinities_and_huge_integers_stay_numbers():
    found = scan(["inf", "-Infinity", "1e400", str(10**30), "nan"])
    assert found.all_numbers().tolist() == [np.inf, -np.inf, np.inf, 1e30]
    assert (found.texts, found.words) == ({}, {"nan": 1})


def test_text_that_one_batch_shows_and_the_next_explains_is_read_again():
    kind_of, found = read(["1.234", "5.678"] * 9, ["1.163,74", "2,5"] * 9)
    assert kind_of == "number"
    assert sorted(set(found.all_numbers().tolist())) == [2.5, 1163.74, 1234.0, 5678.0]
    assert not ColumnScan(reading=Reading("text")).add(pa.array(["1.5"])).numbers.size


NUMBERS = ["1.5", "2", "0.0", "-3.25", "12", "1,5", "2,25", "1.234,5", "$5", "inf", "007"]
OTHERS = ["2024-01-31", "1900-01-01", "31/12/2024", "x", "off", "NA", "-"]


@st.composite
def runs(draw):
    """Draw a column of runs of few texts, and where it is cut into batches."""
    texts = draw(st.lists(st.sampled_from(NUMBERS + OTHERS), min_size=1, max_size=5, unique=True))
    drawn = draw(st.lists(st.tuples(st.sampled_from(texts), st.integers(1, 30)), min_size=1, max_size=8))
    cells = [text for text, rows in drawn for _ in range(rows)]
    return cells, sorted(draw(st.lists(st.integers(0, len(cells)), max_size=3)))


@settings(deadline=None)
@given(runs())
def test_the_batches_of_a_file_do_not_decide_what_it_holds(column):
    cells, cuts = column
    bounds = [0, *cuts, len(cells)]
    parts = [pa.array(cells[start:end], pa.string()) for start, end in pairwise(bounds)]
    expected, whole = read(pa.array(cells))
    inferred, found = read(*parts)
    assert inferred == expected
    assert (found.texts, found.words, found.missing) == (whole.texts, whole.words, whole.missing)
    assert (found.numbers, found.low, found.high) == (whole.numbers, whole.low, whole.high)


@settings(deadline=None)
@given(runs())
def test_codes_of_a_dictionary_are_read_like_the_texts(column):
    cells, cuts = column
    texts, start = pa.array(cells, pa.string()), cuts[0] if cuts else 0
    encoded = texts.dictionary_encode()[start:]  # of which the dictionary holds texts of other rows too
    (kind_of_codes, codes), (kind_of_texts, plain) = read(encoded), read(texts[start:])
    assert kind_of_codes == kind_of_texts
    assert (codes.texts, codes.words, codes.missing) == (plain.texts, plain.words, plain.missing)
    assert codes.all_numbers().tolist() == plain.all_numbers().tolist()


@pytest.mark.parametrize("nulls", [True, False])
def test_a_dictionary_with_nulls_and_texts_twice_is_read_like_its_texts(nulls):
    indices = pa.array([0, 1, None, 2, 1, 3] * 10, pa.int32())
    array = pa.DictionaryArray.from_arrays(indices, pa.array(["1.5", "1.5", None if nulls else "NA", "2.5"]))
    inferred, found = read(array)
    assert inferred == "number"
    assert sorted(set(found.all_numbers().tolist())) == [1.5, 2.5]
    assert (found.numbers, found.missing) == (40, 20)


def test_whole_numbers_beyond_floats_stay_exact_as_codes():
    texts = pa.array(["9007199254740993", "9007199254740992", "NaN", "7"] * 3)
    assert read(texts.dictionary_encode())[1].all_numbers().tolist() == [2**53 + 1, 2**53, 7] * 3


def test_numbers_in_another_spelling_and_dates_in_another_order_are_no_markers():
    found = scan(["1,5"] * 90 + ["0.0"] * 5 + ["closed"] * 5)
    assert missing_markers(found, "numbers") == {"closed"}
    found = scan(["12/31/2024"] * 90 + ["31/12/2024"] * 5 + ["0"] * 5)
    assert missing_markers(found, "dates") == {"0"}


def test_two_spellings_in_one_column_are_text():
    """Which of the two is meant cannot be known, and neither is a word that stands for a missing value."""
    assert kind(["1,5"] * 17 + ["0.0"] * 5 + ["1.0", "2.0"]) == "category"
    assert kind(["1,5", "2,25", "0,5"] * 30 + ["0.0"] * 9) == "number"
    assert kind(["1,5", "2,25", "0,5"] * 30 + ["0.0"] * 11) == "category"
