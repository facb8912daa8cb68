"""`homeostat doctor` names the notices that did not reach anybody."""

from types import SimpleNamespace

import pytest

from homeostat.adapters.clock import FakeClock
from homeostat.adapters.store_memory import MemoryStore
from homeostat.doctor.undelivered import check_notices
from homeostat.notices import Message
from homeostat.notices.outbox import MAX_ATTEMPTS, Outbox
from sample_model import T0

MODEL = SimpleNamespace(name="sample", notify=("people",))


@pytest.fixture
def store():
    return MemoryStore()


@pytest.fixture
def found(store):
    deployment = SimpleNamespace(store=SimpleNamespace(get_or_skip=lambda: SimpleNamespace(store=store)))
    return lambda model=MODEL: check_notices(deployment, model)


def fail(store, title, times):
    outbox = Outbox(store, "sample", FakeClock(T0))
    key = outbox.add("", ("people",), Message(title, "body"))
    for _ in range(times):
        outbox.send(key, lambda *_: {"people": "401 from Slack"})


def test_without_a_failure_every_notice_was_sent(found):
    assert found().state == "ok"


def test_a_failure_is_a_warning_until_it_is_given_up(found, store):
    fail(store, "sample: rolled back", 1)
    assert (found().state, "401 from Slack" in found().sentence) == ("warning", True)
    fail(store, "sample: refused", MAX_ATTEMPTS)
    assert found().state == "broken"
    assert "'sample: refused' did not reach people (5 of 5 attempts) and was given up" in found().sentence
    assert "connection" in found().remedy


def test_a_model_that_notifies_nobody_sends_none(found):
    assert found(SimpleNamespace(name="sample", notify=())).sentence.startswith("no notices are sent")
