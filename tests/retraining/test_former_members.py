"""Retrain after retrain: the members' record goes on, in the Store."""

from __future__ import annotations

from datetime import timedelta

import pytest

from homeostat.bundle.committee import Committee
from homeostat.config import load_model
from homeostat.config.model import Window
from homeostat.core.rollout import Phase
from homeostat.retraining.assemble import assemble
from homeostat.retraining.former_members import load_former
from homeostat.retraining.train import train
from homeostat.rollouts.manual import manual_rollback
from homeostat.storage.bundles import load_version
from homeostat.storage.members import find_former, load_members, save_members
from homeostat.storage.snapshots import read_snapshot
from homeostat.storage.step_results import load_result
from sample_model import retrain

pytestmark = pytest.mark.usefixtures("quick")
NAMES = ["all", "middle", "short"]


@pytest.fixture
def config(folder):
    path = folder / "model.yaml"
    text = path.read_text().replace("{kind: sliding, length: 10d}", "{kind: auto}", 1)
    path.write_text(f"{text}serve: none\n")
    return load_model(folder)


def former(config, ports):
    return load_former(config, ports, find_former(config, ports.ledger, ports.store))


def champion_digest(ports):
    return ports.ledger.read("sample").champion.digest


def next_version(config, ports, ask, name):
    """Retrain a day later; without a gateway, the candidate serves at once."""
    ports.clock.advance(timedelta(days=1))
    request = ask(name)
    assert retrain(config, ports, request)["phase"] == Phase.CHAMPION
    return request.run_key


def test_a_first_version_leaves_its_members_and_their_record(config, ports, ask):
    assert former(config, ports) is None
    retrain(config, ports, ask())
    found = former(config, ports)
    assert list(found.record.members) == NAMES
    assert found.predictor.estimator.names == NAMES
    assert set(found.chosen) <= set(NAMES)
    assert len(found.record.windows) == 12
    assert found.trained_until == ports.clock.now() - config.columns.label.delay


def test_the_record_grows_at_every_retrain(config, ports, ask):
    retrain(config, ports, ask("run 1"))
    before = former(config, ports)
    key = next_version(config, ports, ask, "run 2")
    after = former(config, ports)
    assert after.record.windows[:12][0].end == before.record.windows[0].end
    assert after.record.windows[-1].end > before.trained_until
    assert after.trained_until > before.trained_until
    manifest = load_version(ports, config, champion_digest(ports)).manifest
    assert manifest["fits"] == len(after.chosen) + 3, "none for the reference"
    assert f"{manifest['fits']} fits" in load_result(ports.store, "sample", key, "train")["sentence"]


def test_members_that_do_not_serve_are_in_a_bundle_of_their_own(config, ports, ask):
    single = config.model_copy(update={"training": config.training.model_copy(update={"committee": False})})
    retrain(single, ports, ask())
    digest = champion_digest(ports)
    members = load_members(ports.store, "sample", digest)
    assert members["version"] != digest
    served, whole = (
        load_version(ports, single, each).predictor.estimator for each in (digest, members["version"])
    )
    assert not isinstance(served, Committee)
    assert whole.names == NAMES


def test_the_newest_fits_are_used_when_a_former_champion_serves_again(config, ports, ask):
    retrain(config, ports, ask("run 1"))
    first = champion_digest(ports)
    next_version(config, ports, ask, "run 2")
    second = champion_digest(ports)
    chosen = {**load_members(ports.store, "sample", first), "chosen": ["short"]}
    save_members(ports.store, "sample", first, chosen)
    newest = former(config, ports)
    manual_rollback("sample", ports.ledger, reason="test", by="test", at=ports.clock.now())
    assert champion_digest(ports) == first != second
    found = former(config, ports)
    assert found.trained_until == newest.trained_until
    assert found.chosen == ("short",)


def test_without_members_of_the_former_version_the_record_begins_anew(config, ports, ask):
    """As with a version of an older release, or of another training window."""
    expanding = config.training.model_copy(update={"window": Window(kind="expanding")})
    retrain(config.model_copy(update={"training": expanding}), ports, ask("run 1"))
    assert load_members(ports.store, "sample", champion_digest(ports)) == {}
    assert former(config, ports) is None
    next_version(config, ports, ask, "run 2")
    assert len(former(config, ports).record.windows) == 12
    manifest = load_version(ports, config, champion_digest(ports)).manifest
    assert manifest["fits"] >= 9 + 1 + 3


def test_a_length_as_of_older_model_yaml_files_bounds_all_rows(folder, ports, ask):
    path = folder / "model.yaml"
    path.write_text(path.read_text().replace("{kind: sliding, length: 10d}", "{kind: auto, length: 1d}", 1))
    config, request = load_model(folder), ask()
    data = assemble(config, request, ports)
    trained = train(config, request.run_key, ports)
    rows, holdout, _ = read_snapshot(ports.store, data["snapshot"])
    until = ports.clock.now() - config.columns.label.delay
    assert rows["at"].min() >= until - timedelta(days=1)
    assert load_version(ports, config, trained["digest"]).manifest["recipe"].startswith("all rows")
    assert len(rows) + len(holdout) == data["rows"] + data["holdout"] <= 24 * 60
