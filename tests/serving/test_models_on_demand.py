"""A gateway that may keep only some of its models in memory loads the others with their first request."""

from __future__ import annotations

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from homeostat.core.rollout import Phase, promote
from serving import gated_load
from serving.gateway_harness import RELEASED, model_config, serving, until

LOAD = "serving.gated_load:load_others"
ROW = {"a": 1.0, "b": 0.0, "colour": "red"}
STUCK = {"a": -777.0, "b": -999.0, "colour": "red"}


@pytest.fixture(autouse=True)
def nothing_held():
    gated_load.HELD.clear()
    gated_load.LOADED.clear()
    gated_load.MAY_LOAD.clear()
    RELEASED.clear()
    yield
    gated_load.MAY_LOAD.set()
    RELEASED.set()


class Fleet:
    """Models of one gateway, each with its own fixture."""

    def __init__(self, setup, names, *, reverse_shadow="0h"):
        canary = {"steps": [0.5], "step_duration": "1h", "min_samples": 20, "reverse_shadow": reverse_shadow}
        self.configs = {name: model_config(name, canary=canary) for name in names}
        self.of = {
            name: replace(setup, config=config, serial=100 * number)
            for number, (name, config) in enumerate(self.configs.items())
        }

    def begin(self, **faults):
        for name, made in self.of.items():
            made.begin(made.version(**faults.get(name, {})))

    def promote(self, name, ref):
        """Promote as another gateway does: in the ledger only."""
        made = self.of[name]
        step = promote(made.traffic(), ref, made.ports.clock.now(), "elsewhere")
        made.ports.ledger.write(
            step.traffic, kind=step.kind, reason=step.reason, by="test", at=made.ports.clock.now()
        )

    def serve(self, setup, limit, **more):
        return serving(setup, models=self.configs, load=LOAD, loaded_models=limit, **more)


def ask(client, model, row=ROW, **more):
    return client.http.post(
        f"models/{model}/invocations", json={"dataframe_records": [row]}, timeout=120, **more
    )


def in_memory(client):
    return {name for name, state in client.runtime.states.items() if state.table.champion is not None}


def metric(client, name):
    lines = client.http.get("metrics").text.splitlines()
    return {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line.startswith(name)
    }


def is_ready(client):
    return client.http.get("v2/health/ready").status_code == 200


def test_models_are_loaded_with_their_first_request_and_the_least_recently_used_is_unloaded(setup):
    fleet = Fleet(setup, ["a", "b", "c"])
    fleet.begin()
    with fleet.serve(setup, 2) as client:
        until(lambda: is_ready(client), "the ledger is read")
        assert (in_memory(client), gated_load.LOADED) == (set(), [])
        assert client.http.get("health").json() == {
            "status": "ok",
            "problems": [],
            "models_without_champion": [],
        }
        assert client.http.get("v2/models/a/ready").json()["ready"]
        status = client.http.get("models/a").json()
        assert (status["ready"], status["on_demand"], status["loaded"]) == (True, True, {})
        assert status["served"]["state"] == "on_demand"
        for name in ("a", "b", "a"):
            answer = ask(client, name)
            assert (answer.status_code, answer.json()) == (200, {"predictions": [1.0]})
        assert gated_load.LOADED == ["a", "b"]
        assert ask(client, "c").status_code == 200
        until(lambda: in_memory(client) == {"a", "c"}, "b is unloaded, which was used before a")
        assert client.http.get("models/c").json()["served"]["state"] == "served"
        assert ask(client, "b").status_code == 200, "it is loaded again"
        until(lambda: in_memory(client) == {"b", "c"}, "a is unloaded")
        assert metric(client, "homeostat_gateway_models_loaded") == {"homeostat_gateway_models_loaded": 2.0}
        loads, unloads = metric(client, "homeostat_loads_total"), metric(client, "homeostat_unloads_total")
        assert list(loads.values()) == [1, 2, 1]
        assert list(unloads.values()) == [1, 1, 0]
        assert metric(client, "homeostat_load_seconds_count") == {"homeostat_load_seconds_count": 4.0}


def test_without_a_limit_all_models_are_loaded_at_the_start(setup):
    fleet = Fleet(setup, ["a", "b", "c"])
    fleet.begin()
    with fleet.serve(setup, 0) as client:
        until(lambda: in_memory(client) == {"a", "b", "c"}, "all are loaded")
        assert metric(client, "homeostat_gateway_models_loaded") == {"homeostat_gateway_models_loaded": 3.0}
        assert client.runtime.residency is None


