"""Compressed request bodies: gzip is read within the limits, everything else is refused in a sentence."""

from __future__ import annotations

import asyncio
import gzip
import json
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.serving.http.body_limits import BodyReader
from homeostat.serving.http.content_encoding import GzipDecoder, body_decoder
from homeostat.serving.scoring_request import BadRequest
from serving.gateway_harness import TOKEN, make_gateway_fixture, serving

ROWS = {"dataframe_records": [{"a": 1, "b": 0, "colour": "red"}]}
BODY = json.dumps(ROWS).encode()
LIMIT = 100_000


def cut(data, size):
    return [data[at : at + size] for at in range(0, len(data), size)] or [b""]


def read(pieces, headers=None, *, max_body_bytes=LIMIT, max_held_bytes=10 * LIMIT):
    """Read a body that arrives in these pieces; return it and the reader."""
    reader = BodyReader(max_body_bytes, max_held_bytes)
    messages = [
        {"type": "http.request", "body": piece, "more_body": at < len(pieces) - 1}
        for at, piece in enumerate(pieces)
    ]

    async def receive():
        return messages.pop(0)

    try:
        return asyncio.run(reader.read(headers or {b"content-encoding": b"gzip"}, receive))
    finally:
        assert reader.held_bytes == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=3000), min_size=1, max_size=5), st.integers(1, 500), st.integers(0, 9))
def test_a_body_is_what_was_compressed_however_it_arrives(parts, size, level):
    sent = b"".join(gzip.compress(part, level) for part in parts)
    assert read(cut(sent, size)) == b"".join(parts)


