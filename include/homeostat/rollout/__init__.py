"""Phases of a rollout and the pure decisions between them."""

from homeostat.rollout.decide import Decision, decide, evidence_from_json, evidence_json
from homeostat.rollout.evidence import CANDIDATE, CHAMPION, CONTROL, SHADOW, Evidence, Tally
from homeostat.rollout.health import HealthCheck, HealthResult, Verdict
from homeostat.rollout.phases import SENTENCES, Phase, Plan, Rollout, Traffic, VersionRef
from homeostat.rollout.recompute import Recomputed, recompute, recompute_all
from homeostat.rollout.route import choose, weights
from homeostat.rollout.tally import CategorySlots, NumberSlots, Recorder
from homeostat.rollout.transitions import Transition, approve, begin, promote, roll_back
from homeostat.rollout.watch import epochs, watch

__all__ = [
    "CANDIDATE",
    "CHAMPION",
    "CONTROL",
    "SENTENCES",
    "SHADOW",
    "CategorySlots",
    "Decision",
    "Evidence",
    "HealthCheck",
    "HealthResult",
    "NumberSlots",
    "Phase",
    "Plan",
    "Recomputed",
    "Recorder",
    "Rollout",
    "Tally",
    "Traffic",
    "Transition",
    "Verdict",
    "VersionRef",
    "approve",
    "begin",
    "choose",
    "decide",
    "epochs",
    "evidence_from_json",
    "evidence_json",
    "promote",
    "recompute",
    "recompute_all",
    "roll_back",
    "watch",
    "weights",
]