def test_what_is_unloaded_is_given_back(setup):
    fleet = Fleet(setup, ["a", "b"])
    fleet.begin()
    with fleet.serve(setup, 1) as client:
        until(lambda: is_ready(client), "the ledger is read")
        ask(client, "a")
        champion = fleet.of["a"].traffic().champion
        bundle = weakref.ref(client.runtime.bundle_cache.get("a", champion).bundle.predictor)
        ask(client, "b")

        def gone():
            gc.collect()
            return bundle() is None

        until(gone, "nothing keeps the unloaded version")


def test_requests_that_come_at_once_wait_for_one_load(setup):
    fleet = Fleet(setup, ["a", "b"])
    fleet.begin()
    gated_load.HELD.add("a")
    with fleet.serve(setup, 1) as client, ThreadPoolExecutor(8) as clients:
        until(lambda: is_ready(client), "the ledger is read")
        answers = [clients.submit(ask, client, "a") for _ in range(8)]
        until(lambda: client.runtime.in_flight == 8 and gated_load.LOADED == ["a"], "all wait for the load")
        gated_load.MAY_LOAD.set()
        assert [each.result(60).status_code for each in answers] == [200] * 8
        assert gated_load.LOADED == ["a"]


def test_a_request_waits_no_longer_than_its_time_limit(setup):
    fleet = Fleet(setup, ["a"])
    fleet.begin()
    gated_load.HELD.add("a")
    with fleet.serve(setup, 1, champion_timeout=0.5) as client:
        until(lambda: is_ready(client), "the ledger is read")
        late = ask(client, "a")
        assert (late.status_code, late.headers["retry-after"]) == (503, "1")
        assert late.json()["message"] == "Version 1 of model 'a' is being loaded. Try again shortly."
        gated_load.MAY_LOAD.set()
        until(lambda: in_memory(client) == {"a"}, "the load has ended meanwhile")
        assert ask(client, "a").status_code == 200


def test_a_model_with_requests_in_flight_is_not_unloaded(setup):
    fleet = Fleet(setup, ["a", "b"])
    fleet.begin(a={"hangs_on": STUCK["a"]})
    with fleet.serve(setup, 1) as client, ThreadPoolExecutor(2) as clients:
        until(lambda: is_ready(client), "the ledger is read")
        assert ask(client, "a").status_code == 200
        busy = clients.submit(ask, client, "a", STUCK)
        until(lambda: client.runtime.in_flight == 1, "its request is in flight")
        waits = clients.submit(ask, client, "b")
        until(lambda: client.runtime.in_flight == 2, "the other waits")
        assert in_memory(client) == {"a"}
        assert gated_load.LOADED == ["a"]
        RELEASED.set()
        assert (busy.result(60).status_code, waits.result(60).status_code) == (200, 200)
        until(lambda: in_memory(client) == {"b"}, "a is unloaded once it is idle")


def test_requests_are_refused_while_all_models_in_memory_are_busy_for_too_long(setup):
    fleet = Fleet(setup, ["a", "b"])
    fleet.begin(a={"hangs_on": STUCK["a"]})
    with fleet.serve(setup, 1) as client, ThreadPoolExecutor(1) as clients:
        until(lambda: is_ready(client), "the ledger is read")
        assert ask(client, "a").status_code == 200
        busy = clients.submit(ask, client, "a", STUCK)
        until(lambda: client.runtime.in_flight == 1, "its request is in flight")
        client.runtime.engine._options = replace(client.runtime.options, champion_timeout=0.5)
        refused = ask(client, "b")
        assert refused.status_code == 503
        assert "HOMEOSTAT_GATEWAY_LOADED_MODELS=1" in refused.json()["message"]
        RELEASED.set()
        assert busy.result(60).status_code == 200
        assert in_memory(client) == {"a"}, "no request for b waits any more"


def test_a_model_in_a_rollout_stays_and_its_roll_back_is_immediate(setup):
    fleet = Fleet(setup, ["a", "b", "c"])
    fleet.begin()
    made = fleet.of["a"]
    with fleet.serve(setup, 1) as client:
        until(lambda: is_ready(client), "the ledger is read")
        made.begin(made.version())
        states = client.runtime.states
        until(lambda: states["a"].table.shadow is not None, "the shadow runs without a request", 180)
        until(lambda: made.traffic().rollout.phase is Phase.SHADOW, "the candidate was ready", 180)
        for name in ("b", "c", "b"):
            assert ask(client, name).status_code == 200
        until(lambda: in_memory(client) == {"a", "b"}, "one model beside those in a rollout")
        shadow = states["a"].table.shadow
        gated_load.HELD.add("a")  # a roll-back loads nothing
        assert client.order("models/a/rollback", {"reason": "test"}).status_code == 200
        assert made.traffic().rollout.phase is Phase.ROLLED_BACK
        answer = ask(client, "a")
        assert (answer.status_code, answer.headers["x-homeostat-version"]) == (200, "1")
        assert states["a"].table.shadow is not shadow
        ask(client, "c")
        until(lambda: in_memory(client) == {"c"}, "after the rollout it is unloaded like others")


