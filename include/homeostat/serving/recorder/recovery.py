"""Whose journal is whose: each process owns a folder for as long as it lives, and the next one clears up.

Below ``<state>/journal``: ``<gateway>/lock`` is held (flock) by the living process, ``<gateway>/counts`` says
what it took in (odometer.py), ``<gateway>/<log>/`` holds its segments (journal.py), and ``losses.jsonl``
remembers what ended processes lost.
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
from homeostat.serving.recorder.counters import Odometer
from homeostat.serving.recorder.journal import SUFFIX, read_segment
from homeostat.serving.recorder.upload import UNWRITABLE, Kind, expected_rows, rows_aside, ship

logger = logging.getLogger(__name__)

LOSSES = "losses.jsonl"
_LOCK, _COUNTS, _NEW = "lock", "counts", ".new-"


@dataclass(frozen=True, slots=True)
class Loss:
    """What one process lost of one model's log; ``served = logged + lost``, exactly.

    ``torn`` are records that were cut short; their rows are among the lost.
    """

    gateway: str
    log: str
    model: str
    served: int
    logged: int
    lost: int
    torn: int


class Home:
    """The folder of this process, taken when it is first needed.

    Parameters
    ----------
    root
        The folder of all journals, on a disk that outlives the process.
    gateway
        The name to go by; a number is added when it is taken.
    """

    def __init__(self, root: Path, gateway: str, counts: Odometer) -> None:
        self.root = root
        self.name = gateway
        self._counts = counts
        self._lock = -1
        self.folder: Path | None = None

    def __call__(self) -> Path:
        """The folder; OSError while there can be none."""
        if self.folder is None:
            self.folder = self._claim()
        return self.folder

    def _claim(self) -> Path:
        self.root.mkdir(parents=True, exist_ok=True)
        made = self.root / f"{_NEW}{self.name}-{os.getpid()}"
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir()
        lock = _locked(made / _LOCK, create=True)
        assert lock is not None  # noqa: S101  # nobody else knows of it
        try:
            self._counts.anchor(made / _COUNTS)
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

    def leave(self) -> Path | None:
        """Give the folder up, for whoever clears it; None when there was none."""
        folder, self.folder = self.folder, None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
        return folder


def clear_up(
    root: Path, kinds: Sequence[Kind[Any]], store: Store, only: Path | None = None
) -> tuple[list[Loss], str]:
    """Write what ended processes left, report what they lost, and delete their folders.

    Any number of processes may do so at once: each folder is cleared by one of them, and one that is
    killed in the middle is followed by the next.

    Parameters
    ----------
    only
        Clear this folder and no other.

    Returns
    -------
    What was lost, and why some folder had to stay ("" when none had to).
    """
    losses: list[Loss] = []
    error = ""
    for folder in [only] if only is not None else _folders(root):
        lock = _locked(folder / _LOCK)
        if lock is None:
            continue
        try:
            losses += settle(folder, kinds, store)
        except Exception as failure:  # noqa: BLE001  # one folder must not keep the others
            error = f"the journal of {folder.name} could not be cleared and stays: {failure}"
            logger.warning("%s", error)
        finally:
            os.close(lock)
    return losses, error


def settle(folder: Path, kinds: Sequence[Kind[Any]], store: Store) -> list[Loss]:
    """Clear one folder whose lock is held. Repeated after a crash, it gives the same chunks and figures."""
    counts_path = folder / _COUNTS
    if not counts_path.exists():  # it was all but deleted
        shutil.rmtree(folder)
        return []
    counts = Odometer.open(counts_path)
    losses = []
    for kind in kinds:
        paths = sorted((folder / kind.folder).glob(f"*{SUFFIX}"))
        torn = sum(read_segment(path).torn for path in paths)
        for path, following in zip_longest(paths, paths[1:]):
            ship(path, kind, counts, expected_rows(path, following))
        losses += _losses(folder, kind, counts, torn)
    for loss in losses:
        _report(folder.parent, store, loss)
    shutil.rmtree(folder)
    return losses


def _losses(folder: Path, kind: Kind[Any], counts: Odometer, torn: int) -> list[Loss]:
    found = []
    for name in counts.names:
        log, model, what = name.split("/")
        if log != kind.folder or what != "counted":
            continue
        served = counts.get(name)
        logged = counts.get(f"{log}/{model}/done") - rows_aside(folder.parent, folder.name, log, model)
        if served > logged:
            found.append(Loss(folder.name, log, model, served, logged, served - logged, torn))
    return found


def _report(root: Path, store: Store, loss: Loss) -> None:
    logger.error(
        "gateway %s lost %d of %d rows of %s (%s)", loss.gateway, loss.lost, loss.served, loss.model, loss.log
    )
    line = orjson.dumps(asdict(loss))
    with suppress(AlreadyExists):  # reported by a process that was then killed itself
        store.put(f"log/{loss.model}/losses/{loss.gateway}-{loss.log}.json", line)
    if loss not in known_losses(root):
        with (root / LOSSES).open("ab") as file:
            file.write(line + b"\n")


def known_losses(root: Path) -> list[Loss]:
    """What ended processes of this state folder lost, each once."""
    try:
        lines = (root / LOSSES).read_bytes().splitlines()
    except FileNotFoundError:
        return []
    found: dict[tuple[str, str, str], Loss] = {}
    for line in lines:
        with suppress(ValueError, TypeError):  # a line may be torn as well
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
        if wanted.exists():  # somebody was faster
            return False
        raise
    return True


def _locked(path: Path, *, create: bool = False) -> int | None:
    """Take the lock of a folder; None when its owner lives, or another process is clearing it or has."""
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
