"""Send labels in batches, once the replay has reached the time at which they are known."""

from __future__ import annotations

import heapq
import http.client
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson

from homeostat.replay.connection import Connection, error_message
from homeostat.replay.report import RowResult

LABELS_PER_POST = 500


class LabelSender:
    """Posts the label of each predicted row, known ``delay`` after the row's own time."""

    def __init__(self, connection: Connection, path: str, delay: timedelta) -> None:
        self._connection, self._path, self._delay = connection, path, delay
        self._waiting: list[tuple[datetime, str, Any]] = []
        self._due: list[tuple[datetime, str, Any]] = []
        self.sent = self.failed = 0
        self.problems: Counter[str] = Counter()

    def add(self, result: RowResult) -> None:
        """Queue the label of a result, and send the labels that are due at its time."""
        if result.ok and result.label is not None:
            heapq.heappush(self._waiting, (result.at + self._delay, result.id, result.label))
        while self._waiting and self._waiting[0][0] <= result.at:
            self._due.append(heapq.heappop(self._waiting))
        while len(self._due) >= LABELS_PER_POST:
            self._post(self._due[:LABELS_PER_POST])
            del self._due[:LABELS_PER_POST]

    def finish(self) -> None:
        """Post all remaining labels; those not yet due carry the time at which they become known."""
        rest = self._due + sorted(self._waiting, key=lambda entry: entry[:2])
        for first in range(0, len(rest), LABELS_PER_POST):
            self._post(rest[first : first + LABELS_PER_POST])
        self._due, self._waiting = [], []
        self._connection.close()

    def _post(self, some: Sequence[tuple[datetime, str, Any]]) -> None:
        entries = [{"id": row, "label": label, "at": at.isoformat()} for at, row, label in some]
        try:
            status, _, content = self._connection.post(self._path, orjson.dumps({"labels": entries}), {})
            problem = "" if status == 200 else f"labels: status {status}: {error_message(content)}"
        except (OSError, http.client.HTTPException) as error:
            problem = f"labels: {type(error).__name__}: {error}"
        if problem:
            self.failed += len(some)
            self.problems[problem] += len(some)
        else:
            self.sent += len(some)
