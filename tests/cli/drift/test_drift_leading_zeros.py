"""A leading zero decides by its share whether whole numbers are codes."""

from __future__ import annotations

import numpy as np
import pytest


def amounts(seed: int, shift: int = 0) -> list[str]:
    numbers = np.random.default_rng(seed).integers(100, 5000, 2000) + shift
    return list(map(str, numbers.tolist()))


@pytest.mark.parametrize("code", ["00", "007", "0100"])
@pytest.mark.parametrize("table", [0, 1])
def test_one_leading_zero_does_not_take_the_verdict(compare, code, table):
    tables = [amounts(0), amounts(1, shift=4000)]
    tables[table][77] = code
    found = compare(*tables)
    column = found["columns"]["x"]
    assert (column["kind"], column["verdict"]) == ("number", "alert")
    counts = "1 of 2,000 values in the reference, 0 of 2,000 now"
    if table:
        counts = "0 of 2,000 values in the reference, 1 of 2,000 now"
    assert (
        f"values with a leading zero, such as {code!r}, are read as numbers ({counts})" in column["read_as"]
    )
    assert (column["unread_reference"], column["unread_current"]) == (0, 0)
    assert not [each for each in found["schema"] if each["kind"] == "retyped"]


def test_the_number_is_the_one_that_is_written(compare):
    before = ["0010", *map(str, range(11, 2011))]
    column = compare(before, list(map(str, range(10, 2011))))["columns"]["x"]
    assert (column["verdict"], column["ks"]) == ("pass", 0)


@pytest.mark.parametrize("share", [0.01, 0.08, 1])
def test_codes_stay_codes(compare, share):
    rng = np.random.default_rng(2)
    areas = [f"{area:05d}" for area in rng.integers(0, int(10_000 / share), 20).tolist()]
    areas[0], areas[1] = "01234", "54321"
    rows = [areas[at % 20] for at in range(2000)]
    found = compare(rows, rows[::-1])
    column = found["columns"]["x"]
    assert (column["kind"], column["verdict"]) == ("category", "pass")
    assert not found["schema"]


@pytest.mark.parametrize(("before", "now"), [(22, 18), (18, 22), (40, 10)])
def test_shares_close_to_the_limit_are_not_another_type(compare, before, now):
    tables = [[f"{at % 97 + 10}" for at in range(2000)] for _ in range(2)]
    for table, rows in zip(tables, (before, now), strict=True):
        table[:rows] = ["07"] * rows
    assert not [each for each in compare(*tables)["schema"] if each["kind"] == "retyped"]


def test_codes_instead_of_numbers_are_another_type(compare):
    codes = [f"{at % 900:04d}" for at in range(2000)]
    found = compare(amounts(3), codes)
    assert [each["kind"] for each in found["schema"]] == ["retyped"]
