"""The store on a file system that all its users share."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from homeostat.adapters.store_keys import check_key, folder_of
from homeostat.config.errors import AlreadyExists, NotFound, Unavailable

_PARTIAL = ".partial"  # no key starts with a dot, so unfinished writes are never listed


class FileStore:
    """Bytes under a folder. A write appears whole, under its name, or not at all.

    The bytes go to a hidden file first, which is then linked (write-once: linking to a name that is
    taken fails, whoever else is writing) or renamed over the key.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root).absolute()

    def put(self, key: str, data: bytes, *, overwrite: bool = False) -> None:
        """See :meth:`homeostat.ports.Store.put`."""
        target = self._path(key)
        with _outage(f"cannot write {target}"):
            if not overwrite and target.exists():
                _same_or_refused(target, data)
                return
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = self._write_partial(data)
            try:
                if overwrite:
                    partial.replace(target)
                else:
                    _publish_once(partial, target, data)
            finally:
                partial.unlink(missing_ok=True)

    def get(self, key: str) -> bytes:
        """See :meth:`homeostat.ports.Store.get`."""
        path = self._path(key)
        with _outage(f"cannot read {path}"):
            try:
                return path.read_bytes()
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
                msg = f"{path} is not there"
                raise NotFound(msg) from None

    def exists(self, key: str) -> bool:
        """See :meth:`homeostat.ports.Store.exists`."""
        return self._path(key).is_file()

    def list(self, prefix: str) -> list[str]:
        """See :meth:`homeostat.ports.Store.list`."""
        below = folder_of(prefix)
        with _outage(f"cannot list {self.root / below}"):
            return sorted(_files(str(self.root / below), below))

    def delete(self, key: str) -> None:
        """See :meth:`homeostat.ports.Store.delete`."""
        path = self._path(key)
        with _outage(f"cannot delete {path}"), suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()

    def uri(self, key: str) -> str:
        """See :meth:`homeostat.ports.Store.uri`."""
        return self._path(key).as_uri()

    def _path(self, key: str) -> Path:
        return self.root / check_key(key)

    def _write_partial(self, data: bytes) -> Path:
        folder = self.root / _PARTIAL
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=folder)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(0o644)  # mkstemp's 0600 would hide it from the next container's user
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        return Path(name)


def _files(folder: str, below: str) -> Iterator[str]:
    """Keys of the files in a folder, hidden ones left out.

    Strings and scandir, since a log has thousands of parts and is listed at every check.
    """
    try:
        entries = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _files(entry.path, f"{below}{entry.name}/")
        elif entry.is_file():
            yield f"{below}{entry.name}"


def _publish_once(partial: Path, target: Path, data: bytes) -> None:
    try:
        os.link(partial, target)
    except FileExistsError:
        _same_or_refused(target, data)
    except OSError:
        # Some network and container file systems know no hard links; creating exclusively
        # still lets only one writer have the name.
        try:
            target.touch(exist_ok=False)
        except FileExistsError:
            _same_or_refused(target, data)
        else:
            partial.replace(target)


def _same_or_refused(target: Path, data: bytes) -> None:
    if target.read_bytes() != data:
        msg = f"{target} already holds other bytes, and is written once"
        raise AlreadyExists(msg)


@contextmanager
def _outage(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        msg = f"{what}: {error.strerror or error}; check the disk and its permissions"
        raise Unavailable(msg) from error
