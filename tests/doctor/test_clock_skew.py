"""Clocks that go wrong are noticed, whoever's they are; services that say nothing hold nobody up."""

from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest

from doctor.rewriting_proxy import Bend, bending, black_hole
from homeostat.doctor import check
from homeostat.doctor import clock_skew as clocks

T = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "state"),
    [(0, "ok"), (4, "ok"), (-4, "ok"), (6, "warning"), (-59, "warning"), (61, "broken"), (-900, "broken")],
)
def test_how_far_off_is_too_far(seconds, state):
    found = clocks.judge("MLflow", timedelta(seconds=seconds))
    assert found.state == state
    if state != "ok":
        assert ("ahead of" in found.sentence) == (seconds > 0)
        assert "time server" in found.cure


def test_a_service_that_says_no_time_is_not_judged():
    assert clocks.ahead_by_header({}, T, T) is None
    assert clocks.ahead_by_header({"date": "yesterday"}, T, T) is None
    assert clocks.judge("it", None).state == "skipped"


def test_the_time_that_an_answer_takes_is_not_taken_for_a_difference():
    there = timedelta(seconds=20)
    offset = clocks.ahead(T + there, T, T + timedelta(seconds=40))  # it may have been written at any time
    assert offset == timedelta(0)
    header = {"date": "Mon, 02 Mar 2026 12:01:30 GMT"}
    assert clocks.ahead_by_header(header, T, T) == timedelta(seconds=90.5)


@pytest.mark.parametrize(("name", "setting"), [("MLflow", "tracking_uri"), ("gateway", "gateway")])
@pytest.mark.parametrize(("minutes", "state"), [(0, "ok"), (0.5, "warning"), (-20, "broken")])
def test_a_service_whose_clock_is_off(patient, name, setting, minutes, state):
    bend = Bend(shift=timedelta(minutes=minutes))
    with bending(getattr(patient.settings, setting), bend) as url:
        found = patient.one("clock", name, **{setting: url})
    assert found.state == state, found


def test_a_store_whose_clock_is_off(patient, s3_server, monkeypatch):
    with bending(s3_server.endpoint, Bend(shift=timedelta(minutes=-2))) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        found = patient.one("clock", "store", store=f"s3://{s3_server.bucket}/clocks")
    assert found.state == "broken"
    assert "behind this machine" in found.sentence


def test_services_that_say_nothing_are_told_one_by_one_and_nothing_hangs(patient, s3_server, monkeypatch):
    with ExitStack() as stack:
        hole = stack.enter_context(black_hole())
        monkeypatch.setattr(check, "ANSWER_SECONDS", 1.0)
        monkeypatch.setattr(check, "CONNECT_SECONDS", 1.0)
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{hole}")
        changes = {
            "store": "s3://bucket/store",
            "ledger": f"postgresql+psycopg2://nobody@{hole}/db",
            "tracking_uri": f"http://{hole}",
            "gateway": f"http://{hole}",
            "triggers": f"http://{hole}/123456789012/triggers.fifo",
        }
        # That this line is passed while the hole is still open is the point.
        found = patient.examined(**changes, env={"AIRFLOW__API__BASE_URL": f"http://{hole}"})
    broken = {each.name for each in found if each.state == "broken"}
    assert broken == {"store", "ledger", "mlflow", "gateway", "airflow", "aws credentials"}
    rest = [each for each in found if each.name in ("champion", "serving", "queue", "bucket", "clock")]
    assert {each.state for each in rest} == {"skipped"}, rest
    assert all(each.cure for each in found if each.state == "broken")
    assert not [each for each in found if "no answer within" in each.sentence], "given up by itself, in time"
