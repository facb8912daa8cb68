"""Rollouts as clients and operators see them: sticky shares, quick rollbacks, no failed request."""

import json
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from homeostat.core.rollout import Phase
from homeostat.core.rollout.evidence import Tally
from homeostat.storage.prediction_log import read_predictions
from serving.gateway_harness import make_gateway_fixture, model_config, serving, until

ROW = {"a": 1.0, "b": 0.0, "colour": "red"}
#: Latencies of a busy machine are not what a test of something else is about.
AT_LEISURE = {"p99_latency_ms": 5000}


def in_canary(setup, client, **faults):
    """A champion and a candidate at half of the traffic; returns the candidate."""
    client.ready()
    ref = setup.version(**faults)
    setup.begin(ref, skip_shadow=True)
    until(lambda: client.runtime.states["pump"].table.candidate is not None, "the canary takes traffic")
    return ref


def events_of(setup):
    return setup.ports.ledger.events("pump")


def answers_at(setup, stage, variant):
    """Answers of the second version that the ledger knows of; a shadow's, compared with the champion's."""
    tally = setup.ports.ledger.evidence("pump", "rollout-2").get((stage, variant), Tally())
    return tally.compared if variant == "shadow" else tally.rows


def phase(setup):
    rollout = setup.traffic().rollout
    return rollout.phase if rollout else None


def test_a_key_always_gets_the_same_variant_and_shares_are_kept(setup):
    setup.begin(setup.version())
    with serving(setup) as client:
        in_canary(setup, client)
        seen: dict[str, set[str]] = {}
        for _ in range(2):
            for unit in range(60):
                answer = client.score(ROW | {"unit": unit})
                seen.setdefault(str(unit), set()).add(answer.headers["x-homeostat-version"])
        assert all(len(versions) == 1 for versions in seen.values())
        assert 15 <= sum(versions == {"2"} for versions in seen.values()) <= 45
        by_header = {
            client.score(**{"X-Homeostat-Key": "7"}).headers["x-homeostat-version"] for _ in range(5)
        }
        assert by_header == seen["7"], "a header's key is the same key"
        many = client.score(*[ROW | {"unit": unit} for unit in range(60)])
        assert many.json()["predictions"] == [1.0] * 60
        assert set(many.headers["x-homeostat-version"].split(",")) == {"1", "2"}
        table = client.runtime.states["pump"].table
        assert set(many.headers["x-homeostat-variant"].split(",")) == {
            table.variant(str(unit)) for unit in range(60)
        }


@pytest.mark.parametrize("faults", [{"nan_every": 1}, {"raises": True}, {"nan_every": 2}, {"slow": 2.0}])
def test_a_failing_candidate_is_rolled_back_automatically_and_no_client_sees_it(setup, faults):
    setup.begin(setup.version())
    with serving(setup, candidate_timeout=0.5 if "slow" in faults else 5.0) as client:
        bad = in_canary(setup, client, **faults)
        answers = []
        while phase(setup) is Phase.CANARY and len(answers) < 60:
            answers.append(client.score(ROW | {"unit": len(answers)}))
            time.sleep(0.01)
        assert all(a.status_code == 200 and a.json() == {"predictions": [1.0]} for a in answers)
        until(lambda: phase(setup) is Phase.ROLLED_BACK, "so few answers suffice")
        until(lambda: client.runtime.states["pump"].table.candidate is None, "no traffic is sent to it")
        after = [client.score(ROW | {"unit": unit}) for unit in range(40)]
        assert {a.headers["x-homeostat-version"] for a in after} == {"1"}
        last = setup.ports.ledger.events("pump")[-1]
        assert last.kind == "rolled_back"
        assert last.by.startswith("gateway:")
        assert json.loads(json.dumps(last.evidence))["checks"]
        assert client.http.get("/models/pump").json()["counters"]["fallbacks"] >= 3
        assert bad.version == "2"


def test_rows_that_no_version_can_answer_do_not_count_against_the_candidate(setup):
    setup.begin(setup.version())
    with serving(setup) as client:
        in_canary(setup, client)
        for unit in range(30):
            assert client.score(ROW | {"unit": unit, "a": -666.0}).status_code == 500
        time.sleep(0.4)
        assert phase(setup) is Phase.CANARY


def test_a_good_candidate_passes_shadow_and_canary_and_becomes_champion(tmp_path):
    config = model_config(
        canary={"steps": [0.2, 0.5], "step_duration": "1h", "min_samples": 20}, rollback=AT_LEISURE
    )
    setup = make_gateway_fixture(tmp_path, config)
    setup.begin(setup.version())
    with serving(setup) as client:
        client.ready()
        setup.begin(setup.version())
        unit = 0
        for stage, variant in (("shadow", "shadow"), ("canary:0", "candidate"), ("canary:1", "candidate")):
            until(lambda s=stage: setup.traffic().rollout.stage == s, f"it comes to {stage}", 90)
            end = time.monotonic() + 120  # the shadow is of low priority: a busy machine keeps it waiting
            while answers_at(setup, stage, variant) < 20:
                assert time.monotonic() < end, [f"{e.kind}: {e.reason}" for e in events_of(setup)]
                answer = client.score(*[ROW | {"unit": unit + i} for i in range(20)])
                assert answer.status_code == 200
                unit += 20
                time.sleep(0.02)
            assert setup.traffic().rollout.stage == stage, "evidence without time is not enough"
            setup.ports.clock.ahead += timedelta(hours=1)
        until(lambda: phase(setup) is Phase.CHAMPION, "it is champion")
        traffic = setup.traffic()
        assert (traffic.champion.version, traffic.previous.version) == ("2", "1")
        until(lambda: client.score().headers["x-homeostat-version"] == "2", "the new champion serves")
        kinds = [event.kind for event in events_of(setup)]
        assert kinds == ["begun", "promoted", "begun", "shadow", "canary", "canary", "promoted"]
        client.order("flush")
    rows = read_predictions(
        setup.ports.store,
        setup.config,
        datetime.now(UTC) - timedelta(minutes=5),
        setup.ports.clock.now(),
        variants=("champion", "control", "candidate", "shadow"),
    ).rows
    assert {"champion", "control", "candidate", "shadow"} == set(rows["_variant"])
    served = rows[rows["_variant"] != "shadow"]
    assert len(served) >= unit
    assert served["_prediction_id"].is_unique


