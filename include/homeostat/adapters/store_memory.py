"""A store in memory, for tests; it keeps every promise of the real ones."""

from __future__ import annotations

import threading

from homeostat.adapters.store_keys import check_key, folder_of
from homeostat.config.errors import AlreadyExists, NotFound, Unavailable


class MemoryStore:
    """Bytes in a dictionary. Set ``down`` to see what an outage does."""

    def __init__(self) -> None:
        self.down = False
        self._data: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def put(self, key: str, data: bytes, *, overwrite: bool = False) -> None:
        """See :meth:`homeostat.ports.Store.put`."""
        self._answer()
        with self._lock:
            if not overwrite and self._data.get(check_key(key), data) != data:
                msg = f"memory://{key} already holds other bytes, and is written once"
                raise AlreadyExists(msg)
            self._data[check_key(key)] = bytes(data)

    def get(self, key: str) -> bytes:
        """See :meth:`homeostat.ports.Store.get`."""
        self._answer()
        try:
            return self._data[check_key(key)]
        except KeyError:
            msg = f"memory://{key} is not there"
            raise NotFound(msg) from None

    def exists(self, key: str) -> bool:
        """See :meth:`homeostat.ports.Store.exists`."""
        self._answer()
        return check_key(key) in self._data

    def list(self, prefix: str) -> list[str]:
        """See :meth:`homeostat.ports.Store.list`."""
        self._answer()
        folder = folder_of(prefix)
        with self._lock:
            return sorted(key for key in self._data if key.startswith(folder))

    def delete(self, key: str) -> None:
        """See :meth:`homeostat.ports.Store.delete`."""
        self._answer()
        self._data.pop(check_key(key), None)

    def uri(self, key: str) -> str:
        """See :meth:`homeostat.ports.Store.uri`."""
        return f"memory://{check_key(key)}"

    def _answer(self) -> None:
        if self.down:
            raise Unavailable("the store in memory was told to be down")
