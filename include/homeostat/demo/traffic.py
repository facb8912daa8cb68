"""The world of the demonstration: sends traffic window after window, and never far ahead of the checks."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from homeostat.config import ModelConfig
from homeostat.replay import Answer, replay

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Traffic:
    """Every answer so far, in the order of sending; ``problem`` is what came of the last that failed."""

    answers: list[Answer] = field(default_factory=list)
    sent: int = 0
    failed: int = 0
    problem: str = ""


class World(threading.Thread):
    """Replays windows of rows at a steady pace in the background.

    At most one window is sent ahead of the last one that :meth:`checked` was called for, so that there
    is traffic while a check runs, and still a check after every window.

    Parameters
    ----------
    rows
        Gives the rows with ``start <= timestamp < end``; none left ends the world.
    pace
        Seconds that the sending of one window takes; may be changed while it runs.
    """

    def __init__(
        self,
        config: ModelConfig,
        gateway: str,
        rows: Callable[[datetime, datetime], pd.DataFrame],
        start: datetime,
        pace: float,
    ) -> None:
        super().__init__(name="world", daemon=True)
        self.config = config
        self.gateway = gateway
        self.rows = rows
        self.pace = pace
        self.traffic = Traffic()
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
        except BaseException as error:  # noqa: BLE001  # handed on to whoever waits
            self.problem = error
        finally:
            with self._moved:
                self._ended.set()
                self._moved.notify_all()

    def checked(self, window_end: datetime) -> None:
        """Let the world go on past this window."""
        with self._moved:
            self._checked = max(self._checked, window_end)
            self._moved.notify_all()

    def wait_for(self, window_end: datetime, timeout: float = 300.0) -> None:
        """Wait until everything before ``window_end`` has been sent.

        Raises
        ------
        RuntimeError
            The world ended (no rows left) or did not get there in time.
        """
        with self._moved:
            self._moved.wait_for(lambda: self.window_end >= window_end or self._ended.is_set(), timeout)
        if self.problem is not None:
            raise self.problem
        if self.window_end < window_end:
            msg = (
                f"no more rows at {self.window_end:%Y-%m-%d %H:%M}; wanted up to {window_end:%Y-%m-%d %H:%M}"
            )
            raise RuntimeError(msg)

    def hurry(self) -> None:
        """Send what is left as fast as it is answered, without waiting for checks."""
        with self._moved:
            self.pace = 0.0
            self._checked = datetime.max.replace(tzinfo=UTC) - self.config.monitor.every * 3
            self._moved.notify_all()

    def end(self) -> None:
        """Stop sending, and wait until what is under way has been answered."""
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
            rate=len(rows) / self.pace if self.pace else None,
            concurrency=4,
            stop=self._ended,
            on_answer=self._note,
        )
        if report.labels_failed:
            logger.warning("%d labels were refused: %s", report.labels_failed, report.problems)

    def _note(self, answer: Answer) -> None:
        self.traffic.answers.append(answer)
        self.traffic.sent += 1
        if not answer.ok:
            self.traffic.failed += 1
            self.traffic.problem = answer.problem
