"""The ledger unreachable, slow, silent or resetting connections, while the gateway serves."""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from faults.tcp_fault_proxy import FaultProxy
from homeostat.adapters import open_ledger
from homeostat.adapters.ledger_memory import MemoryLedger
from homeostat.adapters.pg_timeouts import CALL_SECONDS, LOCK_SECONDS
from homeostat.config.errors import Unavailable
from homeostat.core.rollout import Phase
from homeostat.core.rollout.evidence import Tally
from serving.gateway_harness import make_gateway_fixture, model_config, serving, until

ROW = {"a": 1.0, "b": 0.0, "colour": "red"}
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def proxy(postgres_url):
    url = sa.make_url(postgres_url)
    with FaultProxy(url.host, url.port, delay=0.4) as made:
        yield made


@pytest.fixture
def through(proxy, postgres_url):
    url = sa.make_url(postgres_url).set(port=proxy.port)
    ledger = open_ledger(url.render_as_string(hide_password=False))
    yield ledger
    proxy.switch("pass")
    ledger.close()


@pytest.fixture
def direct(postgres_url):
    ledger = open_ledger(postgres_url)
    yield ledger
    ledger.close()


@pytest.fixture
def setup(tmp_path, through):
    """A model with a name of its own, because the tests share the database; canary steps take an hour."""
    name = f"pump-{uuid.uuid4().hex[:6]}"
    config = model_config(name, canary={"steps": [0.5], "step_duration": "1h", "min_samples": 1000})
    return make_gateway_fixture(tmp_path, config, ledger=through)


def answers_of(direct, name):
    return sum(tally.rows for tally in direct.evidence(name, "rollout-2").values())


@pytest.mark.parametrize("fault", ["refuse", "blackhole", "reset", "slow"])
def test_requests_are_served_evidence_is_kept_and_nothing_advances_while_the_ledger_is(
    setup, direct, proxy, fault
):
    name = setup.config.name
    setup.begin(setup.version())
    with serving(setup) as client:
        client.ready(name)
        setup.begin(setup.version(), skip_shadow=True)
        until(lambda: client.runtime.states[name].table.candidate is not None, "the canary began")
        client.score(model=name)
        before = direct.read(name)
        with proxy.having(fault):
            setup.ports.clock.ahead = timedelta(hours=1.5)  # the step is over
            end = time.monotonic() + 1.5
            sent = 1
            while sent < 30 or time.monotonic() < end:
                assert client.score(ROW | {"unit": sent}, model=name).status_code == 200
                sent += 1
                time.sleep(0.02)
            if fault != "slow":  # slowly is how the rollout may go on
                assert direct.read(name) == before
        until(lambda: answers_of(direct, name) == sent, "every answer is counted, and once", 40)
        time.sleep(0.3)
        assert answers_of(direct, name) == sent
        until(lambda: client.http.get("/health").json()["status"] == "ok", "health is good again", 40)
        until(lambda: direct.read(name).rollout.extended, "what was over meanwhile is found so")
        assert direct.read(name).champion.version == "1", "too little evidence promotes no version"


def test_a_ledger_call_without_a_reply_ends_within_seconds_and_the_next_one_works(
    through, proxy, monkeypatch
):
    monkeypatch.setattr("homeostat.adapters.pg_timeouts.CALL_SECONDS", 1.0)
    through.read("pump")
    with proxy.having("blackhole"):
        begun = time.monotonic()
        with pytest.raises(Unavailable, match="does not answer"):  # the open connection, then a new one
            through.read("pump")
        assert time.monotonic() - begun < 60, "TCP by itself would wait for a quarter of an hour"
    assert through.read("pump").revision == 0


def test_a_write_ends_within_seconds_when_a_lock_is_never_released(through, postgres_url):
    name = f"pump-{uuid.uuid4().hex[:6]}"
    through.add_evidence(name, "r", "g", NOW, {("shadow", "shadow"): Tally(1)}, batch=1)
    engine = sa.create_engine(postgres_url)
    with engine.begin() as other:
        other.execute(sa.text("SELECT * FROM homeostat_batches WHERE model = :m FOR UPDATE"), {"m": name})
        with pytest.raises(Unavailable, match="lock timeout"):
            through.add_evidence(name, "r", "g", NOW, {("shadow", "shadow"): Tally(1)}, batch=2)
    engine.dispose()
    assert LOCK_SECONDS < CALL_SECONDS
    through.add_evidence(name, "r", "g", NOW, {("shadow", "shadow"): Tally(1)}, batch=2)
    assert through.evidence(name, "r")["shadow", "shadow"].rows == 2


