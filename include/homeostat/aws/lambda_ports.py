"""The ports of a check that has S3 and SQS in reach, and neither MLflow nor the ledger's database."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, NoReturn

from homeostat.adapters import detector_history, open_store, open_triggers
from homeostat.adapters.clock import SystemClock
from homeostat.adapters.ledger_snapshot import PublishedLedger
from homeostat.adapters.notifier_store import StoreNotifier
from homeostat.config.errors import ConfigError, NotFound, Refused
from homeostat.ports import History, Ports, Store, Triggers

if TYPE_CHECKING:
    import pandas as pd

    from homeostat.config import ModelConfig


@dataclass(frozen=True, slots=True)
class World:
    """What lasts from one check to the next in a warm container: clients, and records that were read."""

    project: str
    store: Store
    history: History
    triggers: Triggers

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> World:
        """Open what HOMEOSTAT_STORE and HOMEOSTAT_TRIGGERS name; raises ConfigError when one is not set."""
        for name in ("HOMEOSTAT_STORE", "HOMEOSTAT_TRIGGERS"):
            if not env.get(name):
                msg = f"{name} is not set: the detector needs it; infra/terraform/detector.tf sets it"
                raise ConfigError(msg)
        store = open_store(env["HOMEOSTAT_STORE"])
        triggers = open_triggers(env["HOMEOSTAT_TRIGGERS"])
        return cls(env.get("HOMEOSTAT_PROJECT") or "homeostat", store, detector_history(store), triggers)

    def ports(self, ledger: PublishedLedger, window_end: datetime) -> Ports:
        """The ports of one check. Nobody looks at pictures here, and nothing can open a model."""
        return Ports(
            store=self.store,
            ledger=ledger,
            registry=NoRegistry(self.store),
            history=self.history,
            source=NoSource(),
            notifier=StoreNotifier(self.store, f"{window_end.astimezone(UTC):%Y-%m-%dT%H%M%S}"),
            clock=SystemClock(),
            pictures=False,
            loads_models=False,
        )


@cache
def world() -> World:
    """The world of this container, made once."""
    return World.from_env(os.environ)


class NoRegistry:
    """MLflow, out of reach: a check asks it for an address, and for a bundle that the Store has lost."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def url(self, *, run_id: str | None = None, model: str | None = None, version: str | None = None) -> str:
        """Where in the Store the window's record lies, until it is in MLflow."""
        return self._store.uri(run_id or f"versions/{model}/{version}")

    def versions(self, model: str) -> NoReturn:
        """NotFound: Airflow's next run brings the bundle back from MLflow."""
        msg = (
            f"the champion's reference is not in the store at {self._store.uri(f'bundles/{model}')}, and the "
            f"detector has no MLflow to take it from: run drift_check__{model} in Airflow, which puts it back"
        )
        raise NotFound(msg)

    def __getattr__(self, name: str) -> NoReturn:
        msg = f"the detector has no MLflow, and a check asked it for {name!r}: this is for Airflow to do"
        raise Refused(msg)


class NoSource:
    """The model's source, which a check of a gateway's log never reads."""

    def read(self, config: ModelConfig, start: datetime | None, end: datetime | None) -> pd.DataFrame:  # noqa: ARG002  # the port's signature
        """Refused."""
        msg = (
            f"{config.name}: the detector reads the gateway's log and no source: set monitor.runs_on: airflow"
        )
        raise Refused(msg)
