"""Correct and wrong predictions of labelled rows, counted by the model's own confidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from homeostat.config.errors import DataError
from homeostat.core.profile.counting import count_series
from homeostat.core.profile.edges import FeatureEdges
from homeostat.core.profile.histogram import FeatureCounts


@dataclass(frozen=True, slots=True)
class CalibrationCounts:
    """Labelled predictions on the edges of the confidence; those on the same edges add up."""

    right: FeatureCounts
    wrong: FeatureCounts

    @classmethod
    def from_rows(cls, edges: FeatureEdges, confidence: pd.Series, right: np.ndarray) -> CalibrationCounts:
        """Count labelled predictions; ``right`` is boolean, one per row."""
        return cls(count_series(edges, confidence[right]), count_series(edges, confidence[~right]))

    @property
    def rows(self) -> int:
        """Labelled predictions with a known confidence."""
        return self.right.binned + self.wrong.binned

    @property
    def total(self) -> FeatureCounts:
        """Right and wrong predictions together."""
        return self.right + self.wrong

    def __add__(self, other: CalibrationCounts) -> CalibrationCounts:
        if self.right.edges != other.right.edges:
            msg = "cannot add calibration counts on different edges"
            raise ValueError(msg)
        return CalibrationCounts(self.right + other.right, self.wrong + other.wrong)

    def to_body(self) -> dict[str, Any]:
        """Return plain JSON, without the edges."""
        return {"right": self.right.to_body(), "wrong": self.wrong.to_body()}

    @classmethod
    def from_body(cls, body: Mapping[str, Any], edges: FeatureEdges) -> CalibrationCounts:
        """Read what :meth:`to_body` wrote; raise DataError when it does not fit these edges."""
        try:
            return cls(*(FeatureCounts.from_body(body[name], edges) for name in ("right", "wrong")))
        except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
            msg = f"these are not calibration counts on these edges: {error!r}"
            raise DataError(msg) from None
