"""The story in order, over ports."""

from homeostat.flows.assembling import assemble
from homeostat.flows.collecting import collect, take_back
from homeostat.flows.gating import judge, register
from homeostat.flows.messages import body_of, message_of
from homeostat.flows.mirror import mirror
from homeostat.flows.monitoring import check_drift, window_end_of
from homeostat.flows.publishing import publish
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
from homeostat.flows.sending import send_fired
from homeostat.flows.training_step import train
from homeostat.flows.validating import validate

__all__ = [
    "RetrainRequest",
    "approve_by_hand",
    "assemble",
    "begin_rollout",
    "body_of",
    "champion_evidence",
    "check_drift",
    "collect",
    "judge",
    "look",
    "message_of",
    "mirror",
    "promote_by_hand",
    "publish",
    "register",
    "roll_back_in_ledger",
    "run_key",
    "send_fired",
    "settle",
    "take_back",
    "tick",
    "train",
    "validate",
    "window_end_of",
]
