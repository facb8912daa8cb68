"""Faults that the gateway survives: services away, versions that do not load, a dead or slow shadow."""

import os
import signal
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from homeostat.adapters.store_memory import MemoryStore
from homeostat.config.errors import Unavailable
from homeostat.core.rollout import HOLDOUT, Phase, Tally
from homeostat.storage.prediction_log import read_predictions
from serving.gateway_harness import Client, make_gateway_fixture, model_config, serving, until

ROW = {"a": 1.0, "b": 0.0, "colour": "red"}


class AwayStore(MemoryStore):
    """A store that can be made unavailable."""

    def __init__(self):
        super().__init__()
        self.away = False

    def put(self, key, data, *, overwrite=False):
        if self.away:
            raise Unavailable("the store is away")
        super().put(key, data, overwrite=overwrite)


def counter(client: Client, name: str) -> float:
    lines = [line for line in client.http.get("/metrics").text.splitlines() if line.startswith(name)]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


def test_a_restart_with_mlflow_and_the_ledger_away_serves_the_last_known_routing(setup):
    setup.begin(setup.version())
    with serving(setup) as client:
        client.ready()
    setup.ports.registry.down = True
    setup.ports.ledger.down = True
    with serving(setup) as client:
        client.ready()
        assert client.score().json() == {"predictions": [1.0]}
        until(lambda: client.http.get("/health").json()["status"] == "degraded", "health says so")
        assert client.order("models/pump/rollback").status_code == 503
        setup.ports.ledger.down = False
        until(lambda: client.http.get("/health").json()["status"] == "ok", "the ledger is back")


def test_while_the_ledger_is_away_requests_are_served_and_evidence_is_kept(setup):
    setup.begin(setup.version())
    with serving(setup) as client:
        client.ready()
        setup.begin(setup.version(), skip_shadow=True)
        until(lambda: client.runtime.states["pump"].table.candidate is not None, "the canary began")
        setup.ports.ledger.down = True
        for unit in range(20):
            assert client.score(ROW | {"unit": unit}).status_code == 200
        time.sleep(0.3)
        setup.ports.ledger.down = False

        def counted():
            tallies = setup.ports.ledger.evidence("pump", "rollout-2").values()
            return sum(tally.rows for tally in tallies) == 20

        until(counted, "the counts arrived, each once")


def test_changed_bytes_are_never_loaded_and_the_candidate_is_rolled_back(setup):
    setup.begin(setup.version())
    with serving(setup) as client:
        client.ready()
        ref = setup.version()
        setup.ports.registry.files["pump", ref.version]["model.skops"] = b"something else"
        setup.begin(ref, skip_shadow=True)
        until(lambda: setup.traffic().rollout.phase is Phase.ROLLED_BACK, "it was taken back")
        assert "could not be loaded" in setup.traffic().rollout.reason
        assert client.score().headers["x-homeostat-version"] == "1"


def test_a_version_that_fails_to_load_is_rolled_back_with_its_reason(setup):
    setup.begin(setup.version())
    with serving(setup) as client:
        client.ready()
        setup.begin(setup.version(unloadable=True))
        until(lambda: setup.traffic().rollout.phase is Phase.ROLLED_BACK, "it was taken back")
        assert "could not be loaded" in setup.traffic().rollout.reason
        answer = client.order("models/pump/promote", {"version": "2"})
        assert answer.status_code >= 400
        assert setup.traffic().champion.version == "1", "what cannot be loaded does not become champion"


def test_a_damaged_cached_copy_is_fetched_again(setup):
    ref = setup.version()
    setup.begin(ref)
    with serving(setup) as client:
        client.ready()
    (setup.settings.cache / "bundles" / ref.digest / "model.skops").write_bytes(b"torn")
    with serving(setup) as client:
        client.ready()
        assert client.score().status_code == 200


def test_while_the_store_is_away_requests_are_served_rows_are_kept_and_losses_are_counted(tmp_path):
    store = AwayStore()
    setup = make_gateway_fixture(tmp_path, store=store)
    setup.begin(setup.version())
    begun = datetime.now(UTC)
    with serving(setup, keep_rows=50) as client:
        client.ready()
        store.away = True
        for i in range(80):
            assert client.score(**{"X-Request-Id": f"r{i}"}).status_code == 200
        answer = client.order("flush")
        assert answer.status_code == 503
        assert client.http.get("/health").json()["status"] == "degraded"
        assert counter(client, "homeostat_log_lost_rows") == 30
        store.away = False
        assert client.order("flush").json()["prediction_log"]["lost"] == 30
    rows = read_predictions(store, setup.config, begun, datetime.now(UTC) + timedelta(minutes=1)).rows
    assert sorted(rows["_prediction_id"]) == sorted(f"r{i}" for i in range(50))


