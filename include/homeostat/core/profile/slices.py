"""Slices: how the values of some features divide the rows, frozen with a version's reference.

Each feature divides all rows into its slices and a rest, so their profiles add up to that of the whole.
Profiles by slice are plain: slice name to the same profile as the whole's, on the same edges. Whatever counts
rows by slice (pandas here, an engine elsewhere) returns that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any, Self

import numpy as np
import pandas as pd

from homeostat.config.errors import DataError
from homeostat.config.label_text import SPELLING
from homeostat.config.slices import NUMBER_PARTS, SliceBy
from homeostat.core.profile import codec
from homeostat.core.profile.coerce import Ints, as_labels, label_of, place_of_each, read_numbers
from homeostat.core.profile.counting import count_dataframe
from homeostat.core.profile.edges import FeatureKind, ProfileEdges
from homeostat.core.profile.fit_edges import column_of
from homeostat.core.profile.histogram import Profile
from homeostat.core.profile.season import Season
from homeostat.core.profile.slice_season import (
    SliceSeasons,
    fit_slice_seasons,
    seasons_from_body,
    seasons_to_body,
)

#: A slice with fewer rows is not compared: it would be noise.
MIN_SLICE_ROWS = 30

SlicedProfile = Mapping[str, Profile]


@dataclass(frozen=True, slots=True)
class Slicing:
    """How one feature divides the rows.

    A category has a slice for each of ``labels``. A number has one below the first of ``cuts``, one above the
    last and one between any two; a cut belongs to the slice below it. All other rows are the feature's rest:
    other labels, missing values, and text in a column of numbers.
    """

    feature: str
    kind: FeatureKind
    labels: tuple[str, ...] = ()
    cuts: tuple[float, ...] = ()
    spelling: int = SPELLING

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each slice, such as ``plan=basic`` or ``age=(30, 40]``; last that of the rest."""
        values = self.labels if self.kind == "category" else _intervals(self.cuts)
        return (*(f"{self.feature}={value}" for value in values), f"{self.feature} (rest)")

    def place(self, column: pd.Series) -> Ints:
        """Return the place in :attr:`names` of the slice of each row, shape (n,)."""
        rest = len(self.names) - 1
        if self.kind == "category":
            places = place_of_each(column, self.labels, self.spelling)
            return np.where(places < 0, rest, places)
        numbers, _ = read_numbers(column)
        return np.where(np.isnan(numbers), rest, np.searchsorted(self.cuts, numbers, side="left"))


