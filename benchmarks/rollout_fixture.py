"""Simulated traffic for whole rollouts: predictions, latencies and errors of two versions.

A stream gives every rule the same traffic, whatever another rule did before.
Latencies are correlated as they are in a service: a load that all versions share and that wanders
(autoregressive, per tick), a smaller one of each version's own, batches whose requests wait for each other,
and pauses that hit a whole batch. A hundred requests carry less information than
a hundred independent ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import numpy as np
from scipy.stats import norm

from homeostat.core.rollout import Decision, Phase, Plan, Tally, Traffic, VersionRef, begin, decide_rollout
from homeostat.core.rollout.evidence import CONFIDENCE_BINS, LATENCY_EDGES_MS

START = datetime(2026, 3, 1, tzinfo=UTC)
TICK = timedelta(seconds=30)
#: Requests for the whole model in a tick.
RATE = 240
PLAN = Plan(
    shadow=timedelta(minutes=10),
    max_divergence=0.3,
    shadow_min_samples=200,
    steps=(0.1, 0.5),
    step_duration=timedelta(minutes=10),
    min_samples=200,
    error_rate=0.01,
    p99_latency_ms=200.0,
    window=100,
)
EDGES = norm.ppf(np.linspace(0, 1, 31)[1:-1])
CLASSES = (0.4, 0.3, 0.2, 0.1)
#: How far apart two normals of deviation 1 lie at a Kolmogorov-Smirnov distance of 0.2.
KS_02 = 2 * float(norm.ppf(0.6))


@dataclass(frozen=True)
class Version:
    """How a version behaves. ``classes``: the shares of its predictions; None: numbers around ``mean``."""

    mean: float = 0.0
    classes: tuple[float, ...] | None = None
    slowness: float = 1.0
    errors: float = 0.0
    confidence: tuple[float, float] = (16.0, 4.0)
    divergence: float = 0.05


@dataclass(frozen=True)
class Draw:
    """One version's raw results in one tick."""

    predictions: np.ndarray
    latency_ms: np.ndarray
    confidence: np.ndarray
    failed: int
    diverged: int

    def tally(self, *, classes: bool) -> Tally:
        """Return the same as counts."""
        bins = self.predictions if classes else np.searchsorted(EDGES, self.predictions)
        latency = np.searchsorted(LATENCY_EDGES_MS, self.latency_ms)
        return Tally(
            rows=self.predictions.size + self.failed,
            nan=self.failed,
            compared=self.predictions.size,
            diverged=self.diverged,
            predictions=tuple(np.bincount(bins).tolist()),
            latency=tuple(np.bincount(latency).tolist()),
            confidence=tuple(np.bincount((self.confidence * CONFIDENCE_BINS).astype(int)).tolist()),
        )


@dataclass(frozen=True)
class Case:
    """Two versions; ``canary``, if given, is how the candidate behaves after its shadow.

    ``moves`` shifts all predictions from the canary on, as inputs do between day and night.
    """

    champion: Version = Version()
    candidate: Version = Version()
    canary: Version | None = None
    moves: float = 0.0
    skip_shadow: bool = False
    plan: Plan = PLAN
    rate: int = RATE


@dataclass
class Stream:
    """The traffic of one stage, tick by tick, drawn when it is first needed."""

    case: Case
    share: float
    rng: np.random.Generator
    ticks: list[dict[str, Draw]] = field(default_factory=list)
    _load: dict[str, float] = field(default_factory=dict)

    def tick(self, number: int) -> dict[str, Draw]:
        """Return the results of every variant in this tick."""
        while len(self.ticks) <= number:
            self.ticks.append(self._next())
        return self.ticks[number]

    def _next(self) -> dict[str, Draw]:
        case, share = self.case, self.share
        if not share:
            variants = {"champion": (case.champion, case.rate), "shadow": (case.candidate, case.rate)}
        else:
            control = min(share, 1 - share)
            rows = self.rng.multinomial(case.rate, [share, control, 1 - share - control])
            versions = (case.canary or case.candidate, case.champion, case.champion)
            names = ("candidate", "control", "champion")
            variants = {n: (v, int(r)) for n, v, r in zip(names, versions, rows, strict=True)}
        shared = self._wander("shared", 0.95, 0.25)
        found = {}
        for name, (version, rows) in variants.items():
            load = np.exp(shared + self._wander(name, 0.8, 0.03))
            found[name] = self._draw(version, rows, load, case.moves if share else 0.0)
        return found

    def _wander(self, name: str, memory: float, deviation: float) -> float:
        """Make an autoregressive step with the stationary standard deviation ``deviation``."""
        before = self._load.get(name)
        news = float(self.rng.normal(0.0, deviation))
        now = news if before is None else memory * before + np.sqrt(1 - memory**2) * news
        self._load[name] = now
        return now

    def _draw(self, version: Version, rows: int, load: float, moved: float) -> Draw:
        rng = self.rng
        failed = int(rng.binomial(rows, version.errors))
        good = rows - failed
        if version.classes is None:
            predictions = rng.normal(version.mean + moved, 1.0, good)
            confidence = np.empty(0)
        else:
            predictions = rng.choice(len(version.classes), good, p=version.classes)
            confidence = rng.beta(*version.confidence, good)
        batch = np.cumsum(rng.random(rows) < 1 / 3)  # three requests each on average
        batches = int(batch[-1]) + 1 if rows else 0
        waits = rng.lognormal(0.0, 0.3, batches) * np.where(rng.random(batches) < 0.01, 4.0, 1.0)
        latency = 10.0 * version.slowness * load * waits[batch] * rng.lognormal(0.0, 0.15, rows)
        return Draw(predictions, latency, confidence, failed, int(rng.binomial(good, version.divergence)))