def test_the_former_champion_stays_while_it_is_compared_with_the_new_one(setup):
    fleet = Fleet(setup, ["a", "b"], reverse_shadow="2h")
    fleet.begin()
    made = fleet.of["a"]
    with fleet.serve(setup, 1) as client:
        until(lambda: is_ready(client), "the ledger is read")
        made.begin(made.version())
        until(lambda: made.traffic().rollout.phase is Phase.SHADOW, "the candidate was ready", 180)
        assert client.order("models/a/promote", {"version": "2"}).status_code == 200
        table = client.runtime.states["a"].table
        assert (table.champion.ref.version, table.shadow.job.version) == ("2", "1")
        assert ask(client, "b").status_code == 200
        assert in_memory(client) == {"a", "b"}
        made.ports.clock.ahead = timedelta(hours=3)
        until(lambda: in_memory(client) == {"a"}, "then the limit holds again")
        assert ask(client, "b").status_code == 200
        until(lambda: in_memory(client) == {"b"}, "a is unloaded like others")


def test_a_promoted_version_that_is_in_memory_is_rolled_back_at_once(setup):
    fleet = Fleet(setup, ["a", "b"])
    fleet.begin()
    made = fleet.of["a"]
    with fleet.serve(setup, 1) as client:
        until(lambda: is_ready(client), "the ledger is read")
        fleet.promote("a", made.version(invert=True))
        until(lambda: client.runtime.states["a"].table.traffic.champion.version == "2", "it follows")
        answer = ask(client, "a")
        assert (answer.json(), answer.headers["x-homeostat-version"]) == ({"predictions": [0.0]}, "2")
        assert answer.headers.get("x-homeostat-fell-back-from") is None
        table = client.runtime.states["a"]
        until(lambda: table.table.previous is not None, "the previous version is loaded after the champion")
        gated_load.HELD.add("a")
        assert client.order("models/a/rollback", {"reason": "test"}).status_code == 200
        answer = ask(client, "a")
        assert (answer.json(), answer.headers["x-homeostat-version"]) == ({"predictions": [1.0]}, "1")


def test_changes_of_a_model_that_is_not_in_memory_are_followed(setup):
    fleet = Fleet(setup, ["a", "b"])
    fleet.begin()
    made = fleet.of["a"]
    with fleet.serve(setup, 1) as client:
        until(lambda: is_ready(client), "the ledger is read")
        assert ask(client, "a").headers["x-homeostat-version"] == "1"
        ask(client, "b")
        until(lambda: in_memory(client) == {"b"}, "a is unloaded")
        state = client.runtime.states["a"]
        fleet.promote("a", made.version(invert=True))
        until(lambda: state.table.traffic.champion.version == "2", "the gateway has read it")
        assert in_memory(client) == {"b"}, "a promotion loads nothing"
        assert [ask(client, "a").headers["x-homeostat-version"] for _ in range(3)] == ["2"] * 3
        ask(client, "b")
        until(lambda: in_memory(client) == {"b"}, "a is unloaded")
        assert client.order("models/a/rollback", {"reason": "test"}).status_code == 200
        assert in_memory(client) == {"b"}, "nor does a roll-back"
        assert ask(client, "a").headers["x-homeostat-version"] == "1"


def test_a_version_that_cannot_be_loaded_is_refused_with_the_reason_and_blocks_no_other(setup):
    fleet = Fleet(setup, ["a", "b", "c"])
    fleet.begin(a={"unloadable": True})
    with fleet.serve(setup, 1) as client:
        until(lambda: is_ready(client), "the ledger is read")
        for _ in range(2):
            refused = ask(client, "a")
            assert refused.status_code == 503
            assert "this pickle is not yours" in refused.json()["message"]
            assert 1 <= int(refused.headers["retry-after"]) <= 60
            for name in ("b", "c"):
                assert ask(client, name).status_code == 200
        assert gated_load.LOADED.count("a") == 1, "the next attempt is a minute later"
        health = client.http.get("health").json()
        assert health["status"] == "degraded"
        assert "a: version 1 is champion but is not loaded" in health["problems"][0]
        assert is_ready(client), "a broken model takes no other out of service"
        assert not client.http.get("v2/models/a/ready").json()["ready"]


