"""Frozen edges: where a profile counts. Taken once from the reference, never changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Literal

from homeostat.config.errors import DataError
from homeostat.core.profile import codec

Kind = Literal["number", "category"]


@dataclass(frozen=True, slots=True)
class NumberFrame:
    """Edges e1 < e2 < ... < eE, and with them 2E + 1 slots.

    Slot ``2i`` is the open interval below edge i, slot ``2i + 1`` the edge itself, the last slot the
    open interval above. The outer ones are open: infinities fall into them and nothing falls outside.
    ``complete`` says that every distinct finite value of the reference is an edge.
    """

    edges: tuple[float, ...]
    complete: bool

    @property
    def kind(self) -> Kind:
        """Always ``"number"``."""
        return "number"

    @property
    def size(self) -> int:
        """Length of the count vector."""
        return 2 * len(self.edges) + 1


@dataclass(frozen=True, slots=True)
class CategoryFrame:
    """The reference's most frequent labels, one slot each, and a last slot for the rest.

    ``rest`` holds 32-bit hashes of the reference's other labels, so that a value never seen is told
    from a rare one. When there were too many even for that, ``open`` is True: then whatever is not
    among ``labels`` counts as rest, and nothing can be called unseen.
    """

    labels: tuple[str, ...]
    rest: tuple[int, ...] = ()
    open: bool = False

    @property
    def kind(self) -> Kind:
        """Always ``"category"``."""
        return "category"

    @property
    def size(self) -> int:
        """Length of the count vector."""
        return len(self.labels) + 1


FeatureFrame = NumberFrame | CategoryFrame


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """The frozen edges of every feature, and the digest that names them."""

    features: Mapping[str, FeatureFrame]
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "features", MappingProxyType(dict(self.features)))
        object.__setattr__(self, "digest", codec.digest(self.to_body()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Frames) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __reduce__(self) -> tuple[Any, ...]:
        return Frames, (dict(self.features),)

    def to_body(self) -> dict[str, Any]:
        """Plain JSON; floats keep every bit."""
        return {"features": [[name, _body(frame)] for name, frame in self.features.items()]}

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Frames:
        """Read what :meth:`to_body` wrote; DataError when it is something else."""
        try:
            return cls({str(name): _frame(raw) for name, raw in body["features"]})
        except (KeyError, TypeError, ValueError) as error:
            msg = f"these are not the frames of a profile: {error!r}"
            raise DataError(msg) from None

    def to_bytes(self) -> bytes:
        """Compact and versioned; at most a few KB a feature."""
        return codec.pack("frames", self.to_body())

    @classmethod
    def from_bytes(cls, data: bytes) -> Frames:
        """Read what :meth:`to_bytes` wrote; DataError for anything else."""
        return cls.from_body(codec.unpack("frames", data))


def _body(frame: FeatureFrame) -> dict[str, Any]:
    if isinstance(frame, NumberFrame):
        return {"kind": "number", "edges": list(frame.edges), "complete": frame.complete}
    return {
        "kind": "category",
        "labels": list(frame.labels),
        "rest": "".join(f"{item:08x}" for item in frame.rest),
        "open": frame.open,
    }


def _frame(raw: Mapping[str, Any]) -> FeatureFrame:
    if raw["kind"] == "number":
        edges = tuple(float(edge) for edge in raw["edges"])
        if any(not low < high for low, high in pairwise(edges)):
            msg = "edges must rise"
            raise ValueError(msg)
        return NumberFrame(edges, bool(raw["complete"]))
    text = raw["rest"]
    rest = tuple(int(text[at : at + 8], 16) for at in range(0, len(text), 8))
    return CategoryFrame(tuple(str(label) for label in raw["labels"]), rest, bool(raw["open"]))
