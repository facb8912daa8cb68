"""homeostat drift on the files that people have: the right value, computed from the numbers themselves."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats

N = 600


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def right_ks(before: np.ndarray, now: np.ndarray) -> float:
    return float(stats.ks_2samp(before, now, method="asymp").statistic)


def assert_alert(found: Any, before: np.ndarray, now: np.ndarray) -> None:
    column = found["columns"]["x"]
    assert (column["kind"], column["verdict"]) == ("number", "alert")
    assert column["ks"] <= right_ks(before, now) + 1e-12 <= column["ks"] + column["ks_error"] + 2e-12


@pytest.mark.parametrize(("before", "now"), [(7.25, 99.5), (5.0, 9.0), (0.0, -0.5), (1e12, 1.0)])
@pytest.mark.parametrize("rows", [(1000, 1000), (1000, 50)])
def test_a_constant_that_moves_is_an_alert(compare, before, now, rows):
    column = compare(np.full(rows[0], before), np.full(rows[1], now))["columns"]["x"]
    assert column["verdict"] == "alert"
    assert column["ks"] == 1 or column["unseen_share"] == 1


def test_a_constant_date_that_moves_is_an_alert(compare):
    column = compare(["2024-01-31"] * 500, ["2024-02-29"] * 500)["columns"]["x"]
    assert (column["kind"], column["verdict"], column["ks"]) == ("datetime", "alert", 1)


ORDERED = {
    "uniform": lambda r, at: r.uniform(at, at + 1, N),
    "whole": lambda r, at: r.integers(at * 10**6, (at + 1) * 10**6, N).astype(float),
    "steps": lambda r, at: np.repeat([1.99 + at, 2.09 + at, 2.49 + at], N // 3),
}


@pytest.mark.parametrize("name", ORDERED)
@pytest.mark.parametrize("direction", [1, -1])
def test_the_order_of_the_rows_decides_no_verdict(compare, name, direction):
    before, now = ORDERED[name](rng(), 0), ORDERED[name](rng(1), 2)
    shuffled = compare(before, now)
    assert compare(np.sort(before)[::direction], np.sort(now)[::direction]) == shuffled
    assert_alert(shuffled, before, now)


@given(
    values=st.lists(
        st.one_of(
            st.integers(0, 60).map(str),
            st.sampled_from(
                ["1,5", "2.5", "NA", "?", "007", "x", "31/01/2024", "02/03/2024", "2024-01-01", ""]
            ),
        ),
        min_size=20,
        max_size=60,
    ),
    shift=st.integers(0, 30),
    random=st.randoms(use_true_random=False),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_shuffled_rows_give_the_same_result(compare, values, shift, random):
    now = values[shift:] + values[: max(0, 20 - len(values[shift:]))]
    found = compare(values, now)["columns"]["x"]
    assert compare(random.sample(values, len(values)), random.sample(now, len(now)))["columns"]["x"] == found


def test_what_is_left_out_counts_in_the_sentence(compare):
    ids = np.arange(N)
    found = compare(rng().permutation(ids), rng(1).permutation(ids + N))
    assert found["columns"]["x"]["kind"] == "id"
    assert (found["verdict"], found["reason"]) == ("pass", "0 of 1 columns drifted, 1 without a verdict")


@pytest.mark.parametrize("share", [0.001, 0.02, 0.09])
@pytest.mark.parametrize("distinct", [1, 6, 10**6])
def test_words_among_numbers_do_not_hide_a_shift(compare, share, distinct):
    def column(seed: int, mean: float) -> tuple[np.ndarray, list[str]]:
        numbers = rng(seed).normal(mean, 1, 5000)
        texts = [f"{x:.3f}" for x in numbers]
        words = rng(seed).choice(5000, int(share * 5000), replace=False)
        for at in words:
            texts[at] = f"<word {at % distinct}"
        return np.delete(numbers.round(3), words), texts

    (before, old), (now, new) = column(0, 5), column(1, 7)
    found = compare(old, new)
    assert_alert(found, before, now)
    entry = found["columns"]["x"]
    assert entry["unread_reference"] == entry["unread_current"] == int(share * 5000)
    assert "'<word" in entry["read_as"]


def test_words_that_begin_are_an_alert_and_not_a_number(compare):
    numbers = [f"{x:.2f}" for x in rng().normal(size=1000)]
    found = compare(numbers, ["<0.1"] * 150 + numbers[150:])["columns"]["x"]
    assert (found["verdict"], found["unseen_share"]) == ("alert", 0.15)
    assert "15.0% of the values are not numbers" in found["reason"]


def test_a_column_of_words_and_numbers_says_so_and_is_no_id_in_silence(compare):
    texts = [f"{x:.3f}" for x in rng().normal(size=500)] + [f"A{at}" for at in range(200)]
    found = compare(texts, texts)["columns"]["x"]
    assert (found["kind"], found["verdict"]) == ("id", "not_computable")
    assert "71% of the values are numbers, the others words" in found["reason"]


WRITTEN = {
    "decimal comma": lambda v: f"{v:.2f}".replace(".", ","),
    "per cent": lambda v: f"{v:.2f}%",
    "currency": lambda v: f"${v:.2f}",
    "euro": lambda v: f"{v:.2f} €".replace(".", ","),
    "thousands": lambda v: f"{v * 10:,.2f}",
    "swiss": lambda v: f"{v * 10:,.2f}".replace(",", "'"),
    "german": lambda v: f"{v * 10:,.2f}".translate(str.maketrans(",.", ".,")),
    "french": lambda v: f"{v * 10:,.2f}".translate(str.maketrans(",.", "\u202f,")),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_spelled_numbers_are_compared_as_numbers(compare, name):
    before, now = rng().normal(100, 15, N).round(2), rng(1).normal(130, 15, N).round(2)
    found = compare([WRITTEN[name](v) for v in before], [WRITTEN[name](v) for v in now])
    assert_alert(found, before, now)
    assert found["columns"]["x"]["read_as"].startswith("read with ")


def test_each_table_may_spell_its_numbers_in_its_own_way(compare):
    values = rng().normal(100, 15, N).round(2)
    found = compare([f"{v:.2f}" for v in values], [f"{v:.2f}".replace(".", ",") for v in values])["columns"][
        "x"
    ]
    assert (found["verdict"], found["ks"]) == ("pass", 0)
    assert found["read_as"] == "read with plain numbers in the reference, decimal commas now"


def days(start: str, written: str) -> list[str]:
    return list(pd.date_range(start, periods=60).repeat(20).strftime(written))


@pytest.mark.parametrize(
    "written",
    ["%d-%m-%Y", "%d-%b-%Y", "%m/%d/%y", "%d/%m/%y", "%d.%m.%Y", "%Y/%m/%d", "%b %d, %Y", "%y-%m-%d"],
)
def test_dates_that_run_on_get_no_verdict_in_every_format(compare, written):
    found = compare(days("2024-01-01", written), days("2024-03-01", written))
    column = found["columns"]["x"]
    assert (column["kind"], column["verdict"]) == ("datetime", "not_computable")
    assert "advances with time" in column["reason"]
    assert (found["verdict"], found["reason"]) == ("pass", "0 of 1 columns drifted, 1 without a verdict")


def test_day_and_month_that_cannot_be_told_apart_are_asked_for(compare):
    before = [f"{d:02d}/{m:02d}/2020" for d in range(1, 13) for m in range(1, 13)]
    found = compare(before, before[::-1])["columns"]["x"]
    assert found["verdict"] == "not_computable"
    assert "--date-format x=%d/%m/%Y or --date-format x=%m/%d/%Y" in found["reason"]
    known = compare(before, before[::-1], "--date-format", "x=%d/%m/%Y")["columns"]["x"]
    assert (known["kind"], known["verdict"], known["ks"]) == ("datetime", "pass", 0)
    assert known["read_as"] == "read with dates as %d/%m/%Y"


def test_the_other_table_tells_day_from_month(compare):
    open_order = [f"{d:02d}/{m:02d}/2020" for d in range(1, 13) for m in range(1, 13)]
    certain = [f"{d:02d}/{m:02d}/2020" for d in range(1, 29) for m in range(1, 13)]
    found = compare(open_order, certain)["columns"]["x"]
    assert found["kind"] == "datetime"
    right = [
        pd.to_datetime(pd.Series(each), format="%d/%m/%Y").astype("int64") for each in (open_order, certain)
    ]
    assert found["ks"] <= right_ks(*right) + 1e-12 <= found["ks"] + found["ks_error"] + 2e-12


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("x", "write COLUMN=FORMAT"),
        ("x=", "write COLUMN=FORMAT"),
        ("x=%H", "is no format of dates"),
        ("y=%d/%m/%Y", "neither table has a column 'y'; the columns are: x, z"),
    ],
)
def test_an_unusable_date_format_is_an_error(compare, option, message):
    assert message in " ".join(compare(["1"], ["1"], "--date-format", option, error=True).split())


def births(seed: int) -> pd.DatetimeIndex:
    return pd.Timestamp("1980-01-01") + pd.to_timedelta(rng(seed).integers(0, 8000, N), unit="D")


def test_the_files_of_a_folder_may_write_dates_in_their_own_way(drift, tmp_path):
    for folder in ("ref", "cur", "eu"):
        (tmp_path / folder).mkdir()
    pq.write_table(pa.table({"born": pa.array(births(0).date)}), tmp_path / "ref" / "1.parquet")
    pq.write_table(pa.table({"born": pa.array(births(1).date)}), tmp_path / "cur" / "1.parquet")
    pq.write_table(
        pa.table({"born": pa.array(births(2).strftime("%Y-%m-%d"))}), tmp_path / "cur" / "2.parquet"
    )
    for at, written in enumerate(("%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y")):
        pd.DataFrame({"born": births(at).strftime(written)}).to_csv(
            tmp_path / "eu" / f"{at}.csv", index=False
        )
    for name, parts in (("cur", (1, 2)), ("eu", (0, 1, 2, 3))):
        found = drift(tmp_path / "ref", tmp_path / name)["columns"]["born"]
        right = right_ks(
            births(0).astype("int64"), np.concatenate([births(at).astype("int64") for at in parts])
        )
        assert (found["kind"], found["verdict"], found["unseen_share"]) == ("datetime", "pass", 0)
        assert found["ks"] <= right + 1e-12 <= found["ks"] + found["ks_error"] + 2e-12


@pytest.mark.parametrize("as_text", [False, True])
def test_times_here_and_milliseconds_there_are_told_with_the_cure(drift, tmp_path, as_text):
    frame = pd.DataFrame({"born": births(0).strftime("%Y-%m-%d")})
    frame.to_parquet(tmp_path / "a.parquet")
    millis = births(0).astype("datetime64[ms]").astype("int64")
    pd.DataFrame({"born": millis.astype(str) if as_text else millis}).to_parquet(tmp_path / "b.parquet")
    found = drift(tmp_path / "a.parquet", tmp_path / "b.parquet")
    column = found["columns"]["born"]
    assert "if they are milliseconds since 1970 (1980-" in column["reason"]
    assert "--date-format born=ms" in column["reason"]
    assert "are not numbers" not in json.dumps(found)
    read = drift(tmp_path / "a.parquet", tmp_path / "b.parquet", "--date-format", "born=ms")["columns"][
        "born"
    ]
    assert (read["kind"], read["verdict"], read["ks"], read["unseen_share"]) == ("datetime", "pass", 0, 0)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_words_for_missing_are_values_of_a_column_of_text(drift, tmp_path, kind):
    tables = []
    for name, shares in (("a", [0.3, 0.2, 0.5]), ("b", [0.54, 0.36, 0.1])):
        region = rng(len(tables)).choice(["EMEA", "APAC", "NA"], 1000, p=shares)
        tables.append(
            pd.DataFrame({"region": region, "garage": np.where(region == "NA", "None", "Attached")})
        )
        getattr(tables[-1], f"to_{kind}")(tmp_path / f"{name}.{kind}", index=False)
    found = drift(tmp_path / f"a.{kind}", tmp_path / f"b.{kind}")["columns"]
    for name in ("region", "garage"):
        counts = pd.concat([each[name].value_counts() for each in tables], axis=1).to_numpy()
        right = stats.contingency.association(counts, method="cramer", correction=False)
        assert found[name]["cramers_v"] == pytest.approx(right, rel=0.02)
        assert (found[name]["verdict"], found[name]["missing_current"]) == ("alert", 0)


def test_words_for_missing_are_missing_numbers_and_told(compare):
    numbers = [f"{x:.3f}" for x in rng().normal(size=N)]
    found = compare(numbers, ["NA"] * 60 + numbers[60:])["columns"]["x"]
    assert (found["kind"], found["missing_reference"], found["missing_current"]) == ("number", 0, 0.1)
    assert found["read_as"] == "'NA' is read as missing (0 of 600 values in the reference, 60 of 600 now)"


@pytest.mark.parametrize("kind", [pa.float32(), pa.float16()])
def test_short_floats_are_the_decimals_of_a_csv(drift, tmp_path, kind):
    prices = np.tile([0.1, 0.2, 0.3, 0.7, 1.99, 0.05, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.95], 20)
    pd.DataFrame({"x": prices}).to_csv(tmp_path / "a.csv", index=False)
    pq.write_table(pa.table({"x": pa.array(prices.astype(kind.to_pandas_dtype()))}), tmp_path / "b.parquet")
    for names in (("a.csv", "b.parquet"), ("b.parquet", "a.csv")):
        found = drift(*(tmp_path / name for name in names))["columns"]["x"]
        assert (found["verdict"], found["ks"], found["psi"]) == ("pass", 0, 0)


def test_categories_that_differ_in_case_or_blanks_are_named(compare):
    found = compare(["Yes", "no", "yes "] * 40, ["yes ", "no", "no"] * 40)["columns"]["x"]
    assert found["read_as"] == (
        "'Yes', 'yes ' differ only in upper and lower case or blanks, and are different values: "
        "write them alike"
    )
    assert compare(["yes", "no"] * 60, ["yes", "no"] * 60)["columns"]["x"]["read_as"] is None