@dataclass(frozen=True, slots=True)
class Slices:
    """All features that divide the rows."""

    slicings: tuple[Slicing, ...]

    @classmethod
    def fit(
        cls,
        wanted: Sequence[SliceBy],
        frame: pd.DataFrame,
        kinds: Mapping[str, FeatureKind],
        *,
        most: int | None = None,
    ) -> Self:
        """Choose the slices of some rows.

        Parameters
        ----------
        wanted
            What model.yaml lists.
        frame
            The reference's rows. A number is divided at its quartiles.
        kinds
            The kind of each feature.
        most
            How many slices there may be, rests left out. Listed values and numbers come first, then the most
            frequent values of the other features; None: all of them.
        """
        fixed = {each.feature: _fixed(each, frame, kinds[each.feature]) for each in wanted}
        taken = sum(len(found.names) - 1 for found in fixed.values() if found)
        counts = [
            (-int(rows), at, label)
            for at, each in enumerate(wanted)
            if fixed[each.feature] is None
            for rows, label in zip(*as_labels(column_of(frame, each.feature))[:2], strict=True)
        ]
        chosen = sorted(counts)[: None if most is None else max(most - taken, 0)]
        return cls(
            tuple(
                fixed[each.feature]
                or Slicing(each.feature, "category", tuple(label for _, i, label in chosen if i == at))
                for at, each in enumerate(wanted)
            )
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all slices and rests."""
        return tuple(name for slicing in self.slicings for name in slicing.names)

    @property
    def digest(self) -> str:
        """SHA-256 of the definition, in hex."""
        return codec.digest(self.to_body())

    def positions(self, frame: pd.DataFrame) -> dict[str, Ints]:
        """Return the row positions of each slice and rest; those of one feature hold every row once."""
        found: dict[str, Ints] = {}
        for slicing in self.slicings:
            places = slicing.place(column_of(frame, slicing.feature))
            found |= {name: np.flatnonzero(places == at) for at, name in enumerate(slicing.names)}
        return found

    def to_body(self) -> list[dict[str, Any]]:
        """Return plain JSON; floats keep every bit."""
        return [{**asdict(s), "labels": list(s.labels), "cuts": list(s.cuts)} for s in self.slicings]

    @classmethod
    def from_body(cls, raw: Sequence[Mapping[str, Any]]) -> Self:
        """Read what :meth:`to_body` wrote; raise DataError for anything else."""
        try:
            return cls(
                tuple(
                    Slicing(
                        str(each["feature"]),
                        {"number": "number", "category": "category"}[each["kind"]],  # type: ignore[arg-type]
                        tuple(str(label) for label in each["labels"]),
                        tuple(float(cut) for cut in each["cuts"]),
                        int(each["spelling"]),
                    )
                    for each in raw
                )
            )
        except (KeyError, TypeError, ValueError) as error:
            msg = f"these are not the slices of a reference: {error!r}"
            raise DataError(msg) from None


@dataclass(frozen=True, slots=True)
class SliceReference:
    """The slices of a reference, and the profile of each on the reference's own edges.

    ``seasons`` has each slice by hour, for a reference with a season. It is empty without one, in versions
    that were registered before slices had seasons, and where it would have too many counts.
    """

    slices: Slices
    profiles: SlicedProfile
    seasons: SliceSeasons = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        slices: Slices,
        edges: ProfileEdges,
        frame: pd.DataFrame,
        season: Season | None = None,
        times: pd.Series | None = None,
    ) -> Self:
        """Count the reference's rows by slice; with the whole's season and their times, also by hour."""
        profiles = count_slices(edges, frame, slices)
        if season is None or times is None:
            return cls(slices, profiles)
        return cls(slices, profiles, fit_slice_seasons(edges, season, frame, times, slices.positions(frame)))

    def to_body(self) -> dict[str, Any]:
        """Return plain JSON; releases that do not know the season ignore it."""
        counts = {name: profile.to_array().tolist() for name, profile in self.profiles.items()}
        season = {"season": seasons_to_body(self.seasons)} if self.seasons else {}
        return {"slices": self.slices.to_body(), "counts": counts, **season}

    @classmethod
    def from_body(cls, body: Mapping[str, Any], edges: ProfileEdges) -> Self:
        """Read what :meth:`to_body` wrote; raise DataError when it does not fit these edges."""
        slices = Slices.from_body(body["slices"])
        try:
            arrays = {name: np.array(body["counts"][name], dtype=np.int64) for name in slices.names}
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            msg = f"these are not the counts of slices: {error!r}"
            raise DataError(msg) from None
        profiles = {name: Profile.from_array(array, edges) for name, array in arrays.items()}
        season = body.get("season")
        return cls(slices, profiles, {} if season is None else seasons_from_body(season, slices.names, edges))


def count_slices(edges: ProfileEdges, frame: pd.DataFrame, slices: Slices) -> dict[str, Profile]:
    """Count the rows of each slice and rest on the edges of the whole.

    Those of one feature add up to :func:`~homeostat.core.profile.counting.count_dataframe` of all rows.
    """
    return count_positions(edges, frame, slices.positions(frame))


def count_positions(
    edges: ProfileEdges, frame: pd.DataFrame, positions: Mapping[str, Ints]
) -> dict[str, Profile]:
    """Count the rows at these positions, by slice."""
    return {
        name: count_dataframe(edges, frame.iloc[at]) if len(at) else Profile.empty(edges)
        for name, at in positions.items()
    }


def listed_labels(values: Sequence[str]) -> tuple[str, ...]:
    """Return listed values as rows have them: long ones are cut to their beginning and a digest."""
    return tuple(label_of(value) or value for value in values)


def _fixed(wanted: SliceBy, frame: pd.DataFrame, kind: FeatureKind) -> Slicing | None:
    """Return the slicing of listed values or of a number; None for a category whose values are chosen."""
    if wanted.values is not None:  # noqa: PD011  # not of pandas
        return Slicing(wanted.feature, "category", listed_labels(wanted.values))
    if kind == "category":
        return None
    numbers, _ = read_numbers(column_of(frame, wanted.feature))
    known = numbers[np.isfinite(numbers)]
    if not len(known):
        return Slicing(wanted.feature, "number")
    quantiles = np.unique(np.quantile(known, np.linspace(0, 1, NUMBER_PARTS + 1)) + 0.0)  # no minus zero
    return Slicing(wanted.feature, "number", cuts=tuple(quantiles[1:-1].tolist()))


def _intervals(cuts: Sequence[float]) -> list[str]:
    """Return the intervals between cuts as text: short, and different from one another."""
    shown = [f"{cut:.4g}" for cut in cuts]
    if len(set(shown)) < len(shown):
        shown = [repr(float(cut)) for cut in cuts]
    ends = ["-inf", *shown, "inf"]
    return [f"({low}, {high}]" for low, high in pairwise(ends)]
