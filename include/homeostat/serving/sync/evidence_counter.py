"""Count outcomes as evidence: one recorder per rollout, on the candidate's frozen prediction edges."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from homeostat.config import ModelConfig
from homeostat.config.label_text import label_texts
from homeostat.core.rollout import EvidenceRecorder, differ
from homeostat.core.rollout.evidence import CANDIDATE, CHAMPION, CONTROL, SHADOW, Tally
from homeostat.core.rollout.evidence_recorder import PredictionBins, prediction_bins
from homeostat.core.rollout.phases import Traffic, VersionRef
from homeostat.serving.inference.routing import Outcome
from homeostat.serving.inference.scoring import ScoredRequest, prediction_range

Tallies = dict[tuple[str, str], Tally]

#: Two numbers differ when their distance exceeds this part of the champion's range of predictions.
DIVERGED_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class _VersionFacts:
    """What counting needs of a version: the bins of its predictions, and their range."""

    bins: PredictionBins | None
    range: tuple[float, float] | None


class EvidenceCounter:
    """Counts of one model, by rollout. Used by the EvidenceSender only."""

    def __init__(self, config: ModelConfig) -> None:
        self._classes = config.task == "classification"
        self._versions: dict[VersionRef, _VersionFacts] = {}
        # By rollout and champion: a promotion changes which versions the variants are.
        self._recorders: dict[tuple[str, VersionRef | None], EvidenceRecorder] = {}
        self._unsent: dict[str, Tallies] = defaultdict(dict)

    def register_version(self, ref: VersionRef, bundle: Any) -> None:
        """Keep a loaded version's prediction edges and range, also once it is unloaded."""
        if ref in self._versions:
            return
        bins = prediction_bins(getattr(bundle, "reference", None))
        facts = _VersionFacts(bins, prediction_range(bundle.manifest))
        self._versions = {**dict(list(self._versions.items())[-8:]), ref: facts}

    def add(self, outcome: Outcome, traffic: Traffic) -> None:
        """Count one version's outcome of one request."""
        key = (outcome.rollout, traffic.champion)
        recorder = self._recorders.get(key)
        if recorder is None:
            recorder = self._recorders[key] = self._recorder(traffic)
        stage, variant = outcome.stage, outcome.variant
        if outcome.dropped:
            recorder.record_dropped(stage, variant, outcome.dropped)
            return
        scored = outcome.scored
        if scored is None:
            recorder.record_failure(stage, variant, outcome.rows)
            return
        recorder.record_predictions(
            stage,
            variant,
            self._values(scored),
            confidence=scored.confidence,  # type: ignore[arg-type]  # the recorder skips NaN
            latency_ms=outcome.latency_ms,
        )
        if outcome.champion_predictions is not None:
            theirs = outcome.champion_predictions
            flags = self._diverged(scored.predictions, theirs, traffic)
            bins_of = label_texts(theirs) if self._classes else theirs
            recorder.record_comparison(stage, variant, flags, bins_of)

    def drain(self) -> dict[str, Tallies]:
        """Return all counts since the last drain, and those put back."""
        out, self._unsent = self._unsent, defaultdict(dict)
        for (rollout, _), recorder in self._recorders.items():
            merge(out[rollout], recorder.drain())
        for key in list(self._recorders)[:-2]:  # late outcomes of the previous rollout may still arrive
            del self._recorders[key]
        return {rollout: tallies for rollout, tallies in out.items() if tallies}

    def put_back(self, rollout: str, tallies: Mapping[tuple[str, str], Tally]) -> None:
        """Keep counts that were not sent for the next drain."""
        merge(self._unsent[rollout], tallies)

    def _recorder(self, traffic: Traffic) -> EvidenceRecorder:
        rollout = traffic.rollout
        facts = self._versions.get(rollout.candidate) if rollout is not None else None
        ranges: dict[str, tuple[float, float]] = {}
        if rollout is not None and not self._classes:
            in_shadow = rollout.candidate if rollout.phase.active else traffic.previous
            of_version = {
                CANDIDATE: rollout.candidate,
                SHADOW: in_shadow,
                CHAMPION: traffic.champion,
                CONTROL: traffic.champion,
            }
            found = {variant: self._range(ref) for variant, ref in of_version.items()}
            ranges = {variant: bounds for variant, bounds in found.items() if bounds}
        return EvidenceRecorder(facts.bins if facts is not None else None, ranges)

    def _range(self, ref: VersionRef | None) -> tuple[float, float] | None:
        """Return the lowest and highest plausible prediction of a version; None when they are not known."""
        facts = self._versions.get(ref) if ref is not None else None
        return facts.range if facts is not None else None

    def _values(self, scored: ScoredRequest) -> Sequence[Any]:
        if not self._classes:
            return scored.predictions
        if scored.out_of_range:  # an unknown class counts as no prediction
            return [None] * scored.out_of_range + label_texts(scored.predictions)[scored.out_of_range :]
        return label_texts(scored.predictions)

    def _diverged(self, mine: Sequence[Any], theirs: Sequence[Any], traffic: Traffic) -> list[bool]:
        if self._classes:
            return [a != b for a, b in zip(label_texts(mine), label_texts(theirs), strict=True)]
        spread = traffic.rollout.plan.labels.spread if traffic.rollout is not None else None
        if spread is not None:
            return [differ(a, b, spread) for a, b in zip(mine, theirs, strict=True)]
        # A rollout that began under release 0.1 has no spread of its labels.
        bounds = self._range(traffic.champion)
        tolerance = DIVERGED_SHARE * (bounds[1] - bounds[0]) if bounds else None
        return [_differs(a, b, tolerance) for a, b in zip(mine, theirs, strict=True)]


def _differs(mine: Any, theirs: Any, tolerance: float | None) -> bool:
    if not isinstance(mine, (int, float)) or not isinstance(theirs, (int, float)):
        return True
    if not (math.isfinite(mine) and math.isfinite(theirs)):
        return True
    return abs(mine - theirs) > (DIVERGED_SHARE * max(abs(theirs), 1e-9) if tolerance is None else tolerance)


def merge(into: Tallies, more: Mapping[tuple[str, str], Tally]) -> None:
    """Add counts to others, in place."""
    for key, tally in more.items():
        into[key] = into[key] + tally if key in into else tally
