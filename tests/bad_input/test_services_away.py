"""A service fails at any call: the step is retried, and the result is the same as without the failure."""

import functools
import re
from dataclasses import replace
from datetime import timedelta

import pytest

from homeostat.adapters import fake_ports
from homeostat.config.errors import Refused, Unavailable
from homeostat.core.rollout import Phase
from homeostat.monitoring.drift_check import check_drift
from homeostat.retraining.assemble import assemble
from homeostat.retraining.gate import gate
from homeostat.retraining.register import register
from homeostat.retraining.train import train
from homeostat.retraining.validate_on_holdout import validate
from homeostat.rollouts.alias_sync import sync_aliases
from homeostat.rollouts.lifecycle import begin_rollout, finalize
from homeostat.rollouts.manual import manual_rollback
from homeostat.storage.bundles import load_version
from homeostat.storage.retrain_request import RetrainRequest, run_key
from sample_model import T0, load_as_gateway, notices, retrain, rows_between, serve

HOUR = timedelta(hours=1)
FILES = ["manifest.json", "model.skops", "reference.bin"]
pytestmark = pytest.mark.usefixtures("quick")


class Flaky:
    """Make each different call fail the first time, before or after it is carried out."""

    def __init__(self, inner, *, after, methods=None):
        self._inner, self._after, self._methods = inner, after, methods
        self.failed = []

    def __getattr__(self, name):
        found = getattr(self._inner, name)
        if not callable(found) or name == "url" or (self._methods and name not in self._methods):
            return found  # an address is built without a request

        @functools.wraps(found)
        def call(*args, **kwargs):
            call = _call(name, args, kwargs)
            if call in self.failed:
                return found(*args, **kwargs)
            self.failed.append(call)
            if self._after:
                found(*args, **kwargs)
            msg = f"{call[0]} failed"
            raise Unavailable(msg)

        return call


def _call(name, args, kwargs):
    """Identify a call by its names, without digests and times, which differ in a retry."""
    shown = [str(arg) for arg in args if isinstance(arg, str)] + sorted(kwargs)
    shown += [key for value in kwargs.values() if isinstance(value, dict) for key in sorted(value)]
    shown += [value for key, value in kwargs.items() if key in ("context", "status")]
    return name, re.sub(r"[0-9a-f]{16,}", "#", " ".join(shown))


def insist(step):
    """Retry while the service is unavailable, as Airflow does."""
    for _ in range(60):
        try:
            return step()
        except Unavailable:
            continue
    pytest.fail("still unavailable after 60 retries")


def insist_on_retrain(config, ports, request):
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
        result = insist(step)
    return result


def bundles(store):
    """Return the files of every bundle, by its digest."""
    found = {}
    for key in store.list("bundles/sample"):
        digest, name = key.split("/")[2:]
        found.setdefault(digest, []).append(name)
    return found


def assert_one_whole_champion(config, ports, request):
    assert [version.version for version in ports.registry.versions("sample")] == ["1"]
    assert ports.registry.aliases("sample") == {"champion": "1"}
    traffic = ports.ledger.read("sample")
    assert (traffic.champion.version, traffic.previous, traffic.revision) == ("1", None, 2)
    for files in bundles(ports.store).values():
        assert files == FILES, "no incomplete bundle is left"
    assert load_version(ports, config, traffic.champion.digest).manifest["run_key"] == request.run_key
    (snapshot,) = ports.store.list("snapshots/sample")
    (run,) = ports.registry.runs.values()
    assert {entry["uri"] for entry in run.datasets} == {ports.store.uri(snapshot)}
    assert run.status == "FINISHED"
    assert "homeostat.error" not in run.tags
    lease = ports.ledger.acquire_lease("sample", "next cause", "another", ports.clock.now(), HOUR)
    assert lease.granted, "the lease was released"


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("service", ["store", "registry", "ledger"])
def test_a_retrain_with_every_call_failing_once_registers_one_version(config, ask, service, after):
    real = fake_ports(start=T0)
    methods = {"store": ("put",)}.get(service)
    flaky = Flaky(getattr(real, service), after=after, methods=methods)
    ports = replace(real, **{service: flaky})
    request = ask()
    assert insist_on_retrain(config, ports, request)["phase"] == Phase.CHAMPION
    assert len(flaky.failed) >= {"store": 12, "registry": 12, "ledger": 4}[service], flaky.failed
    assert_one_whole_champion(config, real, request)
    assert set(notices(real)) == {"promoted"}


