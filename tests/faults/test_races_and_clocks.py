"""Several writers on one model at once, and a clock that is set back."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest

from homeostat.adapters import open_ledger
from homeostat.adapters.ledger_memory import MemoryLedger
from homeostat.core.rollout import Phase, Plan, Traffic, begin, roll_back, weights
from homeostat.core.rollout.transitions import enter
from homeostat.rollouts.manual import request_change
from serving.gateway_harness import TOKEN, make_gateway_fixture, model_config, serving, until

ROW = {"a": 1.0, "b": 0.0, "colour": "red"}


def kinds(setup):
    return [event.kind for event in setup.ports.ledger.events(setup.config.name)]


def candidate_serves(client):
    return client.runtime.states["pump"].table.candidate is not None


def test_two_gateways_and_two_operators_that_start_rollouts_at_once_leave_one_under_way(tmp_path):
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    setup = make_gateway_fixture(tmp_path, ledger=ledger)
    setup.begin(setup.version())
    other = replace(setup, settings=replace(setup.settings, cache=tmp_path / "other"))
    refs = [setup.version() for _ in range(4)]
    plan = Plan.of(setup.config)
    with serving(setup, gateway="one") as one, serving(other, gateway="two") as two:
        one.ready()
        two.ready()
        go = threading.Barrier(4)

        def enter(ref):
            now = setup.ports.clock.now()
            go.wait()

            def step(traffic):
                return begin(traffic, ref, f"run-{ref.version}", plan, now, skip_shadow=True)

            request_change("pump", ledger, step, by=f"operator {ref.version}", at=now)

        with ThreadPoolExecutor(4) as operators:
            list(operators.map(enter, refs))
        last = ledger.read("pump").rollout
        begun = [event for event in ledger.events("pump") if event.kind == "begun"][1:]
        assert len(begun) == 4
        assert sum("supersedes" in event.reason for event in begun) == 3
        for client in (one, two):
            until(
                lambda c=client: (
                    candidate_serves(c) and c.runtime.states["pump"].table.candidate.ref == last.candidate
                ),
                "both serve the one that is under way",
            )
        revisions = [event.revision for event in ledger.events("pump")]
        assert revisions == list(range(1, len(revisions) + 1))
        assert kinds(setup).count("canary") == 1, "two gateways took one step"
    ledger.close()


def test_requests_to_two_gateways_at_once_are_done_or_refused_and_both_serve_the_same(tmp_path):
    setup = make_gateway_fixture(tmp_path)
    setup.begin(setup.version())
    refs = [setup.version() for _ in range(2)]
    other = replace(setup, settings=replace(setup.settings, cache=tmp_path / "other"))
    with serving(setup, gateway="one") as one, serving(other, gateway="two") as two:
        one.ready()
        two.ready()

        def order(task):
            client, path, body = task
            with httpx.Client(base_url=client.url, trust_env=False, timeout=60) as http:
                headers = {"Authorization": f"Bearer {TOKEN}"}
                return http.post(f"/control/models/pump/{path}", json=body, headers=headers).status_code

        tasks = [
            (client, path, body)
            for _ in range(3)
            for client, ref in zip((one, two), refs, strict=True)
            for path, body in (("promote", {"version": ref.version}), ("rollback", {"reason": "no"}))
        ]
        with ThreadPoolExecutor(4) as operators:
            answers = list(operators.map(order, tasks))
        assert set(answers) <= {200, 409}
        traffic = setup.traffic()
        for client in (one, two):
            until(
                lambda c=client: c.score().headers["x-homeostat-version"] == traffic.champion.version,
                "it serves what the ledger says",
            )
        events = setup.ports.ledger.events("pump")
        assert Traffic.from_json(dict(events[-1].traffic)) == traffic
        assert sum(weights(traffic).values()) == pytest.approx(1)


class Raced(MemoryLedger):
    """Another writer writes just before the first write of a kind."""

    def __init__(self):
        super().__init__()
        self.before = {}

    def write(self, traffic, **more):
        first = self.before.pop(more["kind"], None)
        if first is not None:
            first()
        return super().write(traffic, **more)


def test_a_rollback_during_the_promotion_takes_effect(tmp_path):
    ledger = Raced()
    config = model_config(canary={"steps": [0.5], "step_duration": "1h", "min_samples": 10})
    setup = make_gateway_fixture(tmp_path, config, ledger=ledger)
    setup.begin(setup.version())

    def abort():
        done = roll_back(ledger.read("pump"), "looks odd", setup.ports.clock.now())
        ledger.write(done.traffic, kind=done.kind, reason=done.reason, by="op", at=setup.ports.clock.now())

    with serving(setup) as client:
        client.ready()
        setup.begin(setup.version(), skip_shadow=True)
        until(lambda: candidate_serves(client), "the canary began")
        ledger.before["promoted"] = abort
        assert client.score(*[ROW | {"unit": unit} for unit in range(40)]).status_code == 200

        def enough():
            tally = ledger.evidence("pump", "rollout-2").get(("canary:0", "candidate"))
            return tally is not None and tally.rows >= 10

        until(enough, "there is evidence enough to promote it")
        assert setup.traffic().active is not None
        setup.ports.clock.ahead = timedelta(hours=1)
        until(lambda: setup.traffic().active is None, "it was to be promoted")
        traffic = setup.traffic()
        assert (traffic.champion.version, traffic.rollout.phase) == ("1", Phase.ROLLED_BACK)
        assert traffic.rollout.reason == "looks odd"
        assert weights(traffic) == {"candidate": 0.0, "control": 0.0, "champion": 1.0}
        until(lambda: not candidate_serves(client), "it serves no traffic any more")
        assert kinds(setup).count("promoted") == 1, "the first version's only"


def test_the_loser_of_a_race_reads_and_decides_again(tmp_path):
    ledger = Raced()
    setup = make_gateway_fixture(tmp_path, ledger=ledger)
    setup.begin(setup.version())
    with serving(setup) as client:
        client.ready()
        setup.begin(setup.version(), skip_shadow=True)
        until(lambda: candidate_serves(client), "the canary began")

        ledger.before["rolled_back"] = lambda: client.runtime.approve("pump", "another")
        answer = client.order("models/pump/rollback", {"reason": "no"})
        assert answer.status_code == 200
        assert kinds(setup)[-2:] == ["approved", "rolled_back"]
        assert setup.traffic().rollout.approved


def test_a_canary_without_traffic_is_extended_once_and_rolled_back_as_inconclusive(tmp_path):
    canary = {"steps": [0.5], "step_duration": "1s", "max_step_duration": "2s", "min_samples": 10}
    config = model_config(canary=canary)
    setup = make_gateway_fixture(tmp_path, config)
    setup.begin(setup.version())
    with serving(setup) as client:
        client.ready()
        setup.begin(setup.version(), skip_shadow=True)
        until(lambda: setup.traffic().rollout.phase is Phase.ROLLED_BACK, "it was rolled back")
        assert "inconclusive" in setup.traffic().rollout.reason
        assert "not a regression" in setup.traffic().rollout.reason
        assert kinds(setup)[-2:] == ["extended", "rolled_back"]


def test_a_rollback_of_the_first_version_is_refused_and_says_what_to_do(setup):
    setup.begin(setup.version())
    with serving(setup) as client:
        client.ready()
        answer = client.order("models/pump/rollback", {"reason": "no"})
        assert answer.status_code == 409
        assert "no previous version to roll back to" in answer.json()["message"]
        assert "homeostat promote" in answer.json()["message"]
        assert client.score().status_code == 200


def test_poison_rows_roll_back_neither_a_candidate_nor_a_new_champion(setup):
    setup.begin(setup.version())
    poison = ROW | {"a": -666.0}
    with serving(setup) as client:
        client.ready()
        second = setup.version()
        assert client.order("models/pump/promote", {"version": second.version}).status_code == 200
        for unit in range(20):
            assert client.score(poison | {"unit": unit}).status_code == 500
        setup.begin(setup.version(), skip_shadow=True)
        until(lambda: candidate_serves(client), "the canary began")
        for unit in range(20):
            assert client.score(poison | {"unit": unit}).status_code == 500
            assert client.score(ROW | {"unit": unit}).status_code == 200
        assert setup.traffic().champion == second
        assert setup.traffic().rollout.phase is Phase.CANARY


@pytest.mark.parametrize("back", [timedelta(seconds=20), timedelta(hours=2)])
def test_a_clock_set_back_during_the_canary_neither_stops_nor_shortens_it(tmp_path, back):
    config = model_config(canary={"steps": [0.5], "step_duration": "30s", "min_samples": 10})
    setup = make_gateway_fixture(tmp_path, config)
    clock = setup.ports.clock
    setup.begin(setup.version())
    with serving(setup) as client:
        client.ready()
        setup.begin(setup.version(), skip_shadow=True)
        until(lambda: candidate_serves(client), "the canary began")
        clock.ahead = -back
        for unit in range(100):
            assert client.score(ROW | {"unit": unit}).status_code == 200
        assert setup.traffic().rollout.phase is Phase.CANARY
        if back > timedelta(minutes=1):
            until(lambda: "clock_reset" in kinds(setup), "the phase is timed from the new time on")
        clock.ahead += timedelta(seconds=31) + (back if back < timedelta(minutes=1) else timedelta(0))
        until(lambda: setup.traffic().champion.version == "2", "it was promoted when its time was over")


def test_a_clock_set_back_during_the_shadow_does_not_end_it(tmp_path):
    setup = make_gateway_fixture(tmp_path)
    clock = setup.ports.clock
    setup.begin(setup.version())
    with serving(setup) as client:
        client.ready()
        setup.begin(setup.version())
        traffic = setup.traffic()
        step = enter(traffic, traffic.rollout, Phase.SHADOW, clock.now(), "begun")
        setup.ports.ledger.write(step.traffic, kind=step.kind, reason="", by="test", at=clock.now())
        clock.ahead = -timedelta(days=1)
        until(lambda: "clock_reset" in kinds(setup), "the phase is timed from the new time on")
        assert setup.traffic().rollout.phase is Phase.SHADOW
        assert abs(setup.traffic().rollout.entered_at - clock.now()) < timedelta(seconds=10)


def test_a_new_champion_is_watched_although_the_clock_was_set_back(tmp_path):
    setup = make_gateway_fixture(tmp_path)
    clock = setup.ports.clock
    setup.begin(setup.version())
    with serving(setup) as client:
        client.ready()
        bad = setup.version(raises=True)
        assert client.order("models/pump/promote", {"version": bad.version}).status_code == 200
        clock.ahead = -timedelta(hours=3)
        for _ in range(6):
            assert client.score().status_code == 200
        until(lambda: setup.traffic().champion.version == "1", "it was rolled back")
