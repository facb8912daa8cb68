"""Every operator, run with ``dag.test()`` on a small model and a real MLflow server."""

import json
import socket
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dags.operator_harness import gateway, holds_within
from homeostat.adapters import open_ledger
from homeostat.core.rollout import Phase, Plan, Rollout, Traffic, VersionRef, begin
from homeostat.rollouts.manual import manual_approve, manual_rollback
from homeostat.storage.retrain_outcome import find_outcome
from homeostat.storage.retrain_request import run_key
from sample_model import T0, load_as_gateway, rows_between, serve

BEFORE = ["assemble", "train", "validate", "gate"]
AFTER = ["register", "shadow", "canary", "promote"]


def assert_refused(setup, dag_run, receiver, *, stage, skipped, version="2"):
    """Assert what every refusal looks like, whichever stage made it; return its sentence."""
    assert dag_run["state"] == "success", "nobody has to fix anything"
    states = dict.fromkeys([*BEFORE, *AFTER], "success") | dict.fromkeys(skipped, "skipped")
    assert dag_run["tasks"] == states
    sentence = dag_run["skipped"]["promote"]
    assert f" was refused {stage}: " in sentence
    assert sentence.endswith(". Version 1 stays champion.")
    assert dag_run["note"] == f"**Retrain refused.** {sentence}"
    (task,) = dag_run["task_notes"]
    assert task == [each for each in [*BEFORE, *AFTER] if each not in skipped][-1], "the one that decided"
    assert dag_run["task_notes"] == {task: dag_run["note"]}
    assert "refused" in dag_run["shown"][task]
    assert receiver.received[-1]["message"].startswith(sentence)
    assert receiver.received[-1]["type"] == "warning"
    assert " refused " in receiver.titles[-1]
    outcome = find_outcome(setup.ports.store, setup.name, run_key(setup.name, dag_run["run_id"]))
    assert (outcome.outcome, outcome.sentence) == ("refused", sentence)
    run = setup.ports.registry._mlflow.client.get_run(dag_run["xcoms"]["train"]["run_id"])
    assert run.data.tags["mlflow.note.content"].startswith(sentence)
    assert run.info.status == "FINISHED"
    assert run.data.tags["homeostat.outcome"] == "refused"
    if version in setup.versions():
        found = setup.ports.registry.version(setup.name, version)
        assert found.tags["homeostat.outcome"] == "refused"
        assert found.description.startswith(sentence)
    assert setup.traffic.champion.version == "1"
    assert lease_is_free(setup)
    return sentence


def failure_text(dag_run, task):
    """Return the error text of a failed task."""
    return next(note["text"] for note in dag_run["callbacks"] if note["task"] == task)


def is_plain(value):
    """Whether a value is small JSON without Airflow's type marks."""
    text = json.dumps(value, allow_nan=False)
    return len(text) < 4000 and "__" not in text


def test_the_first_retrain_makes_a_champion_and_a_repeated_run_makes_no_second_version(setup, receiver):
    dag_run = setup.retrain(run=1)
    assert dag_run["state"] == "success"
    assert dag_run["tasks"] == dict.fromkeys([*BEFORE, *AFTER], "success")
    assert set(dag_run["xcoms"]) == {*BEFORE, *AFTER}
    for value in dag_run["xcoms"].values():
        assert value["sentence"]
        assert value["url"].startswith(setup.env["MLFLOW_TRACKING_URI"])
        assert is_plain(value)
    assert setup.traffic.champion.version == "1"
    assert receiver.titles == ["version 1 is champion"]
    assert dag_run["note"] == f"**Retrain promoted.** {dag_run['xcoms']['promote']['sentence']}"

    again = setup.retrain(run=1)
    assert (again["run_id"], again["state"]) == (dag_run["run_id"], "success")
    assert again["xcoms"] == dag_run["xcoms"]
    assert setup.versions() == ["1"]
    assert len(receiver.received) == 1, "notified once"


