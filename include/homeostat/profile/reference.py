"""A version's reference: the frames, and what its holdout looked like on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from homeostat.profile import codec
from homeostat.profile.count import count
from homeostat.profile.counts import Profile
from homeostat.profile.frames import Frames, Kind
from homeostat.profile.freeze import freeze


@dataclass(frozen=True, slots=True)
class Reference:
    """What a version was used to: moves with the version, both ways."""

    frames: Frames
    profile: Profile

    @classmethod
    def of(
        cls,
        frame: pd.DataFrame,
        kinds: Mapping[str, Kind],
        *,
        max_edges: int = 128,
        max_categories: int = 100,
    ) -> Reference:
        """Freeze and count in one go; see :func:`~homeostat.profile.freeze.freeze`."""
        frames = freeze(frame, kinds, max_edges=max_edges, max_categories=max_categories)
        return cls(frames, count(frames, frame))

    @property
    def digest(self) -> str:
        """SHA-256 over frames and counts, in hex."""
        return codec.digest([self.frames.to_body(), self.profile.to_body()])

    def to_bytes(self) -> bytes:
        """Compact and versioned: at most 8 KB a feature."""
        return codec.pack("reference", {"frames": self.frames.to_body(), "profile": self.profile.to_body()})

    @classmethod
    def from_bytes(cls, data: bytes) -> Reference:
        """Read what :meth:`to_bytes` wrote; DataError for anything else."""
        body = codec.unpack("reference", data)
        frames = Frames.from_body(body.get("frames", {}))
        return cls(frames, Profile.from_body(body.get("profile", {}), frames))
