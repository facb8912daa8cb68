"""The rows an hour that the ledger's counts show."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from homeostat.adapters.ledger_memory import MemoryLedger
from homeostat.adapters.ledger_sql import SqlLedger
from homeostat.core.rollout import Tally, Traffic, VersionRef, begin
from homeostat.rollouts.traffic_rate import traffic_rate
from rollout_plan import PLAN

T0 = datetime(2026, 3, 1, 7, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture(params=["memory", "sqlite"])
def ledger(request, tmp_path):
    if request.param == "memory":
        yield MemoryLedger()
        return
    ledger = SqlLedger(f"sqlite:///{tmp_path}/ledger.db")
    yield ledger
    ledger.close()


def promoted(ledger):
    """Return the traffic of a champion that was promoted at T0."""
    step = begin(Traffic("m"), VersionRef("1", "a"), "run", PLAN, T0, serve=False)
    return ledger.write(step.traffic, kind=str(step.kind), reason="", by="test", at=T0)


def serve(ledger, at, rows, stage="champion"):
    ledger.add_evidence("m", "run", "g", at, {(stage, "champion"): Tally(rows=rows)})


def test_a_champion_of_three_hours_shows_their_rows(ledger):
    traffic = promoted(ledger)
    for hour in range(3):
        serve(ledger, T0 + hour * HOUR + timedelta(minutes=5), 40)
    rate = traffic_rate(ledger, traffic, T0 + 3 * HOUR)
    assert rate.rows_per_hour == pytest.approx(40)
    assert rate.source == "in the last 3 hours"


def test_an_older_champion_shows_the_last_day(ledger):
    traffic = promoted(ledger)
    for hour in range(100):
        serve(ledger, T0 + hour * HOUR, 10 if hour < 70 else 30)
    rate = traffic_rate(ledger, traffic, T0 + 100 * HOUR)
    assert rate.source == "in the last 24 hours"
    assert rate.rows_per_hour == pytest.approx(30, rel=0.05)


def test_rows_of_the_phases_before_do_not_count(ledger):
    traffic = promoted(ledger)
    serve(ledger, T0 - timedelta(minutes=1), 500, "canary:0")
    serve(ledger, T0 + HOUR, 40)
    assert traffic_rate(ledger, traffic, T0 + 2 * HOUR).rows_per_hour == pytest.approx(20)


def test_without_rows_or_a_rollout_nothing_is_known(ledger):
    assert traffic_rate(ledger, Traffic("m"), T0) is None
    assert traffic_rate(ledger, promoted(ledger), T0 + HOUR) is None
