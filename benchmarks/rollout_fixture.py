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

from homeostat.core.rollout import (
    HOLDOUT,
    LABELLED_PAIRS,
    Decision,
    Phase,
    Plan,
    Tally,
    Traffic,
    VersionRef,
    begin,
    champion_watch,
    decide_rollout,
)
from homeostat.core.rollout.evidence import CONFIDENCE_BINS, LATENCY_EDGES_MS

START = datetime(2026, 3, 1, tzinfo=UTC)
TICK = timedelta(seconds=30)
#: Requests for the whole model in a tick.
RATE = 240
PLAN = Plan(
    shadow=timedelta(minutes=10),
    max_divergence=0.1,
    shadow_min_samples=200,
    steps=(0.1, 0.5),
    step_duration=timedelta(minutes=10),
    min_samples=200,
    error_rate=0.01,
    p99_latency_ms=200.0,
    window=100,
    metric="accuracy",
    max_regression=0.02,
)
#: Rows of the gate's holdout, on which both versions were compared before the rollout.
HOLDOUT_ROWS = 1000
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
class Labels:
    """Labels of the requests in shadow: in which share of them only one of the two versions is right.

    They become known ``delay`` after the request.
    """

    only_candidate: float
    only_champion: float
    delay: timedelta


@dataclass(frozen=True)
class Case:
    """Two versions; ``canary``, if given, is how the candidate behaves after its shadow.

    ``moves`` shifts all predictions from the canary on, as inputs do between day and night. ``expected`` is
    the share of rows on which the versions disagree on the holdout; None: the same as in shadow. ``tick`` is
    the time between two evaluations in shadow, which may be longer than in the canary; ``rate`` counts
    requests in the canary's tick.
    """

    champion: Version = Version()
    candidate: Version = Version()
    canary: Version | None = None
    moves: float = 0.0
    skip_shadow: bool = False
    plan: Plan = PLAN
    rate: int = RATE
    expected: float | None = None
    labels: Labels | None = None
    tick: timedelta = TICK
    canary_tick: timedelta = TICK

    @property
    def shadow_rate(self) -> int:
        """Requests in a tick of the shadow."""
        return round(self.rate * (self.tick / self.canary_tick))


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
            rate = case.shadow_rate
            variants = {"champion": (case.champion, rate), "shadow": (case.candidate, rate)}
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
        self.seed = seed
        self._kept: dict[str, Stream] = {}

    def holdout(self) -> Tally:
        """Return how the versions disagreed on the gate's holdout."""
        case = self.case
        rate = case.candidate.divergence if case.expected is None else case.expected
        diverged = int(np.random.default_rng([self.seed, 999]).binomial(HOLDOUT_ROWS, rate))
        return Tally(compared=HOLDOUT_ROWS, diverged=diverged)

    def stage(self, name: str) -> Stream:
        """Return the stream of ``shadow``, ``canary:0``, ``canary:1``, ..."""
        if name not in self._kept:
            step = -1 if name == Phase.SHADOW else int(name.rpartition(":")[2])
            share = 0.0 if step < 0 else self.case.plan.steps[step]
            self._kept[name] = Stream(self.case, share, np.random.default_rng([self.seed, step + 1]))
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


class LabelledPairs:
    """The labelled requests of a rollout that both versions predicted: those of its shadows."""

    def __init__(self, labels: Labels, seed: int) -> None:
        self._labels = labels
        self._rng = np.random.default_rng([seed, 1000])
        self._waiting: list[tuple[datetime, np.ndarray]] = []
        self._known = np.zeros(4, dtype=np.int64)

    def add(self, at: datetime, rows: int) -> None:
        """Add requests of this time; their labels are drawn now and known later."""
        one, other = self._labels.only_candidate, self._labels.only_champion
        both = (1 - one - other) * 0.7
        counts = self._rng.multinomial(rows, [both, one, other, 1 - both - one - other])
        self._waiting.append((at + self._labels.delay, counts))

    def known_at(self, now: datetime) -> Tally:
        """Return the pairs whose labels are known by now."""
        for _, counts in (pair for pair in self._waiting if pair[0] <= now):
            self._known += counts
        self._waiting = [pair for pair in self._waiting if pair[0] > now]
        return Tally(rows=int(self._known.sum()), losses=tuple(self._known.tolist()))


def play(streams: Streams, *, on_step: OnStep | None = None) -> Outcome:
    """Run one whole rollout with the real ``decide_rollout``, evaluated at every tick.

    After a promotion with labels and a reverse shadow, the champion is watched until the last of these labels
    is known.
    """
    case, now = streams.case, START
    classes = case.champion.classes is not None
    evidence: dict[tuple[str, str], Tally] = {HOLDOUT: streams.holdout()}
    pairs = LabelledPairs(case.labels, streams.seed) if case.labels else None
    traffic = begin(Traffic("m"), VersionRef("1", "a"), "first", case.plan, now, serve=False).traffic.at(1)
    traffic = begin(
        traffic, VersionRef("2", "b"), "run", case.plan, now, skip_shadow=case.skip_shadow
    ).traffic
    stage, number, canary, extended = "", 0, 0, False
    while traffic.active is not None:
        if traffic.active.stage != stage:
            stage, number = traffic.active.stage, 0
        if traffic.active.phase in (Phase.SHADOW, Phase.CANARY):
            shadowed = traffic.active.phase is Phase.SHADOW
            for variant, draw in streams.stage(stage).tick(number).items():
                tally = draw.tally(classes=classes)
                evidence[stage, variant] = evidence.get((stage, variant), Tally()) + tally
                canary += tally.rows if variant == "candidate" else 0
            number += 1
            now += case.tick if shadowed else case.canary_tick
            if pairs is not None:
                pairs.add(now, case.shadow_rate if shadowed else 0)
                evidence[LABELLED_PAIRS] = pairs.known_at(now)
        decision = decide_rollout(traffic, evidence, now)
        if decision.transition is not None:
            if on_step is not None:
                on_step(traffic, decision, evidence, now)
            traffic = decision.transition.traffic.at(traffic.revision + 1)
            extended |= decision.transition.kind == "extended"
    rollout = traffic.rollout
    assert rollout is not None  # noqa: S101  # begin() put it there
    if rollout.phase is Phase.CHAMPION and pairs is not None:
        traffic = _watch(traffic, case, pairs, now)
        assert traffic.rollout is not None  # noqa: S101  # the watch keeps it
        rollout = traffic.rollout
        stage = "after the promotion"
    return Outcome(rollout.phase is Phase.CHAMPION, rollout.reason, stage, canary, extended)


def _watch(traffic: Traffic, case: Case, pairs: LabelledPairs, now: datetime) -> Traffic:
    """Watch the new champion while the former one is in shadow, and until their labels are known."""
    assert traffic.rollout is not None and case.labels is not None  # noqa: S101, PT018  # of the caller
    shadow_until = traffic.rollout.reverse_shadow_until or now
    until = shadow_until + case.labels.delay
    while now <= until and traffic.champion == VersionRef("2", "b"):
        if now < shadow_until:
            pairs.add(now, case.shadow_rate)
        now += case.tick
        decision = champion_watch(traffic, {LABELLED_PAIRS: pairs.known_at(now)}, now)
        if decision.transition is not None:
            traffic = decision.transition.traffic
    return traffic


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
