"""In-memory store for tests; passes the same contract tests as the file and S3 stores."""

from __future__ import annotations

import threading

from homeostat.adapters.store_keys import check_key, folder_prefix
from homeostat.config.errors import AlreadyExists, NotFound, Unavailable


class MemoryStore:
    """Bytes in a dictionary. Set ``down`` to simulate an outage."""

    def __init__(self) -> None:
        self.down = False
        self._data: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def put(self, key: str, data: bytes, *, overwrite: bool = False) -> None:
        """See :meth:`homeostat.ports.Store.put`."""
        self._raise_if_down()
        with self._lock:
            if not overwrite and self._data.get(check_key(key), data) != data:
                msg = f"memory://{key} already holds other bytes, and a key is written once"
                raise AlreadyExists(msg)
            self._data[check_key(key)] = bytes(data)

    def get(self, key: str) -> bytes:
        """See :meth:`homeostat.ports.Store.get`."""
        self._raise_if_down()
        try:
            return self._data[check_key(key)]
        except KeyError:
            msg = f"memory://{key} does not exist"
            raise NotFound(msg) from None

    def exists(self, key: str) -> bool:
        """See :meth:`homeostat.ports.Store.exists`."""
        self._raise_if_down()
        return check_key(key) in self._data

    def list(self, prefix: str) -> list[str]:
        """See :meth:`homeostat.ports.Store.list`."""
        self._raise_if_down()
        folder = folder_prefix(prefix)
        with self._lock:
            return sorted(key for key in self._data if key.startswith(folder))

    def delete(self, key: str) -> None:
        """See :meth:`homeostat.ports.Store.delete`."""
        self._raise_if_down()
        self._data.pop(check_key(key), None)

    def uri(self, key: str) -> str:
        """See :meth:`homeostat.ports.Store.uri`."""
        return f"memory://{check_key(key)}"

    def _raise_if_down(self) -> None:
        if self.down:
            raise Unavailable("the in-memory store is set to be down")
