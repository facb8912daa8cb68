"""Journal ownership: each process locks its own folder; later processes recover orphaned folders.

Below ``<state>/journal``: the running process holds ``<gateway>/lock`` (flock), ``<gateway>/counts`` is its
counters file (counters.py), ``<gateway>/<log>/`` has its segments (journal.py), and ``losses.jsonl`` records
what ended processes lost.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import orjson

from homeostat.config.errors import AlreadyExists
from homeostat.ports import Store
from homeostat.serving.recorder.counters import Counters
from homeostat.serving.recorder.journal import SUFFIX, read_segment
from homeostat.serving.recorder.upload import (
    UNWRITABLE,
    LogSpec,
    expected_rows,
    quarantined_rows,
    upload_segment,
)

logger = logging.getLogger(__name__)

LOSSES = "losses.jsonl"
_LOCK, _COUNTS, _NEW = "lock", "counts", ".new-"


@dataclass(frozen=True, slots=True)
class Loss:
    """Rows that one process lost of one model's log; ``served = logged + lost``, exactly.

    ``torn`` counts truncated records; their rows are included in ``lost``.
    """

    gateway: str
    log: str
    model: str
    served: int
    logged: int
    lost: int
    torn: int


class JournalFolder:
    """The journal folder of this process, created and locked at first use.

    Parameters
    ----------
    root
        Folder of all journals, on a disk that outlives the process.
    gateway
        Name of the folder; a number is appended when the name is in use.
    """

    def __init__(self, root: Path, gateway: str, counters: Counters) -> None:
        self.root = root
        self.name = gateway
        self._counters = counters
        self._lock = -1
        self._path: Path | None = None

    def acquire(self) -> Path:
        """Return the folder; create and lock it at the first call. OSError when that fails."""
        if self._path is None:
            self._path = self._create()
        return self._path

    def _create(self) -> Path:
        self.root.mkdir(parents=True, exist_ok=True)
        made = self.root / f"{_NEW}{self.name}-{os.getpid()}"
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir()
        lock = _locked(made / _LOCK, create=True)
        assert lock is not None  # noqa: S101  # the folder has a temporary name that no other process uses
        try:
            self._counters.attach_file(made / _COUNTS)
            name, number = self.name, 1
            while not _renamed(made, self.root / name):
                number += 1
                name = f"{self.name}-{number}"
        except OSError:
            os.close(lock)
            shutil.rmtree(made, ignore_errors=True)
            raise
        self._lock, self.name = lock, name
        return self.root / name

    def release(self) -> Path | None:
        """Unlock the folder, so that another process may recover it; None when there was none."""
        path, self._path = self._path, None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
        return path


def recover_orphans(
    root: Path, specs: Sequence[LogSpec[Any]], store: Store, only: Path | None = None
) -> tuple[list[Loss], str]:
    """Write the rows that ended processes left, report what they lost, and delete their folders.

    Any number of processes may do this at the same time: each folder is locked by one of them, and the next
    one continues when that one is killed.

    Parameters
    ----------
    only
        Recover this folder and no other.

    Returns
    -------
    The losses, and why a folder could not be recovered ("" when all could).
    """
    losses: list[Loss] = []
    error = ""
    for folder in [only] if only is not None else _folders(root):
        lock = _locked(folder / _LOCK)
        if lock is None:
            continue
        try:
            losses += recover_folder(folder, specs, store)
        except Exception as failure:  # noqa: BLE001  # one folder must not block the others
            error = f"the journal of {folder.name} could not be recovered and stays: {failure}"
            logger.warning("%s", error)
        finally:
            os.close(lock)
    return losses, error


def recover_folder(folder: Path, specs: Sequence[LogSpec[Any]], store: Store) -> list[Loss]:
    """Recover one folder whose lock is held. Repeated after a crash, it gives the same chunks and losses."""
    counts_path = folder / _COUNTS
    if not counts_path.exists():  # a previous recovery was killed while it deleted the folder
        shutil.rmtree(folder)
        return []
    counters = Counters.open(counts_path)
    losses = []
    for spec in specs:
        paths = sorted((folder / spec.folder).glob(f"*{SUFFIX}"))
        torn = sum(read_segment(path).torn for path in paths)
        for path, following in zip_longest(paths, paths[1:]):
            upload_segment(path, spec, counters, expected_rows(path, following))
        losses += _losses(folder, spec, counters, torn)
    for loss in losses:
        _report(folder.parent, store, loss)
    shutil.rmtree(folder)
    return losses


def _losses(folder: Path, spec: LogSpec[Any], counters: Counters, torn: int) -> list[Loss]:
    found = []
    for name in counters.names:
        log, model, what = name.split("/")
        if log != spec.folder or what != "counted":
            continue
        served = counters.get(name)
        logged = counters.get(f"{log}/{model}/done") - quarantined_rows(
            folder.parent, folder.name, log, model
        )
        if served > logged:
            found.append(Loss(folder.name, log, model, served, logged, served - logged, torn))
    return found


def _report(root: Path, store: Store, loss: Loss) -> None:
    logger.error(
        "gateway %s lost %d of %d rows of %s (%s)", loss.gateway, loss.lost, loss.served, loss.model, loss.log
    )
    line = orjson.dumps(asdict(loss))
    with suppress(AlreadyExists):  # reported before by a process that was then killed
        store.put(f"log/{loss.model}/losses/{loss.gateway}-{loss.log}.json", line)
    if loss not in known_losses(root):
        with (root / LOSSES).open("ab") as file:
            file.write(line + b"\n")


def known_losses(root: Path) -> list[Loss]:
    """Return what ended processes of this state folder lost, each loss once."""
    try:
        lines = (root / LOSSES).read_bytes().splitlines()
    except FileNotFoundError:
        return []
    found: dict[tuple[str, str, str], Loss] = {}
    for line in lines:
        with suppress(ValueError, TypeError):  # a line may be truncated
            loss = Loss(**json.loads(line))
            found.setdefault((loss.gateway, loss.log, loss.model), loss)
    return list(found.values())


def _folders(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    return sorted(
        path
        for path in root.iterdir()
        if path.is_dir() and path.name != UNWRITABLE and not path.name.startswith(_NEW)
    )


def _renamed(made: Path, wanted: Path) -> bool:
    if wanted.exists():
        return False
    try:
        made.rename(wanted)
    except OSError:
        if wanted.exists():  # another process was faster
            return False
        raise
    return True


def _locked(path: Path, *, create: bool = False) -> int | None:
    """Lock a folder; None when its owner runs, or another process recovers it or has recovered it."""
    try:
        lock = os.open(path, os.O_RDWR | (os.O_CREAT if create else 0) | os.O_CLOEXEC, 0o640)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(lock).st_ino == path.stat().st_ino:
            return lock
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(lock)
    return None