def test_a_second_version_goes_through_shadow_and_canary_to_champion(deployed, receiver):
    with gateway(deployed):
        dag_run = deployed.retrain(reason="a better sensor")
    assert dag_run["state"] == "success"
    assert dag_run["xcoms"]["shadow"]["phase"] == "canary"
    assert dag_run["xcoms"]["canary"]["phase"] == "champion"
    assert (deployed.traffic.champion.version, deployed.traffic.previous.version) == ("2", "1")
    phases = [event.traffic["rollout"]["phase"] for event in deployed.ports.ledger.events(deployed.name)]
    assert [phase for phase in dict.fromkeys(phases) if phase != "champion"] == [
        "registered",
        "shadow",
        "canary",
    ]
    assert deployed.ports.registry.aliases(deployed.name) == {"champion": "2", "previous": "1"}
    assert deployed.ports.registry.version(deployed.name, "2").tags["homeostat.reason"] == "a better sensor"
    assert receiver.titles == ["version 1 is champion", "version 2 is champion"]


def test_a_version_without_evidence_is_refused_in_shadow(deployed, receiver):
    with gateway(deployed, traffic=False):
        dag_run = deployed.retrain()
    sentence = assert_refused(deployed, dag_run, receiver, stage="in shadow", skipped=["canary", "promote"])
    assert "inconclusive" in sentence
    assert "shadow.min_samples" in sentence
    assert dag_run["xcoms"]["shadow"]["sentence"] == dag_run["skipped"]["canary"] == sentence
    assert deployed.traffic.rollout.phase is Phase.ROLLED_BACK
    assert deployed.ports.registry.aliases(deployed.name) == {"champion": "1"}
    assert deployed.ports.registry.version(deployed.name, "2").tags["homeostat.phase"] == "rolled_back"


def test_a_version_without_evidence_is_refused_in_canary(deployed, receiver):
    with gateway(deployed, traffic=False):
        dag_run = deployed.retrain(skip_shadow=True)
    sentence = assert_refused(deployed, dag_run, receiver, stage="in canary step 1 of 1", skipped=["promote"])
    assert "canary.min_samples" in sentence
    assert dag_run["xcoms"]["canary"]["sentence"] == sentence


def lease_is_free(setup):
    """Whether the retrain lease is free; acquires it and releases it."""
    now = datetime.now(UTC)
    lease = setup.ports.ledger.acquire_lease(setup.name, f"probe {now}", "probe", now, timedelta(hours=1))
    setup.ports.ledger.release_lease(setup.name, "probe")
    return lease.granted


def test_a_refused_version_ends_the_run_and_a_forced_one_waits_for_approval(deployed, receiver):
    refused = deployed.retrain(pipeline="pipeline.py:constant")
    sentence = assert_refused(deployed, refused, receiver, stage="by the gate", skipped=AFTER)
    assert "gate.max_regression" in sentence
    assert refused["xcoms"]["gate"]["sentence"] == sentence
    assert sentence in refused["skipped"]["register"]
    assert deployed.versions() == ["1"]
    assert receiver.titles[-1] == "candidate refused by the gate"

    with gateway(deployed):
        forced = deployed.in_background(
            deployed.retrain, pipeline="pipeline.py:constant", force=True, skip_shadow=True
        )
        assert holds_within(
            60, lambda: deployed.traffic.rollout and deployed.traffic.rollout.phase is Phase.WAITING
        )
        time.sleep(1.5)
        assert not forced.done()
        assert deployed.traffic.champion.version == "1"
        manual_approve(deployed.config, deployed.ports, by="homeostat promote")
        dag_run = forced.result(60)
    assert dag_run["state"] == "success"
    assert deployed.traffic.champion.version == "2"
    (question,) = dag_run["questions"]
    assert question["subject"] == f"Promote {deployed.name} version 2 to champion?"
    assert question["options"] == ["Approve", "Decline"]


