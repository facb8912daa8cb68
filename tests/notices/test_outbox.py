"""A notice is sent once by whoever finds it, again after a failure, and at least once after a crash."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from homeostat.adapters import open_store
from homeostat.adapters.clock import FakeClock
from homeostat.adapters.store_memory import MemoryStore
from homeostat.config.errors import Unavailable
from homeostat.config.notices import NoticeKind, Notices
from homeostat.notices import Delivery
from homeostat.notices.outbox import CLAIM, MAX_ATTEMPTS, SHOWN, undelivered
from homeostat.ports import Notice

START = datetime(2026, 1, 5, 12, tzinfo=UTC)
BACK = Notice(NoticeKind.ROLLED_BACK, "sample", "sample: rolled back", "NaN.", once="rolled_back/7")
LOAD = Notice(NoticeKind.LOAD_FAILED, "sample", "sample: cannot load", "Gone.", story="load/3", part="begin")
LOADED = Notice(NoticeKind.RESOLVED, "sample", "sample: loaded", "Well.", story="load/3", part="end")
STATUS = Notice(NoticeKind.STATUS, "sample", "sample: status", "Well.")


class Services:
    """What people receive, by target; a target in ``broken`` receives nothing."""

    def __init__(self):
        self.received = []
        self.broken = set()
        self.before = lambda: None

    def send(self, targets, message):
        self.before()
        self.received += [(target, message.title) for target in targets if target not in self.broken]
        return {target: "refused" for target in targets if target in self.broken}

    def links(self, notice):
        return ()


class Crash(BaseException):
    """The process ends here."""


@pytest.fixture
def services():
    return Services()


@pytest.fixture
def clock():
    return FakeClock(START)


@pytest.fixture(params=["memory", "file"])
def store(request, tmp_path):
    return MemoryStore() if request.param == "memory" else open_store(f"file://{tmp_path}/store")


@pytest.fixture
def process(config, services, clock, store):
    """A function that returns the delivery of another process."""
    return lambda **settings: Delivery(
        services,
        config.model_copy(update={"notices": Notices.model_validate(settings)}),
        store,
        clock,
    )


PEOPLE = ("people", "others")


@pytest.mark.parametrize("notice", [BACK, LOAD], ids=["once", "story"])
def test_of_many_processes_that_find_it_at_once_one_sends_it(notice, process, services, store):
    together = threading.Barrier(6)

    def find():
        delivery = process()
        together.wait()
        delivery.notify(("people",), notice)

    with ThreadPoolExecutor(6) as pool:
        for done in [pool.submit(find) for _ in range(6)]:
            done.result()
    assert [title for _, title in services.received] == [f"CRITICAL: {notice.title}"]
    assert store.list("notices_outbox") == []


def test_a_story_that_comes_back_is_sent_again(process, services):
    for _ in range(2):
        process().notify(("people",), LOAD)
        process().notify(("people",), LOADED)
    assert [title for _, title in services.received] == [f"CRITICAL: {LOAD.title}", LOADED.title] * 2


@pytest.mark.parametrize("notice", [BACK, STATUS], ids=["once", "each"])
def test_only_the_target_that_failed_gets_it_again_with_the_next_check(notice, process, services, store):
    services.broken = {"others"}
    process().notify(PEOPLE, notice)
    (failed,) = undelivered(store, "sample")
    assert (failed.targets, failed.attempts, failed.given_up) == (("others",), 1, False)
    assert (
        "did not reach others (1 of 5 attempts) and is tried again at the next check: refused"
        in failed.sentence
    )
    process().notify(PEOPLE, notice) if notice.once else None
    services.broken = set()
    assert process().retry() == 1
    assert [target for target, _ in services.received] == ["people", "others"]
    assert list(undelivered(store, "sample")) == []
    assert process().retry() == 0


def test_after_a_number_of_attempts_it_is_given_up_and_shown_for_a_week(process, services, store, clock):
    services.broken = {"people"}
    process().notify(("people",), BACK)
    tried = [process().retry() for _ in range(MAX_ATTEMPTS + 2)]
    assert tried == [1] * (MAX_ATTEMPTS - 1) + [0, 0, 0]
    (failed,) = undelivered(store, "sample")
    assert failed.given_up
    assert "(5 of 5 attempts) and was given up: refused" in failed.sentence
    services.broken = set()
    process().retry()
    assert services.received == []
    clock.advance(SHOWN + timedelta(hours=1))
    process().retry()
    assert list(undelivered(store, "sample")) == []


def test_a_story_whose_beginning_was_given_up_can_begin_again(process, services):
    services.broken = {"people"}
    process().notify(("people",), LOAD)
    for _ in range(MAX_ATTEMPTS):
        process().retry()
    services.broken = set()
    process().notify(("people",), LOADED)
    process().notify(("people",), LOAD)
    assert [title for _, title in services.received] == [LOADED.title, f"CRITICAL: {LOAD.title}"]


def crash():
    raise Crash


def test_a_process_that_ends_between_claim_and_end_leaves_it_to_the_next_check(
    process, services, store, clock
):
    services.before = crash
    with pytest.raises(Crash):
        process().notify(("people",), BACK)
    services.before = lambda: None
    process().notify(("people",), BACK)
    assert process().retry() == 0, "for all that is known, the first one is still sending"
    clock.advance(CLAIM)
    assert process().retry() == 1
    assert services.received == [("people", "CRITICAL: sample: rolled back")]
    assert list(undelivered(store, "sample")) == []


class CrashingStore(MemoryStore):
    """Ends the process at the n-th write or deletion."""

    def __init__(self):
        super().__init__()
        self.left = 10**9

    def _count(self):
        if self.left == 0:
            raise Crash
        self.left -= 1

    def put(self, key, data, *, overwrite=False):
        self._count()
        super().put(key, data, overwrite=overwrite)

    def delete(self, key):
        self._count()
        super().delete(key)


@pytest.mark.parametrize("at", range(6))
@pytest.mark.parametrize("notice", [BACK, LOAD, STATUS], ids=["once", "story", "each"])
def test_wherever_the_process_ends_it_is_sent_at_least_once(notice, at, config, services, clock):
    store = CrashingStore()
    store.left = at

    def fresh():
        return Delivery(services, config, store, clock)

    with suppress(Crash):
        fresh().notify(("people",), notice)
    store.left = 10**9
    clock.advance(CLAIM)
    fresh().retry()
    if at == 0:  # nothing was written: whoever found it finds it again, as a task that is run again
        fresh().notify(("people",), notice)
    titles = [title.removeprefix("CRITICAL: ") for _, title in services.received]
    assert titles in ([notice.title], [notice.title] * 2)
    assert fresh().retry() == 0


def test_what_the_quiet_hours_held_is_tried_again_too(process, services, store, clock):
    night = {"quiet_hours": {"from": "11:00", "to": "13:00"}}
    process(**night).notify(("people",), STATUS)
    clock.advance(timedelta(hours=2))
    services.broken = {"people"}
    assert process(**night).flush() == 1
    services.broken = set()
    assert process(**night).retry() == 1
    assert [title for _, title in services.received] == ["sample: 1 notice from the quiet hours"]


class AwayStore(MemoryStore):
    def _away(self, *_, **__):
        raise Unavailable("the store is away")

    put = get = list = delete = _away


def test_without_the_store_a_message_is_sent_all_the_same(config, services, clock):
    Delivery(services, config, AwayStore(), clock).notify(("people",), BACK)
    assert services.received == [("people", "CRITICAL: sample: rolled back")]
