"""The deployment under check, with the connections that several checks share.

Each connection is tried once. Its own check reports a failure; checks that depend on it are skipped and do
not wait for the same time-out.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Generic, TypeVar

from homeostat.config import ModelConfig, Settings
from homeostat.core.rollout import TrafficRate
from homeostat.doctor.check import Skipped
from homeostat.doctor.connect import aws, gateway, ledger, mlflow, store

T = TypeVar("T")


class SharedConnection(Generic[T]):
    """A connection that the first caller opens; later callers get the same connection or error."""

    def __init__(self, name: str, connect: Callable[[], T]) -> None:
        self._name = name
        self._connect = connect
        self._lock = threading.Lock()
        self._opened: list[T] = []
        self._error: Exception | None = None

    def get(self) -> T:
        """Return the connection, or raise the error of connecting."""
        with self._lock:
            if not self._opened and self._error is None:
                try:
                    self._opened.append(self._connect())
                except Exception as error:  # noqa: BLE001  # raised again for every caller
                    self._error = error
        if self._error is not None:
            raise self._error
        return self._opened[0]

    def get_or_skip(self) -> T:
        """Return the connection, or raise Skipped; for checks of something behind it."""
        try:
            return self.get()
        except Exception as error:
            msg = f"{self._name} is unreachable"
            raise Skipped(msg) from error


class Deployment:
    """Settings, readable models and shared connections.

    Parameters
    ----------
    settings
        Addresses of all services.
    models
        The models to check.
    env
        The environment that the settings came from.
    now
        This machine's clock.
    rate
        The traffic of every model (``--rows-per-hour``). Default: what its newest window had.
    """

    def __init__(
        self,
        settings: Settings,
        models: tuple[ModelConfig, ...] = (),
        *,
        env: Mapping[str, str] | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        rate: TrafficRate | None = None,
    ) -> None:
        self.settings = settings
        self.models = models
        self.env = dict(os.environ if env is None else env)
        self.now = now
        self.rate = rate
        self.ledger = SharedConnection("the ledger", lambda: ledger.connect(settings.ledger))
        self.store = SharedConnection("the store", lambda: store.connect(settings.store))
        self.mlflow = SharedConnection("MLflow", lambda: mlflow.connect(settings.tracking_uri, self.env))
        self.gateway = SharedConnection("the gateway", lambda: gateway.connect(settings))
        self.aws = SharedConnection("AWS", aws.connect)

    def checked_by_lambda(self) -> tuple[ModelConfig, ...]:
        """Return the models with ``monitor.runs_on: lambda``."""
        return tuple(model for model in self.models if model.monitor.runs_on == "lambda")

    def trained_on_fargate(self) -> tuple[ModelConfig, ...]:
        """Return the models with ``training.runs_on: ecs``."""
        return tuple(model for model in self.models if model.training.runs_on == "ecs")
