"""Send the demo's traffic window by window, at most one window ahead of the checks."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from homeostat.config import ModelConfig
from homeostat.replay import RowResult, replay

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class TrafficLog:
    """The result of every row so far, in sending order; ``problem`` is the last error."""

    results: list[RowResult] = field(default_factory=list)
    sent: int = 0
    failed: int = 0
    problem: str = ""


class TrafficSender(threading.Thread):
    """Replays windows of rows at a steady rate in the background.

    It sends at most one window more than :meth:`checked` was called for, so that there is traffic during a
    check, and a check after every window.

    Parameters
    ----------
    rows
        Returns the rows with ``start <= timestamp < end``; an empty frame ends the traffic.
    seconds_per_window
        Seconds in which the rows of one window are sent; may be changed while it runs.
    """

    def __init__(
        self,
        config: ModelConfig,
        gateway: str,
        rows: Callable[[datetime, datetime], pd.DataFrame],
        start: datetime,
        seconds_per_window: float,
    ) -> None:
        super().__init__(name="traffic", daemon=True)
        self.config = config
        self.gateway = gateway
        self.rows = rows
        self.seconds_per_window = seconds_per_window
        self.traffic = TrafficLog()
        self.problem: BaseException | None = None
        self.window_end = start
        self._checked = start
        self._moved = threading.Condition()
        self._ended = threading.Event()

    def run(self) -> None:
        """Send window after window until stopped, or until there are no rows left."""
        every = self.config.monitor.every
        try:
            while not self._ended.is_set():
                self._wait_for_checks(every)
                if self._ended.is_set():
                    return
                start = self.window_end
                rows = self.rows(start, start + every)
                if rows.empty:
                    return
                self._send(rows)
                with self._moved:
                    self.window_end = start + every
                    self._moved.notify_all()
        except BaseException as error:  # noqa: BLE001  # wait_for raises it again
            self.problem = error
        finally:
            with self._moved:
                self._ended.set()
                self._moved.notify_all()

    def checked(self, window_end: datetime) -> None:
        """Allow sending past this window."""
        with self._moved:
            self._checked = max(self._checked, window_end)
            self._moved.notify_all()

    def wait_for(self, window_end: datetime, timeout: float = 300.0) -> None:
        """Wait until everything before ``window_end`` has been sent.

        Raises
        ------
        RuntimeError
            The traffic ended (no rows left) or did not get there in time.
        """
        with self._moved:
            self._moved.wait_for(lambda: self.window_end >= window_end or self._ended.is_set(), timeout)
        if self.problem is not None:
            raise self.problem
        if self.window_end < window_end:
            msg = (
                f"traffic ended at {self.window_end:%Y-%m-%d %H:%M}, before {window_end:%Y-%m-%d %H:%M}: "
                "no more rows, or sending took too long"
            )
            raise RuntimeError(msg)

    def send_rest(self) -> None:
        """Send the remaining rows at full speed, without waiting for checks."""
        with self._moved:
            self.seconds_per_window = 0.0
            self._checked = datetime.max.replace(tzinfo=UTC) - self.config.monitor.every * 3
            self._moved.notify_all()

    def end(self) -> None:
        """Stop sending, and wait for open requests."""
        self._ended.set()
        with self._moved:
            self._moved.notify_all()
        self.join(timeout=30)

    def _wait_for_checks(self, every: timedelta) -> None:
        with self._moved:
            self._moved.wait_for(lambda: self.window_end < self._checked + every * 2 or self._ended.is_set())

    def _send(self, rows: pd.DataFrame) -> None:
        report = replay(
            rows,
            self.config,
            self.gateway,
            rate=len(rows) / self.seconds_per_window if self.seconds_per_window else None,
            concurrency=4,
            stop=self._ended,
            on_result=self._note,
        )
        if report.labels_failed:
            logger.warning("%d labels were rejected: %s", report.labels_failed, report.problems)

    def _note(self, result: RowResult) -> None:
        self.traffic.results.append(result)
        self.traffic.sent += 1
        if not result.ok:
            self.traffic.failed += 1
            self.traffic.problem = result.problem
