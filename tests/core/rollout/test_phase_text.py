"""The sentences of a phase have the figures of its rollout."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from homeostat.core.rollout import (
    Phase,
    Rollout,
    VersionRef,
    describe_phase,
    phase_place,
    phase_time,
    share_text,
)
from homeostat.core.rollout.phases import PHASE_SENTENCES
from homeostat.core.rollout.transitions import default_plan

AT = datetime(2026, 3, 1, tzinfo=UTC)
ONE, TWO = VersionRef("1", "a"), VersionRef("2", "b")
PLAN = replace(default_plan(), steps=(0.005, 0.5))


def rollout(phase, step=0, plan=PLAN):
    return Rollout("run", TWO, phase, step, AT, plan)


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (rollout(Phase.CANARY), "Serves a sticky share of 0.5% of the traffic."),
        (rollout(Phase.CANARY, 1), "Serves a sticky share of 50% of the traffic."),
        (rollout(Phase.WAITING, 1), "Passed its canary; keeps its share of 50% until a person approves it."),
        (rollout(Phase.WAITING, 0, replace(PLAN, steps=(0.0,))), "Waits until a person approves it."),
        (rollout(Phase.SHADOW), PHASE_SENTENCES[Phase.SHADOW]),
    ],
)
def test_the_share_is_named(found, sentence):
    assert describe_phase(found, ONE) == sentence


def test_only_a_previous_version_stays_loaded():
    assert describe_phase(rollout(Phase.CHAMPION)) == "Serves all traffic."
    assert describe_phase(rollout(Phase.CHAMPION), ONE) == "Serves all traffic; version 1 stays loaded."


def test_a_registered_version_is_in_no_stage():
    assert phase_place(rollout(Phase.REGISTERED)) == "registered"
    assert phase_time(rollout(Phase.REGISTERED)) == "before a gateway had loaded it"
    assert phase_place(rollout(Phase.SHADOW)) == phase_time(rollout(Phase.SHADOW)) == "in shadow"
    assert phase_place(rollout(Phase.CANARY, 1)) == "in canary step 2 of 2"


@pytest.mark.parametrize(("share", "text"), [(0.5, "50%"), (0.005, "0.5%"), (1 / 3, "33.3%"), (1.0, "100%")])
def test_a_share_is_written_in_percent(share, text):
    assert share_text(share) == text
