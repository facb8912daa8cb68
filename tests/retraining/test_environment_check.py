"""A champion trained elsewhere: reported, or where the model asks for it, refused before the fit."""

from dataclasses import replace
from datetime import timedelta

import pytest

from homeostat.adapters.registry_memory import MemoryRegistry
from homeostat.config import load_model
from homeostat.config.errors import NotFound, Superseded
from homeostat.core.rollout import VersionRef
from homeostat.retraining.assemble import assemble
from homeostat.retraining.train import train
from homeostat.retraining.validate_on_holdout import validate
from homeostat.rollouts.lifecycle import finalize
from homeostat.storage import bundles, step_results
from homeostat.storage.retrain_request import run_key
from sample_model import follow_to_the_end, notices, retrain

pytestmark = pytest.mark.usefixtures("quick")

THERE, HERE = "sha256:" + "a" * 64, "sha256:" + "b" * 64


@pytest.fixture
def required(folder):
    text = (folder / "model.yaml").read_text()
    assert "training: {" in text
    (folder / "model.yaml").write_text(text.replace("training: {", "training: {parity: enforce, "))
    return load_model(folder)


@pytest.fixture
def image(monkeypatch):
    def run_in(digest):
        monkeypatch.setenv("HOMEOSTAT_IMAGE_DIGEST", digest)

    run_in(THERE)
    return run_in


@pytest.fixture
def champion(config, ports, ask, image):
    """A version that was trained in one image and serves."""
    begun = retrain(config, ports, ask("first"), to_the_end=False)
    follow_to_the_end(config, ports, begun)
    ports.clock.advance(timedelta(days=1))
    return ports.ledger.read(config.name).champion


@pytest.fixture
def train_second(ports, ask):
    """The steps up to the fit."""

    def run(config, name="second", **asked):
        request = ask(name, **asked)
        assemble(config, request, ports)
        return train(config, request.run_key, ports)

    return run


def fits(ports, monkeypatch):
    """Count what is fitted."""
    from homeostat.retraining import recipes

    fit, done = recipes.fit_version, []
    monkeypatch.setattr(recipes, "fit_version", lambda *a: (done.append(1), fit(*a))[1])
    return done


def test_the_image_is_recorded_with_run_version_and_bundle(champion, config, ports):
    version = ports.registry.version(config.name, champion.version)
    bundle = bundles.load_version(ports, config, champion.digest)
    assert version.tags["homeostat.image_digest"] == THERE
    assert bundle.manifest["environment"]["image_digest"] == THERE
    assert isinstance(ports.registry, MemoryRegistry)
    assert ports.registry.runs[version.run_id].params["image_digest"] == THERE


def test_a_first_version_has_no_environment_to_compare_with(required, ports, train_second, image):
    assert train_second(required)["trained"]
    assert notices(ports) == []


def test_the_champions_own_environment_is_not_mentioned(champion, required, train_second):
    result = train_second(required)
    assert "environment" not in result["sentence"]
    assert result["environment_forced"] == ""


def test_another_image_is_reported_and_trains(champion, config, ports, ask, image):
    image(HERE)
    request = ask("second")
    begun = retrain(config, ports, request, to_the_end=False)
    trained = step_results.load_result(ports.store, config.name, request.run_key, "train")
    difference = f"image_digest: {THERE} became {HERE}"
    assert trained["sentence"].endswith(f". Environment differs from the champion's: {difference}")
    run = ports.registry.runs[ports.registry.version(config.name, begun["version"]).run_id]
    assert run.tags["homeostat.environment_differences"] == difference
    assert f"environment: {difference}".encode() in run.artifacts["gate.json"]


