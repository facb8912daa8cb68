"""Build the ports: real ones from the settings, or in-memory fakes for tests."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from homeostat.config.errors import ConfigError
from homeostat.config.redaction import redact_userinfo
from homeostat.ports import Clock, Ledger, Notifier, Ports, Store, TriggerQueue

if TYPE_CHECKING:
    from homeostat.adapters.history_store import StoreHistory
    from homeostat.config import Settings


def build_ports(settings: Settings, *, notifier: Notifier | None = None, service: str = "homeostat") -> Ports:
    """Build every real port of an installation.

    No connection is opened: a service that is down raises Unavailable at the first call.

    Parameters
    ----------
    settings
        The addresses of the store, the ledger and MLflow.
    notifier
        Sends notifications (default: write them to the log).
    service
        The name of this process in traces, where ``OTEL_SERVICE_NAME`` is not set.

    Raises
    ------
    ConfigError
        ``HOMEOSTAT_STORE`` or ``HOMEOSTAT_LEDGER`` is not a supported URL.
    """
    from homeostat.adapters.clock import SystemClock
    from homeostat.adapters.configured_source import ConfiguredSource
    from homeostat.adapters.history_mlflow import MlflowHistory
    from homeostat.adapters.mlflow_client import MlflowConnection
    from homeostat.adapters.notifier import LogNotifier
    from homeostat.adapters.registry_mlflow import MlflowRegistry
    from homeostat.adapters.tracer import open_tracer
    from homeostat.rollouts.approval_link import approval_links

    store = open_store(settings.store)
    mlflow = MlflowConnection(settings.tracking_uri, settings.mlflow_public_url)
    return Ports(
        store=store,
        ledger=open_ledger(settings.ledger),
        registry=MlflowRegistry(mlflow),
        history=MlflowHistory(mlflow, settings.mlflow_backend_uri),
        source=ConfiguredSource(store),
        notifier=notifier or LogNotifier(),
        clock=SystemClock(),
        trusted_types=settings.trusted_types,
        approval_links=approval_links(
            settings.approval_secret, settings.gateway_public_url or settings.gateway
        ),
        tracer=open_tracer(service),
    )


def fake_ports(*, start: datetime | None = None, **ports: Any) -> Ports:
    """Build in-memory ports with a clock that moves only by ``advance`` and ``set``.

    Parameters
    ----------
    start
        Initial time of the clock (default: 2026-01-01 00:00 UTC).
    **ports
        Replacements for the fakes, by field name of :class:`~homeostat.ports.Ports`.
    """
    from homeostat.adapters.clock import FakeClock
    from homeostat.adapters.configured_source import ConfiguredSource
    from homeostat.adapters.history_memory import MemoryHistory
    from homeostat.adapters.ledger_memory import MemoryLedger
    from homeostat.adapters.notifier import MemoryNotifier
    from homeostat.adapters.registry_memory import MemoryRegistry
    from homeostat.adapters.store_memory import MemoryStore

    clock: Clock = ports.get("clock") or FakeClock(start or datetime(2026, 1, 1, tzinfo=UTC))
    store: Store = ports.get("store") or MemoryStore()
    fakes = Ports(
        store=store,
        ledger=MemoryLedger(),
        registry=MemoryRegistry(clock),
        history=MemoryHistory(),
        source=ConfiguredSource(store),
        notifier=MemoryNotifier(),
        clock=clock,
    )
    return replace(fakes, **ports)


def open_store(url: str) -> Store:
    """Open the store at ``file:///folder``, ``s3://bucket/prefix`` or, for tests, ``memory://``."""
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.path.startswith("/") and parts.netloc in ("", "localhost"):
        from homeostat.adapters.store_file import FileStore

        return FileStore(unquote(parts.path))
    if parts.scheme == "s3" and parts.netloc:
        from homeostat.adapters.store_s3 import S3Store

        return S3Store(parts.netloc, parts.path.strip("/"))
    if parts.scheme == "memory":
        from homeostat.adapters.store_memory import MemoryStore

        return MemoryStore()
    shown = redact_userinfo(url)
    msg = f"HOMEOSTAT_STORE is {shown!r}: write file:///absolute/folder or s3://bucket/prefix"
    raise ConfigError(msg)


def open_ledger(url: str) -> Ledger:
    """Open the ledger at a SQLAlchemy URL: ``sqlite:////path/ledger.db`` or ``postgresql+psycopg2://...``."""
    from homeostat.adapters.ledger_sql import SqlLedger

    return SqlLedger(url)


def open_trigger_queue(url: str) -> TriggerQueue:
    """Open the retrain trigger queue at an SQS URL."""
    parts = urlsplit(url)
    if parts.scheme in ("https", "http") and parts.netloc and parts.path.strip("/"):
        from homeostat.adapters.trigger_queue_sqs import SqsTriggerQueue

        return SqsTriggerQueue(url)
    msg = (
        f"HOMEOSTAT_TRIGGERS is {redact_userinfo(url)!r}: write the URL of an SQS queue, such as "
        "https://sqs.eu-central-1.amazonaws.com/123456789012/homeostat-triggers.fifo"
    )
    raise ConfigError(msg)


def open_store_history(store: Store) -> StoreHistory:
    """Open the monitoring history that the drift detector on AWS Lambda writes to the store."""
    from homeostat.adapters.history_store import StoreHistory

    return StoreHistory(store)
