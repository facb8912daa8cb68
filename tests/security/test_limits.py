"""Limits per client: rate, memory, connections and time."""

import contextlib
import socket
import threading
import time
from dataclasses import replace

import httpx
import pytest
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.serving import create_app
from homeostat.serving.auth.rate_limit import RateLimit, TokenBucket
from homeostat.serving.server.http_limits import limited_protocol
from serving.gateway_harness import LOAD, Client, make_gateway_fixture, serving, until

HEAD = b"POST /models/pump/invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
BODY = b'{"dataframe_records": [{"a": 1, "b": 0, "colour": "red"}]}'


@settings(max_examples=100, deadline=None)
@given(
    st.floats(0.1, 1000),
    st.integers(1, 50),
    st.lists(st.floats(0, 2), min_size=1, max_size=200),
)
def test_a_bucket_allows_burst_and_rate_and_returns_the_wait(rate, burst, gaps):
    bucket, now, taken = TokenBucket(rate, burst), 0.0, 0
    for gap in gaps:
        now += gap
        wait = bucket.take(now)
        if wait == 0:
            taken += 1
        else:
            assert 0 < wait <= 1 / rate * (1 + 1e-9)
            assert bucket.take(now + wait * (1 + 1e-6) + 1e-9) == 0
            now += wait * (1 + 1e-6) + 1e-9
            taken += 1
    assert taken <= burst + now * rate + 1e-3


def test_every_client_has_its_own_rate_in_bounded_memory(monkeypatch):
    monkeypatch.setattr("homeostat.serving.auth.rate_limit.MAX_CLIENTS", 100)
    rates = RateLimit(1.0, 2)
    assert [rates.take("a", 0.0), rates.take("a", 0.0)] == [0, 0]
    assert rates.take("a", 0.0) == 1.0
    assert rates.take("b", 0.0) == 0
    for number in range(10_000):
        rates.take(f"client {number}", 0.0)
    assert len(rates._buckets) == 100


def test_beyond_its_rate_a_client_gets_429_with_retry_after(tmp_path):
    setup = make_gateway_fixture(tmp_path)
    setup.begin(setup.version())
    with serving(setup, rate_per_client=0.01, rate_burst=3) as client:
        client.ready()
        responses = [client.score() for _ in range(5)]
        assert [response.status_code for response in responses] == [200, 200, 200, 429, 429]
        assert responses[3].json()["error_code"] == "TOO_MANY_REQUESTS"
        assert 40 <= int(responses[3].headers["retry-after"]) <= 101
        assert client.labels({"id": "x", "label": 1}).status_code == 429
        # A person who takes a version back is not held up by traffic.
        assert all(client.order("flush").status_code == 200 for _ in range(10))
        assert 'homeostat_requests_total{model="",status="429"} 2.0' in client.http.get("/metrics").text


def test_incomplete_bodies_take_bounded_memory(tmp_path):
    setup = make_gateway_fixture(tmp_path)
    setup.begin(setup.version())
    with serving(setup, max_held_bytes=300_000, max_body_bytes=1_000_000) as client:
        client.ready()
        with connected(client) as first:
            first.sendall(HEAD + b"Content-Length: 900000\r\n\r\n" + b" " * 200_000)
            until(lambda: client.app.bodies.held_bytes >= 200_000, "the first body is being received")
            with connected(client) as second:
                second.sendall(HEAD + b"Content-Length: 900000\r\n\r\n" + b" " * 200_000)
                assert b" 503 " in second.recv(1000).split(b"\r\n")[0]
            assert client.score().status_code == 200
        until(lambda: client.app.bodies.held_bytes == 0, "what the client that left held is free")


# Connections, with the protocol that the real server uses


@contextlib.contextmanager
def guarded(setup, **changes):
    options = replace(setup.options, **changes)
    app = create_app({setup.config.name: setup.config}, setup.ports, setup.settings, options, load=LOAD)
    config = uvicorn.Config(
        app,
        port=0,
        log_level="warning",
        lifespan="on",
        access_log=False,
        http=limited_protocol(options),
        ws="none",
    )
    config.timeout_graceful_shutdown = 1
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started, "the server has started")
    client = Client(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", app)
    try:
        client.ready()
        yield client
    finally:
        client.http.close()
        server.should_exit = True
        thread.join(10.0)


def connected(client):
    host, port = client.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=60)


def to_the_end(sock):
    """Everything that still comes until the other side closes."""
    got = b""
    with contextlib.suppress(ConnectionError):
        while chunk := sock.recv(65536):
            got += chunk
    return got


@pytest.fixture(scope="module")
def impatient(tmp_path_factory):
    setup = make_gateway_fixture(tmp_path_factory.mktemp("impatient"))
    setup.begin(setup.version())
    with guarded(setup, receive_seconds=1.0, max_header_bytes=20_000, max_body_bytes=100_000) as client:
        yield client


