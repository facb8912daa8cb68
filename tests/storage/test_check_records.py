"""The record of a check is what was decided, and records of earlier releases are still read."""

import json
from datetime import timedelta

import pytest

from homeostat.adapters.store_memory import MemoryStore
from homeostat.monitoring.drift_check import check_drift
from homeostat.storage.check_records import check_key, checks_before, find_check, newest_check
from sample_model import T0, rows_between, serve

pytestmark = pytest.mark.usefixtures("quick")
HOUR = timedelta(hours=1)


def test_the_record_says_what_was_decided_by_which_settings(config, ports, champion):
    serve(config, ports, rows_between(T0, T0 + 4 * HOUR, shift=3.0))
    result = check_drift(config, ports, T0 + 4 * HOUR)
    found = find_check(ports.store, "sample", T0 + 4 * HOUR)
    assert found.trigger.reason == result["reason"]
    assert found.trigger.sentence in result["sentence"]
    assert found.record == ports.history.windows("sample")[-1]
    assert found.drift.drifted_share == pytest.approx(2 / 3)
    assert found.performance.metric == "accuracy"
    assert found.settings["trigger.consecutive"] == 2
    assert found.settings["monitor.window"] == "4h"
    assert found.settings["gate.metric"] == "accuracy"


def test_the_checks_before_come_oldest_first_and_may_have_gaps(config, ports, champion):
    serve(config, ports, rows_between(T0, T0 + 8 * HOUR))
    for hours in (4, 5, 7, 8):
        check_drift(config, ports, T0 + hours * HOUR)
    newest = newest_check(ports.store, "sample")
    assert newest.window_end == T0 + 8 * HOUR

    def ends(count):
        return [each.window_end for each in checks_before(ports.store, "sample", newest, count)]

    assert ends(1) == [T0 + 7 * HOUR]
    assert ends(2) == [T0 + 5 * HOUR, T0 + 7 * HOUR]
    assert ends(9) == [T0 + 4 * HOUR, T0 + 5 * HOUR, T0 + 7 * HOUR]
    assert find_check(ports.store, "sample", T0 + 6 * HOUR) is None


def test_the_newest_record_is_found_without_that_of_the_newest_check():
    store = MemoryStore()
    assert newest_check(store, "sample") is None
    for end in (T0, T0 + HOUR):
        raw = {
            "window_end": end.isoformat(),
            "verdict": "pass",
            "reason": "",
            "rows": 9,
            "drifted_share": 0.0,
        }
        store.put(check_key("sample", end), json.dumps(raw).encode())
    found = newest_check(store, "sample")
    assert found.window_end == T0 + HOUR
    assert checks_before(store, "sample", found, 3) == [], "of release 0.1, which does not say how far"


def test_a_record_of_an_earlier_release_has_the_drift_report_alone():
    store = MemoryStore()
    raw = {"window_end": T0.isoformat(), "verdict": "pass", "reason": "", "rows": 9, "drifted_share": 0.0}
    store.put(check_key("sample", T0), json.dumps(raw).encode())
    found = find_check(store, "sample", T0)
    assert found.drift.rows == 9
    assert (found.record, found.performance, found.trigger, found.settings) == (None, None, None, {})
