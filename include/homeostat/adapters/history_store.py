"""The monitoring history in the Store, where MLflow is out of reach: Airflow copies it into MLflow.

    history/<model>/2026-03/2026-03-02T050000/<recorded_at>-<digest>.json     record and metrics, written once
    history/<model>/2026-03/2026-03-02T050000/<recorded_at>-<digest>/<name>   artifacts
    history/<model>/cache.json                                                records, to save reading them

Folders by month keep a listing as short as what is looked back on. A window that is checked again gets
another object; the newest of a window end counts, and the record is written last: a check that was cut short
is none.
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
from homeostat.core.trigger import WindowRecord
from homeostat.ports import Store
from homeostat.storage.parallel_map import side_by_side

logger = logging.getLogger(__name__)

_RECORD = re.compile(r"\d{8}T\d{12}-[0-9a-f]{12}\.json")
_STAMP = "%Y%m%dT%H%M%S%f"
#: So many records are read each by itself before the cache is written anew.
_FEW = 8
#: A warm process remembers so many per model, or twice what it was asked for: two months of hours and some.
_KEPT = 2000
#: The cache holds no more, some 5 MB: a month of five minutes, a year of hours.
_MOST = 10_000
#: Who looks back further is given one listing of everything.
_LONG = timedelta(days=120)


@dataclass(frozen=True, slots=True)
class Entry:
    """A record under the key that it was written to."""

    key: str
    record: WindowRecord

    @property
    def recorded_at(self) -> datetime:
        """When the check was made."""
        stamp = self.key.rpartition("/")[2].partition("-")[0]
        return datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC)


class StoreHistory:
    """One window per model and window end. Records that were read once are remembered."""

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
        folder = folder_of_window(model, record.window_end)
        stem = f"{folder}/{self._stamp():{_STAMP}}-{hashlib.sha256(text).hexdigest()[:12]}"
        for name, data in artifacts.items():
            self._store.put(f"{stem}/{name}", data)
        self._store.put(f"{stem}.json", text)
        return folder

    def windows(self, model: str, since: datetime | None = None) -> list[WindowRecord]:
        """See :meth:`homeostat.ports.History.windows`.

        Costs a listing per month looked at, one object for all that the cache knows, and those that it
        does not know, read side by side.
        """
        return [entry.record for entry in self.entries(model, since)]

    def entries(self, model: str, since: datetime | None = None) -> list[Entry]:
        """As :meth:`windows`, each with its key, which :meth:`read` takes."""
        found = self._newest(model, since)
        while True:
            keys = [keys[-1] for keys in found.values() if keys]
            known = self._records(model, keys)
            torn = [end for end, keys in found.items() if keys and keys[-1] not in known]
            if not torn:
                break
            for end in torn:  # the check before it, where there was one
                found[end].pop()
        entries = [Entry(key, known[key]) for key in keys]
        return sorted(entries, key=lambda entry: entry.record.window_end)

    def read(self, entry: Entry) -> tuple[dict[str, float], dict[str, bytes]]:
        """Metrics and artifacts of a record; an artifact that is gone is left out."""
        raw = json.loads(self._store.get(entry.key))
        artifacts = {}
        for name in raw["artifacts"]:
            with suppress(NotFound):
                artifacts[name] = self._store.get(f"{entry.key.removesuffix('.json')}/{name}")
        return raw["metrics"], artifacts

    def _stamp(self) -> datetime:
        """Now; of two records of this process the later one is later, whatever the clock does."""
        with self._lock:
            self._last = max(self._now(), self._last + timedelta(microseconds=1))
            return self._last

    def _newest(self, model: str, since: datetime | None) -> dict[datetime, list[str]]:
        """The keys of every window's records, oldest first."""
        found: dict[datetime, list[str]] = {}
        for key in self._listed(model, since):
            end = _window_of(key)
            if end is not None and (since is None or end >= since):
                found.setdefault(end, []).append(key)
        return {end: sorted(keys) for end, keys in found.items()}

    def _listed(self, model: str, since: datetime | None) -> Iterable[str]:
        last = self._now() + timedelta(days=31)  # a person may have had a window checked that is not over yet
        if since is None or last - since > _LONG:
            return self._store.list(f"history/{model}")
        months, month = [], since.astimezone(UTC).replace(day=1)
        while (month.year, month.month) <= (last.year, last.month):
            months.append(f"history/{model}/{month:%Y-%m}")
            month = (month + timedelta(days=32)).replace(day=1)
        return [key for keys in side_by_side(self._store.list, months) for key in keys]

    def _records(self, model: str, keys: list[str]) -> Mapping[str, WindowRecord]:
        """Those of the records that can be read, by key."""
        known = self._known.setdefault(model, {})
        missing = [key for key in keys if key not in known]
        if len(missing) > _FEW:
            known.update(self._cached(model))
            missing = [key for key in keys if key not in known]
        for key, record in zip(missing, side_by_side(self._record, missing), strict=True):
            if record is not None:
                known[key] = record
        if len(missing) > _FEW:
            self._keep(model, known)
        if len(known) > max(_KEPT, 2 * len(keys)):
            self._known[model] = known = {key: known[key] for key in keys if key in known}
        return known

    def _record(self, key: str) -> WindowRecord | None:
        try:
            return WindowRecord.from_json(json.loads(self._store.get(key))["record"])
        except Unavailable:
            raise
        except (HomeostatError, ValueError, KeyError, TypeError) as error:
            logger.warning("%s is no record of a window and is passed over: %s", key, error)
            return None

    def _cached(self, model: str) -> dict[str, WindowRecord]:
        """What the cache holds; it is made anew of the records whenever it is lost or cannot be read."""
        try:
            raw = json.loads(self._store.get(_cache_key(model)))
            return {str(key): WindowRecord.from_json(value) for key, value in raw.items()}
        except Unavailable:
            raise
        except (HomeostatError, ValueError, KeyError, TypeError, AttributeError):
            return {}

    def _keep(self, model: str, known: Mapping[str, WindowRecord]) -> None:
        newest = sorted(known, reverse=True)[:_MOST]
        text = json.dumps({key: known[key].to_json() for key in newest}, allow_nan=False)
        with suppress(HomeostatError):  # for whoever may only read
            self._store.put(_cache_key(model), text.encode(), overwrite=True)


def folder_of_window(model: str, end: datetime) -> str:
    """Where the records of a window lie."""
    end = end.astimezone(UTC)
    within = f".{end:%f}" if end.microsecond else ""
    return f"history/{model}/{end:%Y-%m}/{end:%Y-%m-%dT%H%M%S}{within}"


def _window_of(key: str) -> datetime | None:
    """The window end of a record's key; None for anything else that lies there."""
    parts = key.split("/")
    if len(parts) != 5 or not _RECORD.fullmatch(parts[4]):
        return None
    form = "%Y-%m-%dT%H%M%S.%f" if "." in parts[3] else "%Y-%m-%dT%H%M%S"
    try:
        return datetime.strptime(parts[3], form).replace(tzinfo=UTC)
    except ValueError:
        return None


def _cache_key(model: str) -> str:
    return f"history/{model}/cache.json"
