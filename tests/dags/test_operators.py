"""Every operator, run by Airflow's own ``dag.test()`` on a small model, with a real MLflow server."""

import json
import socket
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dags.operator_harness import gateway, within
from homeostat.adapters import open_ledger
from homeostat.core.rollout import Phase, Plan, Rollout, Traffic, VersionRef
from homeostat.rollouts.manual import manual_approve
from sample_model import T0, rows_between, serve

BEFORE = ["assemble", "train", "validate", "gate"]
AFTER = ["register", "shadow", "canary", "promote"]


def reason_of(done, task):
    """Why a task failed, as it said itself."""
    return next(note["text"] for note in done["told"] if note["task"] == task)


def is_plain(value):
    """Small JSON with nothing of Airflow's own type marks in it."""
    text = json.dumps(value, allow_nan=False)
    return len(text) < 4000 and "__" not in text


def test_the_first_retrain_makes_a_champion_and_the_same_run_again_no_second_version(world, receiver):
    done = world.retrain(run=1)
    assert done["state"] == "success"
    assert done["tasks"] == dict.fromkeys([*BEFORE, *AFTER], "success")
    assert set(done["xcoms"]) == {*BEFORE, *AFTER}
    for value in done["xcoms"].values():
        assert value["sentence"]
        assert value["url"].startswith(world.env["MLFLOW_TRACKING_URI"])
        assert is_plain(value)
    assert world.traffic.champion.version == "1"
    assert receiver.titles == ["version 1 champion"]

    again = world.retrain(run=1)
    assert (again["run_id"], again["state"]) == (done["run_id"], "success")
    assert again["xcoms"] == done["xcoms"]
    assert world.versions() == ["1"]
    assert len(receiver.got) == 1, "told once"


def test_a_second_version_goes_through_shadow_and_canary_to_champion(served, receiver):
    with gateway(served):
        done = served.retrain(reason="a better sensor")
    assert done["state"] == "success"
    assert done["xcoms"]["shadow"]["phase"] == "canary"
    assert done["xcoms"]["canary"]["phase"] == "champion"
    assert (served.traffic.champion.version, served.traffic.previous.version) == ("2", "1")
    phases = [event.traffic["rollout"]["phase"] for event in served.ports.ledger.events(served.name)]
    assert [phase for phase in dict.fromkeys(phases) if phase != "champion"] == [
        "registered",
        "shadow",
        "canary",
    ]
    assert served.ports.registry.aliases(served.name) == {"champion": "2", "previous": "1"}
    assert served.ports.registry.version(served.name, "2").tags["homeostat.reason"] == "a better sensor"
    assert receiver.titles == ["version 1 champion", "version 2 champion"]


def test_a_version_without_evidence_is_taken_back_and_the_run_fails_with_the_sentence(served, receiver):
    with gateway(served, traffic=False):
        done = served.retrain()
    assert done["state"] == "failed"
    assert done["tasks"]["shadow"] == "failed"
    assert done["tries"]["shadow"] == 1
    assert "inconclusive" in reason_of(done, "shadow")
    assert done["tasks"]["promote"] == "upstream_failed"
    assert served.traffic.rollout.phase is Phase.ROLLED_BACK
    assert served.ports.registry.aliases(served.name) == {"champion": "1"}
    assert served.ports.registry.version(served.name, "2").tags["homeostat.phase"] == "rolled_back"
    assert receiver.titles[-1] == "version 2 rolled back"
    assert "inconclusive" in receiver.got[-1]["message"]
    assert lease_is_free(served)


def lease_is_free(world):
    """Whether the next retrain would be let through; leaves things as they were."""
    now = datetime.now(UTC)
    claim = world.ports.ledger.acquire_lease(world.name, f"question {now}", "question", now, timedelta(hours=1))
    world.ports.ledger.release_lease(world.name, "question")
    return claim.granted


def test_a_refused_version_goes_no_further_and_a_forced_one_waits_for_a_person(served, receiver):
    refused = served.retrain(pipeline="pipeline.py:hopeless")
    assert refused["state"] == "success", "refused is an answer, not a failure"
    assert refused["tasks"] == {**dict.fromkeys(BEFORE, "success"), **dict.fromkeys(AFTER, "skipped")}
    assert "the gate refused this candidate" in refused["skipped"]["register"]
    assert served.versions() == ["1"]
    assert served.traffic.champion.version == "1"
    assert receiver.titles[-1] == "the gate refused a candidate; the champion stays"
    assert receiver.got[-1]["type"] == "warning"

    with gateway(served):
        forced = served.in_background(
            served.retrain, pipeline="pipeline.py:hopeless", force=True, skip_shadow=True
        )
        assert within(60, lambda: served.traffic.rollout and served.traffic.rollout.phase is Phase.WAITING)
        time.sleep(1.5)
        assert not forced.done()
        assert served.traffic.champion.version == "1"
        manual_approve(served.config, served.ports, by="homeostat promote")
        done = forced.result(60)
    assert done["state"] == "success"
    assert served.traffic.champion.version == "2"
    (question,) = done["questions"]
    assert question["subject"] == f"May {served.name} version 2 become champion?"
    assert question["options"] == ["Approve", "Decline"]


