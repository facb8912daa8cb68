"""Bytes that are not a profile are refused with a sentence."""

from __future__ import annotations

import contextlib

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.config.errors import DataError
from homeostat.profile import Frames, Profile, Reference, codec

REFERENCE = Reference.of(pd.DataFrame({"x": [1.0, 2.0], "c": ["a", None]}), {"x": "number", "c": "category"})
BYTES = REFERENCE.to_bytes()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "do not begin with"),
        (b"\x80\x04.", "do not begin with"),
        (BYTES.replace(b" 1 ", b" 9 ", 1), "format 9, this release reads 1"),
        (BYTES[:-10], "damaged|cut short"),
        (REFERENCE.frames.to_bytes(), "expected a reference, found a frames"),
        (codec.pack("reference", {}), "not the frames"),
        (codec.pack("reference", [1]), "cut short|damaged"),
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


def test_a_bomb_is_not_unpacked(monkeypatch):
    monkeypatch.setattr(codec, "MAX_BYTES", 1000)
    with pytest.raises(DataError, match="larger than"):
        codec.unpack("frames", codec.pack("frames", {"features": "0" * 100_000}))


def test_a_profile_of_other_frames_or_with_impossible_counts_is_refused():
    other = Frames({})
    with pytest.raises(DataError, match="counted on frames"):
        Profile.from_bytes(REFERENCE.profile.to_bytes(), other)
    body = REFERENCE.profile.to_body()
    for damage in (
        {"rows": 5},
        {"features": {}},
        {"features": body["features"] | {"x": [-1, 0, 0, 0, 0, 0, 3]}},
    ):
        with pytest.raises(DataError):
            Profile.from_body(body | damage, REFERENCE.frames)
