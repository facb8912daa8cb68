"""From a request to a champion, over fakes: once per run key, whatever is retried or refused."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from homeostat.config import load_model
from homeostat.config.errors import DataError, EmptyWindow, SingleClass, Superseded, Untrusted
from homeostat.core.rollout import HardFailure, Phase
from homeostat.retraining.assemble import assemble
from homeostat.retraining.gate import gate
from homeostat.retraining.register import register
from homeostat.retraining.train import train
from homeostat.retraining.validate_on_holdout import validate
from homeostat.rollouts.advance import advance
from homeostat.rollouts.lifecycle import begin_rollout, finalize
from homeostat.rollouts.manual import manual_promote, manual_rollback
from homeostat.storage.bundles import load_version
from homeostat.storage.retrain_outcome import find_outcome
from homeostat.storage.step_results import load_result, save_result
from homeostat.storage.version_info import load_version_info
from sample_model import T0, follow_to_the_end, load_as_gateway, notices, retrain, rows_between

pytestmark = pytest.mark.usefixtures("quick")


def test_the_first_version_becomes_champion_without_shadow_or_canary(config, ports, ask):
    result = retrain(config, ports, ask())
    assert result["phase"] == Phase.CHAMPION
    traffic = ports.ledger.read("sample")
    assert traffic.champion.version == "1"
    assert traffic.previous is None
    assert ports.registry.aliases("sample") == {"champion": "1"}
    assert notices(ports) == ["promoted"]


def test_a_version_has_the_tags_of_its_origin(config, ports, ask):
    retrain(config, ports, ask(reason="sustained_drift", dag_run="manual__1"))
    tags = ports.registry.version("sample", "1").tags
    assert tags["homeostat.reason"] == "sustained_drift"
    assert tags["homeostat.dag_run"] == "manual__1"
    assert tags["homeostat.gate"] == "passed"
    assert tags["homeostat.phase"] == "champion"
    assert len(tags["homeostat.data_digest"]) == 64
    assert {"homeostat.git_revision", "homeostat.lock_digest", "homeostat.run_key"} <= set(tags)
    facts = load_version_info(ports.store, "sample", ports.ledger.read("sample").champion.digest)
    assert facts["metrics"]["accuracy"] > 0.9
    assert facts["trained_until"] == (T0 - config.columns.label.delay).isoformat()


def test_every_step_may_run_twice_and_registers_one_version(config, ports, ask):
    request = ask()
    key = request.run_key
    for step in (
        lambda: assemble(config, request, ports),
        lambda: train(config, key, ports),
        lambda: validate(config, key, ports),
        lambda: gate(config, key, ports),
        lambda: register(config, key, ports),
        lambda: begin_rollout(config, key, ports),
        lambda: load_as_gateway("sample", ports.ledger, ports.clock.now()),
        lambda: finalize(config, key, ports),
    ):
        assert step() == step()
    assert [v.version for v in ports.registry.versions("sample")] == ["1"]
    assert [event.kind for event in ports.ledger.events("sample")] == ["begun", "promoted"]
    assert len(ports.notifier.sent) == 1


def test_the_same_trigger_retrains_once(config, ports, ask):
    retrain(config, ports, ask("run 1", trigger_id="sample/2026-03-02T00"))
    with pytest.raises(Superseded):
        assemble(config, ask("run 2", trigger_id="sample/2026-03-02T00"), ports)


def test_two_retrains_at_once_the_second_is_superseded_and_later_ones_are_not(config, ports, ask):
    assemble(config, ask("run 1"), ports)
    with pytest.raises(Superseded):
        assemble(config, ask("run 2"), ports)
    retrain(config, ports, ask("run 1"))
    assert assemble(config, ask("run 3"), ports)["rows"] > 0


def test_candidate_and_champion_are_scored_on_the_same_holdout(config, ports, ask):
    retrain(config, ports, ask("run 1"))
    request = ask("run 2")
    assemble(config, request, ports)
    train(config, request.run_key, ports)
    scores = validate(config, request.run_key, ports)
    assert scores["champion_version"] == "1"
    assert scores["candidate"]["metrics"] == scores["champion"]["metrics"], "the same data, the same model"


def test_the_scores_of_all_recipes_are_logged(folder, ports, ask):
    path = folder / "model.yaml"
    path.write_text(path.read_text().replace("kind: sliding", "kind: auto", 1))
    config, request = load_model(folder), ask()
    assemble(config, request, ports)
    trained = train(config, request.run_key, ports)
    run = ports.registry.runs[trained["run_id"]]
    assert run.params["recipe"] in trained["sentence"]
    scores = {name: value for name, value in run.metrics.items() if name.startswith("trials/")}
    assert set(scores) <= {"trials/all", "trials/middle", "trials/short"}
    manifest = load_version(ports, config, trained["digest"]).manifest
    assert (manifest["recipe"], manifest["refit"]) == (run.params["recipe"], True)
    assert int(run.params["fits"]) == manifest["fits"] == 9 + len(scores) + 3


def test_figures_are_drawn_where_enabled(config, ports, ask):
    ports = replace(ports, renders_figures=True)
    retrain(config, ports, ask())
    (run,) = ports.registry.runs.values()
    drawn = [data for name, data in run.artifacts.items() if name.endswith(".png")]
    assert drawn
    assert all(data.startswith(b"\x89PNG") for data in drawn)


def test_a_refused_candidate_is_recorded_notified_and_ends_the_retrain(config, ports, ask):
    retrain(config, ports, ask("run 1"))
    request = ask("run 2", pipeline="pipeline.py:constant")
    assemble(config, request, ports)
    train(config, request.run_key, ports)
    validate(config, request.run_key, ports)
    verdict = gate(config, request.run_key, ports)
    assert (verdict["passed"], verdict["proceeds"]) == (False, False)
    sentence = verdict["sentence"]
    assert sentence.startswith("The candidate of sample was refused by the gate: metric: accuracy 0.")
    assert "gate.max_regression allows 0.02" in sentence
    assert sentence.endswith(". Version 1 stays champion.")
    notice = ports.notifier.sent[-1][1]
    assert (notice.kind, notice.title) == ("refused", "sample: candidate refused by the gate")
    assert notice.body == sentence
    run = ports.registry.runs[load_result(ports.store, "sample", request.run_key, "train")["run_id"]]
    assert (run.status, run.description, run.tags["homeostat.outcome"]) == ("FINISHED", sentence, "refused")
    outcome = find_outcome(ports.store, "sample", request.run_key)
    assert (outcome.outcome, outcome.stage, outcome.sentence) == ("refused", "gate", sentence)
    assert (outcome.trigger_id, outcome.version, outcome.inconclusive) == (request.trigger_id, "", False)
    assert finalize(config, request.run_key, ports)["sentence"] == sentence, (
        "the end of the run says the same"
    )
    with pytest.raises(Superseded, match="gate refused"):
        register(config, request.run_key, ports)
    assert [v.version for v in ports.registry.versions("sample")] == ["1"]
    assert ports.ledger.read("sample").champion.version == "1"
    retrain(config, ports, ask("run 3"))  # the lease was released


def test_a_forced_candidate_continues_but_waits_for_an_approval(config, ports, ask):
    retrain(config, ports, ask("run 1"))
    request = ask("run 2", pipeline="pipeline.py:constant", force=True, skip_shadow=True)
    assemble(config, request, ports)
    for step in (train, validate, gate, register, begin_rollout):
        step(config, request.run_key, ports)
    rollout = ports.ledger.read("sample").rollout
    assert rollout.forced
    assert rollout.plan.approval
    assert ports.registry.version("sample", "2").tags["homeostat.gate"] == "forced"


def test_a_batch_model_moves_its_alias_after_the_gate(folder, ports, ask):
    path = folder / "model.yaml"
    path.write_text(path.read_text() + "serve: none\n")
    config = load_model(folder)
    for run in ("run 1", "run 2"):
        assert retrain(config, ports, ask(run))["phase"] == Phase.CHAMPION
    assert ports.registry.aliases("sample") == {"champion": "2", "previous": "1"}


def test_the_training_window_of_the_form_is_used(config, ports, ask):
    assert assemble(config, ask(training_window="2d"), ports)["rows"] < 2 * 24 * 60
    assert assemble(config, ask("run 1"), ports)["rows"] < 2 * 24 * 60, "a retry keeps the request"


def test_no_rows_is_an_empty_window_and_releases_the_lease(config, ports, ask):
    request = ask(until="2020-01-01T00:00Z")
    with pytest.raises(EmptyWindow):
        assemble(config, request, ports)
    (run,) = ports.registry.runs.values()
    assert (run.status, run.tags["homeostat.outcome"]) == ("FAILED", "failed")
    assert run.tags["homeostat.error"]
    outcome = find_outcome(ports.store, "sample", request.run_key)
    assert (outcome.outcome, outcome.stage) == ("failed", "assemble")
    assert run.description == outcome.sentence
    retrain(config, ports, ask("run 2"))


def test_one_class_is_refused_before_the_fit(config, ports, ask):
    rows = rows_between(T0 - timedelta(days=5), T0)
    rows["y"] = 1
    rows.to_csv(config.folder / "rows.csv", index=False)
    request = ask()
    assemble(config, request, ports)
    with pytest.raises(SingleClass):
        train(config, request.run_key, ports)


def test_a_missing_column_is_named(config, ports, ask):
    rows_between(T0 - timedelta(days=5), T0).drop(columns="b").to_csv(config.folder / "rows.csv", index=False)
    with pytest.raises(DataError, match="'b'"):
        assemble(config, ask(), ports)


def test_a_bundle_that_was_changed_is_not_loaded(config, ports, ask):
    retrain(config, ports, ask())
    digest = ports.ledger.read("sample").champion.digest
    key = f"bundles/sample/{digest}/manifest.json"
    ports.store.put(key, ports.store.get(key) + b" ", overwrite=True)
    with pytest.raises(Untrusted):
        load_version(ports, config, digest)


def test_a_canary_without_a_gateway_is_rolled_back_as_inconclusive(config, ports, ask):
    shadow = config.shadow.model_copy(update={"max_duration": timedelta(days=1)})
    config = config.model_copy(update={"shadow": shadow})
    retrain(config, ports, ask("run 1"))
    result = follow_to_the_end(config, ports, retrain(config, ports, ask("run 2"), to_the_end=False))
    assert result["phase"] == Phase.ROLLED_BACK
    assert (result["outcome"], result["stage"], result["inconclusive"]) == ("refused", "shadow", True)
    assert "inconclusive" in result["reason"]
    assert ports.registry.aliases("sample") == {"champion": "1"}
    assert_refused_everywhere(ports, result, "sample: version 2 refused in shadow")
    assert "shadow.min_samples" in result["sentence"]


def assert_refused_everywhere(ports, result, title):
    """Assert that notice, MLflow's run and version, and the stored outcome say the same of version 2."""
    sentence, version = result["sentence"], ports.registry.version("sample", "2")
    notice, run = ports.notifier.sent[-1][1], ports.registry.runs[version.run_id]
    assert (notice.kind, notice.title, notice.body) == ("refused", title, sentence)
    assert (run.description, run.status, run.tags["homeostat.outcome"]) == (sentence, "FINISHED", "refused")
    assert version.description.startswith(f"{sentence}\n\n- ")
    assert version.tags["homeostat.outcome"] == "refused"
    assert version.tags["homeostat.phase"] == "rolled_back"
    outcome = find_outcome(ports.store, "sample", version.tags["homeostat.run_key"])
    assert (outcome.outcome, outcome.stage) == ("refused", result["stage"])
    assert (outcome.sentence, outcome.version) == (sentence, "2")
    assert sentence.endswith(". Version 1 stays champion.")