@pytest.mark.parametrize(("option", "phase"), [("Approve", Phase.CHAMPION), ("Decline", Phase.ROLLED_BACK)])
def test_a_required_action_in_airflow_approves_or_declines_a_version(deployed, option, phase):
    deployed.append_to_config("approval: required\n")
    with gateway(deployed):
        dag_run = deployed.retrain(skip_shadow=True, mark_success="canary|promote")
        assert holds_within(20, lambda: deployed.traffic.rollout.phase is Phase.WAITING)
    response = deployed.airflow.call(
        "respond", deployed.env, dag=f"retrain__{deployed.name}", run_id=dag_run["run_id"], option=option
    )
    assert response["states"][:2] == ["deferred", "scheduled"]
    assert "until a person approves" in response["body"]
    assert deployed.traffic.rollout.phase is phase
    assert response["states"][2] == "success", "a response is carried out, whichever it is"
    assert deployed.traffic.champion.version == ("2" if phase is Phase.CHAMPION else "1")


@pytest.mark.parametrize("by", ["a user in Airflow", "command line"])
def test_a_declined_approval_is_a_refusal_like_any_other(deployed, receiver, by):
    deployed.append_to_config("approval: required\n")
    with gateway(deployed):
        waits = deployed.in_background(deployed.retrain, skip_shadow=True)
        assert holds_within(
            60, lambda: deployed.traffic.rollout and deployed.traffic.rollout.phase is Phase.WAITING
        )
        ledger, now = deployed.ports.ledger, datetime.now(UTC)
        manual_rollback(deployed.name, ledger, reason=f"declined by {by}", by=by, at=now)
        dag_run = waits.result(60)
    sentence = assert_refused(deployed, dag_run, receiver, stage="at the approval", skipped=["promote"])
    assert f"declined by {by} (approval: required)" in sentence


def test_another_environment_is_refused_like_a_candidate(deployed, receiver):
    model = deployed.folder / "models" / deployed.name / "model.yaml"
    model.write_text(model.read_text().replace("training: {", "training: {parity: enforce, "))
    dag_run = deployed.retrain(env={"HOMEOSTAT_IMAGE_DIGEST": "sha256:" + "b" * 64})
    assert dag_run["state"] == "success"
    done = ["assemble", "train"]
    assert [task for task, state in dag_run["tasks"].items() if state == "success"] == done
    sentence = dag_run["skipped"]["promote"]
    assert "training.parity is enforce" in sentence
    assert dag_run["note"] == f"**Retrain refused.** {sentence}"
    assert dag_run["task_notes"] == {"train": dag_run["note"]}
    assert dag_run["shown"]["train"] == "refused: environment"
    assert receiver.titles[-1].endswith(
        "the training environment differs from the champion's; nothing was fitted"
    )
    outcome = find_outcome(deployed.ports.store, deployed.name, run_key(deployed.name, dag_run["run_id"]))
    assert (outcome.outcome, outcome.stage) == ("refused", "environment")
    assert lease_is_free(deployed)


def test_a_batch_model_is_promoted_without_shadow_or_canary(setup):
    setup.append_to_config("serve: none\n")
    for number in ("1", "2"):
        dag_run = setup.retrain()
        assert dag_run["tasks"] == dict.fromkeys([*BEFORE, "register", "promote"], "success")
        assert dag_run["xcoms"]["promote"]["phase"] == "champion"
        assert setup.traffic.champion.version == number
    assert setup.ports.registry.aliases(setup.name) == {"champion": "2", "previous": "1"}


def test_a_retrain_is_skipped_with_the_reason_while_another_one_holds_the_lease(setup):
    now = datetime.now(UTC)
    setup.ports.ledger.acquire_lease(setup.name, "drift", "another run", now, timedelta(hours=1))
    dag_run = setup.retrain()
    assert dag_run["state"] == "success"
    assert set(dag_run["tasks"].values()) == {"skipped"}
    assert "another run" in dag_run["skipped"]["assemble"]
    assert dag_run["note"] == f"**Retrain superseded.** {dag_run['skipped']['assemble']}"
    assert not lease_is_free(setup), "the other run still holds the lease"


