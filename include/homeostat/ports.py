"""Interfaces of the services that Homeostat uses, each with an adapter and a fake in homeostat.adapters.

All times are timezone-aware UTC. When a service is down, every method raises
:class:`~homeostat.config.errors.Unavailable`, which callers may retry.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from homeostat.config.notices import NoticeKind as NoticeKind  # noqa: PLC0414  # also of this module
from homeostat.tracing import Tracer

if TYPE_CHECKING:
    import pandas as pd

    from homeostat.bundle.files import Bundle
    from homeostat.config import ModelConfig
    from homeostat.core.profile import Profile, ProfileEdges, Season, Slices
    from homeostat.core.retention import Retention
    from homeostat.core.rollout.evidence import Evidence, Tally
    from homeostat.core.rollout.phases import Traffic
    from homeostat.core.trigger import WindowRecord


class Store(Protocol):
    """Bytes under keys such as ``snapshots/pump_fault/<digest>.parquet``; writes are atomic."""

    def put(self, key: str, data: bytes, *, overwrite: bool = False) -> None:
        """Write all bytes or none.

        Without ``overwrite`` the key is write-once: writing the same bytes again does nothing, other bytes
        raise AlreadyExists.
        """

    def get(self, key: str) -> bytes:
        """Return the bytes of a key; raises NotFound when there is no such key."""

    def exists(self, key: str) -> bool:
        """Return whether the key exists."""

    def list(self, prefix: str) -> list[str]:
        """Return every key in the folder ``prefix`` (with or without its slash), sorted; [] for none."""

    def delete(self, key: str) -> None:
        """Delete a key; does nothing when it does not exist."""

    def uri(self, key: str) -> str:
        """Return the address of a key for people and other tools: ``file:///...`` or ``s3://...``."""


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of a model's rollout history: what was written to the ledger, when, why and by whom."""

    model: str
    revision: int
    at: datetime
    kind: str
    reason: str
    by: str
    traffic: Mapping[str, Any]
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LeaseResult:
    """The result of acquiring a retrain lease; ``holder`` is the retrain that holds or has used it."""

    granted: bool
    holder: str
    reason: str


class RecordKind(StrEnum):
    """What a health record is about. The values are stored in the ledger."""

    WINDOW = "window"
    RETRAIN = "retrain"
    VERSION = "version"


@dataclass(frozen=True, slots=True)
class HealthRecord:
    """Something that pages show about a model: a checked window, the end of a retrain, a version.

    A copy of what MLflow and the Store hold, in the ledger's database, where one query reads it for all
    models; see :mod:`homeostat.core.model_health`.

    Parameters
    ----------
    key
        Names it among those of its kind; a second record of the same key replaces the first.
    rank
        How much it matters, 0 to 999: where a page cannot show all, the highest of its time is shown.
    """

    model: str
    kind: RecordKind
    key: str
    at: datetime
    body: Mapping[str, Any]
    rank: int = 0


@dataclass(frozen=True, slots=True)
class FleetEntry:
    """What the ledger knows about one model.

    ``newest`` holds its newest window and its last retrain, ``holder`` the retrain that holds the lease.
    """

    traffic: Traffic
    newest: Mapping[RecordKind, HealthRecord]
    holder: str | None


