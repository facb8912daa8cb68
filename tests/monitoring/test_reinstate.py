"""The concept comes back, and with it the version that knows it: nothing is fitted, everything is checked."""

import json
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from homeostat.config import load_model
from homeostat.config.errors import NotFound, Refused, Superseded
from homeostat.core.rollout import Phase
from homeostat.core.trigger import TriggerReason
from homeostat.monitoring.drift_check import check_drift
from homeostat.retraining.assemble import assemble
from homeostat.retraining.gate import gate
from homeostat.retraining.train import train
from homeostat.retraining.validate import validate
from homeostat.rollouts.lifecycle import finalize
from homeostat.rollouts.manual import manual_promote
from homeostat.storage.bundles import load_version
from homeostat.storage.retrain_request import RetrainRequest, run_key
from homeostat.storage.snapshots import read_snapshot
from homeostat.storage.version_info import load_version_info
from sample_model import MODEL, T0, notices, retrain, rows_between, serve

pytestmark = pytest.mark.usefixtures("quick")
HOUR = timedelta(hours=1)
FLIPPED, BACK = T0, T0 + 20 * HOUR

MEMORY = """
from sklearn.compose import make_column_transformer
from sklearn.tree import DecisionTreeClassifier
from sklearn.pipeline import make_pipeline


def by_heart():
    columns = make_column_transformer(("passthrough", ["a", "b"]))
    return make_pipeline(columns, DecisionTreeClassifier(random_state=0))
"""


@pytest.fixture
def config(folder):
    """Learns from the last twelve hours, scored in batch: the world is what its source says."""
    path = folder / "model.yaml"
    path.write_text(MODEL.replace("length: 10d", "length: 12h") + "serve: none\n")
    return load_model(folder)


@pytest.fixture
def world(config):
    """The rule, the rule turned round for twenty hours, and the rule again."""
    parts = [
        rows_between(T0 - timedelta(days=1), FLIPPED),
        rows_between(FLIPPED, BACK, flip=True),
        rows_between(BACK, T0 + 40 * HOUR),
    ]
    pd.concat(parts).to_csv(config.folder / "rows.csv", index=False)


def check(config, ports, hours):
    ports.clock.advance(max(T0 + hours * HOUR - ports.clock.now(), 0 * HOUR))
    return check_drift(config, ports, T0 + hours * HOUR)


def answer_to(config, ports, event, name):
    """The retrain that the event asks for, as the DAG makes it."""
    request = RetrainRequest.of(run_key=run_key("toy", name), dag_run=name, params={}, event=event)
    return request, retrain(config, ports, request)


@pytest.fixture
def turned(config, ports, ask, world):
    """Version 1 learnt the rule, version 2 its opposite, which was champion until the rule came back."""
    retrain(config, ports, ask("first"))
    fired = check(config, ports, 14)
    assert fired["reason"].startswith("performance_decay")
    assert answer_to(config, ports, fired, "flipped")[1]["phase"] == Phase.CHAMPION
    assert ports.ledger.read("toy").champion.version == "2"
    ports.notifier.sent.clear()


def test_a_former_champion_is_tried_again_when_its_concept_comes_back(config, ports, turned):
    assert check(config, ports, 20)["reinstate"] == ""
    event = check(config, ports, 33)
    assert (event["fired"], event["reason"], event["reinstate"]) == (
        True,
        TriggerReason.FORMER_VERSION_FITS,
        "1",
    )
    assert notices(ports) == ["trigger_fired"]
    assert "reinstating version 1" in ports.notifier.sent[-1][1].title

    before = load_version_info(ports.store, "toy", ports.registry.version("toy", "1").digest)
    request, ended = answer_to(config, ports, event, "back")
    assert (ended["phase"], ended["version"]) == (Phase.CHAMPION, "1")
    steps = {
        step: json.loads(ports.store.get(f"retrain/toy/{request.run_key}/{step}.json"))
        for step in ("train", "validate", "gate", "register")
    }
    assert steps["train"]["trained"] is False
    assert steps["train"]["holdout_version"] == steps["train"]["digest"]
    assert steps["gate"]["passed"]
    assert steps["validate"]["candidate"]["metrics"]["accuracy"] > 0.9
    assert steps["validate"]["champion"]["metrics"]["accuracy"] < 0.1
    assert steps["register"]["version"] == "1"

    traffic = ports.ledger.read("toy")
    assert (traffic.champion.version, traffic.previous.version) == ("1", "2")
    assert [v.version for v in ports.registry.versions("toy")] == ["1", "2"]
    assert ports.registry.aliases("toy") == {"champion": "1", "previous": "2"}
    assert ports.registry.version("toy", "1").tags["homeostat.reinstated_by"] == request.run_key
    after = load_version_info(ports.store, "toy", traffic.champion.digest)
    assert after["metrics"] == steps["validate"]["candidate"]["metrics"], "what it does today"
    kept = ("version", "run_key", "training_rows", "holdout_version", "trained_until")
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}, "its past stays"


