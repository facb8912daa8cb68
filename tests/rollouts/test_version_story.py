"""The story of a version, from real ledger events."""

from datetime import timedelta

import pytest

from homeostat.adapters import fake_ports
from homeostat.core.rollout import Plan, VersionRef, begin, promote, roll_back
from homeostat.rollouts.version_story import version_story
from sample_model_fixtures import config, folder

__all__ = ["config", "folder"]
HOUR = timedelta(hours=1)


@pytest.fixture
def story(config):
    """Apply transitions an hour apart, and return a version's story."""
    ports = fake_ports()
    ledger, clock = ports.ledger, ports.clock

    def tell(version, *steps, **more):
        for step in steps:
            clock.advance(HOUR)
            done = step(ledger.read("sample"), clock.now())
            ledger.write(done.traffic, kind=done.kind, reason=done.reason, by="test", at=clock.now())
        return version_story(ledger.events("sample"), version, created_at=clock.now(), **more).splitlines()

    return tell


def begun(version, config):
    plan = Plan.of(config)
    return lambda traffic, now: begin(
        traffic, VersionRef(version, f"d{version}"), f"run-{version}", plan, now
    )


def promoted(version, reason):
    return lambda traffic, now: promote(traffic, VersionRef(version, f"d{version}"), now, reason)


def back(reason):
    return lambda traffic, now: roll_back(traffic, reason, now)


def test_a_story_has_every_event_of_its_version_and_none_of_another(story, config):
    steps = [promoted("1", "first"), begun("2", config), promoted("2", "better"), back("too many errors")]
    two = story("2", *steps, reason="sustained_decay", gate="passed:\n accuracy 0.9")
    assert two[:2] == [
        "- 2026-01-01 04:00 UTC trained because: sustained_decay",
        "- gate: passed: accuracy 0.9",
    ]
    assert [line.partition(" UTC ")[2].partition(":")[0] for line in two[2:]] == [
        "registered",
        "promoted",
        "taken back",
    ]
    assert "too many errors" in two[-1]
    one = story("1")
    assert [line[:28] for line in one] == [
        f"- 2026-01-01 0{hour}:00 UTC {what}"[:28]
        for hour, what in ((1, "promoted"), (3, "version 2 took"), (4, "champion again"))
    ]
    assert one[1].endswith("version 2 took its place: better")
    assert "champion again: " in one[2]
    assert story("3") == []


def test_a_newer_candidate_supersedes_an_older_one(story, config):
    lines = story("2", promoted("1", "first"), begun("2", config), begun("3", config))
    assert "superseded before a gateway had loaded it" in lines[-1]


@pytest.mark.parametrize("room", [0, 50, 300, 4000])
def test_a_long_story_keeps_its_newest_lines_within_its_room(story, room):
    steps = [promoted(str(1 + n % 2), f"reason {n}") for n in range(60)]
    text = "\n".join(story("1", *steps, reason="manual", room=room))
    assert len(text) <= max(room, len("- ..."))
    if room >= 300:
        assert text.endswith("reason 59")
        assert "trained because: manual" in text
