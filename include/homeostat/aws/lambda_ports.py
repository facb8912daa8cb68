"""The Lambda function's ports: S3 and SQS, but neither MLflow nor the ledger's database."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, NoReturn

from homeostat.adapters import open_store, open_store_history, open_trigger_queue
from homeostat.adapters.clock import SystemClock
from homeostat.adapters.ledger_snapshot import LedgerSnapshot
from homeostat.adapters.notifier_store import StoreNotifier
from homeostat.config.errors import ConfigError, NotFound, Refused
from homeostat.ports import History, Ports, Store, TriggerQueue

if TYPE_CHECKING:
    import pandas as pd

    from homeostat.config import ModelConfig


@dataclass(frozen=True, slots=True)
class LambdaResources:
    """Clients and cached records that a warm container keeps between checks."""

    project: str
    store: Store
    history: History
    triggers: TriggerQueue

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> LambdaResources:
        """Open HOMEOSTAT_STORE and HOMEOSTAT_TRIGGERS; raise ConfigError when one is not set."""
        for name in ("HOMEOSTAT_STORE", "HOMEOSTAT_TRIGGERS"):
            if not env.get(name):
                msg = f"{name} is not set: run `terraform apply`, which sets it (infra/terraform/lambda.tf)"
                raise ConfigError(msg)
        store = open_store(env["HOMEOSTAT_STORE"])
        triggers = open_trigger_queue(env["HOMEOSTAT_TRIGGERS"])
        return cls(env.get("HOMEOSTAT_PROJECT") or "homeostat", store, open_store_history(store), triggers)

    def ports_for(self, ledger: LedgerSnapshot, window_end: datetime) -> Ports:
        """Return the ports of one check, without figures and without access to models."""
        return Ports(
            store=self.store,
            ledger=ledger,
            registry=UnavailableRegistry(self.store),
            history=self.history,
            source=UnavailableSource(),
            notifier=StoreNotifier(self.store, f"{window_end.astimezone(UTC):%Y-%m-%dT%H%M%S}"),
            clock=SystemClock(),
            renders_figures=False,
            loads_models=False,
        )


@cache
def shared_resources() -> LambdaResources:
    """Return the container's resources, opened once."""
    return LambdaResources.from_env(os.environ)


class UnavailableRegistry:
    """A registry without MLflow; a check needs it only for links, and for a bundle missing in the Store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def url(self, *, run_id: str | None = None, model: str | None = None, version: str | None = None) -> str:
        """Return the record's address in the Store, where it is until Airflow copies it into MLflow."""
        return self._store.uri(run_id or f"versions/{model}/{version}")

    def versions(self, model: str) -> NoReturn:
        """Raise NotFound; the next run of drift_check in Airflow restores the bundle from MLflow."""
        msg = (
            f"the champion's reference profile is missing in {self._store.uri(f'bundles/{model}')}: run "
            f"drift_check__{model} in Airflow, which restores it from MLflow"
        )
        raise NotFound(msg)

    def __getattr__(self, name: str) -> NoReturn:
        msg = f"the drift-check Lambda function has no access to MLflow ({name!r}): run this in Airflow"
        raise Refused(msg)


class UnavailableSource:
    """A data source that refuses reads: the Lambda function reads the gateway's prediction log only."""

    def read(self, config: ModelConfig, start: datetime | None, end: datetime | None) -> pd.DataFrame:  # noqa: ARG002  # the port's signature
        """Raise Refused."""
        msg = (
            f"{config.name}: the drift-check Lambda function reads only the gateway's prediction log, not "
            "`source`: set monitor.runs_on: airflow"
        )
        raise Refused(msg)

    def count(self, config: ModelConfig, *_: object) -> None:
        """Raise Refused."""
        self.read(config, None, None)
