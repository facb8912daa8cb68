"""An HTTP server between boto3 and moto that answers as AWS does on a bad day."""

import contextlib
import http.client
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

#: What one request gets instead of its answer: a status and a body, or (0, b"") for half an answer.
Fault = tuple[int, bytes]
Rule = Callable[[str, str], Fault | None]


def s3_fault(status: int, code: str) -> Fault:
    """How S3 says no."""
    text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>as told to</Message></Error>"
    return status, text.encode()


def sqs_fault(status: int, code: str) -> Fault:
    """How SQS says no."""
    return status, json.dumps({"__type": f"com.amazonaws.sqs#{code}", "message": "as told to"}).encode()


HALF: Fault = (0, b"")
#: Headers that this server writes itself.
_OWN = ("content-length", "connection", "transfer-encoding", "date", "server")


@dataclass
class Proxy:
    """Forwards to ``target`` whatever ``rule`` (of method and path) has nothing to say about."""

    target: str
    rule: Rule = field(default=lambda method, path: None)
    seen: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""

    def first(self, times: int, fault: Fault, part: str = "") -> None:
        """The first requests whose path holds ``part`` fail, those after them do not."""
        left, lock = [times], threading.Lock()

        def rule(method: str, path: str) -> Fault | None:
            with lock:
                if part not in path or not left[0]:
                    return None
                left[0] -= 1
                return fault

        self.rule = rule

    def always(self, fault: Fault, part: str = "") -> None:
        """All requests whose path holds ``part`` fail."""
        self.rule = lambda method, path: fault if part in path else None


@contextlib.contextmanager
def proxy_for(target: str) -> Iterator[Proxy]:
    """A proxy on loopback, until the block ends."""
    proxy = Proxy(target)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(proxy))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    proxy.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(proxy: Proxy) -> type[BaseHTTPRequestHandler]:
    where = urlsplit(proxy.target).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            proxy.seen.append((self.command, self.path))
            fault = proxy.rule(self.command, self.path)
            if fault is not None and fault[0]:
                self._answer(*fault, {"Content-Type": "application/xml"})
                return
            upstream = http.client.HTTPConnection(where, timeout=60)
            try:
                upstream.request(self.command, self.path, body or None, dict(self.headers))
                answer = upstream.getresponse()
                data = answer.read()
                self._answer(answer.status, data, dict(answer.getheaders()), half=fault is HALF)
            finally:
                upstream.close()

        def _answer(self, status: int, data: bytes, headers: dict[str, str], *, half: bool = False) -> None:
            self.send_response(status)
            length = headers.get("Content-Length", len(data)) if self.command == "HEAD" else len(data)
            for name, value in headers.items():
                if name.lower() not in _OWN:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data[: len(data) // 2] if half else data)
            self.close_connection = half

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _serve  # noqa: N815  # http.server's own names

        def log_message(self, *_: object) -> None:
            """Nothing: the test says what it saw."""

    return Handler