def test_a_retrain_that_is_not_worth_its_cost_ends_after_its_probe(deployed, receiver):
    """That is no failure: everything after the train task is skipped."""
    later = T0 + timedelta(hours=12)
    rows = rows_between(T0 - timedelta(days=5), later)
    rows.to_csv(deployed.folder / "models" / deployed.name / "rows.csv", index=False)
    dag_run = deployed.retrain(until=later.isoformat())
    assert dag_run["state"] == "success"
    ran = dict.fromkeys(["assemble", "train"], "success")
    assert dag_run["tasks"] == ran | dict.fromkeys(["validate", "gate", *AFTER], "skipped")
    sentence = dag_run["skipped"]["promote"]
    assert "With the probe, a retrain does not pay yet: expected gain" in sentence
    assert "3 x trigger.retrain_cost is 0.015" in sentence
    assert sentence.endswith(". Version 1 stays champion.")
    assert dag_run["skipped"]["validate"] == sentence
    assert dag_run["note"] == f"**Retrain not worthwhile.** {sentence}"
    assert is_plain(dag_run["xcoms"]["train"])
    assert receiver.received[-1]["message"].startswith(sentence)
    assert receiver.titles[-1] == "a retrain does not pay now"
    outcome = find_outcome(deployed.ports.store, deployed.name, run_key(deployed.name, dag_run["run_id"]))
    assert (outcome.outcome, outcome.stage, outcome.sentence) == ("not_worthwhile", "probe", sentence)
    run = deployed.ports.registry._mlflow.client.get_run(dag_run["xcoms"]["train"]["run_id"])
    assert run.data.tags["mlflow.note.content"].startswith(sentence)
    assert run.info.status == "FINISHED"
    assert run.data.tags["homeostat.outcome"] == "not_worthwhile"
    assert deployed.versions() == ["1"]
    assert lease_is_free(deployed)


def test_without_a_champion_a_check_is_not_computable_and_triggers_nothing(setup):
    (setup.folder / "models" / "neighbour").mkdir()
    (setup.folder / "models" / "neighbour" / "model.yaml").write_text("name: [broken")
    dag_run = setup.check(T0)
    assert dag_run["state"] == "success", "another model's invalid file does not matter"
    assert dag_run["tasks"] == {"check": "success", "trigger_retrain": "skipped"}
    assert dag_run["xcoms"]["check"]["verdict"] == "not_computable"
    assert f"start retrain__{setup.name}" in dag_run["xcoms"]["check"]["sentence"]
    assert dag_run["tries"]["trigger_retrain"] == 0, "skipped without a process of its own"
    assert dag_run["events"] == []


