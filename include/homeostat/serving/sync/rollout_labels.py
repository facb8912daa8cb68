"""Find and read the files of the logs that one rollout's labelled pairs need, each file once."""

from __future__ import annotations

import io
import logging
from collections import deque
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from xxhash import xxh3_64_intdigest

from homeostat.config import ModelConfig
from homeostat.core.rollout import CHAMPION, SHADOW, PairLosses
from homeostat.ports import Store
from homeostat.serving.sync.compared_versions import ComparedVersions
from homeostat.serving.sync.labelled_pairs import Kind, LabelledPairs
from homeostat.storage.prediction_log import (
    BACKDATED,
    backdated_files,
    files_between,
    files_in_hour,
    received_log,
)

logger = logging.getLogger(__name__)

#: Rows whose own time is longer before their request, and labels dated as far back, are found by an index.
LOOK_BACK = BACKDATED + timedelta(hours=1)
#: How far the clocks of gateways and ledger may differ, and how far in the future a file may be dated.
_SKEW, _AHEAD = timedelta(minutes=1), timedelta(hours=1)
#: Hours that are listed every time. The days before are listed again after a while, old ones more rarely.
_RECENT, _OLD = timedelta(hours=2), timedelta(days=2)
_LIST_AGAIN, _LIST_OLD_AGAIN = timedelta(minutes=10), timedelta(hours=1)
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)

_PREDICTIONS, _LABELS = "predictions", "labels"
_INDEX_OF = {received_log(log): log for log in (_PREDICTIONS, _LABELS)}
_COLUMNS = {
    _PREDICTIONS: ["prediction_id", "received_at", "version", "variant", "rollout", "prediction"],
    _LABELS: ["prediction_id", "received_at", "label"],
}

#: Which log a file is of, and its key.
File = tuple[str, str]


class RolloutLabels:
    """The files of one rollout that are still to be read, and the pairs of those that were read.

    Parameters
    ----------
    compared
        May be replaced as the rollout goes on.
    """

    def __init__(
        self, config: ModelConfig, rollout: str, compared: ComparedVersions, losses: PairLosses
    ) -> None:
        self.rollout = rollout
        self.compared = compared
        self.pairs = LabelledPairs(losses)
        self.unread: deque[File] = deque()
        self._config = config
        self._known: set[int] = set()  # hashes of the keys that were ever queued: there may be 100,000s
        self._listed_at: dict[tuple[str, date], datetime] = {}

    def list_new(self, store: Store, now: datetime) -> None:
        """Queue the files that are new; Unavailable when the store does not answer."""
        begins, ends = self.compared.begins, self.compared.ends(now)
        for log, until in ((_PREDICTIONS, min(now, ends)), (_LABELS, now)):
            for key in self._list(store, log, (begins - LOOK_BACK, until + _AHEAD), now):
                self._queue(log, key)
            index = received_log(log)
            for key in self._list(store, index, (begins - _SKEW, until + _AHEAD), now):
                self._queue(index, key)

    def _queue(self, log: str, key: str) -> None:
        hashed = xxh3_64_intdigest(key.encode())
        if hashed not in self._known:
            self._known.add(hashed)
            self.unread.append((log, key))

    def _list(
        self, store: Store, log: str, between: tuple[datetime, datetime], now: datetime
    ) -> Iterator[str]:
        first, last = between
        day = first.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        while day < last:
            start, end = max(day, first), min(day + _DAY, last)
            listed, again = self._listed_at.get((log, day.date())), _LIST_AGAIN
            if now - end >= _OLD:
                again = _LIST_OLD_AGAIN
            if listed is None or not listed <= now < listed + again:
                yield from files_between(store, self._config.name, log, start, end)
                self._listed_at[log, day.date()] = now
            else:
                hour = max(start, now - _RECENT).replace(minute=0, second=0, microsecond=0)
                while hour < end:
                    yield from files_in_hour(store, self._config.name, log, hour)
                    hour += _HOUR
            day += _DAY

    def add(self, file: File, data: bytes) -> None:
        """Add the rows of one file, or queue the files that an index names.

        A file that cannot be read is left out and logged.
        """
        log, key = file
        try:
            if log in _INDEX_OF:
                for named in backdated_files(data, self.compared.begins - _SKEW):
                    self._queue(_INDEX_OF[log], named)
                return
            rows = pq.ParquetFile(io.BytesIO(data)).read(columns=_COLUMNS[log], use_threads=False)
            if log == _LABELS:
                self._add_labels(rows)
            else:
                self._add_predictions(rows)
        except Exception as error:  # noqa: BLE001  # one bad file must not keep all others from being read
            logger.warning("%s is left out of the labelled pairs, it cannot be read: %r", key, error)

    def _add_predictions(self, rows: pa.Table) -> None:
        compared, champion = self.compared, pc.equal(rows["variant"], CHAMPION)
        shadow = pc.and_kleene(pc.equal(rows["variant"], SHADOW), pc.equal(rows["rollout"], self.rollout))
        # The champion's rows of other times are in no pair: leaving them out saves room.
        promoted = _received(rows, compared.promoted_at or compared.begins, compared.reverse_until)
        mine = pc.or_kleene(shadow, pc.and_(champion, promoted))
        theirs = shadow
        if compared.shadow_from is not None:
            in_shadow = _received(rows, compared.shadow_from, compared.shadow_until)
            theirs = pc.or_kleene(shadow, pc.and_(champion, in_shadow))
        for kind, version, mask in (
            (Kind.CANDIDATE, compared.candidate, mine),
            (Kind.OTHER, compared.other, theirs),
        ):
            picked = rows.filter(pc.and_kleene(pc.equal(rows["version"], version), mask))
            self._add(kind, picked, self._values(picked["prediction"]))

    def _add_labels(self, rows: pa.Table) -> None:
        rows = rows.filter(pc.and_(pc.is_valid(rows["label"]), _received(rows, self.compared.begins, None)))
        values, label = self._values(rows["label"]), self._config.columns.label
        self._add(Kind.LABEL, rows, [label.to_class(value) for value in values] if label.mapping else values)

    def _values(self, column: pa.ChunkedArray) -> list[Any]:
        type_ = pa.string() if self._config.task == "classification" else pa.float64()
        values: list[Any] = column.cast(type_).to_pylist()
        return values

    def _add(self, kind: Kind, rows: pa.Table, values: list[Any]) -> None:
        if values:
            received = rows["received_at"].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy()
            self.pairs.add(kind, rows["prediction_id"].to_pylist(), received, values)


def _received(rows: pa.Table, start: datetime, end: datetime | None) -> Any:
    """Return which rows were received between these times; without an end also later."""
    at = rows["received_at"]
    mask = pc.and_kleene(pc.is_valid(at), pc.greater_equal(at, pa.scalar(start - _SKEW, at.type)))
    if end is not None:
        mask = pc.and_kleene(mask, pc.less(at, pa.scalar(end + _SKEW, at.type)))
    return mask
