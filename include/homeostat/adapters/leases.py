"""Who may retrain: the one rule that every ledger applies, inside a transaction of its own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from homeostat.ports import Claim


@dataclass(frozen=True, slots=True)
class Lease:
    """Who holds a model's right of way, and until when."""

    holder: str
    until: datetime


def decide_claim(
    model: str, trigger: str, holder: str, at: datetime, *, owner: str | None, lease: Lease | None
) -> Claim:
    """Grant the right of way, or say who has it.

    Parameters
    ----------
    model, trigger, holder, at
        As in :meth:`homeostat.ports.Ledger.claim`.
    owner
        The holder that this trigger was granted to before, if it was.
    lease
        The model's lease as it stands, run out or not.
    """
    if owner is not None and owner != holder:
        return Claim(granted=False, holder=owner, reason=f"trigger {trigger} was already answered by {owner}")
    if lease is not None and lease.holder != holder and lease.until > at:
        until = lease.until.isoformat(timespec="seconds")
        return Claim(
            granted=False,
            holder=lease.holder,
            reason=f"{lease.holder} is retraining {model}, until {until} at the latest",
        )
    if owner is not None:
        return Claim(granted=True, holder=holder, reason="granted before; the same holder goes on")
    return Claim(granted=True, holder=holder, reason="nobody else is retraining")