def test_a_reinstatement_may_run_twice_and_goes_on_from_where_it_was(config, ports, turned):
    event = check(config, ports, 26)
    request, ended = answer_to(config, ports, event, "back")
    assert retrain(config, ports, request) == ended
    with pytest.raises(Superseded):
        answer_to(config, ports, event, "the same event again")
    assert [v.version for v in ports.registry.versions("toy")] == ["1", "2"]


def test_a_window_that_reinstated_says_the_same_once_the_other_is_champion(config, ports, turned):
    event = check(config, ports, 26)
    record = ports.history.windows("toy")[-1]
    answer_to(config, ports, event, "back")
    again = check(config, ports, 26)
    assert {name: again[name] for name in ("fired", "reason", "reinstate", "trigger_id")} == {
        name: event[name] for name in ("fired", "reason", "reinstate", "trigger_id")
    }
    looked = ports.history.windows("toy")[-1]
    assert (
        (looked.version, looked.reinstate, looked.fired)
        == (record.version, record.reinstate, True)
        == ("2", "1", True)
    )


def test_nothing_reinstates_whoever_has_just_been_reinstated(config, ports, turned):
    answer_to(config, ports, check(config, ports, 26), "back")
    answers = [check(config, ports, hours) for hours in (27, 33, 34)]
    assert [(a["fired"], a["reinstate"]) for a in answers] == [(False, "")] * 3


@pytest.mark.parametrize("registered", [True, False])
def test_a_former_champion_whose_bundle_is_gone_comes_from_the_registry_or_is_passed_over(
    config, ports, turned, registered
):
    digest = ports.registry.version("toy", "1").digest
    for key in ports.store.list(f"bundles/toy/{digest}/"):
        ports.store.delete(key)
    if not registered:
        files = ports.registry.files["toy", "1"]
        ports.registry.files["toy", "1"] = {name: data + b"?" for name, data in files.items()}
    answer = check(config, ports, 26)
    assert answer["reinstate"] == ("1" if registered else "")
    if not registered:
        assert (answer["fired"], answer["reason"][:17]) == (True, "performance_decay"), "then by a new one"


def test_a_former_champion_that_was_forced_is_not_tried_again_by_itself(config, ports, turned):
    """Its gate would be asked for, and that it never passed: every reinstatement would end there."""
    digest = ports.registry.version("toy", "1").digest
    facts = load_version_info(ports.store, "toy", digest) | {"gate": "forced"}
    ports.store.put(f"versions/toy/{digest}.json", json.dumps(facts).encode(), overwrite=True)
    assert check(config, ports, 26)["reinstate"] == ""


def test_while_a_retrain_is_under_way_no_reinstatement_is_named(config, ports, turned, ask):
    assemble(config, ask("by hand"), ports, lease=timedelta(days=9))
    answer = check(config, ports, 26)
    assert (answer["fired"], answer["reason"], answer["reinstate"]) == (False, "retrain_under_way", "")


def test_a_reinstatement_of_the_champion_has_nothing_to_do(config, ports, turned, ask):
    with pytest.raises(Superseded, match="version 2 of toy is champion already"):
        assemble(config, ask("again", reinstate="2"), ports)
    assert assemble(config, ask("another"), ports)["rows"], "the lease is free"


def test_a_reinstatement_of_a_version_that_never_passed_is_refused_and_releases_the_lease(
    config, ports, turned, ask
):
    ports.registry.tag("toy", "1", {"homeostat.gate": "forced"})
    request = ask("again", reinstate="1")
    assemble(config, request, ports)
    with pytest.raises(Refused, match="version 1 of toy did not pass its gate"):
        train(config, request.run_key, ports)
    assert ports.ledger.lease_holder("toy", ports.clock.now()) is None


def test_a_reinstatement_of_a_version_that_there_is_not_says_so(config, ports, turned, ask):
    request = ask("again", reinstate="9")
    assemble(config, request, ports)
    with pytest.raises(NotFound, match="no version 9"):
        train(config, request.run_key, ports)
    assert ports.ledger.lease_holder("toy", ports.clock.now()) is None


def test_a_former_champion_that_is_worse_today_is_refused_by_the_gate(config, ports, turned, ask):
    request = ask("by hand", reinstate="1", until=(T0 + 19 * HOUR).isoformat())
    assemble(config, request, ports)
    for step in (train, validate):
        step(config, request.run_key, ports)
    assert not gate(config, request.run_key, ports)["passed"]
    assert ports.ledger.read("toy").champion.version == "2"


def promoted(config, ports, request):
    """A retrain whose candidate a person promotes, without waiting for its canary."""
    version = retrain(config, ports, request, to_the_end=False)["version"]
    manual_promote(config, ports, version, by="test", reason="test")
    finalize(config, request.run_key, ports)