def test_checks_pass_fire_once_and_can_repeat_a_past_window(deployed, receiver):
    def live(start, hours, **how):
        end = start + timedelta(hours=hours)
        serve(deployed.config, deployed.ports, rows_between(start, end, **how), labels=False)
        return end

    few = deployed.check(live(T0, 0.5))
    assert few["xcoms"]["check"]["verdict"] == "not_computable"
    assert receiver.titles[-1] == "the drift check could not be computed"

    calm = live(T0 + timedelta(hours=1), 3)
    own_hour = (calm + timedelta(minutes=20)).isoformat()
    quiet = deployed.check(logical=own_hour)
    assert quiet["xcoms"]["check"]["window_end"] == calm.isoformat(), "the run's own hour"
    assert quiet["xcoms"]["check"]["verdict"] == "pass"
    assert is_plain(quiet["xcoms"]["check"])
    assert quiet["tasks"]["trigger_retrain"] == "skipped"
    assert quiet["shown"]["check"].startswith("no retrain: ")
    before = len(receiver.received)

    first = live(calm, 4, shift=3.0)
    assert not deployed.check(first)["xcoms"]["check"]["fired"], "one window is not enough"
    second = live(first, 1, shift=3.0)
    fired = deployed.check(second)
    assert fired["tasks"] == {"check": "success", "trigger_retrain": "success"}
    event = {
        "trigger_id": f"{deployed.name}/{second.isoformat()}",
        "window_end": second.isoformat(),
        "reason": "sustained_drift",
        "reinstate": "",
    }
    assert fired["events"] == [event]
    assert fired["xcoms"]["trigger_retrain"] == event
    assert receiver.titles[before:] == ["retraining has started"]
    assert receiver.received[-1]["message"].startswith(
        "Drift lasted 2 windows in a row (trigger.consecutive is 2)"
    )

    past = deployed.check(calm)
    for name in ("window_end", "verdict", "drifted_share"):
        assert past["xcoms"]["check"][name] == quiet["xcoms"]["check"][name]
    assert not past["xcoms"]["check"]["fired"]
    assert deployed.check(second)["events"] == [event], (
        "a repeated check gives the same trigger, which retrains once"
    )


def test_tasks_are_retried_while_mlflow_is_down_and_then_fail_with_the_reason(setup, free_port):
    down = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{free_port()}"}
    began = time.monotonic()
    dag_run = setup.retrain(run=1, retries=1, env=down)
    assert time.monotonic() - began < 30
    assert dag_run["state"] == "failed"
    assert dag_run["tries"]["assemble"] == 2
    assert dag_run["backoff"] == [2.0], "True would count as 1: no backoff"
    notes = [note for note in dag_run["callbacks"] if note["task"] == "assemble"]
    assert [note["kind"] for note in notes] == ["retry", "failure"]
    assert all(
        note["text"].startswith("cannot") and down["MLFLOW_TRACKING_URI"] in note["text"] for note in notes
    )
    assert "is it running?" in notes[-1]["text"]
    assert lease_is_free(setup), "a failed run releases the lease"
    assert dag_run["note"] == (
        f"**Retrain failed.** {setup.name}: the retrain failed at assemble: {notes[-1]['text']}"
    )

    again = setup.retrain(run=1)
    assert again["state"] == "success", "the same run, once MLflow is back"
    assert again["note"].startswith("**Retrain promoted.** ")
    assert "failed" not in again["note"]
    assert setup.versions() == ["1"]


def test_an_mlflow_that_accepts_connections_but_never_responds_hangs_no_task(deployed):
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        env = {
            "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{deaf.getsockname()[1]}",
            "MLFLOW_HTTP_REQUEST_TIMEOUT": "1",
        }
        began = time.monotonic()
        dag_run = deployed.airflow.call("run", deployed.env | env, dag=f"drift_check__{deployed.name}")
    assert time.monotonic() - began < 30
    assert dag_run["tasks"] == {"check": "failed", "trigger_retrain": "upstream_failed"}
    assert "MLflow" in failure_text(dag_run, "check")
    assert "does not answer" in failure_text(dag_run, "check")


def test_permanent_errors_fail_at_once_without_retries(setup):
    nothing = setup.retrain(until="2020-01-01T00:00Z", retries=3)
    assert (nothing["tasks"]["assemble"], nothing["tries"]["assemble"]) == ("failed", 1)
    assert [note["kind"] for note in nothing["callbacks"] if note["task"] == "assemble"] == ["failure"]

    unknown = setup.retrain(pipeline="nowhere.py:build", retries=3)
    assert (unknown["tasks"]["train"], unknown["tries"]["train"]) == ("failed", 1)
    assert "nowhere.py" in failure_text(unknown, "train")
    assert unknown["note"].startswith(f"**Retrain failed.** {setup.name}: the retrain failed at train: ")
    outcome = find_outcome(setup.ports.store, setup.name, run_key(setup.name, unknown["run_id"]))
    assert (outcome.outcome, outcome.stage) == ("failed", "train")
    assert lease_is_free(setup)

    invalid = setup.airflow.call(
        "run",
        setup.env,
        dag=f"drift_check__{setup.name}",
        conf={"window_end": "yesterday"},
        retries=3,
    )
    assert (invalid["tasks"]["check"], invalid["tries"]["check"]) == ("failed", 1)
    assert "window_end 'yesterday' is not a time" in failure_text(invalid, "check")


