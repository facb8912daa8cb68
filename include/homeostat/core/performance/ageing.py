"""How fast a model's versions age: pooled over its record, shrunk, and lately.

An observation compares the champion with a fresher version of the same pipeline on a labelled window that
neither has learned. The expected gain of the fresher one grows with the square root of how much younger it
is:

    gain = rate * sqrt(gap)

The rate is estimated by weighted least squares, and shrunk towards "does not age" by how surely the record
shows the contrary (B. Efron, C. Morris, "Stein's estimation rule and its competitors", 1973). The local rate
follows the newest windows, with the pooled rate as two pseudo-observations.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Self

import numpy as np

#: The record's weight halves every so many windows, ...
RECORD_HALF_LIFE = 26
#: ... and that of the local rate is multiplied with this at every window.
LOCAL_MEMORY = 0.7
#: The pooled rate counts as so many observations of the local rate.
PSEUDO_OBSERVATIONS = 2
#: What the paired CUSUM subtracts at every window, in standard deviations (E. S. Page, "Continuous inspection
#: schemes", 1954).
CUSUM_ALLOWANCE = 0.5
#: With so many observations, how they scatter around the fit tells their variance too.
_MIN_SCATTER = 4
# Keeps z finite where predictions differ on no row.
_LEAST_VARIANCE = 1e-8


@dataclass(frozen=True, slots=True)
class AgeingObservation:
    """One labelled window, predicted by the champion and by a fresher version.

    Parameters
    ----------
    end
        The end of the window.
    champion
        The champion's version number; "" for versions that were compared before there was one.
    members
        What the versions learned from, as they call it: only observations of the same kind are pooled.
    gap
        How much fresher the other version is, in windows; above 0.
    gain
        Mean loss of the champion less that of the fresher version.
    variance
        Variance of ``gain``, from blocks of rows.
    """

    end: datetime
    champion: str
    members: str
    gap: float
    gain: float
    variance: float

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return asdict(self) | {"end": self.end.isoformat()}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote; unknown keys are ignored."""
        known = {field.name: raw[field.name] for field in fields(cls) if field.name in raw}
        return cls(**known | {"end": datetime.fromisoformat(raw["end"])})


@dataclass(frozen=True, slots=True)
class Ageing:
    """What a record of observations says.

    ``pooled`` and ``local`` are rates: the gain per square root of a window. ``z`` is the pooled record's
    evidence in standard errors. ``variance`` is that of one observation. ``cusum`` sums the gains that this
    champion's fresher versions had, in standard deviations. Without observations all are 0.
    """

    pooled: float = 0.0
    z: float = 0.0
    local: float = 0.0
    variance: float = 0.0
    cusum: float = 0.0
    observations: int = 0

    def expected_gain(self, gap: float) -> float:
        """Return the expected gain of a version that is fresher by ``gap`` windows."""
        return self.local * math.sqrt(max(gap, 0.0))


def ageing(
    observations: Iterable[AgeingObservation],
    *,
    champion: str,
    members: str,
    now: datetime,
    window: timedelta,
) -> Ageing:
    """Estimate how fast versions age.

    Parameters
    ----------
    observations
        In any order; those of other members, of later windows, and those that are not finite are left out.
    champion
        The champion's version number, for the CUSUM.
    members
        What the champion learned from.
    now
        The end of the newest window whose labels are known.
    window
        The length of a window.
    """
    known = sorted(
        (each for each in observations if each.members == members and each.end <= now and _is_usable(each)),
        key=lambda each: (each.end, each.champion, each.gap, each.gain, each.variance),
    )
    if not known:
        return Ageing()
    age = np.array([(now - each.end) / window for each in known])
    root = np.sqrt([each.gap for each in known])
    gain = np.array([each.gain for each in known])
    within = np.array([each.variance for each in known])
    # Relative to the newest one, which changes no ratio below: weights of a long past would all be 0.
    weight = 0.5 ** ((age - age.min()) / RECORD_HALF_LIFE)
    total, squares = float(weight.sum()), float((weight * root**2).sum())
    slope = float((weight * root * gain).sum())
    rate = max(0.0, slope / squares)
    variance = float((weight * within).sum()) / total
    if len(known) >= _MIN_SCATTER:
        variance = max(variance, float((weight * (gain - rate * root) ** 2).sum()) / total)
    variance += _LEAST_VARIANCE
    z = slope / math.sqrt(variance * float((weight**2 * root**2).sum()))
    evidence = max(z, 0.0) ** 2
    pooled = rate * evidence / (1 + evidence)
    recent = LOCAL_MEMORY**age
    prior = PSEUDO_OBSERVATIONS * squares / total
    local = (float((recent * root * gain).sum()) + prior * pooled) / (float((recent * root**2).sum()) + prior)
    own = gain[[each.champion == champion for each in known]]
    return Ageing(pooled, z, local, variance, paired_cusum(own, variance), len(known))


def paired_cusum(gains: Sequence[float] | np.ndarray, variance: float) -> float:
    """Return the one-sided CUSUM of gains, oldest first, in standard deviations."""
    deviation = math.sqrt(variance)
    total = 0.0
    for gain in gains:
        total = max(0.0, total + float(gain) / deviation - CUSUM_ALLOWANCE)
    return total


def _is_usable(each: AgeingObservation) -> bool:
    return each.gap > 0 and all(map(math.isfinite, (each.gap, each.gain, each.variance)))
