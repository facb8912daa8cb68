from __future__ import annotations

from threading import Thread

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.core.rollout import CategoryBins, EvidenceRecorder, NumberBins, Tally
from homeostat.core.rollout.evidence import LATENCY_EDGES_MS

FINITE = st.floats(allow_nan=False, allow_infinity=False, width=32)


@settings(max_examples=60)
@given(st.lists(FINITE, max_size=80), st.sets(FINITE, max_size=20))
def test_number_bins_do_not_depend_on_the_batch_size(values, edges):
    slots = NumberBins(tuple(sorted(edges)))
    found = list(slots(values))
    assert found == [slots([value])[0] for value in values]
    assert all(0 <= slot < slots.size for slot in found)
    assert all((slot % 2 == 1) == (value in edges) for slot, value in zip(found, values, strict=True))


def test_unknown_categories_share_the_last_bin():
    slots = CategoryBins(("0", "1"))
    assert slots([0, "1", "x", np.int64(1)]) == [0, 1, 2, 1]


def test_every_row_is_counted_once_under_its_outcome():
    recorder = EvidenceRecorder(NumberBins((0.0, 1.0)), {"candidate": (-5.0, 5.0)})
    recorder.record_predictions(
        "canary:0",
        "candidate",
        [0.5, float("nan"), None, float("inf"), 9.0, 1.0],
        confidence=[1.0, 0.0, 0.5, float("nan"), 0.99, 2.0],
        latency_ms=3.0,
    )
    recorder.record_failure("canary:0", "candidate", 2)
    recorder.record_comparison("shadow", "shadow", [True, False, np.True_])
    recorder.record_dropped("shadow", "shadow", 4)
    found = recorder.drain()
    tally = found["canary:0", "candidate"]
    assert (tally.rows, tally.errors, tally.nan, tally.out_of_range) == (8, 2, 3, 1)
    assert tally.predictions == (0, 0, 1, 1)
    assert sum(tally.confidence) == 4
    assert sum(tally.latency) == 1
    assert LATENCY_EDGES_MS[len(tally.latency) - 2] < 3.0 <= LATENCY_EDGES_MS[len(tally.latency) - 1]
    shadow = found["shadow", "shadow"]
    assert (shadow.compared, shadow.diverged, shadow.dropped) == (3, 2, 4)
    assert recorder.drain() == {}


def test_numpy_predictions_count_like_lists():
    plain, arrays = EvidenceRecorder(NumberBins((0.0,))), EvidenceRecorder(NumberBins((0.0,)))
    values = [-1.0, 0.0, float("nan"), 2.0] * 20
    plain.record_predictions("s", "champion", values, confidence=[0.5] * 80)
    arrays.record_predictions(
        "s", "champion", np.array(values, dtype=np.float32), confidence=np.full(80, 0.5)
    )
    assert plain.drain() == arrays.drain()


@pytest.mark.parametrize("latency", [0.0, 0.01, 1e9])
def test_every_latency_has_a_bin(latency):
    recorder = EvidenceRecorder()
    recorder.record_predictions("s", "champion", ["yes"], latency_ms=latency)
    (tally,) = recorder.drain().values()
    assert sum(tally.latency) == 1
    assert len(tally.latency) <= len(LATENCY_EDGES_MS) + 1


def test_nothing_is_lost_between_threads_and_drains():
    recorder = EvidenceRecorder(CategoryBins(("a",)))
    threads = [
        Thread(target=lambda: [recorder.record_predictions("s", "champion", ["a"]) for _ in range(500)])
        for _ in range(4)
    ]
    total = Tally()
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        for tally in recorder.drain().values():
            total = total + tally
    for tally in recorder.drain().values():
        total = total + tally
    assert (total.rows, total.predictions) == (2000, (2000,))
