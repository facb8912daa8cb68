"""The story in order, over ports."""

from homeostat.flows.assembling import assemble
from homeostat.flows.gating import judge, register
from homeostat.flows.mirror import mirror
from homeostat.flows.monitoring import check_drift, window_end_of
from homeostat.flows.request import RetrainRequest, run_key
from homeostat.flows.rollouts import (
    approve_by_hand,
    begin_rollout,
    champion_evidence,
    look,
    promote_by_hand,
    roll_back_in_ledger,
    settle,
    tick,
)
from homeostat.flows.training_step import train
from homeostat.flows.validating import validate

__all__ = [
    "RetrainRequest",
    "approve_by_hand",
    "assemble",
    "begin_rollout",
    "champion_evidence",
    "check_drift",
    "judge",
    "look",
    "mirror",
    "promote_by_hand",
    "register",
    "roll_back_in_ledger",
    "run_key",
    "settle",
    "tick",
    "train",
    "validate",
    "window_end_of",
]
