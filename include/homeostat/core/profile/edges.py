"""Profile edges: where a profile counts. Fitted once on the reference, never changed afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Literal

from homeostat.config.errors import DataError
from homeostat.config.label_text import FIRST_SPELLING, SPELLING, known_spelling
from homeostat.core.profile import codec

FeatureKind = Literal["number", "category"]


@dataclass(frozen=True, slots=True)
class NumberEdges:
    """Cut points c1 < c2 < ... < cN, which make 2N + 1 slots.

    Slot ``2i`` is the open interval below cut point i, slot ``2i + 1`` the cut point itself, the last slot
    the open interval above. The outer slots are unbounded: infinities fall into them, and no value falls
    outside. ``complete`` means that every distinct finite value of the reference is a cut point. Cut points
    that are integers compare exactly beyond 2^53; stored ones are floats.
    """

    cut_points: tuple[float, ...]
    complete: bool

    @property
    def exact(self) -> bool:
        """Whether the cut points are integers."""
        return bool(self.cut_points) and all(isinstance(cut, int) for cut in self.cut_points)

    @property
    def kind(self) -> FeatureKind:
        """Always ``"number"``."""
        return "number"

    @property
    def size(self) -> int:
        """Number of slots."""
        return 2 * len(self.cut_points) + 1


@dataclass(frozen=True, slots=True)
class CategoryEdges:
    """The reference's most frequent labels, one slot each, and a last slot for the rest.

    ``rest`` holds 32-bit hashes of the reference's other labels, which distinguishes rare values from
    unseen ones. When there are too many to keep their hashes, ``open`` is True: every label that is not
    in ``labels`` then counts as rest, and no value counts as unseen. ``spelling`` are the rules of
    :func:`~homeostat.config.label_text.label_text` under which the labels were spelled, and every later value
    is.
    """

    labels: tuple[str, ...]
    rest: tuple[int, ...] = ()
    open: bool = False
    spelling: int = SPELLING

    @property
    def kind(self) -> FeatureKind:
        """Always ``"category"``."""
        return "category"

    @property
    def size(self) -> int:
        """Number of slots."""
        return len(self.labels) + 1


FeatureEdges = NumberEdges | CategoryEdges


@dataclass(frozen=True, slots=True, eq=False)
class ProfileEdges:
    """The edges of every feature, and the digest that identifies them."""

    features: Mapping[str, FeatureEdges]
    _digest: str = field(default="", init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "features", MappingProxyType(dict(self.features)))

    @property
    def digest(self) -> str:
        """The digest of all edges; computed once, when it is asked for."""
        if not self._digest:
            object.__setattr__(self, "_digest", codec.digest(self.to_body()))
        return self._digest

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, ProfileEdges) and self.digest == other.digest)

    def __hash__(self) -> int:
        return hash(self.digest)

    def __reduce__(self) -> tuple[Any, ...]:
        return ProfileEdges, (dict(self.features),)

    def to_body(self) -> dict[str, Any]:
        """Return plain JSON; floats keep every bit."""
        return {"features": [[name, _to_body(edges)] for name, edges in self.features.items()]}

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> ProfileEdges:
        """Read what :meth:`to_body` wrote; raise DataError for anything else."""
        try:
            return cls({str(name): _from_body(raw) for name, raw in body["features"]})
        except (KeyError, TypeError, ValueError) as error:
            msg = f"these are not the edges of a profile: {error!r}"
            raise DataError(msg) from None

    def to_bytes(self) -> bytes:
        """Return compact, versioned bytes; at most a few KB per feature."""
        return codec.pack(codec.EDGES, self.to_body())

    @classmethod
    def from_bytes(cls, data: bytes) -> ProfileEdges:
        """Read what :meth:`to_bytes` wrote; raise DataError for anything else."""
        return cls.from_body(codec.unpack(codec.EDGES, data))


def _to_body(edges: FeatureEdges) -> dict[str, Any]:
    if isinstance(edges, NumberEdges):
        return {"kind": "number", "edges": list(edges.cut_points), "complete": edges.complete}
    body = {
        "kind": "category",
        "labels": list(edges.labels),
        "rest": "".join(f"{item:08x}" for item in edges.rest),
        "open": edges.open,
    }
    # Release 0.1 wrote no spelling, and digests cover the body.
    return body if edges.spelling == FIRST_SPELLING else body | {"spelling": edges.spelling}


def _from_body(raw: Mapping[str, Any]) -> FeatureEdges:
    if raw["kind"] == "number":
        cut_points = tuple(float(cut) for cut in raw["edges"])
        if any(not low < high for low, high in pairwise(cut_points)):
            msg = "edges must rise"
            raise ValueError(msg)
        return NumberEdges(cut_points, bool(raw["complete"]))
    text = raw["rest"]
    rest = tuple(int(text[at : at + 8], 16) for at in range(0, len(text), 8))
    labels, spelling = tuple(str(label) for label in raw["labels"]), known_spelling(raw)
    return CategoryEdges(labels, rest, bool(raw["open"]), spelling)