def test_a_version_that_cannot_be_loaded_is_refused_like_any_other(config, ports, ask):
    retrain(config, ports, ask("run 1"))
    begun = retrain(config, ports, ask("run 2"), to_the_end=False)
    candidate = ports.ledger.read("sample").active.candidate
    failure = HardFailure(candidate, "version 2 could not be loaded: type evil.Type is not trusted")
    advance("sample", ports.ledger, by="gateway:a", now=ports.clock.now(), failure=failure)
    result = finalize(config, begun["run_key"], ports)
    assert result["stage"] == "load"
    assert_refused_everywhere(ports, result, "sample: version 2 refused before its shadow")
    assert "evil.Type" in result["sentence"]


@pytest.mark.parametrize(
    ("reason", "by", "said"),
    [
        ("declined by Anna in Airflow", "Anna in Airflow", "declined by Anna in Airflow"),
        ("too early", "command line", "declined by command line: too early"),
    ],
)
def test_a_declined_approval_is_a_refusal_however_it_was_declined(config, ports, ask, reason, by, said):
    retrain(config, ports, ask("run 1"))
    careful = config.model_copy(update={"serve": "none", "approval": "required"})
    begun = retrain(careful, ports, ask("run 2"), to_the_end=False)
    key = begun["run_key"]
    assert finalize(careful, key, ports)["outcome"] == "", "it waits"
    manual_rollback("sample", ports.ledger, reason=reason, by=by, at=ports.clock.now())
    result = finalize(careful, key, ports)
    assert result["stage"] == "approval"
    assert_refused_everywhere(ports, result, "sample: version 2 refused at the approval")
    assert f"refused at the approval: {said} (approval: required)." in result["sentence"]