@pytest.mark.parametrize(("option", "phase"), [("Approve", Phase.CHAMPION), ("Decline", Phase.ROLLED_BACK)])
def test_a_person_answers_on_airflows_page_of_required_actions(served, option, phase):
    served.write("approval: required\n")
    with gateway(served):
        done = served.retrain(skip_shadow=True, mark_success="canary|promote")
        assert within(20, lambda: served.traffic.rollout.phase is Phase.WAITING)
    answered = served.airflow.ask(
        "answer", served.env, dag=f"retrain__{served.name}", run_id=done["run_id"], option=option
    )
    assert answered["states"][:2] == ["deferred", "scheduled"]
    assert "until a person approves" in answered["body"]
    assert served.traffic.rollout.phase is phase
    if phase is Phase.CHAMPION:
        assert answered["states"][2] == "success"
    else:
        assert answered["states"][2] == "failed"
        assert "declined by" in answered["told"][0]["text"]
        assert served.traffic.champion.version == "1"


def test_a_model_scored_in_batch_moves_its_champion_without_shadow_or_canary(world):
    world.write("serve: none\n")
    for number in ("1", "2"):
        done = world.retrain()
        assert done["tasks"] == dict.fromkeys([*BEFORE, "register", "promote"], "success")
        assert done["xcoms"]["promote"]["phase"] == "champion"
        assert world.traffic.champion.version == number
    assert world.ports.registry.aliases(world.name) == {"champion": "2", "previous": "1"}


def test_a_retrain_beside_another_is_skipped_and_says_why(world):
    now = datetime.now(UTC)
    world.ports.ledger.acquire_lease(world.name, "drift", "another run", now, timedelta(hours=1))
    done = world.retrain()
    assert done["state"] == "success"
    assert set(done["tasks"].values()) == {"skipped"}
    assert "another run" in done["skipped"]["assemble"]
    assert not lease_is_free(world), "the other one still has it"


def test_without_a_champion_a_check_is_not_computable_and_nothing_is_triggered(world):
    (world.folder / "models" / "neighbour").mkdir()
    (world.folder / "models" / "neighbour" / "model.yaml").write_text("name: [broken")
    done = world.check(T0)
    assert done["state"] == "success", "whatever the neighbour's file looks like"
    assert done["tasks"] == {"check": "success", "trigger_retrain": "skipped"}
    assert done["xcoms"]["check"]["verdict"] == "not_computable"
    assert f"start retrain__{world.name}" in done["skipped"]["trigger_retrain"]
    assert done["events"] == []


def test_checks_pass_fire_once_and_can_be_asked_about_the_past(served, receiver):
    def live(start, hours, **how):
        end = start + timedelta(hours=hours)
        serve(served.config, served.ports, rows_between(start, end, **how), labels=False)
        return end

    few = served.check(live(T0, 0.5))
    assert few["xcoms"]["check"]["verdict"] == "not_computable"
    assert receiver.titles[-1] == "the drift check could not be computed"

    calm = live(T0 + timedelta(hours=1), 3)
    own_hour = (calm + timedelta(minutes=20)).isoformat()
    quiet = served.check(logical=own_hour)
    assert quiet["xcoms"]["check"]["window_end"] == calm.isoformat(), "the run's own hour"
    assert quiet["xcoms"]["check"]["verdict"] == "pass"
    assert is_plain(quiet["xcoms"]["check"])
    assert quiet["tasks"]["trigger_retrain"] == "skipped"
    told = len(receiver.got)

    first = live(calm, 4, shift=3.0)
    assert not served.check(first)["xcoms"]["check"]["fired"], "one window is not enough"
    second = live(first, 1, shift=3.0)
    fired = served.check(second)
    assert fired["tasks"] == {"check": "success", "trigger_retrain": "success"}
    event = {
        "trigger_id": f"{served.name}/{second.isoformat()}",
        "window_end": second.isoformat(),
        "reason": "sustained_drift",
        "reinstate": "",
    }
    assert fired["events"] == [event]
    assert fired["xcoms"]["trigger_retrain"] == event
    assert receiver.titles[told:] == ["has gone stale and is being retrained"]
    assert "RETRAIN" in receiver.got[-1]["message"]

    past = served.check(calm)
    for name in ("window_end", "verdict", "drifted_share"):
        assert past["xcoms"]["check"][name] == quiet["xcoms"]["check"][name]
    assert not past["xcoms"]["check"]["fired"]
    assert served.check(second)["events"] == [event], "asked again, the same trigger, which retrains once"