@pytest.mark.parametrize("pieces", [1, 7, 100])
def test_the_limit_holds_for_the_decompressed_body_exactly(pieces):
    for size, fits in ((LIMIT, True), (LIMIT + 1, False)):
        sent = gzip.compress(b" " * size)
        sent = cut(sent, -(-len(sent) // pieces))
        if fits:
            assert len(read(sent)) == size
        else:
            with pytest.raises(BadRequest, match="decompressed body is larger than 100000 bytes") as refused:
                read(sent)
            assert refused.value.status == 413


def test_a_bomb_is_not_decompressed_beyond_the_limit():
    compressor = zlib.compressobj(9, wbits=31)
    bomb = b"".join(compressor.compress(bytes(2**20)) for _ in range(200)) + compressor.flush()
    assert len(bomb) < 2**18
    for size in (len(bomb), 1000):
        tracemalloc.start()
        try:
            with pytest.raises(BadRequest, match="decompressed body is larger"):
                read(cut(bomb, size), max_body_bytes=2**20)
            assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
        finally:
            tracemalloc.stop()


def test_many_empty_members_and_empty_blocks_are_refused():
    with pytest.raises(BadRequest, match="more than 100 gzip members") as refused:
        read([gzip.compress(b"") * 1000])
    assert refused.value.status == 400
    compressor = zlib.compressobj(wbits=31)
    blocks = b"".join(compressor.flush(zlib.Z_FULL_FLUSH) or b"" for _ in range(10))
    empty = zlib.compressobj(wbits=31)
    sent = empty.flush(zlib.Z_FULL_FLUSH) + b"\x00\x00\x00\xff\xff" * LIMIT + blocks
    with pytest.raises(BadRequest, match="larger than 100000 bytes") as refused:
        read(cut(sent, 4096))
    assert refused.value.status == 413, "the limit holds for the bytes that were sent, too"


@pytest.mark.parametrize("cut_off", [1, 8, 15])
def test_a_body_that_ends_early_is_an_error(cut_off):
    with pytest.raises(BadRequest, match="ends before its gzip data does"):
        read([gzip.compress(BODY)[:-cut_off]])


NOT_GZIP = {
    "plain": BODY,
    "only the first two bytes": b"\x1f\x8b",
    "empty": b"",
    "more behind the end": gzip.compress(BODY) + b"more",
    "zlib": zlib.compress(BODY),
}


# The names are ids that do not depend on the time in a gzip header: every test process must collect the same.
@pytest.mark.parametrize("sent", NOT_GZIP.values(), ids=NOT_GZIP)
def test_what_is_not_gzip_is_an_error_that_says_so(sent):
    with pytest.raises(BadRequest, match="gzip") as refused:
        read([sent])
    assert refused.value.status == 400


def test_a_wrong_checksum_is_an_error():
    sent = bytearray(gzip.compress(BODY))
    sent[-5] ^= 1
    with pytest.raises(BadRequest, match="not valid gzip"):
        read([bytes(sent)])


@pytest.mark.parametrize("name", [b"gzip", b"GZIP", b"x-gzip", b" gzip ", b"identity, gzip", b"gzip,"])
def test_gzip_is_known_by_its_names(name):
    assert isinstance(body_decoder({b"content-encoding": name}, 9), GzipDecoder)


@pytest.mark.parametrize("name", [b"", b"identity", b"Identity , "])
def test_a_body_that_is_not_compressed_needs_no_decoder(name):
    assert body_decoder({b"content-encoding": name}, 9) is None
    assert body_decoder({}, 9) is None


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    setup = make_gateway_fixture(tmp_path_factory.mktemp("encoding"))
    setup.begin(setup.version())
    with serving(setup, max_body_bytes=LIMIT) as client:
        client.ready()
        yield client


INFER = {
    "inputs": [
        {"name": "a", "shape": [1], "datatype": "FP64", "data": [1]},
        {"name": "b", "shape": [1], "datatype": "FP64", "data": [0]},
        {"name": "colour", "shape": [1], "datatype": "BYTES", "data": ["red"]},
    ]
}


@pytest.mark.parametrize(
    ("path", "body", "kind"),
    [
        ("/models/pump/invocations", BODY, "application/json"),
        ("/invocations", b"a,b,colour\n1,0,red\n", "text/csv"),
        ("/v2/models/pump/infer", json.dumps(INFER).encode(), "application/json"),
        (
            "/models/pump/labels",
            json.dumps({"labels": [{"id": "no-such", "label": 1}]}).encode(),
            "application/json",
        ),
    ],
)
def test_every_protocol_answers_a_compressed_body_like_a_plain_one(served, path, body, kind):
    headers = {"content-type": kind, "x-request-id": "same"}
    plain = served.http.post(path, content=body, headers=headers)
    packed = served.http.post(
        path, content=gzip.compress(body), headers=headers | {"content-encoding": "gzip"}
    )
    assert plain.status_code == packed.status_code == 200, packed.text
    if "labels" not in path:
        assert packed.json() == plain.json()


@pytest.mark.parametrize("name", ["deflate", "br", "zstd", "gzip, gzip", "compress", "nonsense"])
def test_other_encodings_are_415_in_a_sentence(served, name):
    for path in ("/models/pump/invocations", "/v2/models/pump/infer", "/models/pump/labels"):
        found = served.http.post(path, content=BODY, headers={"content-encoding": name})
        assert (found.status_code, found.json()["error_code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")
        assert "Send the body with 'Content-Encoding: gzip', or without" in found.json()["message"]
    control = served.http.post(
        "/control/flush",
        content=b"{}",
        headers={"content-encoding": name, "Authorization": f"Bearer {TOKEN}"},
    )
    assert control.status_code == 415
    assert "without compression" in control.json()["message"]


def test_a_bomb_is_413_and_the_next_request_is_answered(served):
    bomb = gzip.compress(bytes(50 * 2**20), 9)
    found = served.http.post(
        "/invocations", content=bomb, headers={"content-encoding": "gzip", "content-type": "application/json"}
    )
    assert found.status_code == 413
    assert "decompressed body is larger than 100000 bytes" in found.json()["message"]
    assert served.score().status_code == 200