class Ledger(Protocol):
    """The truth about traffic, in one small SQL database."""

    def read(self, model: str) -> Traffic:
        """Return the current state; an empty one of revision 0 for a new model."""

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
        """Compare and swap: raises StaleRevision unless ``traffic.revision`` is the current one.

        Returns the state under its new revision (one higher). The event is written in the same
        transaction.
        """

    def models(self) -> list[str]:
        """Return the name of every model that was ever written, sorted."""

    def events(self, model: str, since: int = 0) -> list[Event]:
        """Return the events with a revision above ``since``, oldest first."""

    def events_between(self, model: str, since: datetime | None, limit: int) -> list[Event]:
        """Return the newest ``limit`` events from ``since`` on, oldest first, without their evidence."""

    def champion_events(self, model: str, since: datetime | None, limit: int) -> list[Event]:
        """Return what :meth:`events_between` does, of the kinds that may change the champion."""

    def save_record(self, record: HealthRecord) -> None:
        """Write a health record, replacing that of the same model, kind and key.

        Windows that are more than a hundred days older than this one are thinned: of each day the one with
        the highest rank is kept.
        """

    def records(
        self, model: str, kind: RecordKind, since: datetime | None, limit: int
    ) -> tuple[list[HealthRecord], int]:
        """Return about ``limit`` records from ``since`` on, oldest first, and how many there are.

        Of more, the time is cut into ``limit`` equal parts: the record with the highest rank of each part is
        returned (of the same rank, the latest), and always the newest one.
        """

    def delete_windows(self, model: str, retention: Retention) -> int:
        """Delete the health records of old windows; return how many."""

    def fleet(self, at: datetime) -> dict[str, FleetEntry]:
        """Return what is known about every model, by name, in a fixed number of queries."""

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

        Each gateway numbers its batches from 1. A batch that is not higher than the last one of this gateway
        and rollout is ignored, so a gateway that got no response may send it again. 0 is never ignored.
        """

    def replace_evidence(
        self, model: str, rollout: str, source: str, tallies: Mapping[tuple[str, str], Tally]
    ) -> None:
        """Write counts that are known as a whole, in place of what ``source`` wrote per (stage, variant).

        They belong to the whole rollout: :meth:`evidence` returns them whatever its ``since``.
        """

    def evidence(self, model: str, rollout: str, since: datetime | None = None) -> Evidence:
        """Return the sum over all gateways (of the seconds from ``since`` on), per (stage, variant)."""

    def acquire_lease(
        self, model: str, trigger: str, holder: str, at: datetime, lease: timedelta
    ) -> LeaseResult:
        """Acquire the model's retrain lease: one holder per model at a time, and once per trigger.

        The same holder may acquire it again (tasks run at least once). An expired lease does not block.
        ``trigger`` is unique per cause: a second holder with the same trigger is always refused.
        """

    def lease_holder(self, model: str, at: datetime) -> str | None:
        """Return the run key of the retrain that holds the lease at this time; None for none."""

    def release_lease(self, model: str, holder: str) -> None:
        """Release the lease; does nothing when ``holder`` does not hold it."""


@dataclass(frozen=True, slots=True)
class Version:
    """A registered model version. ``digest`` is that of its bundle, see :mod:`homeostat.bundle.files`."""

    model: str
    version: str
    digest: str
    run_id: str
    tags: Mapping[str, str]
    created_at: datetime
    description: str = ""


@dataclass(frozen=True, slots=True)
class OtherModel:
    """A model that another pipeline logged in MLflow.

    ``uri`` has no alias, so that it names the same model later. ``name`` and ``version`` are "" for a model
    that is not registered, ``digest`` for one that is no bundle of Homeostat. ``trained_until`` (ISO, "" for
    unknown) and ``training_rows`` are those that its tags, its run's datasets or Homeostat recorded.
    """

    uri: str
    name: str = ""
    version: str = ""
    digest: str = ""
    trained_until: str = ""
    training_rows: int | None = None


class Registry(Protocol):
    """Training runs, model versions and aliases (MLflow)."""

    def start_run(self, model: str, run_key: str, *, name: str, tags: Mapping[str, str]) -> str:
        """Start the training run of this key, or find the one started before; return the run id."""

    def log(
        self,
        run_id: str,
        *,
        params: Mapping[str, Any] | None = None,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, str] | None = None,
        artifacts: Mapping[str, bytes] | None = None,
    ) -> None:
        """Add to a run; the same params may be logged again. Metrics that are not finite are left out."""

    def log_dataset(self, run_id: str, *, name: str, digest: str, uri: str, context: str, rows: int) -> None:
        """Record dataset lineage: MLflow shows it in the run's "Datasets used"."""

    def end_run(self, run_id: str, status: str = "FINISHED") -> None:
        """End a run as FINISHED or FAILED; does nothing when it has ended."""

    def register(
        self, model: str, run_key: str, run_id: str, bundle: Path, digest: str, tags: Mapping[str, str]
    ) -> Version:
        """Register the bundle folder as a new version; the same run key always gives the same version."""

    def versions(self, model: str) -> Sequence[Version]:
        """Return all versions by number, lowest first; [] for a model that is not registered."""

    def version(self, model: str, version: str) -> Version:
        """Return one version; raises NotFound when it does not exist."""

    def fetch(self, version: Version, folder: Path) -> Path:
        """Download the bundle into ``folder``; raises Untrusted unless its digest is ``version.digest``."""

    def find_model(self, uri: str) -> OtherModel:
        """Return the model at ``models:/NAME/VERSION``, ``models:/NAME@ALIAS``, ``models:/ID`` or ``runs:/``.

        Raises ConfigError for another form, NotFound when there is no such model.
        """

    def fetch_model(self, model: OtherModel, folder: Path) -> None:
        """Download the files of a model into ``folder``, without those in folders of their own.

        Raises Untrusted for files that are too large or too many, or of another digest than ``model``'s.
        """

    def aliases(self, model: str) -> dict[str, str]:
        """Return the version number of each alias."""

    def set_alias(self, model: str, alias: str, version: str | None) -> None:
        """Point an alias at a version, or remove it with None."""

    def tag(self, model: str, version: str, tags: Mapping[str, str]) -> None:
        """Set tags on a version."""

    def describe(
        self,
        text: str,
        *,
        run_id: str | None = None,
        name: str = "",
        model: str | None = None,
        version: str | None = None,
    ) -> None:
        """Set the description that MLflow shows on the page of a run, or of a version; it is replaced.

        ``name`` is the run's new name; "" keeps the one it has.
        """

    def url(self, *, run_id: str | None = None, model: str | None = None, version: str | None = None) -> str:
        """Return the address of the page in MLflow's UI."""