def trickle(sock, start, piece, seconds=60.0):
    """Send a start, then a piece every 50 ms until the other side has had enough; what it said."""
    begun = time.monotonic()
    sock.sendall(start)
    sock.settimeout(0.05)
    got = b""
    while time.monotonic() < begun + seconds:
        try:
            chunk = sock.recv(65536)
        except TimeoutError:
            try:
                sock.sendall(piece)
            except ConnectionError:
                break
            continue
        except ConnectionError:
            break
        if not chunk:
            break
        got += chunk
    else:
        pytest.fail(f"the connection was held for {seconds} s")
    return got


@pytest.mark.parametrize(
    ("start", "piece", "status"),
    [
        (b"", b"", b""),
        (b"", b"\r\n", b""),
        (b"POST /invocations HTT", b"", b"408"),
        (HEAD, b"X-a: b\r\n", b"408"),
        (HEAD + b"X-a: ", b"b", b"408"),
        (HEAD + b"Content-Length: 90000\r\n\r\n", b" ", b"408"),
        (HEAD + b"Content-Length: 90000\r\n\r\n", b"", b"408"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n", b"408"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\n", b"X-trailer: 1\r\n", b"408"),
        (b"POST /control/flush HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n", b"", b"401"),
        (
            b"POST /models/nobody/invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 90000\r\n\r\n",
            b" ",
            b"404",
        ),
    ],
    ids=str,
)
def test_a_client_that_sends_byte_by_byte_is_disconnected_in_time(impatient, start, piece, status):
    with connected(impatient) as sock:
        got = trickle(sock, start, piece)
    assert got.split(b"\r\n")[0].split(b" ")[1:2] == ([status] if status else [])
    assert impatient.score().status_code == 200


def test_many_slow_clients_do_not_delay_others(impatient):
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(connected(impatient)) for _ in range(100)]
        for sock in slow:
            sock.sendall(HEAD + b"Content-Length: 90000\r\n\r\n {")
        assert all(impatient.score().status_code == 200 for _ in range(20))
        assert all(b" 408 " in to_the_end(sock) for sock in slow)
    until_idle(impatient)
    assert impatient.runtime.in_flight == 0


def until_idle(client):
    until(lambda: client.runtime.in_flight == 0, "nothing is in flight")


def test_endless_headers_are_431(impatient):
    for endless in (b"X-a: " + b"b" * 40_000, b"X-a: b\r\n" * 5_000):
        with connected(impatient) as sock, contextlib.suppress(ConnectionError):
            sock.sendall(HEAD + endless)
            assert b" 431 " in to_the_end(sock).split(b"\r\n")[0]


GET = b"GET /ping HTTP/1.1\r\nHost: x\r\n"


def split_send(sock, data, size):
    for at in range(0, len(data), size):
        sock.sendall(data[at : at + size])


@pytest.mark.parametrize("size", [1_000, 7_919, 10**7], ids="sent in pieces of {}".format)
@pytest.mark.parametrize(
    "headers",
    [
        b"X-a: " + b"b" * 100_000 + b"\r\n",
        b"".join(b"X-%d: %s\r\n" % (n, b"b" * 200) for n in range(400)),
        b"".join(b"%x:1\r\n" % n for n in range(10_000)),
        b"".join(b"%x:1\r\n" % n for n in range(1_200)),
        b"X-a: b\r\n" * 10_000,
    ],
    ids=["one of 100 KB", "400 of 200 bytes", "10,000", "1,200 short ones", "10,000 times the same"],
)
def test_complete_headers_beyond_the_limit_are_431(impatient, headers, size):
    with connected(impatient) as sock:
        with contextlib.suppress(ConnectionError):
            split_send(sock, GET + headers + b"\r\n", size)
        got = to_the_end(sock)
    assert got.startswith(b"HTTP/1.1 431 ")
    assert got.count(b"HTTP/1.1") == 1
    assert b"larger than 20000 bytes, or more than 1000" in got
    assert b"connection: close" in got
    assert impatient.score().status_code == 200


