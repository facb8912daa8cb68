"""Reinstating a former champion when its concept comes back: nothing is trained, everything is checked."""

import json
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from homeostat.config import load_model
from homeostat.config.errors import NotFound, Refused, Superseded
from homeostat.core.rollout import Phase
from homeostat.core.trigger import TriggerReason
from homeostat.monitoring.context import check_context
from homeostat.monitoring.drift_check import check_drift
from homeostat.monitoring.labelled_performance import newest_labelled_rows
from homeostat.monitoring.version_comparison import version_to_reinstate
from homeostat.retraining.assemble import assemble
from homeostat.retraining.gate import gate
from homeostat.retraining.train import train
from homeostat.retraining.validate_on_holdout import validate
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
    """A model trained on the last twelve hours and scored in batch from its source."""
    path = folder / "model.yaml"
    path.write_text(MODEL.replace("length: 10d", "length: 12h") + "serve: none\n")
    return load_model(folder)


@pytest.fixture
def data(config):
    """Data with the rule, the opposite rule for twenty hours, and the rule again."""
    parts = [
        rows_between(T0 - timedelta(days=1), FLIPPED),
        rows_between(FLIPPED, BACK, flip=True),
        rows_between(BACK, T0 + 40 * HOUR),
    ]
    pd.concat(parts).to_csv(config.folder / "rows.csv", index=False)


def check(config, ports, hours):
    ports.clock.advance(max(T0 + hours * HOUR - ports.clock.now(), 0 * HOUR))
    return check_drift(config, ports, T0 + hours * HOUR)


def compare_until(config, ports, hours):
    """Compare the champions at every hour before this one, as the checks of these hours do."""
    promoted_at = ports.ledger.read("sample").promoted_at
    context = check_context(config, ports, ports.ledger.read("sample").champion)
    for hour in range(15, hours):
        end = T0 + hour * HOUR
        version_to_reinstate(context, newest_labelled_rows(context, end), end, promoted_at)


def retrain_for(config, ports, event, name):
    """Run the retrain of this event, as the DAG does."""
    request = RetrainRequest.of(run_key=run_key("sample", name), dag_run=name, params={}, event=event)
    return request, retrain(config, ports, request)


@pytest.fixture
def turned(config, ports, ask, data):
    """Version 1 was trained on the rule, version 2, the champion, on its opposite."""
    retrain(config, ports, ask("first"))
    fired = check(config, ports, 14)
    assert fired["reason"].startswith("performance_decay")
    assert retrain_for(config, ports, fired, "flipped")[1]["phase"] == Phase.CHAMPION
    assert ports.ledger.read("sample").champion.version == "2"
    ports.notifier.sent.clear()
    compare_until(config, ports, 33)


def test_a_former_champion_is_reinstated_when_its_concept_comes_back(config, ports, turned):
    assert check(config, ports, 20)["reinstate"] == ""
    event = check(config, ports, 33)
    assert (event["fired"], event["reason"], event["reinstate"]) == (
        True,
        TriggerReason.FORMER_VERSION_FITS,
        "1",
    )
    assert notices(ports) == ["trigger_fired"]
    assert "reinstating version 1" in ports.notifier.sent[-1][1].title

    before = load_version_info(ports.store, "sample", ports.registry.version("sample", "1").digest)
    request, ended = retrain_for(config, ports, event, "back")
    assert (ended["phase"], ended["version"]) == (Phase.CHAMPION, "1")
    steps = {
        step: json.loads(ports.store.get(f"retrain/sample/{request.run_key}/{step}.json"))
        for step in ("train", "validate", "gate", "register")
    }
    assert steps["train"]["trained"] is False
    assert steps["train"]["holdout_version"] == steps["train"]["digest"]
    assert steps["gate"]["passed"]
    assert steps["validate"]["candidate"]["metrics"]["accuracy"] > 0.9
    assert steps["validate"]["champion"]["metrics"]["accuracy"] < 0.1
    assert steps["register"]["version"] == "1"

    traffic = ports.ledger.read("sample")
    assert (traffic.champion.version, traffic.previous.version) == ("1", "2")
    assert [v.version for v in ports.registry.versions("sample")] == ["1", "2"]
    assert ports.registry.aliases("sample") == {"champion": "1", "previous": "2"}
    assert ports.registry.version("sample", "1").tags["homeostat.reinstated_by"] == request.run_key
    after = load_version_info(ports.store, "sample", traffic.champion.digest)
    assert after["metrics"] == steps["validate"]["candidate"]["metrics"], "what it does today"
    kept = ("version", "run_key", "training_rows", "holdout_version", "trained_until")
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}, "its past stays"


