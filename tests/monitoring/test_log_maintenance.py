"""The daily maintenance joins the logs of all models, one by one."""

import pytest

from homeostat.adapters import fake_ports
from homeostat.adapters.clock import FakeClock
from homeostat.config.errors import Unavailable
from homeostat.core.rollout import VersionRef, begin, promote
from homeostat.monitoring.log_maintenance import join_logs
from log_to_join import CONFIG, DAY, NOW, T0, seen, stored, write
from rollout_plan import PLAN

REF = VersionRef("1", "1" * 64)


@pytest.fixture
def ports():
    found = fake_ports(clock=FakeClock(NOW))
    for number in range(3):
        write(found.store, sequence=number)
    step = promote(found.ledger.read("m"), REF, T0, "first version")
    found.ledger.write(step.traffic, kind=step.kind, reason=step.reason, by="test", at=T0)
    return found


def test_files_are_joined_and_deleted_by_the_next_run(ports):
    before = seen(ports.store)
    assert join_logs([CONFIG], ports) == {"written": 2, "deleted": 0, "waiting": [], "failed": {}}
    ports.clock.advance(DAY)
    assert join_logs([CONFIG], ports) == {"written": 0, "deleted": 6, "waiting": [], "failed": {}}
    assert len(stored(ports.store, "predictions")[1]) == 1
    assert len(seen(ports.store)[0]) == len(before[0])


def test_a_model_waits_while_a_rollout_compares_versions(ports):
    step = begin(ports.ledger.read("m"), VersionRef("2", "2" * 64), "run", PLAN, NOW)
    ports.ledger.write(step.traffic, kind=step.kind, reason=step.reason, by="test", at=NOW)
    assert join_logs([CONFIG], ports)["waiting"] == ["m"]
    assert len(stored(ports.store, "predictions")[1]) == 3


def test_a_model_whose_windows_are_not_known_waits(ports):
    assert join_logs([("m", "model.yaml cannot be read")], ports)["waiting"] == ["m"]


def test_one_model_that_fails_keeps_no_other_from_it(ports, monkeypatch):
    step = promote(ports.ledger.read("a"), REF, T0, "first version")
    ports.ledger.write(step.traffic, kind=step.kind, reason=step.reason, by="test", at=T0)
    real = ports.store.list

    def listed(prefix):
        if prefix.startswith("log/a/"):
            raise Unavailable("the bucket is away")
        return real(prefix)

    monkeypatch.setattr(ports.store, "list", listed)
    other = CONFIG.model_copy(update={"name": "a"})
    found = join_logs([other, CONFIG], ports)
    assert found["failed"] == {"a": "Unavailable: the bucket is away"}
    assert found["written"] == 2
