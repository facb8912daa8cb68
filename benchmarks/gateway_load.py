"""Generate load on an HTTP server from a separate process: keep-alive connections, prepared bytes.

    python benchmarks/gateway_load.py PORT PATH BODIES --connections 8 --seconds 3
    python benchmarks/gateway_load.py PORT PATH BODIES --connections 64 --seconds 3 --rate 200

Without a rate the loop is closed: each connection sends its next request when it has its answer. With one
it is open: requests are due at fixed intervals whether or not the server keeps up, and a latency counts
from the moment at which its request was due, so that a stall is seen by all who would have met it.

One thread around ``select``, whose timeout is good to microseconds: asyncio's timers step by whole
milliseconds, as long as some answers take. BODIES is a JSON list of request bodies, used in turn. The
result is one line of JSON; every answer is compared with the first one to the same body.
"""

from __future__ import annotations

import argparse
import json
import select
import socket
import time
from collections import deque
from pathlib import Path
from typing import Any

_TIMEOUT = 60.0


class Connection:
    """One keep-alive connection with at most one request in flight."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.begun = 0.0
        self.body = 0
        self._received = b""

    def fileno(self) -> int:
        """Return the file descriptor for ``select``."""
        return self.socket.fileno()

    def send(self, request: bytes, body: int, begun: float) -> None:
        """Send a request; its time runs from ``begun``."""
        self.begun, self.body = begun, body
        self.socket.sendall(request)

    def receive(self) -> tuple[int, bytes] | None:
        """Return status and body of the response, once it is complete."""
        data = self.socket.recv(262_144)
        if not data:
            raise ConnectionError("the server closed a connection")
        received = self._received + data if self._received else data
        end = received.find(b"\r\n\r\n")
        if end < 0:
            self._received = received
            return None
        head = received[:end].lower()
        if b"transfer-encoding: chunked" in head:
            return self._chunked(received, end + 4)
        at = head.index(b"content-length:") + 15
        length = int(head[at:].split(b"\r\n", 1)[0])
        if len(received) < end + 4 + length:
            self._received = received
            return None
        self._received = b""
        return int(received[9:12]), received[end + 4 :]

    def _chunked(self, received: bytes, at: int) -> tuple[int, bytes] | None:
        """Return status and body of a response in chunks, once its last chunk is there."""
        self._received = received
        if not received.endswith(b"0\r\n\r\n"):
            return None
        self._received, body = b"", b""
        while length := int(received[at : (start := received.index(b"\r\n", at))], 16):
            body += received[start + 2 : start + 2 + length]
            at = start + 4 + length
        return int(received[9:12]), body


class Load:
    """The requests sent and the responses received."""

    def __init__(self, requests: list[bytes]) -> None:
        self.requests = requests
        self.sent = 0
        self.latencies: list[float] = []
        self.failed = 0
        self.first: dict[int, bytes] = {}
        self.changed = 0

    def send(self, connection: Connection, begun: float) -> None:
        """Send the next request."""
        body = self.sent % len(self.requests)
        self.sent += 1
        connection.send(self.requests[body], body, begun)

    def take(self, connection: Connection) -> bool:
        """Read from a connection; True when its response is complete."""
        answer = connection.receive()
        if answer is None:
            return False
        self.latencies.append(time.perf_counter() - connection.begun)
        status, body = answer
        if status != 200:
            self.failed += 1
        elif self.first.setdefault(connection.body, body) != body:
            self.changed += 1
        return True

    def closed(self, connections: list[Connection], seconds: float) -> None:
        """Closed loop: each connection sends again when it has its response."""
        end = time.perf_counter() + seconds
        for connection in connections:
            self.send(connection, time.perf_counter())
        busy = set(connections)
        while busy:
            for connection in select.select(list(busy), [], [], _TIMEOUT)[0]:
                if not self.take(connection):
                    continue
                now = time.perf_counter()
                if now < end:
                    self.send(connection, now)
                else:
                    busy.discard(connection)

    def open(self, connections: list[Connection], seconds: float, rate: float) -> None:
        """Open loop: requests are due ``rate`` times per second and wait for a free connection."""
        begun = time.perf_counter()
        total = int(seconds * rate)
        idle, busy, waiting, due = list(connections), set[Connection](), deque[float](), 0
        while due < total or waiting or busy:
            now = time.perf_counter()
            while due < total and begun + due / rate <= now:
                waiting.append(begun + due / rate)
                due += 1
            while waiting and idle:
                connection = idle.pop()
                self.send(connection, waiting.popleft())
                busy.add(connection)
            pause = max(0.0, begun + due / rate - time.perf_counter()) if due < total else _TIMEOUT
            for connection in select.select(list(busy), [], [], pause)[0]:
                if self.take(connection):
                    busy.discard(connection)
                    idle.append(connection)


def request(path: str, body: bytes, port: int) -> bytes:
    """Return the bytes of one request."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def main() -> None:
    """Run one load and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("path")
    parser.add_argument("bodies", type=Path)
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rate", type=float, default=0.0)
    options = parser.parse_args()
    bodies = [text.encode() for text in json.loads(options.bodies.read_text())]
    load = Load([request(options.path, body, options.port) for body in bodies])
    connections = [Connection(options.port) for _ in range(options.connections)]
    begun = time.perf_counter()
    if options.rate:
        load.open(connections, options.seconds, options.rate)
    else:
        load.closed(connections, options.seconds)
    print(json.dumps(_found(load, time.perf_counter() - begun)))


def _found(load: Load, seconds: float) -> dict[str, Any]:
    ordered = sorted(load.latencies)

    def quantile(share: float) -> float:
        return 1e3 * ordered[min(int(share * len(ordered)), len(ordered) - 1)]

    return {
        "requests": len(ordered),
        "rate": len(ordered) / seconds,
        "p50": quantile(0.5),
        "p99": quantile(0.99),
        "failed": load.failed,
        "changed": load.changed,
        "answers": {str(i): _predictions(json.loads(body)) for i, body in sorted(load.first.items())},
    }


def _predictions(response: Any) -> list[Any]:
    """Return the predictions of MLflow's and our protocol, of Open Inference, or of a plain list."""
    if isinstance(response, list):
        return response
    found: list[Any] = (
        response["predictions"] if "predictions" in response else response["outputs"][0]["data"]
    )
    return found


if __name__ == "__main__":
    main()
