"""Join the small files of the prediction log: an hour of the past becomes one file of each of its forms.

Nothing is lost and nothing is there twice for a reader, wherever a run is killed:

1. A plan is written: ``log/<model>/joining/<kind>/<digest>.json`` names the new file and, with the digest of
   their bytes, the files whose rows it will hold.
2. The new file is written, beside them. Readers take each prediction and each label once.
3. A later run, :data:`GRACE` or more after the plan, reads the new file again, compares its rows with those
   planned, deletes the files that still have the planned bytes, and then the plan.

The next run takes up what a killed one left: a plan without its file is carried out from the files it names,
which are all there until step 3. Of two plans that share a file, as two runs at once may make, one is
dropped.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from homeostat.config.errors import NotFound
from homeostat.ports import Store
from homeostat.storage.prediction_log import files_by_hour

logger = logging.getLogger(__name__)

#: Files are deleted so long after their rows were written elsewhere, at the earliest: a reader that listed
#: them has read them by then.
GRACE = timedelta(hours=6)
#: Rows are joined when they are older than this, and than :data:`WINDOWS` of the model's windows: checks know
#: what they have counted by the names of its files.
MIN_AGE = timedelta(days=7)
WINDOWS = 5
#: A joined file has at most so many rows, and a file with half of them stays as it is.
MAX_ROWS = 1_000_000
#: So many days are joined in one run; the next one goes on.
MAX_DAYS = 31
KINDS = ("predictions", "labels")
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Plan:
    """The files whose rows a new file holds: SHA-256 of their bytes by key, and the number of rows in all."""

    key: str
    target: str
    sources: Mapping[str, str]
    rows: int
    at: datetime

    @classmethod
    def of(cls, folder: str, sources: Mapping[str, str], rows: int, at: datetime) -> Plan:
        """Name the new file and the plan by the files that are joined."""
        digest = hashlib.sha256(json.dumps(sorted(sources.items())).encode()).hexdigest()[:24]
        model, kind = folder.split("/")[1:3]
        return cls(
            f"{_plans(model, kind)}/{digest}.json", f"{folder}/joined-{digest}.parquet", sources, rows, at
        )

    def to_bytes(self) -> bytes:
        """Return what :meth:`read` reads."""
        found = {"target": self.target, "sources": dict(self.sources), "rows": self.rows}
        return json.dumps({**found, "at": self.at.isoformat()}).encode()

    @classmethod
    def read(cls, key: str, data: bytes) -> Plan:
        """Read a plan."""
        raw = json.loads(data)
        return cls(key, raw["target"], raw["sources"], raw["rows"], datetime.fromisoformat(raw["at"]))


@dataclass(slots=True)
class Joined:
    """What a run did: files written, and files deleted whose rows are in others."""

    written: int = 0
    deleted: int = 0
    days: list[str] = field(default_factory=list)


def join_log(store: Store, model: str, window: timedelta, now: datetime) -> Joined:
    """Carry out what earlier runs planned, then plan and write the joined files of at most 31 more days.

    ``window`` is the model's ``monitor.window``. The caller makes sure that no rollout compares versions:
    gateways read its files by their names.
    """
    done = Joined()
    limit = now - max(MIN_AGE, WINDOWS * window)
    for kind in KINDS:
        plans = _agreed(store, model, kind)
        pending = set()
        for plan in plans:
            if not _write(store, plan, done) or now - plan.at < GRACE or not _finish(store, plan, done):
                pending |= {plan.target, *plan.sources}
        first = _joined_until(store, model, kind)
        if first is None:
            continue
        last = min(limit.astimezone(UTC).date(), first + MAX_DAYS * _DAY)
        for keys in _hours(store, model, kind, first, last):
            _join_hour(store, [key for key in keys if key not in pending], limit, now, done)
        if last > first:
            store.put(_cursor(model, kind), last.isoformat().encode(), overwrite=True)
            done.days.append(f"{kind} up to {last}")
    return done


def _agreed(store: Store, model: str, kind: str) -> list[Plan]:
    """Return the plans; of those that share a file, one is kept, if nothing of the other was deleted yet."""
    plans: list[Plan] = []
    taken: set[str] = set()
    for key in store.list(_plans(model, kind)):
        plan = Plan.read(key, store.get(key))
        if taken & plan.sources.keys() and all(map(store.exists, plan.sources)):
            store.delete(plan.target)
            store.delete(plan.key)
            continue
        taken |= plan.sources.keys()
        plans.append(plan)
    return plans


def _hours(store: Store, model: str, kind: str, first: date, last: date) -> Iterable[Sequence[str]]:
    """Return the files of each hour of ``[first, last)``."""
    start, end = (datetime(day.year, day.month, day.day, tzinfo=UTC) for day in (first, last))
    return files_by_hour(store, model, kind, start, end).values() if start < end else ()


def _join_hour(store: Store, keys: Sequence[str], limit: datetime, now: datetime, done: Joined) -> None:
    for sources, rows in _groups(store, keys, limit):
        plan = Plan.of(keys[0].rpartition("/")[0], sources, rows, now)
        store.put(plan.key, plan.to_bytes(), overwrite=True)
        _write(store, plan, done)


def _groups(store: Store, keys: Sequence[str], limit: datetime) -> Iterator[tuple[dict[str, str], int]]:
    """Yield the files of one hour that belong together, with their rows: of one form, received long ago."""
    groups: dict[bytes, tuple[dict[str, str], int]] = {}
    for key in keys if len(keys) > 1 else ():
        data = store.get(key)
        try:
            file = pq.ParquetFile(io.BytesIO(data))
            newest = _newest(file)
            form = file.schema_arrow.remove_metadata().serialize().to_pybytes()
        except (pa.ArrowInvalid, OSError, KeyError):
            continue  # cut off by a crash: checks report it
        rows = file.metadata.num_rows
        if newest is None or newest >= limit or rows > MAX_ROWS // 2:
            continue
        sources, before = groups.get(form, ({}, 0))
        if before + rows > MAX_ROWS:
            yield sources, before
            sources, before = {}, 0
        groups[form] = ({**sources, key: hashlib.sha256(data).hexdigest()}, before + rows)
    yield from (group for group in groups.values() if len(group[0]) > 1)


def _newest(file: pq.ParquetFile) -> datetime | None:
    newest: datetime | None = pc.max(file.read(columns=["received_at"]).column(0)).as_py()
    return newest


def _write(store: Store, plan: Plan, done: Joined) -> bool:
    """Write the new file unless it is there; False when a file of the plan has changed or is gone."""
    if _is_whole(store, plan):
        return True
    tables = []
    for key, digest in plan.sources.items():
        data = _get(store, key)
        if data is None or hashlib.sha256(data).hexdigest() != digest:
            if store.exists(plan.target):  # rows of files that are gone may be in it
                logger.error("%s cannot be read, and %s is gone: restore one of them", plan.target, key)
            else:
                logger.warning("%s has changed since it was to be joined: it is left as it is", key)
                store.delete(plan.key)
            return False
        tables.append(pq.read_table(io.BytesIO(data)).replace_schema_metadata())
    buffer = io.BytesIO()
    joined = pa.concat_tables(tables).sort_by([("at", "ascending"), ("prediction_id", "ascending")])
    pq.write_table(joined, buffer, compression="zstd")
    store.put(plan.target, buffer.getvalue(), overwrite=True)
    done.written += 1
    return True


def _finish(store: Store, plan: Plan, done: Joined) -> bool:
    """Delete the files whose rows are in the new one, then the plan; False when the new one is not whole."""
    if not _is_whole(store, plan):
        return False
    for key, digest in plan.sources.items():
        data = _get(store, key)
        if data is not None and hashlib.sha256(data).hexdigest() == digest:
            store.delete(key)
            done.deleted += 1
    store.delete(plan.key)
    return True


def _is_whole(store: Store, plan: Plan) -> bool:
    data = _get(store, plan.target)
    try:
        return data is not None and pq.read_table(io.BytesIO(data)).num_rows == plan.rows
    except (pa.ArrowInvalid, OSError):
        return False


def _get(store: Store, key: str) -> bytes | None:
    try:
        return store.get(key)
    except NotFound:
        return None


def _joined_until(store: Store, model: str, kind: str) -> date | None:
    """Return the first day that is not joined yet; None for an empty log."""
    data: Any = _get(store, _cursor(model, kind))
    if data is not None:
        return date.fromisoformat(data.decode())
    days = (part for key in store.list(f"log/{model}/{kind}") for part in key.split("/"))
    return min((date.fromisoformat(part[5:]) for part in days if part.startswith("date=")), default=None)


def _plans(model: str, kind: str) -> str:
    return f"log/{model}/joining/{kind}"


def _cursor(model: str, kind: str) -> str:
    return f"log/{model}/joined_until/{kind}.txt"