def test_with_mlflow_down_tasks_are_retried_and_then_say_so(world, free_port):
    down = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{free_port()}"}
    began = time.monotonic()
    done = world.retrain(run=1, retries=1, env=down)
    assert time.monotonic() - began < 30
    assert done["state"] == "failed"
    assert done["tries"]["assemble"] == 2
    assert done["backoff"] == [2.0], "True would count as 1: no backoff"
    notes = [note for note in done["told"] if note["task"] == "assemble"]
    assert [note["kind"] for note in notes] == ["retry", "failure"]
    assert all(
        note["text"].startswith("cannot") and down["MLFLOW_TRACKING_URI"] in note["text"] for note in notes
    )
    assert "is it running?" in notes[-1]["text"]
    assert lease_is_free(world), "a failed run releases the lease"

    assert world.retrain(run=1)["state"] == "success", "the same run, once MLflow is back"
    assert world.versions() == ["1"]


def test_an_mlflow_that_takes_calls_and_never_answers_hangs_no_task(served):
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        env = {
            "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{deaf.getsockname()[1]}",
            "MLFLOW_HTTP_REQUEST_TIMEOUT": "1",
        }
        began = time.monotonic()
        done = served.airflow.ask("run", served.env | env, dag=f"drift_check__{served.name}")
    assert time.monotonic() - began < 30
    assert done["tasks"] == {"check": "failed", "trigger_retrain": "upstream_failed"}
    assert "MLflow" in reason_of(done, "check")
    assert "does not answer" in reason_of(done, "check")


def test_what_cannot_pass_fails_at_once_however_many_retries_there_are(world):
    nothing = world.retrain(until="2020-01-01T00:00Z", retries=3)
    assert (nothing["tasks"]["assemble"], nothing["tries"]["assemble"]) == ("failed", 1)
    assert [note["kind"] for note in nothing["told"] if note["task"] == "assemble"] == ["failure"]

    unknown = world.retrain(pipeline="nowhere.py:build", retries=3)
    assert (unknown["tasks"]["train"], unknown["tries"]["train"]) == ("failed", 1)
    assert "nowhere.py" in reason_of(unknown, "train")
    assert lease_is_free(world)

    when = world.airflow.ask(
        "run",
        world.env,
        dag=f"drift_check__{world.name}",
        conf={"window_end": "yesterday"},
        retries=3,
    )
    assert (when["tasks"]["check"], when["tries"]["check"]) == ("failed", 1)
    assert "window_end 'yesterday' is not a time" in reason_of(when, "check")


def test_the_trigger_is_stored_and_rebuilt_and_waits_out_a_ledger_that_is_away(world):
    (world.folder / "away").write_text("a file where the ledger's folder should be")
    env = world.env | {"HOMEOSTAT_LEDGER": f"sqlite:///{world.folder}/away/ledger.db"}
    waiting = world.in_background(
        world.airflow.ask, do="trigger", env=env, model=world.name, run_key="run", phases=["shadow", "canary"]
    )
    time.sleep(1)
    assert not waiting.done()
    (world.folder / "away").unlink()
    ledger = open_ledger(env["HOMEOSTAT_LEDGER"])
    candidate, plan = VersionRef("2", "b"), Plan.of(world.config)
    rollout = Rollout("run", candidate, Phase.SHADOW, 0, datetime.now(UTC) + timedelta(seconds=30), plan)
    state = Traffic(world.name, champion=VersionRef("1", "a"), rollout=rollout)
    now = datetime.now(UTC)
    state = ledger.write(state, kind="shadow", reason="", by="test", at=now)
    time.sleep(1)
    assert not waiting.done(), "still in shadow"
    after = replace(state, rollout=replace(rollout, phase=Phase.ROLLED_BACK))
    ledger.write(after, kind="rolled_back", reason="", by="test", at=now)
    ledger.close()
    found = waiting.result(20)
    assert found["event"] == {"phase": "rolled_back"}
    assert found["path"] == "homeostat_airflow.rollout_trigger.RolloutTrigger"


def test_notices_arrive_as_they_were_written_and_a_dead_receiver_stops_nothing(world, receiver, free_port):
    dead = {"conn_type": "apprise", "extra": {"config": {"path": f"json://127.0.0.1:{free_port()}"}}}
    env = world.env | {
        "AIRFLOW_CONN_DEAD": json.dumps(dead),
        "AIRFLOW_CONN_EMPTY": json.dumps({"conn_type": "apprise", "extra": {"config": []}}),
        "AIRFLOW_CONN_WRONG": "apprise://somewhere",
        "AIRFLOW_CONN_FORM": receiver.connection_as_the_form_writes_it,
    }
    targets = ["dead", "empty", "wrong", "not_there", "people", "form"]
    world.airflow.ask(
        "notify", env, targets=targets, title="{{ 7 * 7 }} is no template", body="category {% raw"
    )
    got, same = receiver.got
    assert got == same
    assert got["title"] == "{{ 7 * 7 }} is no template"
    assert got["message"] == "category {% raw"
    assert got["type"] == "success"
    log = world.airflow.log
    for target in targets[:4]:
        assert f"did not reach {target}: " in log
    assert 'its extra must read {"config": {"path":' in log
