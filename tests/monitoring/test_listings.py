"""What a check lists does not grow with the age of its model."""

import random
from dataclasses import replace
from datetime import timedelta

import pytest

from homeostat.adapters.ledger_memory import MemoryLedger
from homeostat.core.rollout import Traffic, VersionRef
from homeostat.core.rollout.event_kinds import EventKind
from homeostat.explain.records import read_window
from homeostat.monitoring.check_report import drift_figure
from homeostat.monitoring.detector_records import send_notices
from homeostat.monitoring.drift_check import check_drift
from homeostat.storage import champion_history
from homeostat.storage.champion_history import champions, newest_champions
from homeostat.storage.check_records import newest_check
from homeostat.storage.trigger_outbox import unsent_triggers, write_receipt
from homeostat.storage.trigger_outcomes import past_retrains
from sample_model import T0, rows_between, serve

pytestmark = pytest.mark.usefixtures("quick")
HOUR = timedelta(hours=1)


def test_a_check_lists_days_of_the_log_and_what_is_deleted_once_it_is_sent(
    config, ports, champion, monkeypatch
):
    serve(config, ports, rows_between(T0, T0 + 8 * HOUR, shift=1.5, flip=True))
    listed, real = [], ports.store.list
    monkeypatch.setattr(ports.store, "list", lambda prefix: listed.append(prefix) or real(prefix))
    monkeypatch.setattr(ports.ledger, "events", None)  # not all of them
    send_notices(config, ports)
    fired = [check_drift(config, ports, T0 + hours * HOUR)["fired"] for hours in range(4, 9)]
    drift_figure(config, ports.store, T0 + 8 * HOUR)
    assert any(fired), "otherwise triggers are not looked for"
    rest = [prefix for prefix in listed if "/date=" not in prefix]
    assert set(rest) <= {f"notices/{config.name}", f"bundles/{config.name}"}, rest


def test_what_status_and_explain_read_is_not_listed(config, ports, champion, monkeypatch):
    serve(config, ports, rows_between(T0, T0 + 8 * HOUR, shift=1.5, flip=True))
    for hours in range(4, 9):
        check_drift(config, ports, T0 + hours * HOUR)
    monkeypatch.setattr(ports.store, "list", None)
    assert newest_check(ports.store, config.name).window_end == T0 + 8 * HOUR
    check, before, _ = read_window(ports.store, ports.ledger, config.name, None)
    assert check.window_end == T0 + 8 * HOUR
    assert [record.window_end for record in before] == [T0 + hours * HOUR for hours in range(4, 8)]


def test_the_newest_champions_are_those_of_all_events(monkeypatch):
    """However many of the events are roll-backs of candidates, which change no champion."""
    monkeypatch.setattr(champion_history, "_FIRST_READ", 2)
    ledger, served, traffic = MemoryLedger(), [], Traffic("sample")
    refs = [VersionRef(str(n), f"{n:064}") for n in range(6)]
    kinds = (EventKind.BEGUN, EventKind.CANARY, EventKind.ROLLED_BACK, EventKind.PROMOTED)
    order = random.Random(7).choices(kinds, k=200)  # noqa: S311
    for n, kind in enumerate(order):
        if kind is EventKind.PROMOTED:
            served.append(refs[n % 6])
            traffic = replace(traffic, champion=served[-1])
        traffic = ledger.write(traffic, kind=kind, reason="r", by="me", at=T0 + n * HOUR)
        expected = list(dict.fromkeys(reversed(champions(ledger, "sample"))))
        for count in (1, 3, 8):
            assert newest_champions(ledger, "sample", count) == expected[:count]


def test_triggers_are_found_by_their_windows(config, ports, champion):
    serve(config, ports, rows_between(T0, T0 + 8 * HOUR, shift=1.5, flip=True))
    for hours in range(4, 9):
        check_drift(config, ports, T0 + hours * HOUR)
    history = ports.history.windows(config.name)
    fired = [record for record in history if record.fired]
    assert unsent_triggers(ports.store, config.name, history) == fired
    write_receipt(ports.store, config.name, fired[0], T0)
    assert unsent_triggers(ports.store, config.name, history) == fired[1:]
    assert past_retrains(ports, config.name, history) == {}
