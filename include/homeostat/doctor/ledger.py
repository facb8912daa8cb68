"""The ledger: reachable, with its tables, and without a stuck retrain lease."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from homeostat.config.errors import NotFound
from homeostat.config.redaction import redact_userinfo
from homeostat.doctor.check import Finding, Skipped, broken, format_span, ok, warning
from homeostat.doctor.connect.ledger import LedgerReader

if TYPE_CHECKING:
    from homeostat.config import ModelConfig
    from homeostat.doctor.deployment import Deployment

#: Longest usual time from the retrain lease to the rollout (assemble, train, validate, gate, register).
MAX_RETRAIN = timedelta(hours=6)


def check_ledger(deployment: Deployment) -> Finding:
    """Check that the ledger's database responds and has its tables."""
    try:
        ledger = deployment.ledger.get()
    except NotFound as error:
        return warning(
            f"{error}: the ledger is empty",
            "nothing to do before the first retrain, which creates it (as does `homeostat up`); if you had a "
            "ledger, set HOMEOSTAT_LEDGER to it",
        )
    if ledger.missing:
        return broken(
            f"the database has no table {', '.join(ledger.missing)}",
            "start a gateway or a retrain once, which creates the tables; if you had a ledger, set "
            "HOMEOSTAT_LEDGER to it",
        )
    return ok("responds and has its tables")


def ledger_address(deployment: Deployment) -> str:
    """Return the ledger's URL without its password."""
    return redact_userinfo(deployment.settings.ledger)


def ledger_or_skip(deployment: Deployment) -> LedgerReader:
    """Return the ledger for a check of something else, or raise Skipped."""
    ledger = deployment.ledger.get_or_skip()
    if ledger.missing:
        msg = "the ledger has no tables yet"
        raise Skipped(msg)
    return ledger


def check_retrain_lease(deployment: Deployment, model: ModelConfig) -> Finding:
    """Check that no retrain holds the model's lease for longer than a retrain takes."""
    ledger, now = ledger_or_skip(deployment), deployment.now()
    lease = ledger.lease(model.name)
    if lease is None or lease.until <= now:
        return ok("no retrain is running")
    active = ledger.traffic(model.name).active
    if active is not None and active.id == lease.holder:
        return ok(f"version {active.candidate.version} is in rollout, phase {active.phase}")
    lasted = now - lease.since if lease.since is not None else timedelta(0)
    if lasted <= MAX_RETRAIN:
        return ok(f"a retrain has been running for {format_span(lasted)}")
    return warning(
        f"retrain {lease.holder} has held the retrain lease for {format_span(lasted)} without a rollout",
        f"in Airflow, check the DAG retrain__{model.name}: mark a stuck run as failed to release the lease; "
        f"otherwise it expires at {lease.until:%Y-%m-%d %H:%M} UTC",
    )
