"""Damaged statistics of categories in a CatBoost file are refused, or do no harm.

CatBoost reads them without any verification: an index without an empty bucket is walked for ever, and a row
that is not there is read from whatever memory follows.
"""

import pickle
import random
import struct
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from homeostat.bundle.boosters import catboost_core, catboost_ctrs, catboost_format
from homeostat.bundle.boosters.flatbuffer import Table
from homeostat.config.errors import Untrusted


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    found = pd.DataFrame({"a": rng.normal(size=400)})
    found["c"] = rng.choice(np.array(["u", "v", "w", "x", "y"], dtype=object), 400)
    found["d"] = rng.choice(np.array(["p", "q", "r"], dtype=object), 400)
    return found


@pytest.fixture(
    scope="module",
    params=[(2, "SymmetricTree"), (3, "SymmetricTree"), (3, "Lossguide")],
    ids=["two classes", "three classes", "leaf by leaf"],
)
def data(request, frame):
    """The file of a small model with combinations of categories."""
    from catboost import CatBoostClassifier

    label = ((frame["c"] == "u") | (frame["a"] > 1)).astype(int)
    classes, policy = request.param
    if classes == 3:
        label += (frame["a"] > 0) & (frame["d"] == "p")
    more = {
        "grow_policy": policy,
        "iterations": 8,
        "depth": 3,
        "verbose": False,
        "allow_writing_files": False,
    }
    booster = CatBoostClassifier(**more, cat_features=["c", "d"]).fit(frame, label)
    return catboost_format.dump(booster)[0]


def statistics(data):
    """Where the statistics begin, and where the first table of them does."""
    begin = 8 + struct.unpack_from("<I", data, 4)[0]
    return begin, begin + 8


def in_table(field, change):
    """Return what edits the vector of bytes of the first table's field."""

    def edit(data):
        _, first = statistics(data)
        table = Table.root(data[first:])
        at = table.offset(field)
        at += int.from_bytes(table.data[at : at + 4], "little")
        count = int.from_bytes(table.data[at : at + 4], "little")
        inside = bytearray(table.data[at + 4 : at + 4 + count])
        change(inside)
        return data[: first + at + 4] + bytes(inside) + data[first + at + 4 + count :]

    return edit


def number_in_table(field, value):
    def edit(data):
        _, first = statistics(data)
        at = first + Table.root(data[first:]).offset(field)
        return data[:at] + struct.pack("<i", value) + data[at + 4 :]

    return edit


def at_start(value):
    def edit(data):
        begin, _ = statistics(data)
        return data[:begin] + struct.pack("<I", value) + data[begin + 4 :]

    return edit


def no_empty_bucket(inside):
    buckets = np.frombuffer(inside, catboost_ctrs._BUCKET)
    buckets["hash"][buckets["hash"] == catboost_ctrs._EMPTY] = 1
    buckets["row"][:] = 0


def another_row(inside):
    buckets = np.frombuffer(inside, catboost_ctrs._BUCKET)
    buckets["row"][np.flatnonzero(buckets["hash"] != catboost_ctrs._EMPTY)[:1]] = 1 << 30


def in_core(field, change):
    """Return what edits the first table of features of a kind, a table of numbers, in place."""

    def edit(data):
        core = Table.root(data[8:]).table(1)
        return change(data, core.tables(field)[0])

    return edit


def column(at):
    """Return what gives the first feature a column far away."""

    def change(data, feature):
        place = 8 + feature.offset(at)
        return data[:place] + struct.pack("<i", 1 << 30) + data[place + 4 :]

    return change


ATTACKS = {
    "a feature in a column far away": (in_core(catboost_core._FLOATS, column(2)), "a column outside"),
    "an index without an empty bucket": (in_table(catboost_ctrs._INDEX, no_empty_bucket), "without an end"),
    "a row that is not there": (in_table(catboost_ctrs._INDEX, another_row), "a row of the statistics"),
    "more tables than it has": (at_start(1 << 20), "no complete cbm file"),
    "fewer tables than it has": (at_start(0), "bytes behind|without its statistics"),
    "more classes than rows have": (number_in_table(catboost_ctrs._CLASSES, 1 << 20), "statistics"),
    "statistics cut short": (lambda data: data[: statistics(data)[1] + 40], "no complete|outside the file"),
    "no statistics": (lambda data: data[: statistics(data)[0]], "no complete cbm file"),
    "bytes behind the statistics": (lambda data: data + bytes(8), "bytes behind"),
    "statistics of zeros": (
        lambda data: data[: statistics(data)[1]] + bytes(len(data) - statistics(data)[1]),
        "a booster in the bundle",
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_crafted_statistics_are_refused(data, attack):
    change, said = ATTACKS[attack]
    assert change(data) != data
    with pytest.raises(Untrusted, match=said):
        catboost_format.check(change(data))


CHILD = """
import pickle, resource, sys
from catboost import CatBoostClassifier
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
frame, files = pickle.load(sys.stdin.buffer)
read = 0
for data in files:
    try:
        model = CatBoostClassifier()
        model.load_model(blob=data)
        model.predict_proba(frame, thread_count=1)
        read += 1
    except Exception as error:
        assert "bad_alloc" not in str(error)
print(read)
"""


@pytest.mark.parametrize("part", ["statistics", "whole"])
def test_damaged_files_that_pass_the_check_do_not_end_the_process(data, frame, part):
    """Each goes to CatBoost in a process of its own kind: a crash would end that one."""
    draw, files = random.Random(0), []  # noqa: S311  # which bytes
    begin = statistics(data)[0] if part == "statistics" else 0
    for _ in range(700):
        damaged = bytearray(data)
        for _ in range(draw.choice((1, 1, 3))):
            at = draw.randrange(begin, len(data))
            damaged[at] = draw.choice((draw.randrange(256), 0, 255, damaged[at] ^ 1))
        try:
            catboost_format.check(bytes(damaged))
        except Untrusted:
            continue
        files.append(bytes(damaged))
    assert 100 < len(files) < 680
    rows = frame.head(20).assign(c="never seen")
    done = subprocess.run(
        [sys.executable, "-c", CHILD],
        input=pickle.dumps((pd.concat([frame.head(50), rows]), files)),
        capture_output=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout.split()[-1]) > 50
