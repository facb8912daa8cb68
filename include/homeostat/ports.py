"""What the flows need from the world. Each port has a real adapter and a fake, in :mod:`homeostat.adapters`.

All times are timezone-aware UTC. Anything that a service's absence causes is raised as
:class:`~homeostat.config.errors.Unavailable`, which callers may retry.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pandas as pd

    from homeostat.bundle.files import Bundle
    from homeostat.config import ModelConfig
    from homeostat.core.rollout.evidence import Evidence, Tally
    from homeostat.core.rollout.phases import Traffic
    from homeostat.core.trigger import WindowRecord


class Store(Protocol):
    """Bytes under keys such as ``snapshots/pump_fault/<digest>.parquet``; writes are atomic."""

    def put(self, key: str, data: bytes, *, overwrite: bool = False) -> None:
        """Write whole or not at all.

        Without ``overwrite`` the key is write-once: the same bytes again are fine, other bytes raise
        AlreadyExists.
        """

    def get(self, key: str) -> bytes:
        """Raise NotFound when there is no such key."""

    def exists(self, key: str) -> bool:
        """Whether the key holds anything."""

    def list(self, prefix: str) -> list[str]:
        """Every key below ``prefix`` (a folder, with or without its slash), sorted; [] when there is none."""

    def delete(self, key: str) -> None:
        """Remove a key; one that is not there is fine."""

    def uri(self, key: str) -> str:
        """Where a person or another engine finds it: ``file:///...`` or ``s3://...``."""


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a model's rollout history: what was written to the ledger, when, why and by whom."""

    model: str
    revision: int
    at: datetime
    kind: str
    reason: str
    by: str
    traffic: Mapping[str, Any]
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Claim:
    """The answer to a retrain that asks for the right of way."""

    granted: bool
    holder: str
    reason: str


class Ledger(Protocol):
    """The truth about traffic, in one small SQL database."""

    def read(self, model: str) -> Traffic:
        """The state now; revision 0 with nothing in it when the model is new."""

    def write(
        self,
        traffic: Traffic,
        *,
        kind: str,
        reason: str,
        by: str,
        at: datetime,
        evidence: Mapping[str, Any] | None = None,
    ) -> Traffic:
        """Compare and swap: ``traffic.revision`` must still be current, else StaleRevision.

        Returns the state under its new revision (one higher). The event is written in the same
        transaction.
        """

    def events(self, model: str, since: int = 0) -> list[Event]:
        """Events with a revision above ``since``, oldest first."""

    def add_evidence(
        self,
        model: str,
        rollout: str,
        gateway: str,
        at: datetime,
        tallies: Mapping[tuple[str, str], Tally],
        *,
        batch: int = 0,
    ) -> None:
        """Add counts per (stage, variant) to those of this second; gateways never overwrite each other.

        A ``batch`` above 0 that is not higher than one that this gateway has added to the rollout before is
        passed over: what was written although its answer was lost may be sent again.
        """

    def evidence(self, model: str, rollout: str, since: datetime | None = None) -> Evidence:
        """The sum over all gateways (of the seconds from ``since`` on), per (stage, variant)."""

    def claim(self, model: str, trigger: str, holder: str, at: datetime, lease: timedelta) -> Claim:
        """Ask to retrain for a trigger: granted once per trigger, and to one holder per model at a time.

        The same holder asking again is granted again (tasks run at least once). A lease that ran out
        no longer blocks. ``trigger`` is unique per cause: a second holder with the same trigger is
        refused for ever.
        """

    def holder(self, model: str, at: datetime) -> str | None:
        """Who is retraining the model at this time; None when nobody is, or their lease ran out."""

    def release(self, model: str, holder: str) -> None:
        """Give the right of way back; not holding it is fine."""


@dataclass(frozen=True, slots=True)
class Version:
    """A registered model version. ``digest`` is that of its bundle, see :mod:`homeostat.bundle.files`."""

    model: str
    version: str
    digest: str
    run_id: str
    tags: Mapping[str, str]
    created_at: datetime


