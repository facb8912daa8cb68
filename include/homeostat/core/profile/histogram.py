"""Profiles: integer counts on fixed edges, which add up exactly and in any order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from homeostat.config.errors import DataError
from homeostat.core.profile import codec
from homeostat.core.profile.coerce import Ints
from homeostat.core.profile.edges import FeatureEdges, FeatureKind, ProfileEdges

# The key of the edges' digest in stored profiles, as release 0.1 wrote it: digests of references cover it.
_EDGES_KEY = "frames"


@dataclass(frozen=True, slots=True, eq=False)
class FeatureCounts:
    """One feature's rows: ``slots[i]`` in slot i of its edges, and those without a slot.

    ``missing`` rows have no value. ``unseen`` rows have a value that the edges cannot place: a category
    that the reference lacks, or a value in a number's column that is not a number.
    """

    edges: FeatureEdges
    slots: Ints
    missing: int = 0
    unseen: int = 0

    def __post_init__(self) -> None:
        if self.slots.shape != (self.edges.size,):
            msg = f"expected {self.edges.size} slots, found {self.slots.shape}"
            raise ValueError(msg)
        self.slots.setflags(write=False)

    @classmethod
    def empty(cls, edges: FeatureEdges) -> FeatureCounts:
        """Return the counts of no rows."""
        return cls(edges, np.zeros(edges.size, dtype=np.int64))

    @property
    def kind(self) -> FeatureKind:
        """``"number"`` or ``"category"``."""
        return self.edges.kind

    @property
    def binned(self) -> int:
        """Rows whose value has a slot: neither missing nor unseen."""
        return int(self.slots.sum())

    @property
    def rows(self) -> int:
        """All rows."""
        return self.binned + self.missing + self.unseen

    @property
    def missing_rate(self) -> float | None:
        """Share of rows without a value; None without rows."""
        return self.missing / self.rows if self.rows else None

    @property
    def unseen_share(self) -> float | None:
        """Share of unseen values among the rows with a value; None when no row has one."""
        present = self.binned + self.unseen
        return self.unseen / present if present else None

    def __add__(self, other: FeatureCounts) -> FeatureCounts:
        return FeatureCounts(
            self.edges, self.slots + other.slots, self.missing + other.missing, self.unseen + other.unseen
        )

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, FeatureCounts)
            and (self.edges, self.missing, self.unseen) == (other.edges, other.missing, other.unseen)
            and bool(np.array_equal(self.slots, other.slots))
        )

    __hash__ = None  # type: ignore[assignment]  # holds an array

    def to_body(self) -> list[int]:
        """Return missing, unseen, then each slot."""
        return [self.missing, self.unseen, *self.slots.tolist()]

    @classmethod
    def from_body(cls, raw: list[int], edges: FeatureEdges) -> FeatureCounts:
        """Read what :meth:`to_body` returned; raise ValueError when it does not fit these edges."""
        values = np.array(raw, dtype=np.int64)
        if values.shape != (edges.size + 2,) or (values < 0).any():
            msg = f"expected {edges.size + 2} counts, none negative"
            raise ValueError(msg)
        return cls(edges, values[2:].copy(), int(values[0]), int(values[1]))


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """Counts of every feature over the same rows, on the same edges.

    ``a + b`` is the profile of both sets of rows; it raises ValueError when their edges differ.
    """

    edges: ProfileEdges
    rows: int
    features: Mapping[str, FeatureCounts]

    def __post_init__(self) -> None:
        object.__setattr__(self, "features", MappingProxyType(dict(self.features)))

    @classmethod
    def empty(cls, edges: ProfileEdges) -> Profile:
        """Return the profile of no rows; adding it changes nothing."""
        return cls(edges, 0, {name: FeatureCounts.empty(each) for name, each in edges.features.items()})

    def __add__(self, other: Profile) -> Profile:
        if not isinstance(other, Profile):
            return NotImplemented
        if self.edges != other.edges:
            msg = (
                f"cannot add profiles on different edges ({self.edges.digest[:12]} and "
                f"{other.edges.digest[:12]}): count the rows again on one of them"
            )
            raise ValueError(msg)
        return Profile(
            self.edges,
            self.rows + other.rows,
            {name: counts + other.features[name] for name, counts in self.features.items()},
        )

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Profile)
            and self.edges == other.edges
            and self.rows == other.rows
            and dict(self.features) == dict(other.features)
        )

    __hash__ = None  # type: ignore[assignment]  # holds arrays

    def __reduce__(self) -> tuple[Any, ...]:
        return Profile, (self.edges, self.rows, dict(self.features))

    def to_body(self) -> dict[str, Any]:
        """Return plain JSON with the digest of the edges; the edges are stored once, not with every hour."""
        return {
            _EDGES_KEY: self.edges.digest,
            "rows": self.rows,
            "features": {name: counts.to_body() for name, counts in self.features.items()},
        }

    @classmethod
    def from_body(cls, body: Mapping[str, Any], edges: ProfileEdges) -> Profile:
        """Read what :meth:`to_body` wrote; raise DataError when it was not counted on these edges."""
        try:
            _require_digest(body[_EDGES_KEY], edges)
            features = {
                name: FeatureCounts.from_body(body["features"][name], each)
                for name, each in edges.features.items()
            }
            rows = int(body["rows"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            msg = f"this is not a profile on these edges: {error!r}"
            raise DataError(msg) from None
        return cls._validated(edges, rows, features)

    def to_array(self) -> Ints:
        """Return all counts: the rows, then each feature's missing, unseen and slots, in the edges' order.

        Arrays on the same edges add up as their profiles do. Shape: (:func:`array_length`,).
        """
        parts = [np.array([self.rows], np.int64)]
        for name in self.edges.features:
            counts = self.features[name]
            parts += [np.array([counts.missing, counts.unseen], np.int64), counts.slots]
        return np.concatenate(parts)

    @classmethod
    def from_array(cls, array: Ints, edges: ProfileEdges) -> Profile:
        """Read what :meth:`to_array` returned; raise DataError when it does not fit these edges."""
        if array.shape != (array_length(edges),) or (array < 0).any():
            msg = (
                f"this is not a profile on these edges: expected {array_length(edges)} counts, none negative"
            )
            raise DataError(msg)
        features, at = {}, 1
        for name, each in edges.features.items():
            missing, unseen = array[at : at + 2].tolist()
            features[name] = FeatureCounts(each, array[at + 2 : at + 2 + each.size].copy(), missing, unseen)
            at += 2 + each.size
        return cls._validated(edges, int(array[0]), features)

    @classmethod
    def _validated(cls, edges: ProfileEdges, rows: int, features: Mapping[str, FeatureCounts]) -> Profile:
        """Return the profile; raise DataError unless every feature counts the same rows."""
        for name, counts in features.items():
            if counts.rows != rows:
                msg = f"the profile has {rows} rows, but feature {name!r} counts {counts.rows}"
                raise DataError(msg)
        return cls(edges, rows, features)

    def to_bytes(self) -> bytes:
        """Return compact, versioned bytes; they hold the digest of the edges, not the edges."""
        return codec.pack_counts("profile", {_EDGES_KEY: self.edges.digest}, self.to_array())

    @classmethod
    def from_bytes(cls, data: bytes, edges: ProfileEdges) -> Profile:
        """Read what :meth:`to_bytes` wrote, in this release or an earlier one.

        Raises
        ------
        DataError
            Any other bytes, or a profile on other edges.
        """
        if codec.version_of("profile", data) == "1":
            return cls.from_body(codec.unpack("profile", data), edges)
        head, array = codec.unpack_counts("profile", data)
        _require_digest(head.get(_EDGES_KEY), edges)
        return cls.from_array(array, edges)


def array_length(edges: ProfileEdges) -> int:
    """Return how many integers :meth:`Profile.to_array` returns on these edges."""
    return 1 + sum(2 + each.size for each in edges.features.values())


def _require_digest(digest: object, edges: ProfileEdges) -> None:
    if digest != edges.digest:
        msg = f"counted on edges {str(digest)[:12]}, not on {edges.digest[:12]}"
        raise DataError(msg)
