"""The monitoring history in the Store, for checks that cannot reach MLflow; Airflow copies it into MLflow.

    history/<model>/2026-03/2026-03-02T050000/<recorded_at>-<digest>.json     record and metrics, write-once
    history/<model>/2026-03/2026-03-02T050000/<recorded_at>-<digest>/<name>   artifacts
    history/<model>/cache.json                                                recent records in one object

Folders by month keep listings short. Checking a window again writes another object; the newest per window end
counts. The record is written last, so an interrupted check leaves no record.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from homeostat.config.errors import HomeostatError, NotFound, Unavailable
from homeostat.core.retention import Retention
from homeostat.core.trigger import WindowRecord
from homeostat.ports import Store
from homeostat.storage.parallel_map import parallel_map

logger = logging.getLogger(__name__)

_RECORD = re.compile(r"\d{8}T\d{12}-[0-9a-f]{12}\.json")
_STAMP = "%Y%m%dT%H%M%S%f"
#: With more uncached records than this, the cache is read, and then rewritten.
_MAX_SINGLE_READS = 8
#: Records per model that a process keeps in memory (80 days of hourly windows), or twice the last query.
_MAX_IN_MEMORY = 2000
#: Records in the cache object, some 5 MB: a month of 5-minute windows, or a year of hourly ones.
_MAX_CACHED = 10_000
#: A longer look-back uses one listing of all months.
_MAX_MONTHLY_LISTING = timedelta(days=120)


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """A record and its key in the store."""

    key: str
    record: WindowRecord

    @property
    def recorded_at(self) -> datetime:
        """Time of the check, from the key."""
        stamp = self.key.rpartition("/")[2].partition("-")[0]
        return datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC)


class StoreHistory:
    """One record per model and window end; records already read are kept in memory."""

    def __init__(self, store: Store, now: Callable[[], datetime] | None = None) -> None:
        self._store = store
        self._now = now or (lambda: datetime.now(UTC))
        self._last = datetime.min.replace(tzinfo=UTC)
        self._known: dict[str, dict[str, WindowRecord]] = {}
        self._lock = threading.Lock()

    def record(
        self,
        model: str,
        record: WindowRecord,
        *,
        metrics: Mapping[str, float],
        artifacts: Mapping[str, bytes],
    ) -> str:
        """See :meth:`homeostat.ports.History.record`; the run id is the window's folder."""
        finite = {name: float(value) for name, value in metrics.items() if math.isfinite(value)}
        raw = {"record": record.to_json(), "metrics": finite, "artifacts": sorted(artifacts)}
        text = json.dumps(raw, indent=1, allow_nan=False).encode()
        folder = window_folder(model, record.window_end)
        stem = f"{folder}/{self._stamp():{_STAMP}}-{hashlib.sha256(text).hexdigest()[:12]}"
        for name, data in artifacts.items():
            self._store.put(f"{stem}/{name}", data)
        self._store.put(f"{stem}.json", text)
        return folder

    def windows(self, model: str, since: datetime | None = None) -> list[WindowRecord]:
        """See :meth:`homeostat.ports.History.windows`.

        Costs one listing per month, the cache object, and one read per record missing in the cache (in
        parallel).
        """
        return [entry.record for entry in self.entries(model, since)]

    def entries(self, model: str, since: datetime | None = None) -> list[HistoryEntry]:
        """Return what :meth:`windows` does, each record with its key for :meth:`read`."""
        found = self._newest(model, since)
        while True:
            keys = [keys[-1] for keys in found.values() if keys]
            known = self._records(model, keys)
            unreadable = [end for end, keys in found.items() if keys and keys[-1] not in known]
            if not unreadable:
                break
            for end in unreadable:  # fall back to the check before it
                found[end].pop()
        entries = [HistoryEntry(key, known[key]) for key in keys]
        return sorted(entries, key=lambda entry: entry.record.window_end)

    def read(self, entry: HistoryEntry) -> tuple[dict[str, float], dict[str, bytes]]:
        """Return metrics and artifacts of a record; a deleted artifact is skipped."""
        raw = json.loads(self._store.get(entry.key))
        artifacts = {}
        for name in raw["artifacts"]:
            with suppress(NotFound):
                artifacts[name] = self._store.get(f"{entry.key.removesuffix('.json')}/{name}")
        return raw["metrics"], artifacts

    def delete_old(self, model: str, retention: Retention, limit: int) -> int:
        """See :meth:`homeostat.ports.History.delete_old`; lists all of the model's months.

        A window's records go before its artifacts: what an interrupted deletion leaves is no record.
        """
        found: dict[datetime, list[str]] = {}
        for key in self._store.list(f"history/{model}"):
            end = _end_of_folder(key)
            if end is not None and retention.deletes(end):
                found.setdefault(end, []).append(key)
        old = sorted(found)[:limit]
        for end in old:
            keys = found[end]
            parallel_map(self._store.delete, [key for key in keys if _window_end_of(key) is not None])
            parallel_map(self._store.delete, [key for key in keys if _window_end_of(key) is None])
        return len(old)

    def free_deleted(self) -> int:
        """See :meth:`homeostat.ports.History.free_deleted`."""
        return 0

    def _stamp(self) -> datetime:
        """Return the current time, strictly increasing within this process even if the clock goes back."""
        with self._lock:
            self._last = max(self._now(), self._last + timedelta(microseconds=1))
            return self._last

    def _newest(self, model: str, since: datetime | None) -> dict[datetime, list[str]]:
        """Return the record keys of every window, oldest first."""
        found: dict[datetime, list[str]] = {}
        for key in self._list_keys(model, since):
            end = _window_end_of(key)
            if end is not None and (since is None or end >= since):
                found.setdefault(end, []).append(key)
        return {end: sorted(keys) for end, keys in found.items()}

    def _list_keys(self, model: str, since: datetime | None) -> Iterable[str]:
        last = self._now() + timedelta(days=31)  # a window that has not ended may be checked by hand
        if since is None or last - since > _MAX_MONTHLY_LISTING:
            return self._store.list(f"history/{model}")
        months, month = [], since.astimezone(UTC).replace(day=1)
        while (month.year, month.month) <= (last.year, last.month):
            months.append(f"history/{model}/{month:%Y-%m}")
            month = (month + timedelta(days=32)).replace(day=1)
        return [key for keys in parallel_map(self._store.list, months) for key in keys]

    def _records(self, model: str, keys: list[str]) -> Mapping[str, WindowRecord]:
        """Return the readable records by key."""
        known = self._known.setdefault(model, {})
        missing = [key for key in keys if key not in known]
        if len(missing) > _MAX_SINGLE_READS:
            known.update(self._read_cache(model))
            missing = [key for key in keys if key not in known]
        for key, record in zip(missing, parallel_map(self._read_record, missing), strict=True):
            if record is not None:
                known[key] = record
        if len(missing) > _MAX_SINGLE_READS:
            self._write_cache(model, known)
        if len(known) > max(_MAX_IN_MEMORY, 2 * len(keys)):
            self._known[model] = known = {key: known[key] for key in keys if key in known}
        return known

    def _read_record(self, key: str) -> WindowRecord | None:
        try:
            return WindowRecord.from_json(json.loads(self._store.get(key))["record"])
        except Unavailable:
            raise
        except (HomeostatError, ValueError, KeyError, TypeError) as error:
            logger.warning("skipped %s: not a readable monitoring record: %s", key, error)
            return None

    def _read_cache(self, model: str) -> dict[str, WindowRecord]:
        """Return the cached records; {} when the cache is missing or damaged (it is then rebuilt)."""
        try:
            raw = json.loads(self._store.get(_cache_key(model)))
            return {str(key): WindowRecord.from_json(value) for key, value in raw.items()}
        except Unavailable:
            raise
        except (HomeostatError, ValueError, KeyError, TypeError, AttributeError):
            return {}

    def _write_cache(self, model: str, known: Mapping[str, WindowRecord]) -> None:
        newest = sorted(known, reverse=True)[:_MAX_CACHED]
        text = json.dumps({key: known[key].to_json() for key in newest}, allow_nan=False)
        with suppress(HomeostatError):  # the process may have read access only
            self._store.put(_cache_key(model), text.encode(), overwrite=True)


def window_folder(model: str, end: datetime) -> str:
    """Return the store folder of a window's records."""
    end = end.astimezone(UTC)
    within = f".{end:%f}" if end.microsecond else ""
    return f"history/{model}/{end:%Y-%m}/{end:%Y-%m-%dT%H%M%S}{within}"


def _window_end_of(key: str) -> datetime | None:
    """Return the window end of a record's key; None for any other key."""
    parts = key.split("/")
    return _end_of_folder(key) if len(parts) == 5 and _RECORD.fullmatch(parts[4]) else None


def _end_of_folder(key: str) -> datetime | None:
    """Return the window end of any key below a window's folder; None for any other key."""
    parts = key.split("/")
    if len(parts) < 5:
        return None
    form = "%Y-%m-%dT%H%M%S.%f" if "." in parts[3] else "%Y-%m-%dT%H%M%S"
    try:
        return datetime.strptime(parts[3], form).replace(tzinfo=UTC)
    except ValueError:
        return None


def _cache_key(model: str) -> str:
    return f"history/{model}/cache.json"
