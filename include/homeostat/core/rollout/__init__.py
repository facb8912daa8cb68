"""Phases of a rollout and the pure decisions between them."""

from homeostat.core.rollout.audit import Recomputed, recompute, recompute_all
from homeostat.core.rollout.champion_watch import epochs, watch
from homeostat.core.rollout.decide import Decision, decide, evidence_from_json, evidence_json
from homeostat.core.rollout.evidence import CANDIDATE, CHAMPION, CONTROL, SHADOW, Evidence, Tally
from homeostat.core.rollout.evidence_recorder import CategorySlots, NumberSlots, Recorder
from homeostat.core.rollout.health import HealthCheck, HealthResult, Verdict
from homeostat.core.rollout.phases import SENTENCES, Phase, Plan, Rollout, Traffic, VersionRef
from homeostat.core.rollout.route import choose, weights
from homeostat.core.rollout.transitions import Transition, approve, begin, promote, roll_back

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
