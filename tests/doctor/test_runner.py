"""Checks run in parallel, end within their limit, and always end in a finding."""

import threading
from datetime import timedelta

import pytest

from homeostat.config.errors import ConfigError, Unavailable
from homeostat.doctor import Check, Finding, Probe, overall_state, run_probes
from homeostat.doctor.check import NotAllowed, Skipped, format_span, ok
from homeostat.doctor.deployment import SharedConnection


def raising(error):
    def check():
        raise error

    return check


def probe(check, **more):
    return Probe("part", "of it", check, **more)


@pytest.mark.parametrize(
    ("error", "state", "expected"),
    [
        (Skipped("MLflow is unreachable"), "skipped", "MLflow is unreachable"),
        (NotAllowed("sqs:GetQueueAttributes"), "warning", "lack the permission sqs:GetQueueAttributes"),
        (ConfigError("X: write Y"), "broken", "X: write Y"),
        (Unavailable("it does not respond"), "broken", "it does not respond"),
        (ZeroDivisionError("3/0"), "broken", "the check itself failed: ZeroDivisionError: 3/0"),
    ],
)
def test_every_error_becomes_a_finding_with_a_remedy(error, state, expected):
    (check,) = run_probes([probe(raising(error), remedy="do this")])
    assert check.state == state
    assert expected in check.sentence
    assert check.remedy or state == "skipped"


def test_hung_checks_time_out_and_the_others_still_run():
    released = threading.Event()

    def hang():
        released.wait(60)
        return ok("late")

    probes = [probe(hang, limit=0.2) for _ in range(3)] + [probe(lambda: ok("fine"))]
    try:
        found = run_probes(probes, threads=1)  # each hung check blocks the only thread
    finally:
        released.set()
    assert [check.state for check in found] == ["broken"] * 3 + ["ok"]
    assert "no response within" in found[0].sentence
    assert found[0].remedy


def test_checks_run_in_parallel():
    meeting = threading.Barrier(4)

    def meet():
        meeting.wait(30)  # returns once all four threads wait
        return ok("met")

    assert [check.state for check in run_probes([probe(meet, limit=30) for _ in range(4)])] == ["ok"] * 4


def test_the_callback_gets_each_check_once():
    reported = []
    probes = [probe(lambda: ok("fine")) for _ in range(20)]
    assert len(run_probes(probes, lambda one, check: reported.append((one, check)))) == 20
    assert len(reported) == 20


def test_secrets_are_redacted(monkeypatch):
    monkeypatch.setenv("HOMEOSTAT_CONTROL_TOKEN", "hush-hush-hush")
    (check,) = run_probes([Probe("a", "http://u:pw12345@host", raising(Unavailable("sent hush-hush-hush")))])
    assert "hush" not in check.sentence
    assert "pw12345" not in check.about


def test_a_failed_connection_is_tried_once_and_dependent_checks_are_skipped():
    tries = []

    def connect():
        tries.append(1)
        raise Unavailable("refused")

    connection = SharedConnection("the part", connect)
    with pytest.raises(Unavailable):
        connection.get()
    for _ in range(3):
        with pytest.raises(Skipped, match="the part is unreachable"):
            connection.get_or_skip()
    assert len(tries) == 1


def test_the_verdict_is_the_worst_and_what_was_skipped_says_nothing():
    def of(*states):
        return overall_state([Check("a", "b", state, "", "") for state in states])

    assert of("ok", "skipped") == "ok"
    assert of("skipped") == "ok"
    assert of("ok", "warning", "skipped") == "warning"
    assert of("warning", "broken", "ok") == "broken"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(40, "40 s"), (120, "2 min"), (7200, "2 h"), (172800, "2 days"), (3600, "60 min")],
)
def test_durations_are_formatted_in_their_largest_unit(seconds, expected):
    assert format_span(timedelta(seconds=seconds)) == expected


def test_an_ok_finding_has_no_remedy():
    assert ok("fine") == Finding("ok", "fine", "")
