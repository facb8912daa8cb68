"""What is looked at, and the connections that several checks share.

A connection is tried once. Its own check says what came of it; the others are skipped then, instead of
each waiting for the same silence.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Generic, TypeVar

from homeostat.config import ModelConfig, Settings
from homeostat.doctor.check import Skipped
from homeostat.doctor.connect import aws, gateway, ledger, mlflow, store

T = TypeVar("T")


class Once(Generic[T]):
    """Something that is reached for once, by whoever comes first; the others wait for what comes of it."""

    def __init__(self, what: str, connect: Callable[[], T]) -> None:
        self._what = what
        self._connect = connect
        self._lock = threading.Lock()
        self._found: list[T] = []
        self._error: Exception | None = None

    def get(self) -> T:
        """What was reached, or the error that came of it."""
        with self._lock:
            if not self._found and self._error is None:
                try:
                    self._found.append(self._connect())
                except Exception as error:  # noqa: BLE001  # kept for everyone who asks
                    self._error = error
        if self._error is not None:
            raise self._error
        return self._found[0]

    def needed(self) -> T:
        """The same for a check that is about something else: skipped when there is nothing to ask."""
        try:
            return self.get()
        except Exception as error:
            msg = f"{self._what} is out of reach"
            raise Skipped(msg) from error


class Deployment:
    """Settings, the models that can be read, and what is shared.

    Parameters
    ----------
    settings
        Where everything is.
    models
        The models that are looked at.
    env
        The environment that the settings came from.
    now
        This machine's clock.
    """

    def __init__(
        self,
        settings: Settings,
        models: tuple[ModelConfig, ...] = (),
        *,
        env: Mapping[str, str] | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.settings = settings
        self.models = models
        self.env = dict(os.environ if env is None else env)
        self.now = now
        self.ledger = Once("the ledger", lambda: ledger.connect(settings.ledger))
        self.store = Once("the store", lambda: store.connect(settings.store))
        self.mlflow = Once("MLflow", lambda: mlflow.connect(settings.tracking_uri, self.env))
        self.gateway = Once("the gateway", lambda: gateway.connect(settings))
        self.aws = Once("AWS", aws.connect)

    def detected(self) -> tuple[ModelConfig, ...]:
        """The models that a function in AWS checks."""
        return tuple(model for model in self.models if model.monitor.runs_on == "lambda")

    def trained_in_aws(self) -> tuple[ModelConfig, ...]:
        """The models that Fargate trains."""
        return tuple(model for model in self.models if model.training.runs_on == "ecs")
