"""The only rooms that know MLflow, SQL, S3 and SQS; a fake beside each.

Nothing heavy is imported before it is used: MLflow, boto3 and SQLAlchemy come with the first port that
needs them, and what rests on the flows comes when it is asked for.
"""

from typing import TYPE_CHECKING, Any

from homeostat.adapters.factory import (
    build_ports,
    detector_history,
    fake_ports,
    open_ledger,
    open_store,
    open_triggers,
)

if TYPE_CHECKING:
    from homeostat.adapters.ledger_snapshot import PublishedLedger
    from homeostat.adapters.trigger_queue_memory import MemoryTriggers

__all__ = [
    "MemoryTriggers",
    "PublishedLedger",
    "build_ports",
    "detector_history",
    "fake_ports",
    "open_ledger",
    "open_store",
    "open_triggers",
]


def __getattr__(name: str) -> Any:
    if name == "PublishedLedger":
        from homeostat.adapters.ledger_snapshot import PublishedLedger

        return PublishedLedger
    if name == "MemoryTriggers":
        from homeostat.adapters.trigger_queue_memory import MemoryTriggers

        return MemoryTriggers
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
