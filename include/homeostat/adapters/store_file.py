"""The store on a file system shared by all its users."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from homeostat.adapters.store_keys import check_key, folder_prefix
from homeostat.config.errors import AlreadyExists, NotFound, Unavailable

_PARTIAL = ".partial"  # no key starts with a dot, so unfinished writes are never listed


class FileStore:
    """Files under a root folder, written atomically.

    Data goes to a hidden file first, which is then linked to its name (write-once: linking fails when the
    name exists) or renamed over it.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root).absolute()

    def put(self, key: str, data: bytes, *, overwrite: bool = False) -> None:
        """See :meth:`homeostat.ports.Store.put`."""
        target = self._path(key)
        with _outage(f"cannot write {target}"):
            if not overwrite and target.exists():
                _require_same(target, data)
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
                msg = f"{path} does not exist"
                raise NotFound(msg) from None

    def exists(self, key: str) -> bool:
        """See :meth:`homeostat.ports.Store.exists`."""
        return self._path(key).is_file()

    def list(self, prefix: str) -> list[str]:
        """See :meth:`homeostat.ports.Store.list`."""
        below = folder_prefix(prefix)
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
            Path(name).chmod(0o644)  # mkstemp's 0600 is unreadable for another container's user
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        return Path(name)


def _files(folder: str, below: str) -> Iterator[str]:
    """Yield the keys of the files below a folder, hidden files excluded.

    Uses scandir and strings for speed: a log has thousands of parts and every check lists it.
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
        _require_same(target, data)
    except OSError:
        # Some network and container file systems have no hard links; exclusive creation
        # also lets only one writer take the name.
        try:
            target.touch(exist_ok=False)
        except FileExistsError:
            _require_same(target, data)
        else:
            partial.replace(target)


def _require_same(target: Path, data: bytes) -> None:
    if target.read_bytes() != data:
        msg = f"{target} already holds other bytes, and a key is written once"
        raise AlreadyExists(msg)


@contextmanager
def _outage(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        msg = f"{what}: {error.strerror or error}; check the disk and its permissions"
        raise Unavailable(msg) from error