class StuckFor(MemoryLedger):
    """A ledger that blocks one model's calls of one kind until the test releases them."""

    def __init__(self, model, call):
        super().__init__()
        self.model, self.call = model, call
        self.go_on, self.held = threading.Event(), threading.Event()
        self.go_on.set()

    def _wait(self, model, call):
        if (model, call) == (self.model, self.call) and not self.go_on.is_set():
            self.held.set()
            self.go_on.wait(120)
            self.held.clear()

    def read(self, model):
        self._wait(model, "read")
        return super().read(model)

    def evidence(self, model, *args, **more):
        self._wait(model, "evidence")
        return super().evidence(model, *args, **more)

    def add_evidence(self, model, *args, **more):
        self._wait(model, "add_evidence")
        super().add_evidence(model, *args, **more)


@pytest.mark.parametrize("call", ["read", "evidence", "add_evidence"])
def test_no_request_waits_for_a_ledger_call(tmp_path, call):
    ledger = StuckFor("pump", call)
    setup = make_gateway_fixture(tmp_path, ledger=ledger)
    setup.begin(setup.version())
    with serving(setup) as client:
        client.ready()
        setup.begin(setup.version(), skip_shadow=True)
        until(lambda: client.runtime.states["pump"].table.candidate is not None, "the canary began")
        ledger.go_on.clear()
        try:
            assert client.score().status_code == 200  # something to hand over
            until(ledger.held.is_set, "a call waits for the ledger")
            versions = [client.score(ROW | {"unit": u}).headers["x-homeostat-version"] for u in range(60)]
            assert ledger.held.is_set(), "the call was waiting while all of them were answered"
        finally:
            ledger.go_on.set()
        assert set(versions) == {"1", "2"}, "by the champion and by the candidate"
        until(lambda: answers_of(ledger, "pump") == 61, "every answer is counted, and once")


def test_a_model_that_waits_for_the_ledger_delays_no_other(tmp_path):
    ledger = StuckFor("stuck", "read")
    stuck = make_gateway_fixture(tmp_path, model_config("stuck"), ledger=ledger)
    free = replace(stuck, config=model_config("free"), serial=10)
    for setup in (stuck, free):
        setup.begin(setup.version())
    with serving(stuck, models={w.config.name: w.config for w in (stuck, free)}) as client:
        client.ready("stuck")
        client.ready("free")
        ledger.go_on.clear()
        try:
            until(ledger.held.is_set, "one model waits for the ledger")
            free.begin(free.version(raises=True), skip_shadow=True)
            state = client.runtime.states["free"]
            until(lambda: state.table.candidate is not None, "the other model's canary began")
            for unit in range(20):
                assert client.score(ROW | {"unit": unit}, model="free").status_code == 200
            until(lambda: free.traffic().rollout.phase is Phase.ROLLED_BACK, "it was rolled back")
            assert client.score(model="stuck").status_code == 200
            assert ledger.held.is_set(), "the one model was waiting all the while"
        finally:
            ledger.go_on.set()


class NoEvidence(MemoryLedger):
    """A ledger that answers, but takes no counts."""

    away = False

    def add_evidence(self, *args, **more):
        if self.away:
            super().add_evidence(*args, **more)  # written, and the answer is lost
            raise Unavailable("the evidence is away")
        super().add_evidence(*args, **more)


def test_evidence_whose_acknowledgement_was_lost_is_counted_once(tmp_path):
    ledger = NoEvidence()
    setup = make_gateway_fixture(tmp_path, ledger=ledger)
    setup.begin(setup.version())
    with serving(setup) as client:
        client.ready()
        setup.begin(setup.version(), skip_shadow=True)
        until(lambda: client.runtime.states["pump"].table.candidate is not None, "the canary began")
        ledger.away = True
        for unit in range(30):
            assert client.score(ROW | {"unit": unit}).status_code == 200
            time.sleep(0.02)
        assert setup.traffic().rollout.phase is Phase.CANARY
        ledger.away = False
        until(lambda: answers_of(ledger, "pump") >= 30, "the counts are there")
        time.sleep(0.5)
        assert answers_of(ledger, "pump") == 30