def test_a_retrain_killed_at_any_write_continues_from_there(config, ask):
    """The process is killed and cannot clean up: only what is in the store remains."""

    class Killed(BaseException):
        pass

    class Store(type(fake_ports().store)):
        left = 0

        def put(self, key, data, *, overwrite=False):
            self.left -= 1
            if self.left == 0:
                raise Killed
            super().put(key, data, overwrite=overwrite)

    store = Store()
    ports, request, deaths = fake_ports(start=T0, store=store), ask(), 0
    for step in (train, validate, gate, register, begin_rollout, finalize):
        for after in range(1, 20):
            store.left = after
            try:
                if step is train:
                    assemble(config, request, ports)
                if step is finalize:
                    load_as_gateway("sample", ports.ledger, ports.clock.now())
                result = step(config, request.run_key, ports)
            except Killed:
                deaths += 1
                continue
            break
        assert after < 19
    assert deaths > 8
    assert result["phase"] == Phase.CHAMPION
    champion = ports.ledger.read("sample").champion
    assert [version.version for version in ports.registry.versions("sample")] == ["1"]
    assert load_version(ports, config, champion.digest).manifest["run_key"] == request.run_key
    for files in bundles(store).values():
        assert files == FILES or "manifest.json" not in files, "an incomplete bundle has no manifest"


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("service", ["store", "registry", "history", "ledger"])
def test_a_check_with_every_call_failing_once_is_one_check(config, ask, service, after):
    real = fake_ports(start=T0)
    retrain(config, real, ask())
    serve(config, real, rows_between(T0, T0 + 6 * HOUR, shift=2.0), labels=False)
    real.notifier.sent.clear()
    methods = {"store": ("put",)}.get(service)
    ports = replace(real, **{service: Flaky(getattr(real, service), after=after, methods=methods)})
    ends = [T0 + hours * HOUR for hours in (4, 5, 6)]

    def look(end):
        sync_aliases(config, ports)
        return check_drift(config, ports, end)

    answers = [insist(functools.partial(look, end)) for end in ends]
    assert getattr(ports, service).failed
    assert [answer["fired"] for answer in answers] == [False, True, False]
    assert [record.window_end for record in real.history.windows("sample")] == ends
    assert notices(real) == ["trigger_fired"]


def test_with_mlflow_down_every_step_fails_and_the_champion_stays(config, ports, ask):
    retrain(config, ports, ask())
    request = ask("run 2")
    before = ports.ledger.read("sample")
    steps = (train, validate, gate, register)
    ports.registry.down = True
    with pytest.raises(Unavailable):
        assemble(config, request, ports)
    for step in steps:
        ports.registry.down = False
        if step is train:
            assemble(config, request, ports)
        ports.registry.down = True
        with pytest.raises(Unavailable):
            step(config, request.run_key, ports)
        ports.registry.down = False
        step(config, request.run_key, ports)
    assert ports.ledger.read("sample") == before
    ports.registry.down = True
    with pytest.raises(Exception, match="no previous version"):  # needs the ledger only
        manual_rollback("sample", ports.ledger, reason="test", by="test", at=T0)


def test_the_same_trigger_sent_twice_retrains_once(config, ports, ask):
    """The asset event starts two DAG runs with one trigger id; and once more after the first has ended."""
    retrain(config, ports, ask())
    serve(config, ports, rows_between(T0, T0 + 6 * HOUR, shift=2.0), labels=False)
    fired = [check_drift(config, ports, T0 + hours * HOUR) for hours in (4, 5, 5)]
    event = fired[1]
    assert fired[2]["trigger_id"] == event["trigger_id"]
    assert (fired[1]["fired"], fired[2]["fired"]) == (True, True), "checked again, it is the same event"
    requests = [
        RetrainRequest.of(
            run_key=run_key("sample", run), dag_run=run, params={}, event={**event, "window_end": ""}
        )
        for run in ("asset__1", "asset__2")
    ]
    assert assemble(config, requests[0], ports)["rows"]
    for _ in range(2):
        with pytest.raises(Refused, match="already handled"):
            assemble(config, requests[1], ports)
        ports.ledger.release_lease("sample", requests[0].run_key)
    assert len(ports.registry.runs) == 2, "the first version's and this one's"