def test_a_first_version_without_a_gateway_waits_and_the_log_says_what_to_start(setup, free_port):
    now, config, ledger = datetime.now(UTC), setup.config, setup.ports.ledger
    step = begin(ledger.read(setup.name), VersionRef("1", "a"), "run", Plan.of(config), now)
    ledger.write(step.traffic, kind=step.kind, reason=step.reason, by="test", at=now)
    address = f"http://127.0.0.1:{free_port()}"
    waiting = setup.in_background(
        setup.airflow.call,
        do="trigger",
        env=setup.env | {"HOMEOSTAT_GATEWAY": address},
        model=setup.name,
        run_key="run",
        phases=["registered", "shadow"],
    )
    waits = f"{setup.name}: version 1 is registered; no gateway has loaded it yet"
    assert holds_within(40, lambda: waits in setup.airflow.log)
    assert f"no gateway responds at {address}" in setup.airflow.log
    assert "Start one: homeostat up, or homeostat gateway" in setup.airflow.log
    assert not waiting.done()
    load_as_gateway(setup.name, ledger, datetime.now(UTC))
    assert waiting.result(40)["event"] == {"phase": "champion"}


def test_the_rollout_trigger_survives_serialisation_and_an_unavailable_ledger(setup):
    (setup.folder / "away").write_text("a file where the ledger's folder should be")
    env = setup.env | {"HOMEOSTAT_LEDGER": f"sqlite:///{setup.folder}/away/ledger.db"}
    waiting = setup.in_background(
        setup.airflow.call,
        do="trigger",
        env=env,
        model=setup.name,
        run_key="run",
        phases=["shadow", "canary"],
    )
    time.sleep(1)
    assert not waiting.done()
    (setup.folder / "away").unlink()
    ledger = open_ledger(env["HOMEOSTAT_LEDGER"])
    candidate, plan = VersionRef("2", "b"), Plan.of(setup.config)
    rollout = Rollout("run", candidate, Phase.SHADOW, 0, datetime.now(UTC) + timedelta(seconds=30), plan)
    state = Traffic(setup.name, champion=VersionRef("1", "a"), rollout=rollout)
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


def test_notices_arrive_verbatim_and_a_dead_receiver_does_not_stop_the_others(setup, receiver, free_port):
    dead = {"conn_type": "apprise", "extra": {"config": {"path": f"json://127.0.0.1:{free_port()}"}}}
    env = setup.env | {
        "AIRFLOW_CONN_DEAD": json.dumps(dead),
        "AIRFLOW_CONN_EMPTY": json.dumps({"conn_type": "apprise", "extra": {"config": []}}),
        "AIRFLOW_CONN_WRONG": "apprise://somewhere",
        "AIRFLOW_CONN_FORM": receiver.form_connection,
    }
    targets = ["dead", "empty", "wrong", "not_there", "people", "form"]
    setup.airflow.call(
        "notify", env, targets=targets, title="{{ 7 * 7 }} is not a template", body="category {% raw"
    )
    got, same = receiver.received
    assert got == same
    assert got["title"] == "{{ 7 * 7 }} is not a template"
    assert got["message"].startswith("category {% raw\n\n**What to do**: ")
    assert got["type"] == "success"
    log = setup.airflow.log
    for target in targets[:4]:
        assert f"did not reach {target}: " in log
    assert 'its extra must read {"config": {"path":' in log
