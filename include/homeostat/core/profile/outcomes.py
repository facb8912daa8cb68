"""How many answers were right and how many wrong, by the model's own confidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from homeostat.config.errors import DataError
from homeostat.core.profile.counting import count_column
from homeostat.core.profile.edges import FeatureFrame
from homeostat.core.profile.histogram import Counts


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Labelled answers on the frame of the confidence; those of the same frame add up."""

    right: Counts
    wrong: Counts

    @classmethod
    def of(cls, frame: FeatureFrame, confidence: pd.Series, right: np.ndarray) -> Outcomes:
        """Count labelled answers; ``right`` is boolean, one a row."""
        return cls(count_column(frame, confidence[right]), count_column(frame, confidence[~right]))

    @property
    def rows(self) -> int:
        """Labelled answers whose confidence is known."""
        return self.right.placed + self.wrong.placed

    @property
    def both(self) -> Counts:
        """Right and wrong together."""
        return self.right + self.wrong

    def __add__(self, other: Outcomes) -> Outcomes:
        if self.right.frame != other.right.frame:
            msg = "outcomes on different frames do not add up"
            raise ValueError(msg)
        return Outcomes(self.right + other.right, self.wrong + other.wrong)

    def to_body(self) -> dict[str, Any]:
        """Plain JSON, without the frame."""
        return {
            name: [counts.missing, counts.unseen, *counts.slots.tolist()]
            for name, counts in (("right", self.right), ("wrong", self.wrong))
        }

    @classmethod
    def from_body(cls, body: Mapping[str, Any], frame: FeatureFrame) -> Outcomes:
        """Read what :meth:`to_body` wrote; DataError when it does not belong to this frame."""
        try:
            right, wrong = (np.array(body[name], dtype=np.int64) for name in ("right", "wrong"))
            if (right < 0).any() or (wrong < 0).any():
                msg = "counts from 0 up were expected"
                raise ValueError(msg)
            return cls(*(Counts(frame, raw[2:].copy(), int(raw[0]), int(raw[1])) for raw in (right, wrong)))
        except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
            msg = f"these are not outcomes on this frame: {error!r}"
            raise DataError(msg) from None
