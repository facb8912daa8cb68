"""Hold a rollout while a gateway's prediction log drops rows: what is not recorded proves nothing later.

A gateway that drops rows counts that under :data:`~homeostat.core.rollout.evidence.DROPPING_ROWS`, beside the
evidence of the rollout. Every driver of the rollout (gateways, Airflow, the command line) reads it from the
ledger. A report expires, so that a gateway that died does not hold the rollout for ever.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from homeostat.core.rollout import DROPPING_ROWS, Evidence, Tally
from homeostat.core.rollout.decide import CLOCK_SKEW
from homeostat.ports import Ledger

#: How long a report holds the rollout. Gateways report with every evaluation, every few seconds; the clock of
#: the reader may be ahead of the gateway's.
REPORT_EXPIRES = CLOCK_SKEW + timedelta(seconds=30)


def dropping_rows_report() -> Evidence:
    """Return what a gateway adds to the evidence while its prediction log drops rows."""
    return {DROPPING_ROWS: Tally(dropped=1)}


def is_dropping_rows(ledger: Ledger, model: str, rollout: str, now: datetime) -> bool:
    """Whether a gateway has reported within :data:`REPORT_EXPIRES` that its prediction log drops rows."""
    return DROPPING_ROWS in ledger.evidence(model, rollout, now - REPORT_EXPIRES)
