"""The notice of a champion that a gateway cannot load: after a minute, once, and once when it is loaded."""

import pytest

from homeostat.adapters.notifier import MemoryNotifier
from homeostat.config.notices import SEVERITIES, NoticeKind, Severity
from homeostat.core.rollout.phases import Traffic, VersionRef
from homeostat.serving.inference.routing import RoutingTable, ServedModel
from homeostat.serving.recorder.labels import KnownLabels
from homeostat.serving.scoring_request import InputSpec
from homeostat.serving.sync import load_notice
from homeostat.serving.sync.load_notice import PATIENCE, LoadWatch
from serving.gateway_harness import model_config, serving, until

ONE, TWO = VersionRef("1", "a" * 8), VersionRef("2", "b" * 8)
WHY = "the file is gone"


@pytest.fixture
def watch(monkeypatch):
    """A function that checks at a second, with the champion and why it is not loaded; returns the notices."""
    monkeypatch.setattr(
        load_notice, "notify_in_background", lambda notifier, config, n: notifier.notify(config.notify, n)
    )
    config = model_config(notify=["people"])
    notifier, now = MemoryNotifier(), [0.0]
    model = ServedModel(config, InputSpec.of(config), KnownLabels(10), RoutingTable(Traffic("pump")))
    loads = LoadWatch(notifier, lambda: now[0])

    def check(at, champion=ONE, why=WHY):
        now[0] = at
        model.table = RoutingTable(Traffic("pump", 1, champion))
        loads.check(model, {champion: why} if champion and why else {})
        return [(str(notice.kind), notice.part) for _, notice in notifier.sent]

    check.notifier = notifier
    return check


FAILED, RESOLVED = ("load_failed", "begin"), ("resolved", "end")


def test_it_is_sent_once_after_a_minute_and_once_when_the_version_is_loaded(watch):
    assert watch(0) == watch(PATIENCE - 1) == []
    assert watch(PATIENCE) == watch(3 * PATIENCE) == [FAILED]
    assert watch(3 * PATIENCE + 1, why="") == watch(9 * PATIENCE, why="") == [FAILED, RESOLVED]
    ((targets, first), (_, second)) = watch.notifier.sent
    assert targets == ("people",)
    assert first.title == "pump: a gateway cannot load version 1, the champion"
    assert first.body == WHY
    assert first.action.endswith("To go back: homeostat rollback pump 1")
    assert first.story == second.story == "load/1"
    assert SEVERITIES[first.kind] is Severity.CRITICAL


def test_a_short_failure_is_not_worth_a_notice(watch):
    assert watch(0) == watch(PATIENCE - 1) == watch(PATIENCE, why="") == []
    assert watch(PATIENCE + 1) == watch(2 * PATIENCE) == [], "the minute begins again"
    assert watch(2 * PATIENCE + 1) == [FAILED]


def test_each_champion_has_a_minute_of_its_own(watch):
    watch(0)
    assert watch(PATIENCE - 1, TWO) == watch(PATIENCE, TWO) == []
    assert watch(2 * PATIENCE - 1, TWO) == [FAILED]
    assert watch.notifier.sent[0][1].story == "load/2"


def test_a_champion_that_was_replaced_is_not_said_to_be_loaded(watch):
    watch(0)
    assert watch(PATIENCE) == [FAILED]
    assert watch(PATIENCE + 1, TWO, why="") == [FAILED]


def test_without_a_champion_there_is_nothing_to_load(watch):
    assert watch(0, None) == watch(PATIENCE, None) == []


def test_a_running_gateway_notifies_of_a_champion_that_it_cannot_load(setup, monkeypatch):
    monkeypatch.setattr(load_notice, "PATIENCE", 0.0)
    setup.begin(setup.version(unloadable=True))
    with serving(setup):
        until(lambda: setup.ports.notifier.of(NoticeKind.LOAD_FAILED), "the notice is sent")
        (notice,) = setup.ports.notifier.of(NoticeKind.LOAD_FAILED)
    assert "this pickle is not yours" in notice.body
