"""Labels wait until the replay has come to the time at which they are known, and go out in batches."""

from __future__ import annotations

import heapq
import http.client
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson

from homeostat.replay.connection import Connection, said
from homeostat.replay.report import Answer

LABELS_PER_POST = 500


class LabelPost:
    """Posts the label of each answered row, known ``delay`` after the row's own time."""

    def __init__(self, connection: Connection, path: str, delay: timedelta) -> None:
        self._connection, self._path, self._delay = connection, path, delay
        self._waiting: list[tuple[datetime, str, Any]] = []
        self._due: list[tuple[datetime, str, Any]] = []
        self.sent = self.failed = 0
        self.problems: Counter[str] = Counter()

    def add(self, answer: Answer) -> None:
        """Take note of an answer: its label, and how far the replay has come."""
        if answer.ok and answer.label is not None:
            heapq.heappush(self._waiting, (answer.at + self._delay, answer.id, answer.label))
        while self._waiting and self._waiting[0][0] <= answer.at:
            self._due.append(heapq.heappop(self._waiting))
        while len(self._due) >= LABELS_PER_POST:
            self._post(self._due[:LABELS_PER_POST])
            del self._due[:LABELS_PER_POST]

    def finish(self) -> None:
        """Post all that are left. Those not yet due bear the time at which they will be."""
        rest = self._due + sorted(self._waiting, key=lambda entry: entry[:2])
        for first in range(0, len(rest), LABELS_PER_POST):
            self._post(rest[first : first + LABELS_PER_POST])
        self._due, self._waiting = [], []
        self._connection.close()

    def _post(self, some: Sequence[tuple[datetime, str, Any]]) -> None:
        entries = [{"id": row, "label": label, "at": at.isoformat()} for at, row, label in some]
        try:
            status, _, content = self._connection.post(self._path, orjson.dumps({"labels": entries}), {})
            problem = "" if status == 200 else f"labels: status {status}: {said(content)}"
        except (OSError, http.client.HTTPException) as error:
            problem = f"labels: {type(error).__name__}: {error}"
        if problem:
            self.failed += len(some)
            self.problems[problem] += len(some)
        else:
            self.sent += len(some)
