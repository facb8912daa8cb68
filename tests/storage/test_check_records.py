"""The record of a check is what was decided, and records of earlier releases are still read."""

import json
from datetime import timedelta

import pytest

from homeostat.adapters.store_memory import MemoryStore
from homeostat.monitoring.drift_check import check_drift
from homeostat.storage.check_records import check_key, find_check, last_checks
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


def test_the_last_checks_come_oldest_first(config, ports, champion):
    serve(config, ports, rows_between(T0, T0 + 6 * HOUR))
    for hours in (4, 5, 6):
        check_drift(config, ports, T0 + hours * HOUR)

    def ends(*args, **limits):
        return [c.window_end for c in last_checks(ports.store, "sample", *args, **limits)]

    assert ends(2) == [T0 + 5 * HOUR, T0 + 6 * HOUR]
    assert ends(9, until=T0 + 5 * HOUR) == [T0 + 4 * HOUR, T0 + 5 * HOUR]
    assert ends(9, since=T0 + 6 * HOUR) == [T0 + 6 * HOUR]
    assert find_check(ports.store, "sample", T0 + 7 * HOUR) is None


def test_a_record_of_an_earlier_release_has_the_drift_report_alone():
    store = MemoryStore()
    raw = {"window_end": T0.isoformat(), "verdict": "pass", "reason": "", "rows": 9, "drifted_share": 0.0}
    store.put(check_key("sample", T0), json.dumps(raw).encode())
    found = find_check(store, "sample", T0)
    assert found.drift.rows == 9
    assert (found.record, found.performance, found.trigger, found.settings) == (None, None, None, {})
