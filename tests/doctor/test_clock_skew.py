"""Clock skew of every service is detected, and silent services delay no other check."""

from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest

from doctor.rewriting_proxy import Rewrite, black_hole, rewriting
from homeostat.doctor import check, clock_skew

T = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "state"),
    [(0, "ok"), (4, "ok"), (-4, "ok"), (6, "warning"), (-59, "warning"), (61, "broken"), (-900, "broken")],
)
def test_an_offset_is_a_warning_above_5_s_and_broken_above_60_s(seconds, state):
    found = clock_skew.check_offset("MLflow", timedelta(seconds=seconds))
    assert found.state == state
    if state != "ok":
        assert ("ahead of" in found.sentence) == (seconds > 0)
        assert "time server" in found.remedy


def test_a_service_without_a_date_header_is_skipped():
    assert clock_skew.offset_from_header({}, T, T) is None
    assert clock_skew.offset_from_header({"date": "yesterday"}, T, T) is None
    assert clock_skew.check_offset("it", None).state == "skipped"


def test_the_duration_of_the_request_is_not_counted_as_skew():
    remote = T + timedelta(seconds=20)  # the header may have been written at any time of the request
    offset = clock_skew.clock_offset(remote, T, T + timedelta(seconds=40))
    assert offset == timedelta(0)
    header = {"date": "Mon, 02 Mar 2026 12:01:30 GMT"}
    assert clock_skew.offset_from_header(header, T, T) == timedelta(seconds=90.5)


@pytest.mark.parametrize(("name", "setting"), [("MLflow", "tracking_uri"), ("gateway", "gateway")])
@pytest.mark.parametrize(("minutes", "state"), [(0, "ok"), (0.5, "warning"), (-20, "broken")])
def test_the_skew_of_mlflow_and_the_gateway_is_detected(deployment, name, setting, minutes, state):
    rewrite = Rewrite(shift=timedelta(minutes=minutes))
    with rewriting(getattr(deployment.settings, setting), rewrite) as url:
        found = deployment.one("clock", name, **{setting: url})
    assert found.state == state, found


def test_the_skew_of_an_s3_store_is_detected(deployment, s3_server, monkeypatch):
    with rewriting(s3_server.endpoint, Rewrite(shift=timedelta(minutes=-2))) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        found = deployment.one("clock", "store", store=f"s3://{s3_server.bucket}/clocks")
    assert found.state == "broken"
    assert "behind this machine's" in found.sentence


def test_silent_services_are_reported_once_each_and_nothing_hangs(deployment, s3_server, monkeypatch):
    with ExitStack() as stack:
        hole = stack.enter_context(black_hole())
        monkeypatch.setattr(check, "RESPONSE_SECONDS", 1.0)
        monkeypatch.setattr(check, "CONNECT_SECONDS", 1.0)
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{hole}")
        changes = {
            "store": "s3://bucket/store",
            "ledger": f"postgresql+psycopg2://nobody@{hole}/db",
            "tracking_uri": f"http://{hole}",
            "gateway": f"http://{hole}",
            "triggers": f"http://{hole}/123456789012/triggers.fifo",
        }
        # The checks must return while the servers are still silent.
        found = deployment.check(**changes, env={"AIRFLOW__API__BASE_URL": f"http://{hole}"})
    broken = {each.name for each in found if each.state == "broken"}
    assert broken == {"store", "ledger", "mlflow", "gateway", "airflow", "aws credentials"}
    rest = [
        each for each in found if each.name in ("champion", "serving", "trigger queue", "bucket", "clock")
    ]
    assert {each.state for each in rest} == {"skipped"}, rest
    assert all(each.remedy for each in found if each.state == "broken")
    assert not [each for each in found if "no response within" in each.sentence], (
        "each request timed out by itself"
    )
