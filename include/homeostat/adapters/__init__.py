"""Adapters for MLflow, SQL, S3, SQS and files, each with an in-memory fake for tests.

No other package imports these SDKs. Heavy modules (MLflow, boto3, SQLAlchemy) are imported at first use.
"""

from typing import TYPE_CHECKING, Any

from homeostat.adapters.factory import (
    build_ports,
    fake_ports,
    open_ledger,
    open_store,
    open_store_history,
    open_trigger_queue,
)

if TYPE_CHECKING:
    from homeostat.adapters.ledger_snapshot import LedgerSnapshot
    from homeostat.adapters.trigger_queue_memory import MemoryTriggerQueue

__all__ = [
    "LedgerSnapshot",
    "MemoryTriggerQueue",
    "build_ports",
    "fake_ports",
    "open_ledger",
    "open_store",
    "open_store_history",
    "open_trigger_queue",
]


def __getattr__(name: str) -> Any:
    if name == "LedgerSnapshot":
        from homeostat.adapters.ledger_snapshot import LedgerSnapshot

        return LedgerSnapshot
    if name == "MemoryTriggerQueue":
        from homeostat.adapters.trigger_queue_memory import MemoryTriggerQueue

        return MemoryTriggerQueue
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
