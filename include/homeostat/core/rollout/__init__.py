"""Phases of a rollout, its transitions, and the pure decisions between them."""

from homeostat.core.rollout.audit import RecomputedStep, recompute, recompute_all
from homeostat.core.rollout.champion_watch import champion_watch, epochs
from homeostat.core.rollout.decide import Decision, decide_rollout
from homeostat.core.rollout.event_kinds import ADVANCING, EVENT_SENTENCES, EventKind
from homeostat.core.rollout.evidence import (
    CANDIDATE,
    CHAMPION,
    CONTROL,
    DROPPING_ROWS,
    HOLDOUT,
    LABELLED_PAIRS,
    RECENT,
    SHADOW,
    Evidence,
    Tally,
    evidence_from_json,
    evidence_json,
)
from homeostat.core.rollout.evidence_recorder import CategoryBins, EvidenceRecorder, NumberBins
from homeostat.core.rollout.hard_failure import HardFailure, decide_hard_failure
from homeostat.core.rollout.health import (
    CHECK_SENTENCES,
    VERDICT_SENTENCES,
    HealthCheck,
    HealthCheckName,
    HealthCheckResult,
    HealthVerdict,
)
from homeostat.core.rollout.label_pairs import PairLosses, differ
from homeostat.core.rollout.pace import PhasePace, RolloutPace, TrafficRate, first_step, rollout_pace
from homeostat.core.rollout.phase_text import describe_phase, phase_place, phase_time, share_text
from homeostat.core.rollout.phases import (
    PHASE_SENTENCES,
    RULES,
    LabelFacts,
    Phase,
    Plan,
    Rollout,
    Traffic,
    VersionRef,
)
from homeostat.core.rollout.progress import RolloutProgress, rollout_progress, served_rows
from homeostat.core.rollout.route import choose_variant, weights
from homeostat.core.rollout.transitions import Transition, approve, begin, promote, roll_back

__all__ = [
    "ADVANCING",
    "CANDIDATE",
    "CHAMPION",
    "CHECK_SENTENCES",
    "CONTROL",
    "DROPPING_ROWS",
    "EVENT_SENTENCES",
    "HOLDOUT",
    "LABELLED_PAIRS",
    "PHASE_SENTENCES",
    "RECENT",
    "RULES",
    "SHADOW",
    "VERDICT_SENTENCES",
    "CategoryBins",
    "Decision",
    "EventKind",
    "Evidence",
    "EvidenceRecorder",
    "HardFailure",
    "HealthCheck",
    "HealthCheckName",
    "HealthCheckResult",
    "HealthVerdict",
    "LabelFacts",
    "NumberBins",
    "PairLosses",
    "Phase",
    "PhasePace",
    "Plan",
    "RecomputedStep",
    "Rollout",
    "RolloutPace",
    "RolloutProgress",
    "Tally",
    "Traffic",
    "TrafficRate",
    "Transition",
    "VersionRef",
    "approve",
    "begin",
    "champion_watch",
    "choose_variant",
    "decide_hard_failure",
    "decide_rollout",
    "describe_phase",
    "differ",
    "epochs",
    "evidence_from_json",
    "evidence_json",
    "first_step",
    "phase_place",
    "phase_time",
    "promote",
    "recompute",
    "recompute_all",
    "roll_back",
    "rollout_pace",
    "rollout_progress",
    "served_rows",
    "share_text",
    "weights",
]