def test_a_reinstatement_may_run_twice_and_resumes(config, ports, turned):
    event = check(config, ports, 33)
    request, ended = retrain_for(config, ports, event, "back")
    assert retrain(config, ports, request) == ended
    with pytest.raises(Superseded):
        retrain_for(config, ports, event, "the same event again")
    assert [v.version for v in ports.registry.versions("sample")] == ["1", "2"]


def test_a_window_that_reinstated_gives_the_same_result_after_the_promotion(config, ports, turned):
    event = check(config, ports, 33)
    record = ports.history.windows("sample")[-1]
    retrain_for(config, ports, event, "back")
    again = check(config, ports, 33)
    assert {name: again[name] for name in ("fired", "reason", "reinstate", "trigger_id")} == {
        name: event[name] for name in ("fired", "reason", "reinstate", "trigger_id")
    }
    looked = ports.history.windows("sample")[-1]
    assert (
        (looked.version, looked.reinstate, looked.fired)
        == (record.version, record.reinstate, True)
        == ("2", "1", True)
    )


def test_a_reinstated_champion_is_not_replaced_by_another_reinstatement(config, ports, turned):
    retrain_for(config, ports, check(config, ports, 33), "back")
    answers = [check(config, ports, hours) for hours in (34, 38, 40)]
    assert [(a["fired"], a["reinstate"]) for a in answers] == [(False, "")] * 3


@pytest.mark.parametrize("registered", [True, False])
def test_a_former_champion_whose_bundle_is_missing_comes_from_the_registry_or_is_skipped(
    config, ports, turned, registered
):
    digest = ports.registry.version("sample", "1").digest
    for key in ports.store.list(f"bundles/sample/{digest}/"):
        ports.store.delete(key)
    if not registered:
        files = ports.registry.files["sample", "1"]
        ports.registry.files["sample", "1"] = {name: data + b"?" for name, data in files.items()}
    answer = check(config, ports, 33)
    assert answer["reinstate"] == ("1" if registered else "")
    if not registered:
        assert (answer["fired"], answer["reason"][:17]) == (True, "performance_decay"), "then by a new one"


def test_a_former_champion_that_was_forced_is_not_reinstated_automatically(config, ports, turned):
    """It never passed its gate, so every reinstatement would be refused there."""
    digest = ports.registry.version("sample", "1").digest
    facts = load_version_info(ports.store, "sample", digest) | {"gate": "forced"}
    ports.store.put(f"versions/sample/{digest}.json", json.dumps(facts).encode(), overwrite=True)
    assert check(config, ports, 33)["reinstate"] == ""


def test_while_a_retrain_is_under_way_no_reinstatement_is_named(config, ports, turned, ask):
    assemble(config, ask("by hand"), ports, lease=timedelta(days=9))
    answer = check(config, ports, 33)
    assert (answer["fired"], answer["reason"], answer["reinstate"]) == (False, "retrain_under_way", "")


def test_a_reinstatement_of_the_champion_has_nothing_to_do(config, ports, turned, ask):
    with pytest.raises(Superseded, match="version 2 of sample is champion already"):
        assemble(config, ask("again", reinstate="2"), ports)
    assert assemble(config, ask("another"), ports)["rows"], "the lease is free"


def test_a_reinstatement_of_a_version_that_never_passed_is_refused_and_releases_the_lease(
    config, ports, turned, ask
):
    ports.registry.tag("sample", "1", {"homeostat.gate": "forced"})
    request = ask("again", reinstate="1")
    assemble(config, request, ports)
    with pytest.raises(Refused, match="version 1 of sample did not pass its gate"):
        train(config, request.run_key, ports)
    assert ports.ledger.lease_holder("sample", ports.clock.now()) is None


