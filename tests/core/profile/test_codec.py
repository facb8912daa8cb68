"""Bytes that are not a profile are refused with a message."""

from __future__ import annotations

import contextlib
import zlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.config.errors import DataError
from homeostat.core.profile import Profile, ProfileEdges, Reference, codec

REFERENCE = Reference.fit(pd.DataFrame({"x": [1.0, 2.0], "c": ["a", None]}), {"x": "number", "c": "category"})
BYTES = REFERENCE.to_bytes()
PROFILE = REFERENCE.profile.to_bytes()
DIGEST = {"frames": REFERENCE.edges.digest}
COUNTS = REFERENCE.profile.to_array()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "do not begin with"),
        (b"\x80\x04.", "do not begin with"),
        (BYTES.replace(b" 1 ", b" 9 ", 1), "format 9, this release reads 1"),
        (BYTES[:-10], "damaged|truncated"),
        (REFERENCE.edges.to_bytes(), "expected a reference, found a frames"),
        (codec.pack("reference", {}), "not the edges"),
        (codec.pack("reference", [1]), "truncated|damaged"),
    ],
)
def test_other_bytes_are_refused(data, says):
    with pytest.raises(DataError, match=says):
        Reference.from_bytes(data)


@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, len(BYTES) - 1), flip=st.integers(1, 255))
def test_a_flipped_byte_never_gives_another_reference(at, flip):
    data = bytearray(BYTES)
    data[at] ^= flip
    with contextlib.suppress(DataError):
        assert Reference.from_bytes(bytes(data)) == REFERENCE


def test_a_zip_bomb_is_not_unpacked(monkeypatch):
    monkeypatch.setattr(codec, "MAX_BYTES", 1000)
    with pytest.raises(DataError, match="larger than"):
        codec.unpack("frames", codec.pack("frames", {"features": "0" * 100_000}))


def test_a_profile_on_other_edges_or_with_impossible_counts_is_refused():
    other = ProfileEdges({})
    with pytest.raises(DataError, match="counted on edges"):
        Profile.from_bytes(REFERENCE.profile.to_bytes(), other)
    body = REFERENCE.profile.to_body()
    for damage in (
        {"rows": 5},
        {"features": {}},
        {"features": body["features"] | {"x": [-1, 0, 0, 0, 0, 0, 3]}},
    ):
        with pytest.raises(DataError):
            Profile.from_body(body | damage, REFERENCE.edges)


def test_a_profile_that_an_older_release_wrote_as_json_is_read():
    header, body = b"homeostat-profile 1 profile\n", codec.canonical(REFERENCE.profile.to_body())
    assert Profile.from_bytes(header + zlib.compress(body), REFERENCE.edges) == REFERENCE.profile


@pytest.mark.parametrize("largest", [0, 1, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**63 - 1])
def test_counts_of_any_size_survive_a_round_trip(largest):
    counts = np.array([0, largest, largest // 2], np.int64)
    head, again = codec.unpack_counts("profile", codec.pack_counts("profile", {"a": 1}, counts))
    assert head == {"a": 1}
    assert again.dtype == np.int64
    assert again.tolist() == counts.tolist()
    assert codec.unpack_counts("profile", codec.pack_counts("profile", {}, counts[:0]))[1].shape == (0,)


def packed(body):
    return b"homeostat-profile 2 profile\n" + zlib.compress(body)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "do not begin with"),
        (b"homeostat-profile 2 profile", "damaged|truncated"),
        (PROFILE.replace(b" 2 ", b" 9 ", 1), "format 9, this release reads 1 and 2"),
        (PROFILE.replace(b" profile\n", b" frames\n", 1), "expected a profile, found a frames"),
        (PROFILE[:-10], "damaged|truncated"),
        (packed(b""), "damaged"),
        (packed(b'["frames"]\n'), "truncated"),
        (packed(b'{"width":3}\n'), "counts of 3 bytes"),
        (packed(b'{"width":true}\n\1'), "counts of True bytes"),
        (packed(b'{"width":4}\n\1\2\3'), "counts of 4 bytes"),
        (codec.pack_counts("profile", {}, COUNTS), "counted on edges None"),
        (codec.pack_counts("profile", DIGEST, COUNTS[:-1]), f"expected {len(COUNTS)} counts"),
        (
            codec.pack_counts("profile", DIGEST, np.append(COUNTS[:-1], 2**63 - 1)),
            "feature '[cx]' counts",
        ),
        (packed(codec.canonical(DIGEST | {"width": 8}) + b"\n" + b"\xff" * 8 * len(COUNTS)), "none negative"),
    ],
)
def test_bytes_that_hold_no_counts_on_these_edges_are_refused(data, says):
    with pytest.raises(DataError, match=says):
        Profile.from_bytes(data, REFERENCE.edges)


@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, len(PROFILE) - 1), flip=st.integers(1, 255))
def test_a_flipped_byte_never_gives_another_profile(at, flip):
    data = bytearray(PROFILE)
    data[at] ^= flip
    with contextlib.suppress(DataError):
        assert Profile.from_bytes(bytes(data), REFERENCE.edges) == REFERENCE.profile


def test_a_zip_bomb_of_counts_is_not_unpacked(monkeypatch):
    monkeypatch.setattr(codec, "MAX_BYTES", 1000)
    with pytest.raises(DataError, match="larger than"):
        codec.unpack_counts("profile", codec.pack_counts("profile", {}, np.zeros(100_000, np.int64)))