class History(Protocol):
    """One record per model and window end, and in MLflow one run per model and UTC day of the ends."""

    def record(
        self,
        model: str,
        record: WindowRecord,
        *,
        metrics: Mapping[str, float],
        artifacts: Mapping[str, bytes],
    ) -> str:
        """Write the window, replacing an earlier check of it; return the id of the run that holds it.

        The files are kept of the newest window of a run only, see :mod:`homeostat.storage.check_records`.
        """

    def windows(self, model: str, since: datetime | None = None) -> list[WindowRecord]:
        """Return the records with ``window_end >= since``, oldest first, one per window end."""

    def delete_old(self, model: str, retention: Retention, limit: int) -> int:
        """Delete what is old, the oldest first, at most ``limit`` runs or windows; return how many."""

    def free_deleted(self) -> int:
        """Free the space of what :meth:`delete_old` only marked as deleted; return the number of runs."""


class Source(Protocol):
    """Labelled rows from the model's ``source``."""

    def read(self, config: ModelConfig, start: datetime | None, end: datetime | None) -> pd.DataFrame:
        """Return rows with ``start <= timestamp < end``, sorted by time, timestamps timezone-aware UTC."""

    def count(
        self,
        config: ModelConfig,
        edges: ProfileEdges,
        start: datetime,
        end: datetime,
        season: Season | None,
        slices: Slices | None,
    ) -> Mapping[tuple[int, ...], Profile] | None:
        """Count the rows of ``[start, end)`` where they are; None for a source that only returns rows.

        Returns the profile of each group of rows. Its key is the slot of the season (-1 without a time), if
        there is one, and then the place of the slice of each slicing. Rows that break the contract are
        counted as they are.
        """


