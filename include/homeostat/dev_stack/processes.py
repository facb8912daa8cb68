"""Start services, stop them, and kill the orphans of a starter that was killed.

Each service leads a session of its own. Airflow's tasks move to their own process groups but cannot leave the
session, so sessions are stopped, not groups. A record on disk (pid and start time) lets the next start kill
orphans without touching a pid that the system has reused.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_TICKS_FIELD = 19  # of what follows the name in /proc/<pid>/stat: the start time in clock ticks since boot
_SESSION_FIELD = 3


@dataclass(frozen=True, slots=True)
class Service:
    """A started service: its name, the process that leads its session, and its log file."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def exited(self) -> int | None:
        """Return the exit status when it has ended, else None."""
        return self.process.poll()

    def last_lines(self, count: int = 15) -> str:
        """Return the end of its log, for error messages."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, self.log.stat().st_size - 16_384))
                return "\n".join(file.read().decode(errors="replace").splitlines()[-count:])
        except OSError:
            return ""


def start(
    name: str, command: Sequence[str], *, env: Mapping[str, str], cwd: Path, logs: Path, records: Path
) -> Service:
    """Start a service in its own session, output to ``logs/<name>.log``, and record it under ``records``."""
    log = logs / f"{name}.log"
    if log.exists():
        log.replace(logs / f"{name}.log.1")  # keeps the log of the run before
    with log.open("wb") as out:
        process = subprocess.Popen(  # noqa: S603 - our own command line, no shell
            list(command),
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    record = {"pid": process.pid, "started": start_time(process.pid), "cwd": str(cwd), "owner": os.getpid()}
    temporary = records / f".{name}.tmp"
    temporary.write_text(json.dumps(record), encoding="utf-8")
    temporary.replace(records / f"{name}.json")
    return Service(name, process, log)


def stop(services: Iterable[Service], records: Path, grace: float) -> None:
    """Stop the services' sessions: SIGTERM to all, after ``grace`` seconds SIGKILL to the rest."""
    services = list(services)
    _end([service.process.pid for service in services], grace, [service.process for service in services])
    for service in services:
        with contextlib.suppress(subprocess.TimeoutExpired):
            service.process.wait(1)
        (records / f"{service.name}.json").unlink(missing_ok=True)


def kill_orphans(records: Path, *, owner: int | None = None, grace: float = 3.0) -> list[str]:
    """Kill the services that an earlier run left running; only those of process ``owner`` when given.

    Returns
    -------
    list[str]
        Names of the services that were still running.
    """
    left: dict[str, int] = {}
    read: dict[Path, str] = {}
    for path in sorted(records.glob("*.json")):
        try:
            text = path.read_text(encoding="utf-8")
            record = json.loads(text)
            pid, started, cwd = int(record["pid"]), record["started"], record["cwd"]
        except (OSError, ValueError, KeyError, TypeError):
            continue  # a truncated record
        if owner is not None and record.get("owner") != owner:
            continue
        read[path] = text
        now = start_time(pid)
        if now is not None and now == started:
            left[path.stem] = pid
        elif now is None and any(_cwd(member) == cwd for member in session_members(pid)):
            # The leader has ended but its workers still run. A session id is not reused while the session has
            # members; the working folder distinguishes ours from a later session with the same id.
            left[path.stem] = pid
    _end(list(left.values()), grace)
    for path, text in read.items():
        with contextlib.suppress(OSError):
            if path.read_text(encoding="utf-8") == text:  # a concurrent start may have written its own record
                path.unlink()
    return sorted(left)


def start_time(pid: int) -> str | None:
    """Return the system's start time of a process; None when it does not exist or is a zombie."""
    fields = _stat(pid)
    if fields is not None:
        return None if fields[0] in "ZX" else fields[_TICKS_FIELD]
    if Path("/proc/self/stat").exists():
        return None
    shown = subprocess.run(  # noqa: S603 - macOS has no /proc
        ["/bin/ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return shown.stdout.strip() or None


def session_members(session: int) -> list[int]:
    """Return the pids of a session's running processes (without /proc: the leader, if it runs)."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        fields = _stat(int(entry.name))
        if fields is not None and fields[0] not in "ZX" and int(fields[_SESSION_FIELD]) == session:
            found.append(int(entry.name))
    if not found and not Path("/proc/self/stat").exists() and start_time(session) is not None:
        found.append(session)
    return found


def free_port(preferred: int = 0) -> int:
    """Return ``preferred`` when it is free on loopback, else any free TCP port."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return int(probe.getsockname()[1])
    msg = "no free TCP port on 127.0.0.1"
    raise OSError(msg)


def _end(sessions: Sequence[int], grace: float, processes: Sequence[subprocess.Popen[bytes]] = ()) -> None:
    _signal(sessions, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while time.monotonic() < deadline:
        for process in processes:
            process.poll()  # reaps the leaders
        if not any(session_members(session) for session in sessions):
            return
        time.sleep(0.05)
    _signal(sessions, signal.SIGKILL)


def _signal(sessions: Sequence[int], number: signal.Signals) -> None:
    for session in sessions:
        for pid in session_members(session):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)


def _stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/<pid>/stat from the state on (the name before it may contain spaces)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()


def _cwd(pid: int) -> str | None:
    try:
        return str(Path(f"/proc/{pid}/cwd").readlink())
    except OSError:
        return None