def test_a_load_that_hangs_blocks_no_other(setup):
    fleet = Fleet(setup, ["a", "b", "c"])
    fleet.begin()
    gated_load.HELD.add("a")
    with fleet.serve(setup, 1) as client, ThreadPoolExecutor(3) as clients:
        until(lambda: is_ready(client), "the ledger is read")
        hangs = clients.submit(ask, client, "a")
        until(lambda: gated_load.LOADED == ["a"], "the load hangs")
        others = [clients.submit(ask, client, name) for name in ("b", "c")]
        assert [each.result(60).status_code for each in others] == [200, 200]
        assert ask(client, "b").status_code == 200
        gated_load.MAY_LOAD.set()
        assert hangs.result(60).status_code == 200 or not hangs.result().is_success
        until(lambda: len(in_memory(client)) == 1, "the limit holds again")


def test_the_previous_version_predicts_where_the_champion_cannot_be_loaded(setup):
    fleet = Fleet(setup, ["a", "b"])
    fleet.begin()
    made = fleet.of["a"]
    with fleet.serve(setup, 1) as client:
        until(lambda: is_ready(client), "the ledger is read")
        fleet.promote("a", made.version(unloadable=True))
        until(lambda: client.runtime.states["a"].table.traffic.champion.version == "2", "it follows")
        answer = ask(client, "a")
        assert (answer.status_code, answer.headers["x-homeostat-version"]) == (200, "1")
        ask(client, "b")
        until(lambda: in_memory(client) == {"b"}, "it is unloaded like others")
        assert ask(client, "a").headers["x-homeostat-version"] == "1"


def test_a_request_for_one_version_loads_it(setup):
    fleet = Fleet(setup, ["a", "b"])
    fleet.begin()
    made = fleet.of["a"]
    fleet.promote("a", made.version(invert=True))
    body = {
        "inputs": [
            {"name": "a", "shape": [1], "datatype": "FP64", "data": [1.0]},
            {"name": "b", "shape": [1], "datatype": "FP64", "data": [0.0]},
            {"name": "colour", "shape": [1], "datatype": "BYTES", "data": ["red"]},
        ]
    }
    with fleet.serve(setup, 1) as client:
        until(lambda: is_ready(client), "the ledger is read")
        ask(client, "b")
        for version in ("1", "2"):
            answer = client.http.post(f"v2/models/a/versions/{version}/infer", json=body)
            assert (answer.status_code, answer.headers["x-homeostat-version"]) == (200, version)
        assert client.http.post("v2/models/a/versions/7/infer", json=body).status_code == 404


def test_labels_of_a_model_that_was_unloaded_must_be_its_classes(setup):
    fleet = Fleet(setup, ["a", "b"])
    fleet.begin()
    with fleet.serve(setup, 1) as client:
        until(lambda: is_ready(client), "the ledger is read")
        for name in ("a", "b"):
            assert ask(client, name).status_code == 200
        until(lambda: in_memory(client) == {"b"}, "a is unloaded")
        assert client.labels({"id": "r-1", "label": "7"}, model="a").status_code == 422
        assert client.labels({"id": "r-1", "label": "1"}, model="a").json()["accepted"] == 1
        outputs = client.http.get("v2/models/a").json()
        assert outputs["versions"] == ["1"]


def test_a_call_that_hangs_is_reported_although_its_model_was_unloaded(setup, caplog):
    fleet = Fleet(setup, ["a", "b"])
    fleet.begin(a={"hangs_on": STUCK["a"]})
    with fleet.serve(setup, 1, champion_timeout=2.0) as client:
        until(lambda: is_ready(client), "the ledger is read")
        until(lambda: ask(client, "a").status_code == 200, "it is loaded in time, on a busy machine too")
        pool = client.runtime.pool
        found, pool.replace_hung = pool.replace_hung, list  # not found before it is unloaded
        assert ask(client, "a", STUCK).status_code == 504
        until(lambda: ask(client, "b").status_code == 200, "b is loaded")
        until(lambda: in_memory(client) == {"b"}, "in a's place")
        pool.replace_hung = found
        until(lambda: "a version 1: 1 predict calls hang" in caplog.text, "it is found all the same")
