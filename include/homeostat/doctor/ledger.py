"""The ledger: in reach, with its tables; and who holds the retrain lease, since when."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from homeostat.config.errors import NotFound
from homeostat.config.redaction import redact_userinfo
from homeostat.doctor.check import Finding, Skipped, broken, ok, span, warning
from homeostat.doctor.connect.ledger import LedgerReader

if TYPE_CHECKING:
    from homeostat.config import ModelConfig
    from homeostat.doctor.deployment import Deployment

#: From the retrain lease to the rollout: rows, fit, holdout, gate, register.
PATIENCE = timedelta(hours=6)


def look(deployment: Deployment) -> Finding:
    """In reach, and with its tables."""
    try:
        books = deployment.ledger.get()
    except NotFound as error:
        return warning(
            f"{error}: nothing was ever recorded here",
            "`homeostat up` or a retrain makes it; if there was one, HOMEOSTAT_LEDGER points elsewhere",
        )
    if books.missing:
        return broken(
            f"the database answers, without {', '.join(books.missing)}",
            "start a gateway or a retrain once: whoever uses the ledger first makes its tables",
        )
    return ok("answers, and has its tables")


def about(deployment: Deployment) -> str:
    """The ledger's address, without a password."""
    return redact_userinfo(deployment.settings.ledger)


def ledger_of(deployment: Deployment) -> LedgerReader:
    """The ledger for a check that is about something else."""
    books = deployment.ledger.needed()
    if books.missing:
        msg = "the ledger has no tables yet"
        raise Skipped(msg)
    return books


def look_at_lease(deployment: Deployment, model: ModelConfig) -> Finding:
    """Nobody holds a model's retrain lease for longer than a retrain takes."""
    books, now = ledger_of(deployment), deployment.now()
    held = books.lease(model.name)
    if held is None or held[1] <= now:
        return ok("nobody is retraining it")
    holder, until, since = held
    active = books.traffic(model.name).active
    if active is not None and active.id == holder:
        return ok(f"version {active.candidate.version} is on its way: {active.phase}")
    lasted = now - since if since is not None else timedelta(0)
    if lasted <= PATIENCE:
        return ok(f"a retrain is under way, for {span(lasted)}")
    return warning(
        f"retrain {holder} has held the retrain lease for {span(lasted)} without a rollout",
        f"look at retrain__{model.name} in Airflow: a run that is stuck, marked as failed, gives it back; "
        f"it ends by itself at {until:%Y-%m-%d %H:%M} UTC",
    )