def test_with_enforce_another_image_refuses_the_retrain_before_the_fit(
    champion, required, ports, train_second, image, monkeypatch
):
    image(HERE)
    fitted = fits(ports, monkeypatch)
    refusal = train_second(required)["refusal"]
    assert fitted == []
    assert refusal["sentence"].endswith(
        f"the champion, version 1: image_digest was {THERE[:19]}, is {HERE[:19]}. Nothing was fitted"
    )
    assert "start retrain__sample manually with Force" in refusal["action"]
    assert "environment_refused" not in notices(ports), "the train step may run where it cannot notify"

    key = run_key("sample", "second")
    with pytest.raises(Superseded, match=r"Nothing was fitted\. Version 1 stays champion\."):
        validate(required, key, ports)
    assert notices(ports)[-1] == "environment_refused"
    targets, notice = ports.notifier.sent[-1]
    assert (targets, notice.action) == (("people",), f"{refusal['action']}.")
    assert (notice.story, notice.part) == ("retrain/second", "end")
    assert ports.ledger.lease_holder("sample", ports.clock.now()) is None, "the lease is released"
    assert ports.ledger.read("sample").champion == champion


def test_such_a_refusal_is_an_outcome_like_any_other(champion, required, ports, train_second, image):
    image(HERE)
    run_id = train_second(required)["run_id"]
    key = run_key("sample", "second")
    with pytest.raises(Superseded):
        validate(required, key, ports)
    ended = finalize(required, key, ports)
    assert (ended["outcome"], ended["stage"]) == ("refused", "environment")
    run = ports.registry.runs[run_id]
    assert run.tags["homeostat.outcome"] == "refused"
    assert run.status == "FINISHED"


def test_a_new_git_revision_never_stops_the_run(champion, required, train_second, monkeypatch):
    monkeypatch.setenv("HOMEOSTAT_GIT_REVISION", "another")
    result = train_second(required)
    assert result["trained"]
    assert result["environment"]["git_revision"] == "another"


def test_force_continues_and_the_gate_report_names_it(champion, required, ports, ask, image):
    image(HERE)
    request = ask("second", force=True)
    retrain(required, ports, request, to_the_end=False)
    trained = step_results.load_result(ports.store, "sample", request.run_key, "train")
    said = "the retrain continues because Force is set"
    assert trained["sentence"].endswith(said)
    run = ports.registry.runs[trained["run_id"]]
    assert said.encode() in run.artifacts["gate.json"]
    assert said in run.tags["homeostat.environment_differences"]


def test_an_unknown_environment_is_reported_and_stops_with_enforce(
    champion, config, required, ports, train_second
):
    for key in ports.store.list(f"bundles/sample/{champion.digest}"):
        ports.store.delete(key)
    ports.registry.fetch = _lost
    assert train_second(config)["sentence"].endswith("the champion's environment is unknown")
    ports.ledger.release_lease("sample", run_key("sample", "second"))
    assert "its environment is unknown" in train_second(required, "third")["refusal"]["sentence"]


def _lost(version, folder):
    raise NotFound("gone")


def test_a_reinstatement_fits_nothing_and_is_never_stopped(
    champion, config, required, ports, train_second, image
):
    traffic = ports.ledger.read("sample")
    other = VersionRef("2", "0" * 64)
    ports.ledger.write(
        replace(traffic, champion=other, previous=champion),
        kind="promoted",
        reason="test",
        by="test",
        at=ports.clock.now(),
    )
    image(HERE)
    result = train_second(required, reinstate=champion.version)
    assert not result["trained"]
    assert result.get("refusal") is None


def test_a_train_step_without_a_ledger_compares_with_the_stored_champion(
    champion, required, ports, ask, image
):
    from homeostat.adapters.ledger_memory import MemoryLedger
    from homeostat.retraining.environment_check import save_champion

    image(HERE)
    request = ask("second")
    assemble(required, request, ports)
    save_champion(required, request.run_key, ports)
    elsewhere = replace(ports, ledger=MemoryLedger())
    assert "version 1" in train(required, request.run_key, elsewhere)["refusal"]["sentence"]
