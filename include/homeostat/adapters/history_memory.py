"""In-memory monitoring history for tests; passes the same contract tests as the MLflow adapter."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from homeostat.config.errors import Unavailable
from homeostat.core.retention import Retention
from homeostat.core.trigger import WindowRecord


@dataclass(frozen=True, slots=True)
class MemoryWindow:
    """The last recorded run of a window."""

    record: dict[str, Any]
    metrics: dict[str, float]
    artifacts: dict[str, bytes]


class MemoryHistory:
    """One record per model and window end. Set ``down`` to simulate an outage."""

    def __init__(self) -> None:
        self.down = False
        self.written: dict[tuple[str, datetime], MemoryWindow] = {}

    def record(
        self,
        model: str,
        record: WindowRecord,
        *,
        metrics: Mapping[str, float],
        artifacts: Mapping[str, bytes],
    ) -> str:
        """See :meth:`homeostat.ports.History.record`."""
        self._raise_if_down()
        finite = {name: float(value) for name, value in metrics.items() if math.isfinite(value)}
        # Through JSON, as in the real history: values that JSON cannot hold fail here too.
        raw = json.loads(json.dumps(record.to_json(), allow_nan=False))
        self.written[model, record.window_end] = MemoryWindow(raw, finite, dict(artifacts))
        return f"{model}@{record.window_end.isoformat()}"

    def windows(self, model: str, since: datetime | None = None) -> list[WindowRecord]:
        """See :meth:`homeostat.ports.History.windows`."""
        self._raise_if_down()
        mine = [
            WindowRecord.from_json(window.record)
            for (name, end), window in self.written.items()
            if name == model and (since is None or end >= since)
        ]
        return sorted(mine, key=lambda record: record.window_end)

    def delete_old(self, model: str, retention: Retention, limit: int) -> int:
        """See :meth:`homeostat.ports.History.delete_old`."""
        self._raise_if_down()
        old = sorted(end for name, end in self.written if name == model and retention.deletes(end))[:limit]
        for end in old:
            del self.written[model, end]
        return len(old)

    def free_deleted(self) -> int:
        """See :meth:`homeostat.ports.History.free_deleted`."""
        return 0

    def _raise_if_down(self) -> None:
        if self.down:
            raise Unavailable("the in-memory history is set to be down")
