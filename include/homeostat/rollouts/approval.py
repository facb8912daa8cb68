"""Who may approve a promotion, and the decision of an approver who was asked by a signed link."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Literal

from homeostat.config import ModelConfig
from homeostat.config.errors import Refused
from homeostat.core.rollout import Phase, Traffic, Transition, approve, roll_back
from homeostat.rollouts.approval_link import ApprovalClaims

Decision = Literal["approve", "decline"]


def require_approver(config: ModelConfig, name: str) -> None:
    """Raise Refused unless this person may promote versions: anyone where model.yaml names no approvers."""
    if config.approvers and name not in config.approvers:
        who = f"'{name}' is not among them" if name else "say who approves"
        msg = (
            f"{config.name}: only {', '.join(config.approvers)} may approve or promote (approvers in"
            f" model.yaml): {who}"
        )
        raise Refused(msg)


def waits(traffic: Traffic, claims: ApprovalClaims) -> bool:
    """Whether the rollout of a link still waits for a person."""
    rollout = traffic.active
    return rollout is not None and rollout.id == claims.rollout and rollout.phase is Phase.WAITING


def name_of(claims: ApprovalClaims) -> str:
    """Return who decides by a link, as the ledger records it."""
    return f"{claims.approver or 'a holder of the link'}, signed link"


def request_by_link(
    config: ModelConfig, claims: ApprovalClaims, decision: Decision, now: datetime
) -> Callable[[Traffic], Transition]:
    """Return the change that the holder of a link asks for: once, and only while the rollout waits.

    Raises
    ------
    Refused
        The approver is no longer named in model.yaml; from the change: the rollout no longer waits.
    """
    require_approver(config, claims.approver)

    def change(traffic: Traffic) -> Transition:
        if not waits(traffic, claims):
            raise Refused(decided_already(traffic, claims))
        if decision == "approve":
            return approve(traffic, now)
        return roll_back(traffic, f"declined by {name_of(claims)}", now)

    return change


def decided_already(traffic: Traffic, claims: ApprovalClaims) -> str:
    """Return what became of a rollout that no longer waits, in a sentence."""
    rollout = traffic.rollout
    what = f"Version {claims.version} of {claims.model} no longer waits for approval"
    if rollout is None or rollout.id != claims.rollout:
        return f"{what}: another version took its place. Nothing was changed."
    return f"{what}: it is {str(rollout.phase).replace('_', ' ')} ({rollout.reason}). Nothing was changed."