def test_a_long_url_counts_as_headers(impatient):
    with connected(impatient) as sock:
        sock.sendall(b"GET /ping?" + b"a" * 30_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        assert to_the_end(sock).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("size", [1_000, 7_919, 10**7], ids="sent in pieces of {}".format)
def test_headers_within_the_limit_pass(impatient, size):
    for headers in (b"X-a: " + b"b" * 19_000 + b"\r\n", b"".join(b"%x:1\r\n" % n for n in range(900))):
        with connected(impatient) as sock:
            split_send(sock, GET + headers + b"Connection: close\r\n\r\n", size)
            assert to_the_end(sock).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("size", [999, 7_919, 10**7], ids="sent in pieces of {}".format)
def test_pipelined_requests_share_no_limit_of_headers(impatient, size):
    """Hundreds of requests take more than the limit together, and each far less."""
    one = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
    last = one.replace(b"Host: x\r\n", b"Host: x\r\nConnection: close\r\n")
    for requests, answers in (((GET + b"\r\n") * 900, 900), (one * 500, 500)):
        closing = (GET + b"Connection: close\r\n\r\n") if requests.startswith(GET) else last
        assert len(requests) > 20_000
        with connected(impatient) as sock:
            sender = threading.Thread(target=split_send, args=(sock, requests + closing, size))
            sender.start()
            got = to_the_end(sock)
            sender.join(60)
        assert got.count(b"HTTP/1.1 200 OK") == answers + 1
        assert b" 431 " not in got


def test_pipelined_requests_before_one_with_large_headers_are_answered(impatient):
    with connected(impatient) as sock:
        sock.sendall((GET + b"\r\n") * 20 + GET + b"X-a: " + b"b" * 30_000 + b"\r\n\r\n" + GET + b"\r\n")
        got = to_the_end(sock)
    assert [part[1:4] for part in got.split(b"HTTP/1.1")[1:]] == [b"200"] * 20 + [b"431"]


def test_endless_trailers_are_cut_off(impatient):
    with connected(impatient) as sock:
        sock.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(1000):
                sock.sendall(b"X-a: b\r\n" * 1000)
            pytest.fail("a million trailers were taken")
    assert impatient.score().status_code == 200


def test_an_endless_body_is_cut_off(impatient):
    with connected(impatient) as sock:
        sock.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        chunk = b"2000\r\n" + b" " * 0x2000 + b"\r\n"
        sent = 0
        with contextlib.suppress(ConnectionError, TimeoutError):
            for _ in range(10_000):
                sock.sendall(chunk)
                sent += len(chunk)
        assert sent < 40_000_000  # what the kernels on both sides hold, and not 80 MB
    assert impatient.score().status_code == 200


def test_a_client_that_does_not_read_its_responses_is_disconnected(impatient):
    with connected(impatient) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        request = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
        begun = time.monotonic()
        sock.settimeout(0.2)
        while time.monotonic() < begun + 60:
            try:
                sock.sendall(request * 50)
            except TimeoutError:
                continue
            except ConnectionError:
                break
            time.sleep(0.05)
        else:
            pytest.fail("a client that reads nothing was never cut off")


def test_one_connection_serves_several_requests_with_pauses(impatient):
    with httpx.Client(base_url=impatient.url, timeout=60, trust_env=False) as http:
        for pause in (0, 0, 1.5, 0):
            time.sleep(pause)
            response = http.post("/invocations", content=BODY, headers={"content-type": "application/json"})
            assert response.status_code == 200
    with connected(impatient) as sock:  # a response before the body was complete, then a valid request
        wrong = b"POST /models/nobody/invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n"
        sock.sendall(wrong + b" " * 10)
        assert b" 404 " in sock.recv(4096)
        length = b"Content-Length: %d\r\n\r\n" % len(BODY)
        sock.sendall(b" " * 10 + HEAD + length + BODY)
        assert b" 200 " in sock.recv(4096)


def test_pipelined_requests_get_their_responses_in_order(impatient):
    length = b"Content-Length: %d\r\n" % len(BODY)
    with connected(impatient) as sock:
        sock.sendall(
            b"".join(HEAD + length + b"X-Request-Id: n%d\r\n\r\n" % number + BODY for number in range(20))
        )
        got = b""
        while got.count(b"predictions") < 20:
            got += sock.recv(65536)
    assert [int(part.split(b"\r\n")[0]) for part in got.split(b"x-request-id: n")[1:]] == list(range(20))


def test_beyond_the_connection_limit_clients_get_503_until_others_close(tmp_path):
    setup = make_gateway_fixture(tmp_path)
    setup.begin(setup.version())
    with guarded(setup, max_connections=10, receive_seconds=5.0) as client, contextlib.ExitStack() as stack:
        client.http.close()
        idle = [stack.enter_context(connected(client)) for _ in range(10)]
        with connected(client) as late:
            late.sendall(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
            got = to_the_end(late)
            assert b" 503 " in got.split(b"\r\n")[0]
            assert b"retry-after: 1" in got.lower()
        for sock in idle:
            sock.close()
        response = None
        end = time.monotonic() + 60
        while time.monotonic() < end and (response is None or response.status_code != 200):
            response = httpx.get(f"{client.url}/ping", trust_env=False)
        assert response.status_code == 200
