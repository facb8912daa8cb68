"""Who holds a state folder, and what happens when the holder ends: by a signal, or without a word."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType

from homeostat.config.errors import Refused


@contextlib.contextmanager
def owner(state: Path) -> Iterator[None]:
    """Hold the state folder for one platform at a time; the lock ends with the process, however that ends.

    Raises
    ------
    Refused
        Another process holds it.
    """
    state.mkdir(parents=True, exist_ok=True)
    with (state / "lock").open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            msg = (
                f"{state}: a platform is running there already (process {lock.read().strip() or 'unknown'}). "
                "Stop it, or start a second one with another HOMEOSTAT_STATE."
            )
            raise Refused(msg) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


@contextlib.contextmanager
def guardian(records: Path, env: Mapping[str, str]) -> Iterator[None]:
    """Run the guardian, which ends the recorded services should this process be killed; see guardian.py."""
    with subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", "homeostat.dev_stack.orphan_reaper", str(records), str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=dict(env),
        start_new_session=True,
    ) as process:
        try:
            yield
        finally:
            if process.stdin is not None:
                process.stdin.close()


@contextlib.contextmanager
def terminate_as_exit() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into SystemExit, so that leaving cleans up; in the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
