"""A TCP proxy whose faults are switched while connections are open."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from typing import Self

MODES = ("pass", "refuse", "blackhole", "slow", "reset")


class FaultProxy:
    """Stands between a client and ``host:port``.

    ``pass``: as if it were not there. ``refuse``: open connections are closed, new ones refused.
    ``blackhole``: connections are accepted and what is said is swallowed. ``slow``: everything arrives
    ``delay`` seconds late. ``reset``: what the server says arrives up to ``reset_after`` bytes, then the
    connection is reset.
    """

    def __init__(self, host: str, port: int, *, delay: float = 0.5, reset_after: int = 0) -> None:
        self.target = (host, port)
        self.delay = delay
        self.reset_after = reset_after
        self.mode = "pass"
        self.accepted = 0
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._lock = threading.Lock()
        self._closed = False
        self._listener = self._listen(0)
        self.host, self.port = self._listener.getsockname()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    def switch(self, mode: str) -> None:
        """From now on, this fault; connections that are open suffer it too."""
        assert mode in MODES
        before, self.mode = self.mode, mode
        if mode == "refuse":
            self._shut(self._listener)
            self._drop_all()
        elif before == "refuse":
            self._listener = self._listen(self.port)
            threading.Thread(target=self._accept, daemon=True).start()
        elif before == "blackhole":  # what was swallowed is gone: such a connection is of no use any more
            self._drop_all()

    def close(self) -> None:
        self._closed = True
        self._shut(self._listener)
        self._drop_all()

    @contextlib.contextmanager
    def having(self, mode: str):
        """The fault, for as long as the block lasts."""
        self.switch(mode)
        try:
            yield self
        finally:
            self.switch("pass")

    def _listen(self, port: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(64)
        return listener

    def _accept(self) -> None:
        listener = self._listener
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self.accepted += 1
            if self.mode == "blackhole":  # it need not even lead anywhere
                with self._lock:
                    self._pairs.append((client, client))
                threading.Thread(target=self._pump, args=(client, client, False), daemon=True).start()
                continue
            try:
                server = socket.create_connection(self.target, timeout=5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            with self._lock:
                self._pairs.append((client, server))
            for source, sink, answers in ((client, server, False), (server, client, True)):
                threading.Thread(target=self._pump, args=(source, sink, answers), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        sent = 0
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if self.mode == "blackhole":
                    continue
                if self.mode == "slow":
                    time.sleep(self.delay)
                if self.mode == "reset" and answers:
                    sink.sendall(data[: max(0, self.reset_after - sent)])
                    sent += len(data)
                    if sent > self.reset_after:
                        for each in (sink, source):
                            each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        break
                    continue
                sink.sendall(data)
        if self.mode != "blackhole":  # one that is swallowed stays open, without a word
            self._shut(source)
            self._shut(sink)

    def _drop_all(self) -> None:
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for each in pair:
                self._shut(each)

    def _shut(self, each: socket.socket) -> None:
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            each.close()