def test_a_superseded_candidate_is_no_refusal(config, ports, ask):
    retrain(config, ports, ask("run 1"))
    begun = retrain(config, ports, ask("run 2"), to_the_end=False)
    manual_promote(config, ports, "1", by="Anna", reason="keep it")
    result = finalize(config, begun["run_key"], ports)
    assert (result["outcome"], result["phase"]) == ("superseded", "superseded")
    assert notices(ports)[-1] == "superseded"
    outcome = find_outcome(ports.store, "sample", begun["run_key"])
    assert (outcome.outcome, outcome.stage) == ("superseded", "registered")
    assert ports.registry.version("sample", "2").tags["homeostat.outcome"] == "superseded"


def test_a_retrain_that_gets_no_lease_is_superseded(config, ports, ask):
    assemble(config, ask("run 1"), ports)
    with pytest.raises(Superseded):
        assemble(config, ask("run 2", trigger_id="sample/2026-03-02T00:00:00+00:00"), ports)
    key = ask("run 2").run_key
    outcome = find_outcome(ports.store, "sample", key)
    assert (outcome.outcome, outcome.stage) == ("superseded", "lease")
    assert outcome.trigger_id == "sample/2026-03-02T00:00:00+00:00"
    assert finalize(config, key, ports)["outcome"] == "superseded"


