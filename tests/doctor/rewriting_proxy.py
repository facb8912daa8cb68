"""An HTTP proxy that rewrites a response's Date, drops request headers, or responds itself."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_HOPS = {"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "content-length"}


@dataclass
class Rewrite:
    """``shift`` moves Date, ``drop`` removes request headers, ``respond`` may respond for the server.

    ``respond`` gets method, path, headers and body, and returns status, content type and body, or None.
    """

    shift: timedelta = timedelta(0)
    drop: tuple[str, ...] = ()
    respond: Callable[[str, str, Mapping[str, str], bytes], tuple[int, str, bytes] | None] | None = None
    seen: list[str] = field(default_factory=list)


@contextlib.contextmanager
def rewriting(url: str, rewrite: Rewrite) -> Iterator[str]:
    """Yield the address of a proxy to ``url`` that applies the rewrite."""
    target = urlsplit(url)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            rewrite.seen.append(f"{self.command} {self.path}")
            headers = dict(self.headers)
            response = rewrite.respond(self.command, self.path, headers, body) if rewrite.respond else None
            if response is not None:
                status, kind, text = response
                self._send(status, [("Content-Type", kind)], text)
                return
            dropped = {"host", *(name.lower() for name in rewrite.drop)}
            headers = {n: v for n, v in self.headers.items() if n.lower() not in dropped}
            server = http.client.HTTPConnection(target.hostname or "", target.port, timeout=30)
            with contextlib.closing(server):
                server.request(self.command, self.path, body, {**headers, "Host": target.netloc})
                got = server.getresponse()
                self._send(got.status, got.getheaders(), got.read())

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _forward  # noqa: N815  # http.server's names

        def _send(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
            self.send_response_only(status)
            for name, value in headers:
                if name.lower() in _HOPS:
                    continue
                if name.lower() == "date":
                    shifted = parsedate_to_datetime(value) + rewrite.shift
                    self.send_header("Date", format_datetime(shifted, usegmt=True))
                else:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


@contextlib.contextmanager
def black_hole() -> Iterator[str]:
    """Yield ``host:port`` of a server that accepts connections and never responds."""
    import socket

    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(64)
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()
