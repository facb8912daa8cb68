"""The audit log: control calls and refused calls, one JSON line each, in a file of bounded size."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import threading
import time
from pathlib import Path
from typing import Any

from homeostat.serving.auth.rate_limit import TokenBucket

log = logging.getLogger("homeostat.audit")

#: Refusals that are written: this many at once, then this many a second. Further ones are only counted.
REFUSAL_BURST, REFUSALS_PER_SECOND = 50, 1.0
#: Size at which the file is rotated, and how many rotated files are kept.
MAX_BYTES, MAX_ROTATED = 10 * 1024 * 1024, 5
_MAX_LINE = 8 * 1024


class AuditLog:
    """Writes ``audit.jsonl`` and the same lines to the process's log. Several processes may share the file.

    Every control call with a valid token is written. Refusals are written up to a rate; the number of those
    that were skipped is part of the next line (``skipped_refusals``).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.skipped = 0
        self._bucket = TokenBucket(REFUSALS_PER_SECOND, REFUSAL_BURST)
        self._lock = threading.Lock()

    def write(self, entry: dict[str, Any]) -> None:
        """Append one line. A file that cannot be written is logged and does not stop the call."""
        with self._lock:
            if self.skipped:
                entry = entry | {"skipped_refusals": self.skipped}
                self.skipped = 0
            self._append(json.dumps(entry, default=str))

    def write_refusal(self, entry: dict[str, Any]) -> None:
        """Append a refusal, or count it when there were too many."""
        with self._lock:
            if self._bucket.take(time.monotonic()) > 0:
                self.skipped += 1
                return
        self.write(entry)

    def _append(self, line: str) -> None:
        if len(line) > _MAX_LINE:
            line = json.dumps({"truncated": line[:_MAX_LINE]})
        log.info("%s", line)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            with os.fdopen(descriptor, "a", encoding="utf-8") as file:
                file.write(line + "\n")
                too_large = file.tell() > MAX_BYTES
            if too_large:
                self._rotate()
        except OSError as error:
            log.warning("cannot write the audit file: %s", error.strerror or type(error).__name__)

    def _rotate(self) -> None:
        with self.path.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self.path.stat().st_size <= MAX_BYTES:
                return  # another process has rotated it
            for number in range(MAX_ROTATED - 1, 0, -1):
                old = self._rotated(number)
                if old.exists():
                    old.replace(self._rotated(number + 1))
            self.path.replace(self._rotated(1))

    def _rotated(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")