def test_a_promotion_says_so_in_mlflow(config, ports, ask):
    result = retrain(config, ports, ask())
    version = ports.registry.version("sample", "1")
    assert result["outcome"] == version.tags["homeostat.outcome"] == "promoted"
    run = ports.registry.runs[version.run_id]
    assert run.description == result["sentence"]
    assert result["sentence"].startswith("sample version 1 is champion since 20")
    assert run.name == f"promoted {run.metrics['score']:.3g} accuracy, 2026-03-02 00:00 (manual)"
    assert run.metrics["score"] == run.metrics["scores/accuracy"]
    assert min(run.metrics) == "score", "what MLflow offers first"
    sentence, _, story = version.description.partition("\n\n")
    assert sentence == result["sentence"]
    trained, gated, registered, promoted = story.splitlines()
    assert trained == "- 2026-03-02 00:00 UTC trained because: manual"
    assert gated.startswith("- gate: ")
    assert registered.startswith("- 2026-03-02 00:00 UTC registered: ")
    assert promoted.startswith("- 2026-03-02 00:00 UTC promoted: ")
    assert ports.notifier.sent[-1][1].body == result["sentence"]


def test_a_gate_refusal_of_an_earlier_release_is_finalized(config, ports, ask):
    request = ask()
    result = {"proceeds": False, "passed": False, "sentence": "The gate refused: metric: worse"}
    save_result(ports.store, "sample", request.run_key, "gate", result)
    ended = finalize(config, request.run_key, ports)
    assert (ended["outcome"], ended["stage"]) == ("refused", "gate")
    assert ended["sentence"] == "The gate refused: metric: worse"


def test_results_are_plain_json(config, ports, ask):
    retrain(config, ports, ask())
    for key in ports.store.list("retrain/"):
        json.loads(ports.store.get(key), parse_constant=pytest.fail)