def in_shadow(setup, client, **faults):
    client.ready()
    setup.begin(setup.version(**faults))
    state = client.runtime.states["pump"]
    until(lambda: state.table.stage == "shadow" and state.table.shadow, "the shadow is up", 90)
    return state.table.shadow


def test_a_slow_shadow_never_delays_a_response_and_its_dropped_rows_are_counted(setup):
    setup.begin(setup.version())
    with serving(setup, shadow_rows=20) as client:
        in_shadow(setup, client, hangs_on=ROW["a"])  # runs in its own process, where RELEASED is never set
        for unit in range(60):
            assert client.score(ROW | {"unit": unit}).headers["x-homeostat-variant"] == "champion"
        tallies = setup.ports.ledger.evidence("pump", "rollout-2")
        assert ("shadow", "shadow") not in tallies or not tallies["shadow", "shadow"].compared
        until(lambda: counter(client, "homeostat_shadow_dropped_total") > 0, "drops are counted")
        until(
            lambda: sum(t.dropped for t in setup.ports.ledger.evidence("pump", "rollout-2").values()) > 0,
            "the ledger knows of the drops",
        )


def test_a_killed_shadow_affects_no_response_and_is_restarted(setup):
    setup.begin(setup.version())
    with serving(setup) as client:
        shadow = in_shadow(setup, client)
        first = shadow.pid
        os.kill(first, signal.SIGKILL)
        for unit in range(10):
            assert client.score(ROW | {"unit": unit}).status_code == 200
        until(lambda: shadow.pid not in (None, first) and shadow.ready.is_set(), "it is up again", 90)

        def compared():
            client.score()
            tallies = setup.ports.ledger.evidence("pump", "rollout-2")
            return tallies.get(("shadow", "shadow")) and tallies["shadow", "shadow"].compared > 3

        until(compared, "it answers again", 90)
        assert setup.traffic().rollout.phase is Phase.SHADOW, "being killed says nothing about the version"
        client.order("models/pump/rollback", {"reason": "enough"})
        until(lambda: shadow.pid is None, "the process is gone with its rollout")


def test_a_diverging_shadow_is_rolled_back_before_it_serves(setup):
    setup.begin(setup.version())
    setup.ports.ledger.replace_evidence(
        "pump", "rollout-2", "validate", {HOLDOUT: Tally(compared=200, diverged=10)}
    )
    with serving(setup) as client:
        in_shadow(setup, client, invert=True)
        unit = 0
        end = time.monotonic() + 90
        while setup.traffic().rollout.phase is Phase.SHADOW:
            assert time.monotonic() < end
            assert client.score(ROW | {"unit": unit}).json() == {"predictions": [1.0]}
            unit += 1
        assert "divergence" in setup.traffic().rollout.reason


def test_two_gateways_follow_one_ledger(tmp_path):
    setup = make_gateway_fixture(tmp_path)
    setup.begin(setup.version())
    other = replace(setup, settings=replace(setup.settings, cache=tmp_path / "other"))
    with serving(setup) as one, serving(other, gateway="two") as two:
        one.ready()
        two.ready()
        setup.begin(setup.version(nan_every=1), skip_shadow=True)
        for client in (one, two):
            until(lambda c=client: c.runtime.states["pump"].table.candidate is not None, "the canary began")
        for unit in range(40):  # bad answers met by either gateway count for both
            for client in (one, two):
                assert client.score(ROW | {"unit": unit}).status_code == 200
        until(lambda: setup.traffic().rollout.phase is Phase.ROLLED_BACK, "it was taken back")
        for client in (one, two):
            until(lambda c=client: c.runtime.states["pump"].table.candidate is None, "both took it back")
        kinds = [event.kind for event in setup.ports.ledger.events("pump")]
        assert kinds.count("rolled_back") == 1


def test_a_regression_is_compared_by_distance_and_checked_against_its_range(tmp_path):
    setup = make_gateway_fixture(tmp_path, model_config(task="regression"))
    setup.begin(setup.version())
    with serving(setup) as client:
        client.ready()
        setup.begin(setup.version(shift=5000.0), skip_shadow=True)
        until(lambda: client.runtime.states["pump"].table.candidate is not None, "the canary began")
        for unit in range(20):
            assert client.score(ROW | {"unit": unit}).json() == {"predictions": [1.0]}
        until(lambda: setup.traffic().rollout.phase is Phase.ROLLED_BACK, "out of range trips")
        assert client.labels({"id": "x", "label": "high"}).status_code == 400
        assert client.labels({"id": "x", "label": 2}).json()["accepted"] == 1
