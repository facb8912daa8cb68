"""MLflow's aliases follow the ledger; a champion moved in MLflow is a request for promotion."""

import re
from datetime import timedelta

from homeostat.rollouts.advance import advance
from homeostat.rollouts.alias_sync import sync_aliases
from homeostat.rollouts.lifecycle import rollout_status
from homeostat.rollouts.manual import manual_promote, manual_rollback
from sample_model import retrain


def two_versions(config, ports, ask):
    batch = config.model_copy(update={"serve": "none"})
    for run in ("run 1", "run 2"):
        retrain(batch, ports, ask(run))
    return batch


def test_a_crash_between_two_alias_writes_is_repaired(config, ports, ask):
    batch = two_versions(config, ports, ask)
    ports.registry.set_alias("sample", "previous", None)
    ports.registry.set_alias("sample", "candidate", "1")
    sync_aliases(batch, ports)
    assert ports.registry.aliases("sample") == {"champion": "2", "previous": "1"}


def test_champion_moved_in_mlflow_to_a_gated_version_is_promoted(config, ports, ask):
    batch = two_versions(config, ports, ask)
    ports.registry.set_alias("sample", "champion", "1")
    sync_aliases(batch, ports)
    traffic = ports.ledger.read("sample")
    assert (traffic.champion.version, traffic.previous.version) == ("1", "2")
    assert ports.registry.aliases("sample") == {"champion": "1", "previous": "2"}


def test_champion_moved_in_mlflow_to_an_ungated_version_is_put_back_with_a_notice(config, ports, ask):
    batch = two_versions(config, ports, ask)
    ports.registry.tag("sample", "1", {"homeostat.gate": "refused"})
    ports.registry.set_alias("sample", "champion", "1")
    sync_aliases(batch, ports)
    assert ports.ledger.read("sample").champion.version == "2"
    assert ports.registry.aliases("sample")["champion"] == "2"
    assert "put back" in ports.notifier.sent[-1][1].title


def test_without_changes_nothing_is_written(config, ports, ask):
    batch = two_versions(config, ports, ask)
    before = ports.ledger.read("sample").revision
    assert sync_aliases(batch, ports) == {}
    assert ports.ledger.read("sample").revision == before


def test_a_champion_that_a_gateway_rolled_back_is_tagged_and_notified_once(config, ports, ask):
    batch = two_versions(config, ports, ask)
    earlier = len(ports.notifier.sent)
    now = ports.clock.now()
    manual_rollback("sample", ports.ledger, reason="errors failed", by="g1", at=now)
    for _ in range(2):
        sync_aliases(batch, ports)
    assert ports.registry.aliases("sample") == {"champion": "1", "previous": "2"}
    bad, restored = (ports.registry.version("sample", number) for number in "21")
    assert bad.tags["homeostat.phase"] == "rolled_back"
    assert bad.tags["homeostat.outcome"] == "promoted", "what its retrain came to"
    assert "was rolled back: errors failed. Version 1 is champion again." in bad.description
    assert bad.description.startswith(f"{ports.registry.runs[bad.run_id].description}\n\n- ")
    assert restored.tags["homeostat.phase"] == "champion"
    assert restored.description.startswith("sample version 1 is champion again since ")
    (notice,) = [notice for _, notice in ports.notifier.sent[earlier:]]
    assert (notice.kind, notice.title) == (
        "rolled_back",
        "sample: version 2 rolled back, version 1 is champion",
    )
    assert notice.body == "errors failed"


def test_the_story_of_a_rollout_that_a_gateway_ended_is_written_by_the_next_sync(config, ports, ask, quick):
    retrain(config, ports, ask("run 1"))
    retrain(config, ports, ask("run 2"), to_the_end=False)
    sync_aliases(config, ports)
    assert "promoted" not in ports.registry.version("sample", "2").description, "its rollout is under way"
    while ports.ledger.read("sample").active is not None:
        advance("sample", ports.ledger, by="gateway:1", now=ports.clock.now())
        ports.clock.advance(timedelta(hours=4))
    sync_aliases(config, ports)
    ended = ports.ledger.read("sample").rollout
    story = ports.registry.version("sample", "2").description
    verdict = {"champion": "promoted", "rolled_back": "taken back"}[ended.phase]
    assert re.search(rf"- [-\d]+ [:\d]+ UTC {verdict}: {re.escape(' '.join(ended.reason.split()))}", story)
    assert "shadow: " in story
    manual_promote(config, ports, "2", by="anna", reason="labels were late")
    manual_rollback("sample", ports.ledger, reason="errors failed", by="gateway:1", at=ports.clock.now())
    sync_aliases(config, ports)
    taken_back, again = (ports.registry.version("sample", number).description for number in "21")
    assert "UTC promoted: labels were late" in taken_back
    assert "UTC taken back: errors failed" in taken_back
    assert "UTC champion again: errors failed" in again


def test_a_former_champion_says_who_took_its_place(config, ports, ask):
    two_versions(config, ports, ask)
    former = ports.registry.version("sample", "1")
    assert former.tags["homeostat.phase"] == "former_champion"
    assert "version 2 took its place" in former.description
    assert ports.registry.version("sample", "2").tags["homeostat.phase"] == "champion"


def test_versions_of_a_sync_of_release_0_1_are_recorded_once(config, ports, ask):
    batch = two_versions(config, ports, ask)
    ports.registry.describe("", model="sample", version="1")
    sync_aliases(batch, ports)
    assert ports.registry.version("sample", "1").description == "", "nothing changed since the last sync"
    ports.store.put("mirror/sample.json", b'{"champion": "2"}', overwrite=True)
    sync_aliases(batch, ports)
    assert "version 2 took its place" in ports.registry.version("sample", "1").description


def test_a_version_that_was_deleted_in_mlflow_stops_no_sync(config, ports, ask):
    batch = two_versions(config, ports, ask)
    ports.registry.delete("sample", "1")
    ports.store.put("mirror/sample.json", b'{"champion": "2"}', overwrite=True)
    sync_aliases(batch, ports)
    assert ports.registry.aliases("sample")["champion"] == "2"


def waiting(config, ports, ask):
    retrain(config, ports, ask("run 1"))
    careful = config.model_copy(update={"serve": "none", "approval": "required"})
    retrain(careful, ports, ask("run 2"))
    return careful


def test_a_version_that_waits_for_approval_is_notified_once(config, ports, ask):
    careful = waiting(config, ports, ask)
    for _ in range(2):
        sync_aliases(careful, ports)
    (notice,) = [notice for _, notice in ports.notifier.sent if notice.kind == "waiting"]
    assert notice.title == "sample: version 2 waits for approval"
    assert "homeostat promote sample" in notice.action


def test_the_retrain_that_follows_its_rollout_notifies_about_the_approval(config, ports, ask):
    careful = waiting(config, ports, ask)
    request = ask("run 2")
    rollout_status(careful, request.run_key, ports)
    assert [notice.kind for _, notice in ports.notifier.sent].count("waiting") == 1