class Streams:
    """All stages of one rollout's traffic."""

    def __init__(self, case: Case, seed: int) -> None:
        self.case = case
        self._seed = seed
        self._kept: dict[str, Stream] = {}

    def stage(self, name: str) -> Stream:
        """Return the stream of ``shadow``, ``canary:0``, ``canary:1``, ..."""
        if name not in self._kept:
            step = -1 if name == Phase.SHADOW else int(name.rpartition(":")[2])
            share = 0.0 if step < 0 else self.case.plan.steps[step]
            self._kept[name] = Stream(self.case, share, np.random.default_rng([self._seed, step + 1]))
        return self._kept[name]


@dataclass(frozen=True)
class Outcome:
    """How a rollout ended."""

    promoted: bool
    reason: str
    stage: str
    canary_rows: int
    extended: bool = False


#: Called with the state before a transition, the decision, the evidence and the time.
OnStep = Callable[[Traffic, Decision, dict[tuple[str, str], Tally], datetime], None]


def play(streams: Streams, *, on_step: OnStep | None = None) -> Outcome:
    """Run one whole rollout with the real ``decide_rollout``, evaluated at every tick."""
    case, now, evidence = streams.case, START, {}
    classes = case.champion.classes is not None
    traffic = begin(Traffic("m"), VersionRef("1", "a"), "first", case.plan, now).traffic.at(1)
    traffic = begin(
        traffic, VersionRef("2", "b"), "run", case.plan, now, skip_shadow=case.skip_shadow
    ).traffic
    stage, number, canary, extended = "", 0, 0, False
    while traffic.active is not None:
        if traffic.active.stage != stage:
            stage, number = traffic.active.stage, 0
        if traffic.active.phase in (Phase.SHADOW, Phase.CANARY):
            for variant, draw in streams.stage(stage).tick(number).items():
                tally = draw.tally(classes=classes)
                evidence[stage, variant] = evidence.get((stage, variant), Tally()) + tally
                canary += tally.rows if variant == "candidate" else 0
            number += 1
            now += TICK
        decision = decide_rollout(traffic, evidence, now)
        if decision.transition is not None:
            if on_step is not None:
                on_step(traffic, decision, evidence, now)
            traffic = decision.transition.traffic.at(traffic.revision + 1)
            extended |= decision.transition.kind == "extended"
    rollout = traffic.rollout
    assert rollout is not None  # noqa: S101  # begin() put it there
    return Outcome(rollout.phase is Phase.CHAMPION, rollout.reason, stage, canary, extended)


NUMBERS, LABELS = Version(), Version(classes=CLASSES)
#: Name, what happens, and whether the candidate ought to be promoted.
CASES: dict[str, tuple[Case, bool]] = {}
for _task, _own in (("regression", NUMBERS), ("classification", LABELS)):
    _stale = (
        replace(_own, mean=-0.8, confidence=(12.0, 8.0))
        if _own.classes is None
        else replace(_own, classes=(0.6, 0.25, 0.1, 0.05), confidence=(12.0, 8.0))
    )
    _moved = (
        replace(_own, mean=KS_02) if _own.classes is None else replace(_own, classes=(0.2, 0.5, 0.2, 0.1))
    )
    CASES |= {
        f"identical, {_task}": (Case(_own, _own), True),
        f"identical, both err in 0.4 %, {_task}": (Case(*[replace(_own, errors=0.004)] * 2), True),
        f"better than a stale champion, {_task}": (Case(_stale, replace(_own, divergence=0.25)), True),
        f"1 % errors that shadow did not show, {_task}": (
            Case(_own, _own, replace(_own, errors=0.01)),
            False,
        ),
        f"50 % slower, {_task}": (Case(_own, _own, replace(_own, slowness=1.5)), False),
        f"predictions shifted by KS 0.2 since shadow, {_task}": (Case(_own, _own, _moved), False),
    }
CASES["identical while the inputs move, regression"] = (Case(NUMBERS, NUMBERS, moves=0.6), True)
