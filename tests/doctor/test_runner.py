"""Checks are made side by side, end in time, and always end in a sentence."""

import threading
from datetime import timedelta

import pytest

from homeostat.config.errors import ConfigError, Unavailable
from homeostat.doctor import Check, Finding, Probe, run, verdict
from homeostat.doctor.check import NotAllowed, Skipped, ok, span
from homeostat.doctor.deployment import Once


def raising(error):
    def look():
        raise error

    return look


def probe(look, **more):
    return Probe("part", "of it", look, **more)


@pytest.mark.parametrize(
    ("error", "state", "said"),
    [
        (Skipped("MLflow is out of reach"), "skipped", "MLflow is out of reach"),
        (NotAllowed("sqs:GetQueueAttributes"), "warning", "not allowed to (sqs:GetQueueAttributes)"),
        (ConfigError("X: write Y"), "broken", "X: write Y"),
        (Unavailable("it does not answer"), "broken", "it does not answer"),
        (ZeroDivisionError("3/0"), "broken", "the check itself failed: ZeroDivisionError: 3/0"),
    ],
)
def test_whatever_goes_wrong_ends_in_a_sentence(error, state, said):
    (check,) = run([probe(raising(error), cure="do this")])
    assert check.state == state
    assert said in check.sentence
    assert check.cure or state == "skipped"


def test_checks_that_hang_are_given_up_and_the_others_are_made_all_the_same():
    released = threading.Event()

    def hang():
        released.wait(60)
        return ok("after all")

    probes = [probe(hang, limit=0.2) for _ in range(3)] + [probe(lambda: ok("well"))]
    try:
        found = run(probes, threads=1)  # each that hangs holds the only thread
    finally:
        released.set()
    assert [check.state for check in found] == ["broken"] * 3 + ["ok"]
    assert "no answer within" in found[0].sentence
    assert found[0].cure


def test_checks_are_made_side_by_side():
    meeting = threading.Barrier(4)

    def meet():
        meeting.wait(30)  # returns only once all four are here
        return ok("met")

    assert [check.state for check in run([probe(meet, limit=30) for _ in range(4)])] == ["ok"] * 4


def test_everybody_hears_of_each_check_once():
    told = []
    probes = [probe(lambda: ok("well")) for _ in range(20)]
    assert len(run(probes, lambda one, check: told.append((one, check)))) == 20
    assert len(told) == 20


def test_secrets_stay_out_of_what_is_said(monkeypatch):
    monkeypatch.setenv("HOMEOSTAT_CONTROL_TOKEN", "hush-hush-hush")
    (check,) = run([Probe("a", "http://u:pw12345@host", raising(Unavailable("sent hush-hush-hush")))])
    assert "hush" not in check.sentence
    assert "pw12345" not in check.about


def test_a_connection_is_tried_once_and_the_others_are_skipped():
    tries = []

    def reach():
        tries.append(1)
        raise Unavailable("nobody there")

    once = Once("the part", reach)
    with pytest.raises(Unavailable):
        once.get()
    for _ in range(3):
        with pytest.raises(Skipped, match="the part is out of reach"):
            once.needed()
    assert len(tries) == 1


def test_the_verdict_is_the_worst_and_what_was_skipped_says_nothing():
    def of(*states):
        return verdict([Check("a", "b", state, "", "") for state in states])

    assert of("ok", "skipped") == "ok"
    assert of("skipped") == "ok"
    assert of("ok", "warning", "skipped") == "warning"
    assert of("warning", "broken", "ok") == "broken"


@pytest.mark.parametrize(
    ("seconds", "said"), [(40, "40 s"), (120, "2 min"), (7200, "2 h"), (172800, "2 days"), (3600, "60 min")]
)
def test_durations_are_said_as_one_says_them(seconds, said):
    assert span(timedelta(seconds=seconds)) == said


def test_a_finding_that_is_well_needs_no_cure():
    assert ok("well") == Finding("ok", "well", "")