def test_behind_a_gateway_a_former_champion_earns_its_traffic_like_any_other(folder, ports, ask):
    (folder / "model.yaml").write_text(MODEL)
    config = load_model(folder)
    retrain(config, ports, ask("run 1"))
    promoted(config, ports, ask("run 2"))
    begun = retrain(config, ports, ask("back", reinstate="1"), to_the_end=False)
    rollout = ports.ledger.read("toy").active
    assert (begun["version"], rollout.candidate.version, rollout.phase) == ("1", "1", Phase.REGISTERED)
    assert ports.registry.aliases("toy")["candidate"] == "1"
    assert ports.ledger.read("toy").champion.version == "2"


# Who is judged on what


def by_heart(config):
    path = config.folder / "pipeline.py"
    path.write_text(path.read_text() + MEMORY)
    return config.model_copy(update={"pipeline": "pipeline.py:by_heart"})


def nothing_to_learn(config):
    """Labels by the toss of a coin: whoever is right has seen them."""
    path = config.folder / "rows.csv"
    rows = pd.read_csv(path)
    rows["y"] = np.random.default_rng(0).integers(0, 2, len(rows))
    rows.to_csv(path, index=False)


def assembled(config, ports, request):
    found = assemble(config, request, ports)
    return found, read_snapshot(ports.store, found["snapshot"])


def test_the_judge_is_kept_and_is_what_the_holdout_has_scored(folder, ports, ask):
    config = by_heart(load_model(folder))
    nothing_to_learn(config)
    request = ask()
    _, (rows, holdout, _) = assembled(config, ports, request)
    trained = train(config, request.run_key, ports)
    assert trained["holdout_version"] != trained["digest"]
    holdout_version, served = (
        load_version(ports, config, trained[name]) for name in ("holdout_version", "digest")
    )
    assert holdout_version.manifest["holdout_version_of"] == trained["digest"]
    assert "holdout_version_of" not in served.manifest

    def right(bundle, on):
        return (bundle.predictor.predict(on).prediction == on["y"]).mean()

    assert right(served, rows) == right(served, holdout) == right(holdout_version, rows) == 1
    scores = validate(config, request.run_key, ports)
    assert scores["candidate"]["metrics"]["accuracy"] == right(holdout_version, holdout) < 0.6


def test_without_a_refit_there_is_one_bundle(folder, ports, ask):
    path = folder / "model.yaml"
    path.write_text(path.read_text().replace("min_rows: 200}", "min_rows: 200, refit: false}", 1))
    config, request = load_model(folder), ask()
    assemble(config, request, ports)
    trained = train(config, request.run_key, ports)
    assert trained["holdout_version"] == trained["digest"]
    assert len({key.split("/")[2] for key in ports.store.list("bundles/toy/")}) == 1


def test_the_holdout_begins_where_the_champions_knowledge_ends(folder, ports, ask):
    config = load_model(folder)
    retrain(config, ports, ask("run 1"))
    learnt = T0 - config.columns.label.delay
    pd.concat([rows_between(T0 - timedelta(days=5), T0), rows_between(T0, T0 + 8 * HOUR)]).to_csv(
        folder / "rows.csv", index=False
    )
    ports.clock.advance(8 * HOUR)
    found, (rows, holdout, _) = assembled(config, ports, ask("run 2"))
    assert holdout["at"].min() == learnt
    assert (rows["at"] < learnt).all()
    assert (found["rows"], found["holdout"]) == (len(rows), len(holdout))


def test_a_champion_that_has_learnt_the_holdout_by_heart_is_spoken_for_by_its_judge(folder, ports, ask):
    """Hardly any time has passed: too little is new to compare two versions on."""
    config = by_heart(load_model(folder))
    nothing_to_learn(config)
    retrain(config, ports, ask("run 1"))
    request = ask("run 2")
    _, (_, holdout, _) = assembled(config, ports, request)
    assert holdout["at"].min() < T0 - config.columns.label.delay
    train(config, request.run_key, ports)
    scores = validate(config, request.run_key, ports)
    assert scores["champion"]["metrics"] == scores["candidate"]["metrics"]
    assert scores["champion"]["metrics"]["accuracy"] < 0.6


def test_what_was_answered_without_labels_is_answered_with_them(folder, ports, ask):
    """Through the gateway's log too, whichever version answered: the former champion is asked anew."""
    config = load_model(folder)
    retrain(config, ports, ask("run 1"))
    rows = pd.concat([rows_between(T0 - timedelta(days=5), T0), rows_between(T0, T0 + 12 * HOUR, flip=True)])
    rows.to_csv(folder / "rows.csv", index=False)
    ports.clock.advance(12 * HOUR)
    promoted(config, ports, ask("run 2", training_window="11h"))
    serve(config, ports, rows_between(T0 + 12 * HOUR, T0 + 18 * HOUR))
    answer = check_drift(config, ports, T0 + 17 * HOUR)
    assert (answer["fired"], answer["reinstate"]) == (True, "1")
