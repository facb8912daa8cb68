"""What is served: one sentence from the ledger and the gateway's report, wherever it is shown."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.core.rollout import Phase, Rollout, Traffic, VersionRef, begin
from homeostat.core.rollout.served import GatewayView, ServedState, describe_served
from rollout_plan import PLAN

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
V1, V2 = VersionRef("1", "a" * 64), VersionRef("2", "b" * 64)
FIRST = begin(Traffic("pump"), V1, "run", PLAN, NOW).traffic
SERVED = Traffic("pump", 3, champion=V2, previous=V1)
AWAY = "no gateway responds at http://localhost:8080"


def in_phase(phase, reason=""):
    return replace(FIRST, rollout=replace(FIRST.rollout, phase=phase, reason=reason))


@pytest.mark.parametrize(
    ("traffic", "gateway", "state", "sentence"),
    [
        (SERVED, GatewayView("2", "2"), "served", "version 2 is champion and serves"),
        (
            SERVED,
            GatewayView("2", "1", {"2": "a type is not trusted."}),
            "fallback",
            "version 1 serves in place of 2, which is not loaded: a type is not trusted. The gateway tries",
        ),
        (SERVED, GatewayView("2", "1"), "fallback", "version 1 serves in place of 2, which is being loaded"),
        (
            SERVED,
            GatewayView("2"),
            "not_loaded",
            "version 2 is champion but is being loaded; requests fail with status 503",
        ),
        (
            SERVED,
            GatewayView("1", "1"),
            "other_ledger",
            "the gateway serves version 1, the ledger names version 2",
        ),
        (SERVED, AWAY, "unknown", f"version 2 is champion; {AWAY}"),
        (Traffic("pump"), GatewayView(), "no_version", "no champion yet: homeostat retrain pump"),
        (Traffic("pump"), AWAY, "no_version", "no champion yet: homeostat retrain pump"),
        (FIRST, GatewayView(), "loading", "version 1 is registered and is being loaded"),
        (
            FIRST,
            GatewayView(load_errors={"1": "the store does not respond"}),
            "loading",
            "version 1 is registered and is not loaded: the store does not respond. The gateway tries again",
        ),
        (FIRST, AWAY, "unknown", f"version 1 is registered; no gateway has loaded it yet: {AWAY}"),
        (
            in_phase(Phase.WAITING),
            GatewayView(),
            "waits_for_approval",
            "no version serves yet: version 1 waits for approval (homeostat promote pump)",
        ),
        (
            in_phase(Phase.ROLLED_BACK, "version 1 could not be loaded: its digest is wrong."),
            GatewayView(),
            "first_version_refused",
            "no version serves: version 1 was refused: version 1 could not be loaded: its digest is wrong",
        ),
    ],
)
def test_the_sentence_says_what_serves_and_why_not(traffic, gateway, state, sentence):
    found = describe_served(traffic, gateway)
    assert found.state == state
    assert found.sentence.startswith(sentence)
    assert found.to_json() == {"state": state, "sentence": found.sentence}


def test_a_gateways_status_is_read_with_its_fallback_and_that_of_an_older_release():
    status = {
        "champion": {"version": "2", "digest": "b"},
        "loaded": {"champion": "1"},
        "ready": True,
        "fallback": "1",
        "load_errors": {"2": "why"},
        "revision": 7,
    }
    assert GatewayView.from_status(status) == GatewayView("2", "1", {"2": "why"}, 7)
    not_ready_in_every_worker = status | {"ready": False}
    assert GatewayView.from_status(not_ready_in_every_worker).serving == ""
    assert GatewayView.from_status({"loaded": {"champion": "7"}}) == GatewayView("", "7")
    assert GatewayView.from_status({}) == GatewayView()


versions = st.sampled_from(["", "1", "2", "3"])
views = st.builds(GatewayView, versions, versions, st.dictionaries(versions, st.just("why")))
refs = st.sampled_from([None, V1, V2])
rollouts = st.none() | st.builds(
    lambda phase: Rollout("run", V1, phase, 0, NOW, PLAN, reason="why"), st.sampled_from(Phase)
)
traffics = st.builds(Traffic, st.just("pump"), st.integers(0, 9), refs, refs, rollouts)


@given(traffics, views | st.just(AWAY))
def test_nothing_is_said_to_serve_before_a_gateway_serves_it(traffic, gateway):
    found = describe_served(traffic, gateway)
    serving = gateway.serving if isinstance(gateway, GatewayView) else ""
    assert (found.state is ServedState.SERVED) == (
        traffic.champion is not None
        and isinstance(gateway, GatewayView)
        and gateway.champion == gateway.serving == traffic.champion.version
    )
    if " and serves" in found.sentence or "serves in place" in found.sentence:
        assert serving
    assert not found.sentence.endswith(".")