@dataclass(frozen=True, slots=True)
class Notice:
    """A message to the people whom model.yaml names under ``notify``.

    Parameters
    ----------
    body
        What happened, in a sentence.
    action
        What to do, in a sentence; "" where nothing is to be done.
    figures
        Names and values that show it: ``("accuracy", "0.46, baseline 0.76")``.
    links
        Names and addresses of pages.
    story, part
        What the notice belongs to, such as one retrain. A story is one message when it begins and one when it
        ends (``part`` is "begin", "update" or "end"); what comes between is in the second message. A notice
        without a story is one message.
    once
        A notice of this name is sent once per model, whoever sends it: two processes see the same roll-back.
    """

    kind: NoticeKind
    model: str
    title: str
    body: str
    action: str = ""
    figures: tuple[tuple[str, str], ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    story: str = ""
    part: str = ""
    once: str = ""

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Notice:
        """Read the fields as plain JSON, written now or by release 0.1.

        Raises
        ------
        ValueError, KeyError, TypeError
            It is not a notice.
        """
        model, title, body = (str(raw[name]) for name in ("model", "title", "body"))
        figures, links = (
            tuple((str(label), str(value)) for label, value in raw.get(name, ()))
            for name in ("figures", "links")
        )
        action, story, part, once = (str(raw.get(name, "")) for name in ("action", "story", "part", "once"))
        return cls(NoticeKind(raw["kind"]), model, title, body, action, figures, links, story, part, once)


class Notifier(Protocol):
    """Send notices to people. Never raises: a lost notice must not stop a retrain or a rollout."""

    def notify(self, targets: Sequence[str], notice: Notice) -> None:
        """Send to every target."""


class ApprovalLinker(Protocol):
    """Makes signed links to a gateway's page, on which a person approves or declines a waiting version."""

    def personal_link(self, model: str, rollout: str, version: str, approver: str, now: datetime) -> str:
        """Return the address to send to this approver; "" for several people."""


class Clock(Protocol):
    """The current time."""

    def now(self) -> datetime:
        """Return the current time, timezone-aware UTC."""


@dataclass(frozen=True, slots=True)
class TriggerMessage:
    """A request to retrain, from a check that fired. ``trigger_id`` is unique per cause.

    ``reinstate`` is the version number of a former champion to use instead of a new fit; "" for none.
    """

    model: str
    trigger_id: str
    window_end: str
    reason: str
    reinstate: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A received message: its text, the receipt that deletes it, and how often it was delivered."""

    body: str
    receipt: str
    attempt: int = 1


class TriggerQueue(Protocol):
    """A queue of retrain triggers (SQS). A received message is invisible for a while, until it is deleted."""

    def send(self, message: TriggerMessage) -> None:
        """Send a message; a second one with the same ``trigger_id`` within five minutes is dropped."""

    def receive(self, limit: int = 10) -> list[Delivery]:
        """Receive at most ``limit`` messages; [] when there is none."""

    def delete(self, receipt: str) -> None:
        """Delete a message; does nothing when it is gone."""

    def release(self, receipt: str) -> None:
        """Make a message visible again at once; after too many deliveries it becomes a dead letter."""


@dataclass(frozen=True, slots=True)
class Ports:
    """The services that a check, a retrain or a rollout uses.

    ``trusted_types`` are the operator's additions to the types that a bundle may contain. ``renders_figures``
    is False where figures are not needed, ``times_versions`` where one measured latency counts for all
    versions, ``loads_models`` where scikit-learn is not installed.
    ``approval_links`` makes the links with which people approve; None: there are none.
    ``bundle_cache`` keeps loaded bundles by digest, for a process that needs the same ones many times.
    ``tracer`` records traces; None: they are off.
    """

    store: Store
    ledger: Ledger
    registry: Registry
    history: History
    source: Source
    notifier: Notifier
    clock: Clock
    trusted_types: tuple[str, ...] = ()
    renders_figures: bool = True
    loads_models: bool = True
    bundle_cache: dict[str, Bundle] | None = None
    times_versions: bool = True
    approval_links: ApprovalLinker | None = None
    tracer: Tracer | None = None
