"""A version's reference: the edges, and the profile of its holdout on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from homeostat.config.errors import DataError
from homeostat.core.profile import codec
from homeostat.core.profile.calibration import CalibrationCounts
from homeostat.core.profile.coerce import Ints
from homeostat.core.profile.counting import count_dataframe
from homeostat.core.profile.edges import FeatureKind, ProfileEdges
from homeostat.core.profile.fit_edges import MAX_CATEGORIES, MAX_EDGES, fit_edges
from homeostat.core.profile.histogram import Profile
from homeostat.core.profile.season import Season
from homeostat.core.profile.slices import SliceReference

# Keys as release 0.1 wrote them: digests of references cover them.
_EDGES_KEY, _SEASON_KEY, _CALIBRATION_KEY = "frames", "season", "outcomes"
_SLICES_KEY = "slices"


@dataclass(frozen=True, slots=True)
class Reference:
    """What a version's data looked like; it moves with the version, on promotion and on rollback.

    ``season`` is there when ``monitor.season`` is set. ``calibration`` (on the edges of ``confidence``)
    is there when the holdout's labels and the predictions' confidence were known, ``slices`` when
    ``monitor.slices`` lists any.
    """

    edges: ProfileEdges
    profile: Profile
    season: Season | None = None
    calibration: CalibrationCounts | None = None
    slices: SliceReference | None = None

    @classmethod
    def fit(
        cls,
        frame: pd.DataFrame,
        kinds: Mapping[str, FeatureKind],
        *,
        max_edges: int = MAX_EDGES,
        max_categories: int = MAX_CATEGORIES,
    ) -> Reference:
        """Fit the edges and count the rows; see :func:`~homeostat.core.profile.fit_edges.fit_edges`."""
        edges = fit_edges(frame, kinds, max_edges=max_edges, max_categories=max_categories)
        return cls(edges, count_dataframe(edges, frame))

    def for_window(self, rows_per_slot: Ints | None) -> Profile:
        """Return the profile to compare a window with.

        Parameters
        ----------
        rows_per_slot
            The window's rows per slot of the season, see :meth:`Season.reweight`. With a season the
            result is reweighted to them; without a season, for None or for no rows it is the whole
            reference.
        """
        if self.season is None or rows_per_slot is None or not rows_per_slot.any():
            return self.profile
        return self.season.reweight(self.edges, rows_per_slot)

    @property
    def digest(self) -> str:
        """SHA-256 over edges and counts, in hex."""
        return codec.digest([self.edges.to_body(), self.profile.to_body(), *self._optional_parts().values()])

    def to_bytes(self) -> bytes:
        """Return compact, versioned bytes: at most 8 KB per feature, without a season."""
        body = {_EDGES_KEY: self.edges.to_body(), "profile": self.profile.to_body()}
        return codec.pack("reference", body | self._optional_parts())

    def _optional_parts(self) -> dict[str, Any]:
        """Return the parts that some references lack; releases that do not know them ignore them."""
        parts = {_SEASON_KEY: self.season, _CALIBRATION_KEY: self.calibration, _SLICES_KEY: self.slices}
        return {name: part.to_body() for name, part in parts.items() if part is not None}

    @classmethod
    def from_bytes(cls, data: bytes) -> Reference:
        """Read what :meth:`to_bytes` wrote, now or in an earlier release; DataError for anything else."""
        body = codec.unpack("reference", data)
        edges = ProfileEdges.from_body(body.get(_EDGES_KEY, {}))
        profile = Profile.from_body(body.get("profile", {}), edges)
        season, calibration, slices = (body.get(k) for k in (_SEASON_KEY, _CALIBRATION_KEY, _SLICES_KEY))
        if calibration is not None and "confidence" not in edges.features:
            msg = "this reference has calibration counts, but no edges for the confidence"
            raise DataError(msg)
        return cls(
            edges,
            profile,
            None if season is None else Season.from_body(season, edges),
            None
            if calibration is None
            else CalibrationCounts.from_body(calibration, edges.features["confidence"]),
            None if slices is None else SliceReference.from_body(slices, edges),
        )
