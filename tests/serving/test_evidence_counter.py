"""Outcomes are counted against the limits of the version that made them."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from homeostat.core.rollout import Plan, begin
from homeostat.core.rollout.phases import Phase, Traffic, VersionRef
from homeostat.core.rollout.transitions import enter
from homeostat.serving.inference.routing import Outcome
from homeostat.serving.inference.scoring import ScoredRequest
from homeostat.serving.sync.evidence_counter import EvidenceCounter
from serving.gateway_harness import model_config

NOW = datetime(2026, 3, 2, tzinfo=UTC)
FORMER, NEW = VersionRef("1", "d1"), VersionRef("2", "d2")
RANGES = {FORMER: [0.0, 10.0], NEW: [1000.0, 2000.0]}


@pytest.mark.parametrize("known_before", [True, False])
def test_a_promotion_changes_which_range_applies(known_before):
    config = model_config(task="regression")
    counter = EvidenceCounter(config)
    for ref, bounds in RANGES.items():
        counter.register_version(ref, SimpleNamespace(manifest={"prediction_range": bounds}, reference=None))
    shadow = begin(Traffic("pump", champion=FORMER), NEW, "r", Plan.of(config), NOW).traffic
    champion = enter(shadow, shadow.rollout, Phase.CHAMPION, NOW, "test").traffic
    outcomes = [
        (shadow, "shadow", "shadow", 1500.0),
        (shadow, "shadow", "champion", 5.0),
        (champion, "champion", "champion", 1500.0),
        (champion, "reverse_shadow", "shadow", 5.0),
    ]
    for traffic, stage, variant, prediction in outcomes if known_before else outcomes[2:]:
        scored = ScoredRequest([prediction], None, 1.0)
        counter.add(Outcome("r", stage, variant, 1, 1.0, scored), traffic)
    counted = counter.drain()["r"]
    assert len(counted) == (4 if known_before else 2)
    assert {key: tally.out_of_range for key, tally in counted.items()} == dict.fromkeys(counted, 0)
    assert all(tally.rows == 1 for tally in counted.values())
