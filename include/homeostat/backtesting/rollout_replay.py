"""Take a rollout through shadow, canary and reverse shadow on the history's own rows.

The decisions are those of :func:`homeostat.rollouts.advance.advance` on an in-memory ledger. Rows count as
requests at their own times; their labels are known one ``schema.label.delay`` later. All versions take the
same time, since a history has no latencies.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from homeostat.backtesting.prediction_cache import PredictionCache
from homeostat.backtesting.replay_ports import ReplayClock
from homeostat.backtesting.windows import Window
from homeostat.config import ModelConfig
from homeostat.config.label_text import label_texts
from homeostat.core.rollout import (
    LABELLED_PAIRS,
    RECENT,
    EvidenceRecorder,
    PairLosses,
    Phase,
    Rollout,
    Tally,
    Traffic,
    VersionRef,
    choose_variant,
    differ,
)
from homeostat.core.rollout.evidence_recorder import prediction_bins
from homeostat.ports import Ports
from homeostat.retraining.expected_divergence import RECENT_ROWS, RECENT_SPAN, count_disagreement
from homeostat.rollouts.advance import advance
from homeostat.storage.bundles import load_version

if TYPE_CHECKING:
    from homeostat.bundle.predictor import Predictions

#: A window is evaluated at most so often; a sequential test may be evaluated at any time.
MAX_TICKS = 50
#: Every request takes about so long, in milliseconds, with this spread of its logarithm.
_LATENCY_MS, _LATENCY_SPREAD = 10.0, 0.3

#: The stage of a champion that labels rolled back after its promotion.
REVERSE_SHADOW = "reverse shadow"

Key = tuple[str, str]
Tallies = dict[Key, Tally]


@dataclass(frozen=True, slots=True)
class RolloutChange:
    """A rollout that ended, or a promoted champion that was rolled back, and in which stage."""

    at: datetime
    rollout: Rollout
    stage: str
    promoted: bool
    reason: str


@dataclass(frozen=True, slots=True)
class ServedWindow:
    """Which version served each labelled row of a window: a position in ``versions`` for each row.

    ``changes`` are the rollouts that ended in this window, in order.
    """

    versions: tuple[VersionRef, ...]
    served_by: np.ndarray
    changes: tuple[RolloutChange, ...] = ()


@dataclass(slots=True)
class _Pairs:
    """Labelled rows that both versions predicted; their labels become known one by one."""

    waiting: list[tuple[datetime, tuple[str, Any, Any, Any]]] = field(default_factory=list)
    known: Tally = field(default_factory=Tally)

    def learn(self, losses: PairLosses, now: datetime) -> None:
        """Count the pairs whose labels are known by now."""
        self.known += losses.count(pair for at, pair in self.waiting if at <= now)
        self.waiting = [(at, pair) for at, pair in self.waiting if at > now]


@dataclass(slots=True)
class _Rows:
    """A window's rows with their times and, once needed, each version's predictions."""

    frame: pd.DataFrame
    times: np.ndarray
    labels: list[Any] | None
    predictions: dict[VersionRef, Predictions] = field(default_factory=dict)


class RolloutReplay:
    """Advances the rollouts of one replay, window by window.

    Parameters
    ----------
    config
        The model as it is served, with its own label delay.
    """

    def __init__(self, config: ModelConfig, cache: PredictionCache, ports: Ports, clock: ReplayClock) -> None:
        self._config = config
        self._cache = cache
        self._ports = ports
        self._clock = clock
        self._rollout = ""
        self._evidence: Tallies = {}
        self._pairs = _Pairs()

    def serve(self, window: Window) -> ServedWindow:
        """Serve a window's rows and advance its rollout; the clock ends at the end of the window."""
        inputs, labelled = self._rows(window)
        times = labelled.times
        versions: list[VersionRef] = []
        served_by = np.zeros(len(times), dtype=np.int64)
        changes: list[RolloutChange] = []
        for start, end in self._ticks(window):
            traffic = self._ports.ledger.read(self._config.name)
            begin, stop = np.searchsorted(times, [_stamp(start), _stamp(end)])
            for version, mask in self._served(traffic, labelled, slice(int(begin), int(stop))):
                if version not in versions:
                    versions.append(version)
                served_by[begin:stop][mask] = versions.index(version)
            if self._watched(traffic, start):
                self._count(traffic, inputs, labelled, start, end)
                change = self.advance(end)
                changes += [change] if change is not None else []
        self._clock.set(window.end)
        return ServedWindow(tuple(versions), served_by, tuple(changes))

    def _ticks(self, window: Window) -> Iterator[tuple[datetime, datetime]]:
        """Yield the parts of a window that are served alike: all of it while nothing is under way."""
        start = window.start
        while start < window.end:
            traffic = self._ports.ledger.read(self._config.name)
            end = window.end
            if self._watched(traffic, start):
                shortest = min(self._config.shadow.duration, self._config.canary.step_duration)
                length = max((window.end - window.start) / MAX_TICKS, shortest / 4)
                end = min(window.end, start + length)
            yield start, end
            start = end

    def _watched(self, traffic: Traffic, now: datetime) -> bool:
        """Whether a rollout is under way, or labels may still take a promoted version back."""
        if self._config.serve == "none":
            return False
        if traffic.active is not None:
            return True
        until = traffic.rollout.reverse_shadow_until if traffic.rollout is not None else None
        return until is not None and traffic.previous is not None and now < until + self._delay

    @property
    def _delay(self) -> timedelta:
        return self._config.columns.label.delay

    def _rows(self, window: Window) -> tuple[_Rows, _Rows]:
        stamp, label = self._config.columns.timestamp, self._config.columns.label.name
        inputs, labelled = self._cache.inputs(window.index), self._cache.labelled(window.index)
        labels = labelled[label]
        known = label_texts(labels) if self._config.task == "classification" else labels.tolist()
        return (
            _Rows(inputs, inputs[stamp].to_numpy("datetime64[ns]"), None),
            _Rows(labelled, labelled[stamp].to_numpy("datetime64[ns]"), known),
        )

    def _served(
        self, traffic: Traffic, labelled: _Rows, part: slice
    ) -> Iterator[tuple[VersionRef, np.ndarray]]:
        """Yield which version serves which of these labelled rows."""
        champion, active = traffic.champion, traffic.active
        variants = self._variants(traffic, labelled, part)
        candidate = np.array([variant == "candidate" for variant in variants], dtype=bool)
        if champion is not None:
            yield champion, ~candidate
        if active is not None and candidate.any():
            yield active.candidate, candidate

    def _variants(self, traffic: Traffic, rows: _Rows, part: slice) -> list[str]:
        rollout, share = traffic.active, traffic.active.share if traffic.active is not None else 0.0
        if rollout is None or not share:
            return ["champion"] * (part.stop - part.start)
        key = self._config.columns.key
        keys = rows.frame[key].iloc[part].astype(str) if key else rows.times[part].astype(str)
        return [
            choose_variant(f"{text}" if key else f"{text}-{n}", rollout.id, share)
            for n, text in enumerate(keys, part.start)
        ]

    def _count(
        self, traffic: Traffic, inputs: _Rows, labelled: _Rows, start: datetime, end: datetime
    ) -> None:
        """Count the rows between two times as evidence, and keep their labels until they are known."""
        rollout = traffic.rollout
        if rollout is None:
            return
        if rollout.id != self._rollout:
            recent = self._recent(traffic, rollout, start)
            self._rollout, self._evidence, self._pairs = rollout.id, recent, _Pairs()
        now = slice(*(int(n) for n in np.searchsorted(inputs.times, [_stamp(start), _stamp(end)])))
        if rollout.phase is Phase.SHADOW:
            self._count_shadow(traffic, rollout, inputs, now)
        elif rollout.share:
            self._count_canary(traffic, rollout, inputs, now)
        until = rollout.reverse_shadow_until
        if rollout.phase is Phase.SHADOW or (until is not None and start < until):
            part = slice(*(int(n) for n in np.searchsorted(labelled.times, [_stamp(start), _stamp(end)])))
            self._keep_pairs(traffic, rollout, labelled, part)
        losses = PairLosses.of(rollout.plan)
        if losses is not None:
            self._pairs.learn(losses, end)
            if self._pairs.known.rows:
                self._evidence[LABELLED_PAIRS] = self._pairs.known
        self._ports.ledger.replace_evidence(self._config.name, rollout.id, "backtest", self._evidence)

    def _recent(self, traffic: Traffic, rollout: Rollout, now: datetime) -> Tallies:
        """Compare both versions on the newest rows before the rollout, as the validate step does."""
        candidate = load_version(self._ports, self._config, rollout.candidate.digest)
        until = candidate.manifest.get("trained_until")
        if rollout.phase is not Phase.SHADOW or traffic.champion is None or not until:
            return {}
        begin = max(datetime.fromisoformat(until), now - RECENT_SPAN)
        rows = self._cache.inputs_between(begin, now).tail(RECENT_ROWS).reset_index(drop=True)
        if rows.empty:
            return {}
        champion = load_version(self._ports, self._config, traffic.champion.digest)
        spread = rollout.plan.labels.spread if self._config.task == "regression" else None
        return {RECENT: count_disagreement(self._config, candidate, candidate, champion, rows, spread)}

    def _count_shadow(self, traffic: Traffic, rollout: Rollout, inputs: _Rows, part: slice) -> None:
        if traffic.champion is None or part.stop <= part.start:
            return
        recorder = self._recorder(rollout)
        theirs = self._record(recorder, "shadow", "champion", traffic.champion, inputs, part)
        mine = self._record(recorder, "shadow", "shadow", rollout.candidate, inputs, part)
        spread = rollout.plan.labels.spread if self._config.task == "regression" else None
        flags = [differ(a, b, spread) for a, b in zip(mine, theirs, strict=True)]
        recorder.record_comparison("shadow", "shadow", flags, theirs)
        self._add(recorder)

    def _count_canary(self, traffic: Traffic, rollout: Rollout, inputs: _Rows, part: slice) -> None:
        if traffic.champion is None or part.stop <= part.start:
            return
        recorder = self._recorder(rollout)
        variants = np.array(self._variants(traffic, inputs, part))
        for variant in ("champion", "control", "candidate"):
            version = rollout.candidate if variant == "candidate" else traffic.champion
            at = np.flatnonzero(variants == variant) + part.start
            if len(at):
                self._record(recorder, rollout.stage, variant, version, inputs, at)
        self._add(recorder)

    def _recorder(self, rollout: Rollout) -> EvidenceRecorder:
        bundle = load_version(self._ports, self._config, rollout.candidate.digest)
        return EvidenceRecorder(prediction_bins(bundle.reference))

    def _record(
        self,
        recorder: EvidenceRecorder,
        stage: str,
        variant: str,
        version: VersionRef,
        rows: _Rows,
        at: slice | np.ndarray,
    ) -> list[Any]:
        """Count a version's predictions of these rows; return them, classes as text."""
        predictions = self._predict(version, rows)
        found: list[Any] = predictions.prediction[at].tolist()
        if self._config.task == "classification":
            found = label_texts(found)
        confidence = None if predictions.confidence is None else predictions.confidence[at].tolist()
        recorder.record_predictions(stage, variant, found, confidence=confidence)
        positions = np.arange(at.start, at.stop) if isinstance(at, slice) else at
        for latency in _latencies(positions):
            recorder.record_predictions(stage, variant, (), latency_ms=latency)
        return found

    def _predict(self, version: VersionRef, rows: _Rows) -> Predictions:
        if version not in rows.predictions:
            predictor = load_version(self._ports, self._config, version.digest).predictor
            rows.predictions[version] = predictor.predict(rows.frame)
        return rows.predictions[version]

    def _add(self, recorder: EvidenceRecorder) -> None:
        for key, tally in recorder.drain().items():
            self._evidence[key] = self._evidence.get(key, Tally()) + tally

    def _keep_pairs(self, traffic: Traffic, rollout: Rollout, labelled: _Rows, part: slice) -> None:
        other = traffic.champion if rollout.phase is Phase.SHADOW else traffic.previous
        if other is None or labelled.labels is None or part.stop <= part.start:
            return
        mine, theirs = (
            self._predict(version, labelled).prediction[part].tolist()
            for version in (rollout.candidate, other)
        )
        for n, one, two in zip(range(part.start, part.stop), mine, theirs, strict=True):
            moment = pd.Timestamp(labelled.times[n], tz="UTC").to_pydatetime(warn=False)
            pair = (f"{moment.isoformat()}-{n}", labelled.labels[n], one, two)
            self._pairs.waiting.append((moment + self._delay, pair))

    def advance(self, now: datetime) -> RolloutChange | None:
        """Decide once, as a gateway that has every version loaded; return what ended, or None."""
        self._clock.set(now)
        before = self._ports.ledger.read(self._config.name)
        result = advance(self._config.name, self._ports.ledger, by="backtest", now=now, candidate_ready=True)
        rollout = result.traffic.rollout
        if result.transition is None or rollout is None or result.traffic.active is not None:
            return None
        stage = before.active.stage_name if before.active is not None else REVERSE_SHADOW
        return RolloutChange(now, rollout, stage, rollout.phase is Phase.CHAMPION, rollout.reason)


def _latencies(positions: Sequence[int] | np.ndarray) -> list[float]:
    """Return latencies that are spread over the rows as evenly as numbers can be."""
    from scipy.special import ndtri

    even = (np.asarray(positions) * 0.6180339887498949 + 0.5) % 1.0
    spread = ndtri(np.clip(even, 0.001, 0.999))
    latencies: list[float] = (_LATENCY_MS * np.exp(_LATENCY_SPREAD * spread)).tolist()
    return latencies


def _stamp(moment: datetime) -> np.datetime64:
    return pd.Timestamp(moment).tz_convert(None).to_datetime64()
