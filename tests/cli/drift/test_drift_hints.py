"""A column that is not compared says what its values look like, and what to do."""

from __future__ import annotations

import datetime as dt
import hashlib

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

RNG = np.random.default_rng(5)
MOMENTS = pd.Series(pd.Timestamp("2024-01-01") + pd.to_timedelta(RNG.integers(0, 400_000, 400), unit="min"))
ZIPS = [f"{code:05d}" for code in RNG.permutation(100_000)[:400]]
HASHES = [hashlib.sha256(str(at).encode()).hexdigest()[:8] for at in range(400)]
PLAIN = "most values are unique, as in ids, codes and free text: there is no distribution to compare"
COLUMNS = {
    "zone": ([f"{each:%Y-%m-%d %H:%M:%S} CET" for each in MOMENTS], "name a zone"),
    "zone of Unix": ([f"{each:%a %b %d %H:%M:%S CEST %Y}" for each in MOMENTS], "name a zone"),
    "zone of the map": ([f"{each:%Y-%m-%d %H:%M} Europe/Berlin" for each in MOMENTS], "write its offset"),
    "time of day": ([f"{at // 60:02d}:{at % 60:02d}:{at % 7:02d}" for at in range(400)], "are times of day"),
    "minutes": ([f"{at // 10:02d}:{at % 60:02d}.{at % 10}" for at in range(400)], "are times of day"),
    "twelve hours": ([f"{at // 60 % 12 + 1}:{at % 60:02d} PM" for at in range(400)], "are times of day"),
    "durations": ([f"{at} days {at % 24:02d}:00:00" for at in range(400)], "are durations"),
    "weeks": ([f"{2020 + at // 52}-W{at % 52 + 1:02d}" for at in range(200)], "are weeks"),
    "months": ([f"{at % 28 + 1}. März {1800 + at}" for at in range(400)], "a month that is not English"),
    "unit": ([f"{value:.2f} kg" for value in RNG.normal(900, 90, 400)], "are numbers with a unit ('kg')"),
    "units": ([f"{at}.5 {'kg' if at % 2 else 'g'}" for at in range(400)], "a unit ('g', 'kg')"),
    "degrees": ([f"{value:.2f}°C" for value in RNG.normal(50, 9, 400)], "a unit ('°C')"),
    "brackets": ([f"[{value:.3f}]" for value in RNG.normal(50, 9, 400)], "are numbers in brackets or quotes"),
    "lists": ([f"[{at}.5, {at + 1}]" for at in range(400)], "are lists of numbers"),
    "two colons": ([f"{at}::{at % 7}::{at % 5}" for at in range(400)], "if it separates columns"),
    "addresses": ([f"fe80::{at:x}" for at in range(400)], PLAIN),
    "per": ([f"{at}.5 m/s" for at in range(400)], "a unit ('m/s')"),
    "zip codes": (ZIPS, PLAIN),
    "hashes": (HASHES, PLAIN),
    "licence plates": ([f"B-AB {at}" for at in range(300)] + [str(at) for at in range(500, 540)], PLAIN),
    "free text": ([f"comment {at} on it" for at in range(400)], PLAIN),
    "words": (
        [f"{value:.3f}" for value in RNG.normal(size=400)] + [f"bad {at}" for at in range(100)],
        "80% of the values are numbers, the others words",
    ),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_the_reason_says_what_the_values_are(compare, name):
    texts, reason = COLUMNS[name]
    found = compare(texts, texts[::-1])["columns"]["x"]
    assert found["verdict"] == "not_computable"
    assert reason in found["reason"]


@pytest.mark.parametrize(
    "written",
    ["%a %b %d %H:%M:%S %Y", "%a %b %d %H:%M:%S UTC %Y", "%d%b%Y:%H:%M:%S", "%d/%b/%Y:%H:%M:%S +0000"],
)
def test_times_as_programs_write_them_are_times(compare, written):
    texts = [each.strftime(written) for each in MOMENTS]
    found = compare(texts, [each.strftime("%Y-%m-%dT%H:%M:%S") for each in MOMENTS])["columns"]["x"]
    assert (found["kind"], found["verdict"], found["ks"]) == ("datetime", "pass", 0)
    found = compare([text.upper() for text in texts], texts)["columns"]["x"]
    assert (found["kind"], found["verdict"], found["ks"]) == ("datetime", "pass", 0)


def test_spread_repeated_values_have_the_hint_too(compare):
    texts = [f"{at % 150}.5 kg" for at in range(200)]
    assert "are numbers with a unit" in compare(texts, texts[::-1])["columns"]["x"]["reason"]


def test_times_of_parquet_against_their_csv_have_the_hint(drift, tmp_path):
    clock = [dt.time(at // 60, at % 60) for at in range(60, 460)]
    pq.write_table(pa.table({"x": clock}), tmp_path / "a.parquet")
    pd.DataFrame({"x": [each.isoformat() for each in clock]}).to_csv(tmp_path / "b.csv", index=False)
    column = drift(tmp_path / "a.parquet", tmp_path / "b.csv")["columns"]["x"]
    assert column["unread_current"] == 400
    assert "are times of day: keep them as a number, such as seconds since midnight" in column["reason"]


@pytest.mark.parametrize("written", ['="{:.2f}"', "Rs. {:.2f}", "{:.2f}D+00", "{:.2f}-"])
def test_numbers_as_programs_write_them_are_numbers(compare, written):
    numbers = RNG.normal(50, 9, 400)
    texts = [written.format(number) for number in numbers]
    plain = [f"{-number if written.endswith('-') else number:.2f}" for number in numbers]
    found = compare(texts, plain)["columns"]["x"]
    assert (found["kind"], found["verdict"], found["ks"], found["unread_reference"]) == (
        "number",
        "pass",
        0,
        0,
    )
