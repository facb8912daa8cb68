from dataclasses import replace

import pytest

from homeostat.bundle.latency import Latency, LatencyComparison, Slowdown
from homeostat.config import load_model
from homeostat.storage.step_results import load_result
from homeostat.storage.version_info import load_version_info
from sample_model import retrain


@pytest.fixture
def retrain_timed(folder, ports, ask, monkeypatch):
    """Retrain with this measurement, and return the results of validate and gate."""
    with (folder / "model.yaml").open("a") as file:
        file.write("serve: none\n")
    config = load_model(folder)

    def run(name, found):
        asked = []
        monkeypatch.setattr(
            "homeostat.bundle.latency.compare_latency", lambda *args: asked.append(args) or found
        )
        key = ask(name).run_key
        retrain(config, ports, ask(name))
        assert (asked[0][1] is None) == (found.champion is None)
        return [load_result(ports.store, "sample", key, step) for step in ("validate", "gate", "register")]

    return run


def typical_of(ports, version):
    digest = ports.registry.version("sample", version).digest
    return load_version_info(ports.store, "sample", digest)["typical_latency_ms"]


def equal(low=0.98, high=1.03, ratio=1.0):
    return Slowdown(ratio, low, high, 0.0, 100)


def test_a_busy_machine_fails_no_good_candidate_and_leaves_no_trace(retrain_timed, ports):
    retrain_timed("first", LatencyComparison(Latency(14.0, 12.0, 10.0)))
    assert typical_of(ports, "1") == 10.0
    busy = LatencyComparison(Latency(437.0, 300.0, 25.0), Latency(430.0, 290.0, 20.0), equal())
    scores, gate, _ = retrain_timed("second", busy)
    assert scores["candidate"]["machine_slowdown"] == 2.0
    assert scores["candidate"]["slowdown"]["high"] == 1.03
    assert scores["champion"]["unloaded_p99_ms"] == 290.0
    (check,) = (each for each in gate["checks"] if each["name"] == "latency")
    assert (check["verdict"], check["value"]) == ("pass", 150.0)
    assert typical_of(ports, "2") == 12.5


def test_one_measured_latency_counts_for_all_versions_where_that_is_asked(folder, ports, ask, monkeypatch):
    calls = []
    found = LatencyComparison(Latency(14.0, 12.0, 10.0))
    monkeypatch.setattr("homeostat.bundle.latency.compare_latency", lambda *a: calls.append(a) or found)
    with (folder / "model.yaml").open("a") as file:
        file.write("serve: none\n")
    config, once = load_model(folder), replace(ports, times_versions=False)
    for name in ("first", "second"):
        retrain(config, once, ask(name))
    assert len(calls) == 1
    assert typical_of(ports, "2") == 10.0


def test_a_faster_machine_is_no_reason_to_expect_less(retrain_timed, ports):
    retrain_timed("first", LatencyComparison(Latency(14.0, 12.0, 10.0)))
    fast = LatencyComparison(Latency(7.0, 6.0, 5.0), Latency(7.0, 6.0, 5.0), equal())
    scores, _, _ = retrain_timed("second", fast)
    assert scores["candidate"]["machine_slowdown"] == 0.5
    assert typical_of(ports, "2") == 5.0


def test_a_candidate_of_twice_the_champions_time_is_refused(retrain_timed, ports):
    retrain_timed("first", LatencyComparison(Latency(14.0, 12.0, 10.0)))
    slow = LatencyComparison(
        Latency(28.0, 24.0, 20.0), Latency(14.0, 12.0, 10.0), Slowdown(2.0, 1.9, 2.1, 10.0, 100)
    )
    with pytest.raises(Exception, match=r"gate\.max_slowdown allows \(1\.5 times\)"):
        retrain_timed("second", slow)
    assert ports.ledger.read("sample").champion.version == "1"
