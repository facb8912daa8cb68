"""Lock a state folder for one platform, and clean up when its process ends, by a signal or SIGKILL."""

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
def state_lock(state: Path) -> Iterator[None]:
    """Lock the state folder for one platform; the lock ends with the process, however it ends.

    Raises
    ------
    Refused
        Another process holds the lock.
    """
    state.mkdir(parents=True, exist_ok=True)
    with (state / "lock").open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            pid = lock.read().strip() or "unknown"
            msg = (
                f"{state}: a platform already uses this state folder (process {pid}). "
                "Stop it, or set HOMEOSTAT_STATE to another folder to run a second one."
            )
            raise Refused(msg) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


@contextlib.contextmanager
def orphan_reaper(records: Path, env: Mapping[str, str]) -> Iterator[None]:
    """Run orphan_reaper.py, which kills the recorded services if this process is killed."""
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
    """Turn SIGTERM and SIGHUP into SystemExit, so that ``with`` blocks clean up; main thread only."""
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