class Registry(Protocol):
    """Training runs, model versions and aliases (MLflow)."""

    def start_run(self, model: str, run_key: str, *, name: str, tags: Mapping[str, str]) -> str:
        """Begin the training run of this key, or find it again; returns the run id."""

    def log(
        self,
        run_id: str,
        *,
        params: Mapping[str, Any] | None = None,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, str] | None = None,
        artifacts: Mapping[str, bytes] | None = None,
    ) -> None:
        """Add to a run; logging the same params again is fine. Metrics that are not finite are left out."""

    def log_dataset(self, run_id: str, *, name: str, digest: str, uri: str, context: str, rows: int) -> None:
        """Record dataset lineage: MLflow shows it in the run's "Datasets used"."""

    def end_run(self, run_id: str, status: str = "FINISHED") -> None:
        """Close a run as FINISHED or FAILED; an ended one is fine."""

    def register(
        self, model: str, run_key: str, run_id: str, bundle: Path, digest: str, tags: Mapping[str, str]
    ) -> Version:
        """Register the bundle folder as a new version; the same run key always gives the same version."""

    def versions(self, model: str) -> Sequence[Version]:
        """All versions, by number, lowest first; [] for a model that is not registered."""

    def version(self, model: str, version: str) -> Version:
        """One version; NotFound when it was deleted or never was."""

    def fetch(self, version: Version, folder: Path) -> Path:
        """Download the bundle into ``folder``; Untrusted unless its digest is ``version.digest``."""

    def aliases(self, model: str) -> dict[str, str]:
        """Alias to version number."""

    def set_alias(self, model: str, alias: str, version: str | None) -> None:
        """Point an alias at a version, or remove it with None."""

    def tag(self, model: str, version: str, tags: Mapping[str, str]) -> None:
        """Set tags on a version."""

    def url(self, *, run_id: str | None = None, model: str | None = None, version: str | None = None) -> str:
        """The page in MLflow's own UI where a person sees this."""


class History(Protocol):
    """One monitoring run per model and window end (MLflow)."""

    def record(
        self,
        model: str,
        record: WindowRecord,
        *,
        metrics: Mapping[str, float],
        artifacts: Mapping[str, bytes],
    ) -> str:
        """Write the window's run, over the one of a former check of this window; returns the run id."""

    def windows(self, model: str, since: datetime | None = None) -> list[WindowRecord]:
        """Records with ``window_end >= since``, oldest first, one per window end."""


class Source(Protocol):
    """Rows with labels, as the model's ``source`` block says."""

    def read(self, config: ModelConfig, start: datetime | None, end: datetime | None) -> pd.DataFrame:
        """Rows with ``start <= timestamp < end``, sorted by time, timestamp column timezone-aware UTC."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that a person may want to know at night."""

    kind: str  # trigger_fired | gate_refused | rolled_back | promoted | not_computable | drift_harmless | ...
    model: str
    title: str
    body: str


class Notifier(Protocol):
    """Tells people. Never raises: a notice that does not arrive must not stop the loop."""

    def notify(self, targets: Sequence[str], notice: Notice) -> None:
        """Send to every target."""


class Clock(Protocol):
    """The time."""

    def now(self) -> datetime:
        """Now, timezone-aware UTC."""


@dataclass(frozen=True, slots=True)
class TriggerMessage:
    """A check that fired, as it travels to whoever retrains. ``trigger_id`` is unique per cause."""

    model: str
    trigger_id: str
    window_end: str
    reason: str
    recall: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message as it was received: its text, the receipt that deletes it, and how often it was delivered."""

    body: str
    receipt: str
    attempt: int = 1


class Triggers(Protocol):
    """A queue of retrain triggers (SQS). What is received stays on it, unseen for a while, until deleted."""

    def send(self, message: TriggerMessage) -> None:
        """Put it on the queue; one with the same ``trigger_id`` within five minutes counts once."""

    def receive(self, limit: int = 10) -> list[Delivery]:
        """Take what is there, at most ``limit``; [] when nothing is."""

    def delete(self, receipt: str) -> None:
        """Done with it; one that is gone already is fine."""

    def give_back(self, receipt: str) -> None:
        """Have it delivered again at once; after too many deliveries it becomes a dead letter."""


@dataclass(frozen=True, slots=True)
class Ports:
    """All of the world that a flow may touch.

    ``trusted_types`` are the operator's own additions to the skops types that a bundle may hold. ``pictures``
    is False where nobody will look at any, ``loads_models`` where no bundle can be opened for want of
    scikit-learn, and ``loaded`` keeps bundles by their digest for a process that asks for the same ones over
    and over.
    """

    store: Store
    ledger: Ledger
    registry: Registry
    history: History
    source: Source
    notifier: Notifier
    clock: Clock
    trusted_types: tuple[str, ...] = ()
    pictures: bool = True
    loads_models: bool = True
    loaded: dict[str, Bundle] | None = None
