"""Profiles: integer counts on frozen edges, which add up exactly and in any order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from homeostat.config.errors import DataError
from homeostat.core.profile import codec
from homeostat.core.profile.coerce import Ints
from homeostat.core.profile.edges import FeatureFrame, Frames, Kind


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """One feature's rows: ``slots[i]`` in slot i of its frame, and the two that no slot holds.

    ``missing`` rows have no value. ``unseen`` rows have one that the reference cannot place: a
    category that never occurred there, or something in a number's column that is no number.
    """

    frame: FeatureFrame
    slots: Ints
    missing: int = 0
    unseen: int = 0

    def __post_init__(self) -> None:
        if self.slots.shape != (self.frame.size,):
            msg = f"expected {self.frame.size} slots, found {self.slots.shape}"
            raise ValueError(msg)
        self.slots.setflags(write=False)

    @property
    def kind(self) -> Kind:
        """``"number"`` or ``"category"``."""
        return self.frame.kind

    @property
    def placed(self) -> int:
        """Rows whose value has a slot: neither missing nor unseen."""
        return int(self.slots.sum())

    @property
    def rows(self) -> int:
        """All rows."""
        return self.placed + self.missing + self.unseen

    @property
    def missing_rate(self) -> float | None:
        """Share of rows without a value; None without rows."""
        return self.missing / self.rows if self.rows else None

    @property
    def unseen_share(self) -> float | None:
        """Share of unseen values among the rows that have one; None when there is none."""
        there = self.placed + self.unseen
        return self.unseen / there if there else None

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.frame, self.slots + other.slots, self.missing + other.missing, self.unseen + other.unseen
        )

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Counts)
            and (self.frame, self.missing, self.unseen) == (other.frame, other.missing, other.unseen)
            and bool(np.array_equal(self.slots, other.slots))
        )

    __hash__ = None  # type: ignore[assignment]  # holds an array


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """Counts of every feature over the same rows, on the same frames.

    ``a + b`` is the profile of both sets of rows; it raises ValueError when their frames differ.
    """

    frames: Frames
    rows: int
    features: Mapping[str, Counts]

    def __post_init__(self) -> None:
        object.__setattr__(self, "features", MappingProxyType(dict(self.features)))

    @classmethod
    def empty(cls, frames: Frames) -> Profile:
        """No rows yet; adding it changes nothing."""
        return cls(
            frames,
            0,
            {name: Counts(frame, np.zeros(frame.size, np.int64)) for name, frame in frames.features.items()},
        )

    def __add__(self, other: Profile) -> Profile:
        if not isinstance(other, Profile):
            return NotImplemented
        if self.frames != other.frames:
            msg = (
                f"profiles on different frames do not add up: {self.frames.digest[:12]} and "
                f"{other.frames.digest[:12]}; count the rows again on one of them"
            )
            raise ValueError(msg)
        return Profile(
            self.frames,
            self.rows + other.rows,
            {name: counts + other.features[name] for name, counts in self.features.items()},
        )

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Profile)
            and self.frames == other.frames
            and self.rows == other.rows
            and dict(self.features) == dict(other.features)
        )

    __hash__ = None  # type: ignore[assignment]  # holds arrays

    def __reduce__(self) -> tuple[Any, ...]:
        return Profile, (self.frames, self.rows, dict(self.features))

    def to_body(self) -> dict[str, Any]:
        """Plain JSON with the digest of the frames, which are kept once and not with every hour."""
        return {
            "frames": self.frames.digest,
            "rows": self.rows,
            "features": {
                name: [counts.missing, counts.unseen, *counts.slots.tolist()]
                for name, counts in self.features.items()
            },
        }

    @classmethod
    def from_body(cls, body: Mapping[str, Any], frames: Frames) -> Profile:
        """Read what :meth:`to_body` wrote; DataError when it does not belong to these frames."""
        try:
            _same(body["frames"], frames)
            features = {
                name: _counts(frame, body["features"][name]) for name, frame in frames.features.items()
            }
            rows = int(body["rows"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            msg = f"this is not a profile on these frames: {error!r}"
            raise DataError(msg) from None
        return cls._even(frames, rows, features)

    def to_array(self) -> Ints:
        """All counts in a row: the rows, then each feature's missing, unseen and slots, in the frames' order.

        Arrays on the same frames add up as their profiles do. Shape: see :func:`length_of`.
        """
        parts = [np.array([self.rows], np.int64)]
        for name in self.frames.features:
            counts = self.features[name]
            parts += [np.array([counts.missing, counts.unseen], np.int64), counts.slots]
        return np.concatenate(parts)

    @classmethod
    def from_array(cls, array: Ints, frames: Frames) -> Profile:
        """Read what :meth:`to_array` gave; DataError when it cannot be counts on these frames."""
        if array.shape != (length_of(frames),) or (array < 0).any():
            msg = f"this is not a profile on these frames: expected {length_of(frames)} counts from 0 up"
            raise DataError(msg)
        features, at = {}, 1
        for name, frame in frames.features.items():
            missing, unseen = array[at : at + 2].tolist()
            features[name] = Counts(frame, array[at + 2 : at + 2 + frame.size].copy(), missing, unseen)
            at += 2 + frame.size
        return cls._even(frames, int(array[0]), features)

    @classmethod
    def _even(cls, frames: Frames, rows: int, features: Mapping[str, Counts]) -> Profile:
        """Every feature counts the same rows, or it is no profile."""
        for name, counts in features.items():
            if counts.rows != rows:
                msg = f"profile says {rows} rows, but {name!r} counts {counts.rows}"
                raise DataError(msg)
        return cls(frames, rows, features)

    def to_bytes(self) -> bytes:
        """Compact and versioned; the frames are not in it, only their digest."""
        return codec.pack_counts("profile", {"frames": self.frames.digest}, self.to_array())

    @classmethod
    def from_bytes(cls, data: bytes, frames: Frames) -> Profile:
        """Read what :meth:`to_bytes` wrote, in this release or before.

        Raises
        ------
        DataError
            Anything else, or a profile on other frames.
        """
        if codec.version_of("profile", data) == "1":
            return cls.from_body(codec.unpack("profile", data), frames)
        head, array = codec.unpack_counts("profile", data)
        _same(head.get("frames"), frames)
        return cls.from_array(array, frames)


def length_of(frames: Frames) -> int:
    """How many integers :meth:`Profile.to_array` gives on these frames."""
    return 1 + sum(2 + frame.size for frame in frames.features.values())


def _same(digest: object, frames: Frames) -> None:
    if digest != frames.digest:
        msg = f"counted on frames {str(digest)[:12]}, not on {frames.digest[:12]}"
        raise DataError(msg)


def _counts(frame: FeatureFrame, raw: list[int]) -> Counts:
    values = np.array(raw, dtype=np.int64)
    if values.shape != (frame.size + 2,) or (values < 0).any():
        msg = f"expected {frame.size + 2} counts from 0 up"
        raise ValueError(msg)
    return Counts(frame, values[2:].copy(), int(values[0]), int(values[1]))
