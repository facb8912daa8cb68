"""Labels that clients post decide about a candidate in shadow, and about a new champion."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace
from datetime import timedelta

import pytest

from homeostat.core.rollout import HOLDOUT, LABELLED_PAIRS, LabelFacts, Phase, Tally
from homeostat.serving import create_app
from homeostat.serving.worker_ipc import WorkerAddress, WorkerPeers
from homeostat.storage.prediction_log import files_between
from serving.gateway_harness import LOAD, make_gateway_fixture, model_config, serving, until

ROWS = 60
AT_LEISURE = {"p99_latency_ms": 5000}
CANARY = {"steps": [0.5], "step_duration": "1h", "min_samples": 20, "reverse_shadow": "3h"}
#: Of rows that are all of class 1, these are special: 55 %.
SPECIAL = 0.25


@pytest.fixture
def setup(tmp_path):
    return make_gateway_fixture(tmp_path, model_config(canary=CANARY, rollback=AT_LEISURE))


def rows(count=ROWS):
    return [
        {"a": 1.0, "b": SPECIAL if i % 20 < 11 else 0.0, "colour": "red", "unit": i} for i in range(count)
    ]


def score(client, request_id, count=ROWS):
    """Score rows of class 1 in one request; return their prediction ids."""
    assert client.score(*rows(count), **{"X-Request-Id": request_id}).status_code == 200
    return [f"{request_id}-{i}" for i in range(count)]


def post(client, ids, label=1):
    response = client.labels(*({"id": name, "label": label} for name in ids))
    assert response.status_code == 200, response.text
    return response.json()


def evidence(setup, key, rollout):
    return setup.ports.ledger.evidence("pump", rollout).get(key, Tally())


def begin_in_shadow(setup, client, **faults):
    ref = setup.version(**faults)
    setup.begin(ref)
    until(lambda: setup.traffic().rollout.phase is Phase.SHADOW, "its shadow begins", 90)
    until(lambda: client.runtime.states["pump"].table.mirrored, "it gets copies of the requests")
    return f"rollout-{ref.version}"


def shadow_of(client):
    return client.http.get("/models/pump").json()["shadow"]


def reason(setup):
    return setup.ports.ledger.events("pump")[-1].reason


def test_a_worse_candidate_is_rolled_back_in_shadow_by_its_labels(setup):
    setup.begin(setup.version())
    with serving(setup) as client:
        client.ready()
        rollout = begin_in_shadow(setup, client, invert=True)
        post(client, score(client, "r"))
        until(lambda: setup.traffic().rollout.phase is Phase.ROLLED_BACK, "it was rolled back", 90)
        assert reason(setup).startswith("labels failed: on ")
        assert "accuracy 0 of the candidate and 1 of the champion" in reason(setup)
        assert evidence(setup, LABELLED_PAIRS, rollout).losses == (0, 0, ROWS, 0)
        checks = {check["name"]: check for check in client.http.get("/models/pump").json()["checks"]}
        assert checks["labels"]["figures"]["pairs"] == ROWS


def test_a_better_candidate_that_differs_in_most_predictions_is_promoted(setup):
    setup.begin(setup.version(wrong_where=SPECIAL))
    with serving(setup) as client:
        client.ready()
        ref = setup.version()
        rollout = f"rollout-{ref.version}"
        expected = {HOLDOUT: Tally(compared=200, diverged=110)}
        setup.ports.ledger.replace_evidence("pump", rollout, "validate", expected)
        setup.begin(ref)
        until(lambda: client.runtime.states["pump"].table.mirrored, "it gets copies of the requests", 90)
        post(client, score(client, "r", 200))
        until(lambda: evidence(setup, LABELLED_PAIRS, rollout).rows == 200, "labels are compared", 90)
        assert evidence(setup, LABELLED_PAIRS, rollout).losses == (90, 110, 0, 0)
        for phase in (Phase.CANARY, Phase.CHAMPION):
            for n in range(3):
                score(client, f"{phase}-{n}")
            ready = ("shadow", "shadow") if phase is Phase.CANARY else ("canary:0", "candidate")
            until(lambda key=ready: evidence(setup, key, rollout).rows >= 20, "there are enough rows", 90)
            setup.ports.clock.ahead += timedelta(hours=1)
            until(
                lambda p=phase: setup.traffic().rollout.phase is p, f"it is in {phase}: {reason(setup)}", 90
            )
        assert setup.traffic().champion.version == "2"


def test_labels_that_are_doubled_late_and_after_a_restart_count_once(setup):
    setup.begin(setup.version())
    with serving(setup, gateway="one") as client:
        client.ready()
        rollout = begin_in_shadow(setup, client)
        post(client, ["r-0", "r-1"])  # before the request, and so before the file of its predictions
        ids = score(client, "r")
        post(client, ids[:20])
        until(
            lambda: evidence(setup, ("shadow", "shadow"), rollout).compared == ROWS, "all were compared", 90
        )
    with serving(setup, gateway="two") as client:
        client.ready()
        post(client, ids[10:30])
        post(client, ids[:30])
        until(lambda: evidence(setup, LABELLED_PAIRS, rollout).rows == 30, "each label counts once", 90)
        setup.ports.clock.ahead += timedelta(minutes=30)
        post(client, reversed(ids))
        until(lambda: evidence(setup, LABELLED_PAIRS, rollout).rows == ROWS, "late ones count too", 90)
        assert evidence(setup, LABELLED_PAIRS, rollout).losses == (ROWS, 0, 0, 0)


def promoted(setup, client, **faults):
    """Promote a second version manually; the first one goes into the reverse shadow."""
    ref = setup.version(**faults)
    assert client.order("models/pump/promote", {"version": ref.version}).status_code == 200
    until(lambda: shadow_of(client) is not None, "the former champion is in shadow")
    assert shadow_of(client)["version"] == "1"
    return setup.traffic().rollout.id


def test_a_new_champion_that_labels_show_to_be_worse_is_replaced_by_the_former_one(setup):
    setup.begin(setup.version())
    with serving(setup) as client:
        client.ready()
        rollout = promoted(setup, client, invert=True)
        ids = score(client, "r")
        assert evidence(setup, LABELLED_PAIRS, rollout) == Tally()
        post(client, ids)
        until(lambda: setup.traffic().champion.version == "1", "the former champion is reinstated", 90)
        assert evidence(setup, LABELLED_PAIRS, rollout).losses == (0, 0, ROWS, 0)
        assert evidence(setup, ("reverse_shadow", "shadow"), rollout).compared == ROWS
        assert evidence(setup, ("champion", "shadow"), rollout) == Tally()
        until(lambda: setup.ports.notifier.of("rolled_back"), "a notice was sent")
        until(lambda: shadow_of(client) is None, "nothing is in shadow any more")
        (notice,) = setup.ports.notifier.of("rolled_back")
        assert notice.title == "pump: version 2 rolled back, version 1 is champion"
        assert notice.body == (
            f"champion failed: on {ROWS} labelled requests that both predicted, accuracy 0 of the new"
            " champion and 1 of the former one: significantly worse than gate.max_regression (0.02) allows"
        )
        client.order("flush")
    now = setup.ports.clock.now()
    assert len(files_between(setup.ports.store, "pump", "predictions", now - timedelta(hours=1), now)) > 1


def test_a_new_champion_that_labels_confirm_stays_and_the_shadow_ends_by_time(setup):
    setup.begin(setup.version(invert=True))
    with serving(setup) as client:
        client.ready()
        rollout = promoted(setup, client)
        post(client, score(client, "r"))
        until(lambda: evidence(setup, LABELLED_PAIRS, rollout).rows == ROWS, "labels are compared", 90)
        revision = setup.traffic().revision
        process = client.runtime.states["pump"].table.shadow
        setup.ports.clock.ahead += timedelta(hours=3)
        until(lambda: shadow_of(client) is None, "its time is over")
        until(lambda: process.pid is None, "its process is gone")
        score(client, "later")
        assert setup.traffic().revision == revision, "nothing was written for that"
        assert setup.traffic().champion.version == "2"


def test_a_new_rollout_ends_the_reverse_shadow(setup):
    setup.begin(setup.version())
    with serving(setup) as client:
        client.ready()
        promoted(setup, client)
        former = client.runtime.states["pump"].table.shadow
        begin_in_shadow(setup, client)
        assert shadow_of(client)["version"] == "3"
        until(lambda: former.pid is None, "the former champion's process is gone")


def test_the_reverse_shadow_goes_on_after_a_restart(setup):
    setup.begin(setup.version())
    with serving(setup, gateway="one") as client:
        client.ready()
        promoted(setup, client, invert=True)
    with serving(setup, gateway="two") as client:
        until(lambda: client.runtime.states["pump"].table.mirrored, "it is in shadow again")
        post(client, score(client, "r"))
        until(lambda: setup.traffic().champion.version == "1", "the former champion is reinstated", 90)


def test_a_former_champion_that_fails_in_shadow_changes_nothing_else(setup, caplog):
    setup.begin(setup.version(fails_in_shadow=True))
    with serving(setup) as client:
        client.ready()
        ref = setup.version()
        assert client.order("models/pump/promote", {"version": ref.version}).status_code == 200
        until(lambda: "the shadow of version 1, the former champion, ends" in caplog.text, "it fails", 90)
        until(lambda: shadow_of(client) is None, "it is not started again")
        score(client, "r")
        assert setup.traffic().champion.version == "2"
        assert client.order("models/pump/rollback", {"reason": "test"}).status_code == 200
        assert client.score().headers["x-homeostat-version"] == "1", "it still serves"


def test_a_former_champion_whose_process_is_killed_is_restarted(setup):
    setup.begin(setup.version())
    with serving(setup) as client:
        client.ready()
        promoted(setup, client)
        shadow = client.runtime.states["pump"].table.shadow
        until(shadow.ready.is_set, "it is up", 90)
        first = shadow.pid
        os.kill(first, signal.SIGKILL)
        score(client, "r")  # its death is noticed with the next request
        until(lambda: shadow.pid not in (None, first) and shadow.ready.is_set(), "it is up again", 90)
        assert setup.traffic().champion.version == "2"


def test_predictions_outside_the_former_champions_range_are_no_fault_of_the_new_one(tmp_path):
    config = model_config(task="regression", canary=CANARY, rollback=AT_LEISURE)
    setup = make_gateway_fixture(tmp_path, config)
    setup.begin(setup.version(prediction_range=[0.0, 10.0]))
    with serving(setup) as client:
        client.ready()
        client.score()
        rollout = promoted(setup, client, prediction_range=[1000.0, 2000.0], shift=1500.0)
        score(client, "r")
        until(lambda: evidence(setup, ("champion", "champion"), rollout).rows == ROWS, "it was counted", 90)
        until(lambda: evidence(setup, ("reverse_shadow", "shadow"), rollout).rows == ROWS, "both were", 90)
        for key in (("champion", "champion"), ("reverse_shadow", "shadow")):
            assert evidence(setup, key, rollout).out_of_range == 0
        assert setup.traffic().champion.version == "2"


def test_regression_is_compared_in_units_of_the_labels_spread(tmp_path):
    config = model_config(task="regression", canary=CANARY, rollback=AT_LEISURE)
    setup = make_gateway_fixture(tmp_path, config)
    setup.labels = LabelFacts(spread=2.0)
    setup.begin(setup.version())
    with serving(setup) as client:
        client.ready()
        begin_in_shadow(setup, client, shift=3.0)
        post(client, score(client, "r"), label=1.0)
        until(lambda: setup.traffic().rollout.phase is Phase.ROLLED_BACK, "it was rolled back", 90)
        assert reason(setup).startswith("labels failed: on ")


def test_two_gateways_replace_a_worse_champion_once(setup, tmp_path):
    setup.begin(setup.version())
    other = replace(setup, settings=replace(setup.settings, cache=tmp_path / "other"))
    with serving(setup, gateway="one") as one, serving(other, gateway="two") as two:
        one.ready()
        two.ready()
        rollout = promoted(setup, one, invert=True)
        until(lambda: two.runtime.states["pump"].table.mirrored, "both run the former champion in shadow", 90)
        ids = score(one, "r") + score(two, "s")
        post(two, ids[:ROWS])  # through another gateway than the one that predicted
        post(one, ids[ROWS:])
        until(lambda: setup.traffic().champion.version == "1", "the former champion is reinstated", 90)
        until(lambda: evidence(setup, LABELLED_PAIRS, rollout).rows, "labels were compared")
        for client in (one, two):
            until(lambda c=client: c.score().headers["x-homeostat-version"] == "1", "it serves everywhere")
    kinds = [event.kind for event in setup.ports.ledger.events("pump")]
    assert kinds.count("rolled_back") == 1
    assert len(setup.ports.notifier.of("rolled_back")) == 1


@pytest.mark.parametrize(("worker", "compares"), [(None, True), (0, True), (1, False)])
def test_one_worker_of_a_gateway_compares_labels(setup, tmp_path, worker, compares):
    runtime = create_app(
        {"pump": setup.config}, setup.ports, setup.settings, setup.options, load=LOAD
    ).runtime
    if worker is not None:
        runtime.peers = WorkerPeers(WorkerAddress(tmp_path, worker, 2))
    runtime.start()
    assert runtime.label_evidence.running == compares
    asyncio.run(runtime.stop())
    assert not runtime.label_evidence.running
