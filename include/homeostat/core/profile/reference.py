"""A version's reference: the frames, and what its holdout looked like on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from homeostat.config.errors import DataError
from homeostat.core.profile import codec
from homeostat.core.profile.coerce import Ints
from homeostat.core.profile.counting import count
from homeostat.core.profile.edges import Frames, Kind
from homeostat.core.profile.fit_edges import freeze
from homeostat.core.profile.histogram import Profile
from homeostat.core.profile.outcomes import Outcomes
from homeostat.core.profile.season import Season


@dataclass(frozen=True, slots=True)
class Reference:
    """What a version was used to: moves with the version, both ways.

    ``season`` is there where the model asks for one, ``outcomes`` (on the frame of ``confidence``) where
    the holdout's truth and the answers' confidence were known.
    """

    frames: Frames
    profile: Profile
    season: Season | None = None
    outcomes: Outcomes | None = None

    @classmethod
    def of(
        cls,
        frame: pd.DataFrame,
        kinds: Mapping[str, Kind],
        *,
        max_edges: int = 128,
        max_categories: int = 100,
    ) -> Reference:
        """Freeze and count in one go; see :func:`~homeostat.core.profile.fit_edges.freeze`."""
        frames = freeze(frame, kinds, max_edges=max_edges, max_categories=max_categories)
        return cls(frames, count(frames, frame))

    def against(self, per_slot: Ints | None) -> Profile:
        """What a window is to be compared with: the season in its composition, or the whole reference.

        Parameters
        ----------
        per_slot
            The window's rows per slot of the season, see :meth:`Season.against`; None or no rows at all
            give the whole reference.
        """
        if self.season is None or per_slot is None or not per_slot.any():
            return self.profile
        return self.season.against(self.frames, per_slot)

    @property
    def digest(self) -> str:
        """SHA-256 over frames and counts, in hex."""
        return codec.digest([self.frames.to_body(), self.profile.to_body(), *self._more().values()])

    def to_bytes(self) -> bytes:
        """Compact and versioned: at most 8 KB a feature, without a season."""
        body = {"frames": self.frames.to_body(), "profile": self.profile.to_body()}
        return codec.pack("reference", body | self._more())

    def _more(self) -> dict[str, Any]:
        """What not every reference has; releases that do not know it pass over it."""
        parts = {"season": self.season, "outcomes": self.outcomes}
        return {name: part.to_body() for name, part in parts.items() if part is not None}

    @classmethod
    def from_bytes(cls, data: bytes) -> Reference:
        """Read what :meth:`to_bytes` wrote, in this release or before; DataError for anything else."""
        body = codec.unpack("reference", data)
        frames = Frames.from_body(body.get("frames", {}))
        profile = Profile.from_body(body.get("profile", {}), frames)
        season, outcomes = body.get("season"), body.get("outcomes")
        if outcomes is not None and "confidence" not in frames.features:
            msg = "this reference counts outcomes by a confidence that its frames do not have"
            raise DataError(msg)
        return cls(
            frames,
            profile,
            None if season is None else Season.from_body(season, frames),
            None if outcomes is None else Outcomes.from_body(outcomes, frames.features["confidence"]),
        )