def test_a_reinstatement_of_an_unknown_version_is_an_error(config, ports, turned, ask):
    request = ask("again", reinstate="9")
    assemble(config, request, ports)
    with pytest.raises(NotFound, match="no version 9"):
        train(config, request.run_key, ports)
    assert ports.ledger.lease_holder("sample", ports.clock.now()) is None


def test_a_former_champion_that_is_worse_today_is_refused_by_the_gate(config, ports, turned, ask):
    request = ask("by hand", reinstate="1", until=(T0 + 19 * HOUR).isoformat())
    assemble(config, request, ports)
    for step in (train, validate):
        step(config, request.run_key, ports)
    assert not gate(config, request.run_key, ports)["passed"]
    assert ports.ledger.read("sample").champion.version == "2"


def promoted(config, ports, request):
    """Retrain and promote the candidate manually, without waiting for its canary."""
    version = retrain(config, ports, request, to_the_end=False)["version"]
    manual_promote(config, ports, version, by="test", reason="test")
    finalize(config, request.run_key, ports)


def test_behind_a_gateway_a_reinstated_version_goes_through_shadow_and_canary(folder, ports, ask):
    (folder / "model.yaml").write_text(MODEL)
    config = load_model(folder)
    retrain(config, ports, ask("run 1"))
    promoted(config, ports, ask("run 2"))
    begun = retrain(config, ports, ask("back", reinstate="1"), to_the_end=False)
    rollout = ports.ledger.read("sample").active
    assert (begun["version"], rollout.candidate.version, rollout.phase) == ("1", "1", Phase.REGISTERED)
    assert ports.registry.aliases("sample")["candidate"] == "1"
    assert ports.ledger.read("sample").champion.version == "2"


# Which version is scored on what


def by_heart(config):
    path = config.folder / "pipeline.py"
    path.write_text(path.read_text() + MEMORY)
    return config.model_copy(update={"pipeline": "pipeline.py:by_heart"})


def nothing_to_learn(config):
    """Random labels: only a version that was trained on them predicts them."""
    path = config.folder / "rows.csv"
    rows = pd.read_csv(path)
    rows["y"] = np.random.default_rng(0).integers(0, 2, len(rows))
    rows.to_csv(path, index=False)


def assembled(config, ports, request):
    found = assemble(config, request, ports)
    return found, read_snapshot(ports.store, found["snapshot"])


def test_the_holdout_version_is_kept_and_is_what_the_holdout_scores(folder, ports, ask):
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
    assert len({key.split("/")[2] for key in ports.store.list("bundles/sample/")}) == 1


def test_the_holdout_begins_where_the_champions_training_data_ends(folder, ports, ask):
    config = load_model(folder)
    retrain(config, ports, ask("run 1"))
    learnt = T0 - config.columns.label.delay
    pd.concat([rows_between(T0 - timedelta(days=5), T0), rows_between(T0, T0 + 6 * HOUR)]).to_csv(
        folder / "rows.csv", index=False
    )
    ports.clock.advance(6 * HOUR)  # less than two windows
    found, (rows, holdout, _) = assembled(config, ports, ask("run 2"))
    assert holdout["at"].min() == learnt
    assert (rows["at"] < learnt).all()
    assert (found["rows"], found["holdout"]) == (len(rows), len(holdout))


def test_a_champion_trained_on_the_holdout_is_scored_by_its_holdout_version(folder, ports, ask):
    """Too few new rows to compare two versions on."""
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


def test_former_champions_predict_the_labelled_rows_of_the_prediction_log(folder, ports, ask):
    """Whichever version served the rows, former champions predict them again."""
    config = load_model(folder)
    retrain(config, ports, ask("run 1"))
    rows = pd.concat([rows_between(T0 - timedelta(days=5), T0), rows_between(T0, T0 + 12 * HOUR, flip=True)])
    rows.to_csv(folder / "rows.csv", index=False)
    ports.clock.advance(12 * HOUR)
    promoted(config, ports, ask("run 2", training_window="11h"))
    serve(config, ports, rows_between(T0 + 12 * HOUR, T0 + 30 * HOUR))
    compare_until(config, ports, 26)
    answer = check_drift(config, ports, T0 + 26 * HOUR)
    assert (answer["fired"], answer["reinstate"]) == (True, "1")
