"""The rule that grants retrain leases; every ledger applies it inside a transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from homeostat.ports import LeaseResult


@dataclass(frozen=True, slots=True)
class Lease:
    """A model's retrain lease: its holder and its expiry."""

    holder: str
    until: datetime


def grant_lease(
    model: str, trigger: str, holder: str, at: datetime, *, granted_to: str | None, lease: Lease | None
) -> LeaseResult:
    """Return whether ``holder`` gets the retrain lease, and otherwise who has it.

    Parameters
    ----------
    model, trigger, holder, at
        As in :meth:`homeostat.ports.Ledger.acquire_lease`.
    granted_to
        The holder that this trigger was granted to earlier, if any.
    lease
        The model's current lease, expired or not.
    """
    if granted_to is not None and granted_to != holder:
        reason = f"trigger {trigger} was already handled by {granted_to}"
        return LeaseResult(granted=False, holder=granted_to, reason=reason)
    if lease is not None and lease.holder != holder and lease.until > at:
        until = lease.until.isoformat(timespec="seconds")
        return LeaseResult(
            granted=False,
            holder=lease.holder,
            reason=f"{lease.holder} is retraining {model}, until {until} at the latest",
        )
    if granted_to is not None:
        return LeaseResult(granted=True, holder=holder, reason="this holder has the lease already")
    return LeaseResult(granted=True, holder=holder, reason=f"no other retrain of {model} holds the lease")
