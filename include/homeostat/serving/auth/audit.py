"""The audit trail: who ordered what and what was refused, in a file that no flood can make fill the disk."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from homeostat.serving.auth.rate_limit import Bucket

log = logging.getLogger("homeostat.audit")

#: Refusals written one by one: so many at once, and so many a second after that. Others are counted.
REFUSED_BURST, REFUSED_PER_SECOND = 50, 1.0
MAX_BYTES, KEPT = 10 * 1024 * 1024, 5
_MAX_LINE = 8 * 1024


class Audit:
    """One JSON line per control call in ``audit.jsonl`` and in the log, and one per refusal of any call.

    Every call of somebody who has a right token is written. Refusals are written up to a rate, beyond
    it they are counted, and the count stands in the next line. The file is rotated at ten megabytes
    and five old ones are kept; several processes may write to it.

    Parameters
    ----------
    monotonic
        Seconds, for the rate of refusals; a seam for tests.
    """

    def __init__(
        self,
        path: Path,
        *,
        max_bytes: int = MAX_BYTES,
        kept: int = KEPT,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = path
        self.passed_over = 0
        self._max_bytes = max_bytes
        self._kept = kept
        self._bucket = Bucket(REFUSED_PER_SECOND, REFUSED_BURST)
        self._monotonic = monotonic
        self._lock = threading.Lock()

    def write(self, entry: dict[str, Any]) -> None:
        """Append one line; a full disk does not stop a rollback."""
        with self._lock:
            if self.passed_over:
                entry = entry | {"refused_before_and_not_written": self.passed_over}
                self.passed_over = 0
            self._append(json.dumps(entry, default=str))

    def refused(self, entry: dict[str, Any]) -> None:
        """Append a refusal, if there were not too many lately."""
        with self._lock:
            if self._bucket.take(self._monotonic()) > 0:
                self.passed_over += 1
                return
        self.write(entry)

    def _append(self, line: str) -> None:
        if len(line) > _MAX_LINE:
            line = json.dumps({"cut": line[:_MAX_LINE]})
        log.info("%s", line)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            with os.fdopen(descriptor, "a", encoding="utf-8") as file:
                file.write(line + "\n")
                large = file.tell() > self._max_bytes
            if large:
                self._rotate()
        except OSError as error:
            log.warning("the audit file cannot be written: %s", error.strerror or type(error).__name__)

    def _rotate(self) -> None:
        with self.path.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self.path.stat().st_size <= self._max_bytes:
                return  # another process was first
            for number in range(self._kept - 1, 0, -1):
                old = self._numbered(number)
                if old.exists():
                    old.replace(self._numbered(number + 1))
            self.path.replace(self._numbered(1))

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")
