"""From what happened to evidence: one recorder per rollout, on the candidate's frozen prediction edges."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from homeostat.config import ModelConfig
from homeostat.config.label_text import label_texts
from homeostat.core.rollout import CategorySlots, NumberSlots, Recorder
from homeostat.core.rollout.evidence import CANDIDATE, CHAMPION, CONTROL, SHADOW, Tally
from homeostat.core.rollout.phases import Traffic, VersionRef
from homeostat.serving.inference.routing import Happened
from homeostat.serving.inference.scoring import Scored, prediction_range

Tallies = dict[tuple[str, str], Tally]

#: Two numbers differ when they lie further apart than this part of the champion's range of predictions.
DIVERGED_SHARE = 0.05


class Counts:
    """Counts of one model, by rollout. Belongs to the controller; answers only queue up for it."""

    def __init__(self, config: ModelConfig) -> None:
        self._classes = config.task == "classification"
        self._bundles: dict[VersionRef, Any] = {}
        self._recorders: dict[str, Recorder] = {}
        self._waiting: dict[str, Tallies] = defaultdict(dict)

    def know(self, ref: VersionRef, bundle: Any) -> None:
        """A version was loaded: its edges and its range are known from now on."""
        if ref in self._bundles:
            return
        self._bundles = {**dict(list(self._bundles.items())[-8:]), ref: bundle}

    def add(self, happened: Happened, traffic: Traffic) -> None:
        """Count one request's answers of one version."""
        recorder = self._recorders.get(happened.rollout)
        if recorder is None:
            recorder = self._recorders[happened.rollout] = self._recorder(traffic)
        stage, variant = happened.stage, happened.variant
        if happened.dropped:
            recorder.dropped(stage, variant, happened.dropped)
            return
        scored = happened.scored
        if scored is None:
            recorder.failed(stage, variant, happened.rows)
            return
        recorder.answered(
            stage,
            variant,
            self._values(scored),
            confidence=scored.confidence,  # type: ignore[arg-type]  # NaN is passed over there
            latency_ms=happened.latency_ms,
        )
        if happened.against is not None:
            flags = self._diverged(scored.predictions, happened.against, traffic)
            recorder.compared(stage, variant, flags)

    def drain(self) -> dict[str, Tallies]:
        """Everything counted since the last drain, and what could not be handed over before."""
        out, self._waiting = self._waiting, defaultdict(dict)
        for rollout, recorder in self._recorders.items():
            _merge(out[rollout], recorder.drain())
        for rollout in list(self._recorders)[:-2]:  # a straggler or two may still come for the one before
            del self._recorders[rollout]
        return {rollout: tallies for rollout, tallies in out.items() if tallies}

    def put_back(self, rollout: str, tallies: Mapping[tuple[str, str], Tally]) -> None:
        """The ledger did not take these: they go with the next."""
        _merge(self._waiting[rollout], tallies)

    def _recorder(self, traffic: Traffic) -> Recorder:
        rollout = traffic.rollout
        bundle = self._bundles.get(rollout.candidate) if rollout is not None else None
        ranges: dict[str, tuple[float, float]] = {}
        if not self._classes:
            mine, theirs = (
                prediction_range(b.manifest) if b is not None else None
                for b in (bundle, self._bundles.get(traffic.champion) if traffic.champion else None)
            )
            if mine:
                ranges |= {CANDIDATE: mine, SHADOW: mine}
            if theirs:
                ranges |= {CHAMPION: theirs, CONTROL: theirs}
        return Recorder(_slots(bundle), ranges)

    def _values(self, scored: Scored) -> Sequence[Any]:
        if not self._classes:
            return scored.predictions
        if scored.out_of_range:  # a class that the version never learnt is no answer at all
            return [None] * scored.out_of_range + label_texts(scored.predictions)[scored.out_of_range :]
        return label_texts(scored.predictions)

    def _diverged(self, mine: Sequence[Any], theirs: Sequence[Any], traffic: Traffic) -> list[bool]:
        if self._classes:
            return [a != b for a, b in zip(label_texts(mine), label_texts(theirs), strict=True)]
        bundle = self._bundles.get(traffic.champion) if traffic.champion else None
        bounds = prediction_range(bundle.manifest) if bundle is not None else None
        tolerance = DIVERGED_SHARE * (bounds[1] - bounds[0]) if bounds else None
        return [_apart(a, b, tolerance) for a, b in zip(mine, theirs, strict=True)]


def _apart(mine: Any, theirs: Any, tolerance: float | None) -> bool:
    if not isinstance(mine, (int, float)) or not isinstance(theirs, (int, float)):
        return True
    if not (math.isfinite(mine) and math.isfinite(theirs)):
        return True
    return abs(mine - theirs) > (DIVERGED_SHARE * max(abs(theirs), 1e-9) if tolerance is None else tolerance)


def _slots(bundle: Any) -> NumberSlots | CategorySlots | None:
    features = getattr(getattr(getattr(bundle, "reference", None), "frames", None), "features", {})
    frame = features.get("prediction")
    if frame is None:
        return None
    return NumberSlots(tuple(frame.edges)) if frame.kind == "number" else CategorySlots(tuple(frame.labels))


def _merge(into: Tallies, more: Mapping[tuple[str, str], Tally]) -> None:
    for key, tally in more.items():
        into[key] = into[key] + tally if key in into else tally
