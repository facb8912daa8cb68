"""An HTTP proxy between boto3 and moto that returns the errors of AWS."""

import contextlib
import http.client
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

#: Status and body of the response to a request, or (0, b"") for a truncated response.
Fault = tuple[int, bytes]
Rule = Callable[[str, str], Fault | None]


def s3_fault(status: int, code: str) -> Fault:
    """Return an error response of S3."""
    text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>injected</Message></Error>"
    return status, text.encode()


def sqs_fault(status: int, code: str) -> Fault:
    """Return an error response of SQS."""
    return status, json.dumps({"__type": f"com.amazonaws.sqs#{code}", "message": "injected"}).encode()


TRUNCATED: Fault = (0, b"")
#: Headers that the proxy writes itself.
_OWN = ("content-length", "connection", "transfer-encoding", "date", "server")


@dataclass
class Proxy:
    """Forward requests to ``target``, unless ``rule`` of method and path returns a fault."""

    target: str
    rule: Rule = field(default=lambda method, path: None)
    seen: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""

    def first(self, times: int, fault: Fault, part: str = "") -> None:
        """Fail the first ``times`` requests whose path contains ``part``."""
        left, lock = [times], threading.Lock()

        def rule(method: str, path: str) -> Fault | None:
            with lock:
                if part not in path or not left[0]:
                    return None
                left[0] -= 1
                return fault

        self.rule = rule

    def always(self, fault: Fault, part: str = "") -> None:
        """Fail all requests whose path contains ``part``."""
        self.rule = lambda method, path: fault if part in path else None


@contextlib.contextmanager
def proxy_for(target: str) -> Iterator[Proxy]:
    """Run a proxy on loopback until the block ends."""
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
    address = urlsplit(proxy.target).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            proxy.seen.append((self.command, self.path))
            fault = proxy.rule(self.command, self.path)
            if fault is not None and fault[0]:
                self._respond(*fault, {"Content-Type": "application/xml"})
                return
            upstream = http.client.HTTPConnection(address, timeout=60)
            try:
                upstream.request(self.command, self.path, body or None, dict(self.headers))
                response = upstream.getresponse()
                data = response.read()
                self._respond(
                    response.status, data, dict(response.getheaders()), truncated=fault is TRUNCATED
                )
            finally:
                upstream.close()

        def _respond(
            self, status: int, data: bytes, headers: dict[str, str], *, truncated: bool = False
        ) -> None:
            self.send_response(status)
            length = headers.get("Content-Length", len(data)) if self.command == "HEAD" else len(data)
            for name, value in headers.items():
                if name.lower() not in _OWN:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data[: len(data) // 2] if truncated else data)
            self.close_connection = truncated

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _serve  # noqa: N815  # http.server's own names

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    return Handler