def test_a_new_champion_that_goes_bad_is_rolled_back_and_the_previous_version_serves(setup):
    setup.begin(setup.version())
    with serving(setup) as client:
        client.ready()
        ref = setup.version(raises=True)
        assert client.order("models/pump/promote", {"version": ref.version}).status_code == 200
        assert client.runtime.states["pump"].table.champion.ref == ref
        answers = [client.score() for _ in range(6)]
        assert all(a.status_code == 200 for a in answers)
        until(lambda: setup.traffic().champion.version == "1", "the champion was rolled back")
        assert client.score().headers["x-homeostat-version"] == "1"
        until(lambda: setup.ports.notifier.of("rolled_back"), "a notice was sent")


def test_a_manual_rollback_needs_the_token_and_works_without_mlflow(setup):
    setup.begin(setup.version())
    with serving(setup) as client:
        in_canary(setup, client)
        setup.ports.registry.down = True
        path = "models/pump/rollback"
        assert client.order(path, token=None).status_code == 401
        assert client.order(path, token="wrong").status_code == 403
        assert phase(setup) is Phase.CANARY
        answer = client.order(path, {"reason": "looks odd"})
        assert answer.status_code == 200, answer.text
        assert phase(setup) is Phase.ROLLED_BACK
        versions = {client.score(ROW | {"unit": u}).headers["x-homeostat-version"] for u in range(30)}
        assert versions == {"1"}
        again = client.order(path, {"reason": "once more"})
        assert again.status_code == 409
        assert "no previous version" in again.json()["message"]
        lines = [json.loads(line) for line in (setup.settings.state / "audit.jsonl").read_text().splitlines()]
        assert [line["status"] for line in lines] == [401, 403, 200, 409]


def test_without_a_configured_token_control_calls_are_off(tmp_path):
    setup = make_gateway_fixture(tmp_path)
    from dataclasses import replace

    setup.settings = replace(setup.settings, control_token="")
    with serving(setup) as client:
        answer = client.order("models/pump/rollback", {"reason": "x"}, token="anything")
        assert answer.status_code == 403
        assert "set HOMEOSTAT_CONTROL_TOKEN" in answer.json()["message"]


def test_a_version_that_never_passed_its_gate_cannot_be_promoted(setup):
    setup.begin(setup.version())
    with serving(setup) as client:
        client.ready()
        ref = setup.version(gate="refused")
        answer = client.order("models/pump/promote", {"version": ref.version})
        assert answer.status_code == 409
        assert "never passed its gate" in answer.json()["message"]
        assert client.order("models/pump/promote", {"version": "99"}).status_code == 404
        assert client.order("models/pump/promote", {"version": "../1"}).status_code == 400


def test_a_passed_canary_waits_for_approval(tmp_path):
    canary = {"steps": [0.5], "step_duration": "1h", "min_samples": 10}
    config = model_config(canary=canary, rollback=AT_LEISURE)
    setup = make_gateway_fixture(tmp_path, config)
    setup.begin(setup.version())
    with serving(setup) as client:
        client.ready()
        setup.begin(setup.version(), skip_shadow=True, approval=True)
        end = time.monotonic() + 60
        unit = 0
        while answers_at(setup, "canary:0", "candidate") < 10:
            assert time.monotonic() < end, client.runtime.controller.checks("pump")
            client.score(ROW | {"unit": unit})
            unit += 1
        setup.ports.clock.ahead = timedelta(hours=1)
        until(lambda: phase(setup) is Phase.WAITING, "it waits")
        assert client.order("models/pump/approve").status_code == 200
        assert setup.traffic().champion.version == "2"
        assert client.order("models/pump/approve").status_code == 409


def test_no_request_fails_while_versions_are_promoted_and_rolled_back(setup):
    setup.begin(setup.version())
    with serving(setup) as client:
        client.ready()
        refs = [setup.version() for _ in range(2)]
        failed, sent, stop = [], [], threading.Event()

        def load_it(worker):
            import httpx

            with httpx.Client(base_url=client.url, trust_env=False) as http:
                while not stop.is_set():
                    answer = http.post("/invocations", json={"dataframe_records": [ROW | {"unit": worker}]})
                    sent.append(answer.headers.get("x-homeostat-version"))
                    if answer.status_code != 200:
                        failed.append(answer.text)

        threads = [threading.Thread(target=load_it, args=(i,)) for i in range(3)]
        for thread in threads:
            thread.start()
        for turn in range(6):
            assert client.order("models/pump/promote", {"version": refs[turn % 2].version}).is_success
            assert client.order("models/pump/rollback", {"reason": f"turn {turn}"}).is_success
        stop.set()
        for thread in threads:
            thread.join()
        assert not failed
        assert len(sent) > 20
        assert setup.traffic().champion.version == "1"
