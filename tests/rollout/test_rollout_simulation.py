"""Whole rollouts, simulated: who is promoted, who is taken back, and after how many answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from scipy.stats import norm

from homeostat.rollout import Phase, Plan, Tally, Traffic, VersionRef, begin, decide
from homeostat.rollout.evidence import CONFIDENCE_SLOTS, LATENCY_EDGES_MS

START = datetime(2026, 3, 1, tzinfo=UTC)
TICK = timedelta(minutes=1)
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
_PREDICTION_EDGES = norm.ppf(np.linspace(0, 1, 31)[1:-1])


@dataclass
class Model:
    """A version as traffic sees it: how its answers lie, how slow it is, how often it fails."""

    mean: float = 0.0
    latency_ms: float = 10.0
    sigma: float = 0.4
    errors: float = 0.0
    confidence: tuple[float, float] = (16.0, 4.0)
    divergence: float = 0.1

    def answer(self, rows: int, rng: np.random.Generator, *, shift: float = 0.0) -> Tally:
        failed = int(rng.binomial(rows, self.errors))
        good = rows - failed
        predictions = np.searchsorted(_PREDICTION_EDGES, rng.normal(self.mean + shift, 1.0, good))
        latency = np.searchsorted(LATENCY_EDGES_MS, rng.lognormal(np.log(self.latency_ms), self.sigma, rows))
        confidence = (rng.beta(*self.confidence, good) * CONFIDENCE_SLOTS).astype(int)
        return Tally(
            answers=rows,
            nan=failed,
            compared=good,
            diverged=int(rng.binomial(good, self.divergence)),
            predictions=tuple(np.bincount(predictions).tolist()),
            latency=tuple(np.bincount(latency).tolist()),
            confidence=tuple(np.bincount(confidence).tolist()),
        )


@dataclass
class Outcome:
    phase: Phase
    reason: str
    stage: str
    canary_answers: int
    extended: bool


@dataclass
class World:
    champion: Model
    candidate: Model
    canary_shift: float = 0.0
    skip_shadow: bool = False
    plan: Plan = PLAN
    rate: int = RATE
    evidence: dict[tuple[str, str], Tally] = field(default_factory=dict)

    def run(self, seed: int) -> Outcome:
        rng = np.random.default_rng(seed)
        now, stage, canary, extended = START, "", 0, False
        traffic = Traffic("m", 1, champion=VersionRef("1", "a"))
        traffic = begin(
            traffic, VersionRef("2", "b"), f"run-{seed}", self.plan, now, skip_shadow=self.skip_shadow
        ).traffic
        while traffic.active is not None:
            stage = traffic.active.stage
            if traffic.active.phase is Phase.SHADOW:
                self.add(stage, "champion", self.champion.answer(self.rate, rng))
                self.add(stage, "shadow", self.candidate.answer(self.rate, rng))
            elif traffic.active.phase is Phase.CANARY:
                cohort = rng.multinomial(
                    self.rate, [traffic.active.share] * 2 + [1 - 2 * traffic.active.share]
                )
                canary += int(cohort[0])
                self.add(
                    stage, "candidate", self.candidate.answer(int(cohort[0]), rng, shift=self.canary_shift)
                )
                self.add(stage, "control", self.champion.answer(int(cohort[1]), rng))
                self.add(stage, "champion", self.champion.answer(int(cohort[2]), rng))
            now += TICK
            decision = decide(traffic, self.evidence, now)
            if decision.transition is not None:
                traffic = decision.transition.traffic
                extended |= decision.transition.kind == "extended"
        return Outcome(traffic.rollout.phase, traffic.rollout.reason, stage, canary, extended)

    def add(self, stage: str, variant: str, tally: Tally) -> None:
        key = (stage, variant)
        self.evidence[key] = self.evidence.get(key, Tally()) + tally


def outcomes(world, runs: int) -> list[Outcome]:
    return [world().run(seed) for seed in range(runs)]


def taken_back(found: list[Outcome]) -> list[Outcome]:
    return [outcome for outcome in found if outcome.phase is Phase.ROLLED_BACK]


@pytest.mark.parametrize(
    ("champion", "candidate"),
    [
        (Model(), Model()),
        (Model(errors=0.004), Model(errors=0.004)),
        (Model(mean=-0.8, confidence=(12.0, 8.0)), Model(divergence=0.25)),
    ],
    ids=["identical", "identical and both err now and then", "better than a stale champion"],
)
def test_a_good_version_is_rarely_taken_back(champion, candidate):
    found = outcomes(lambda: World(champion, candidate), 60)
    assert len(taken_back(found)) <= 1
    assert sum(outcome.extended for outcome in found) <= 8


def test_a_version_that_never_fails_in_the_same_way_twice_is_not_excused_by_skipping_shadow():
    found = outcomes(lambda: World(Model(), Model(), skip_shadow=True), 40)
    assert not taken_back(found)


def test_a_model_that_answers_nan_is_caught_within_a_few_requests():
    always = outcomes(lambda: World(Model(), Model(errors=1.0), skip_shadow=True, rate=10), 40)
    assert all(outcome.canary_answers <= 12 for outcome in taken_back(always))
    assert len(taken_back(always)) == 40
    often = outcomes(lambda: World(Model(), Model(errors=0.3), skip_shadow=True, rate=10), 40)
    assert len(taken_back(often)) == 40
    assert np.median([outcome.canary_answers for outcome in often]) <= 12


def test_one_error_in_a_hundred_is_caught():
    found = outcomes(lambda: World(Model(), Model(errors=0.01), skip_shadow=True), 50)
    assert len(taken_back(found)) >= 49
    assert all(outcome.reason.startswith("errors failed") for outcome in taken_back(found))


def test_a_model_half_as_slow_again_is_caught():
    found = outcomes(lambda: World(Model(), Model(latency_ms=15.0)), 60)
    assert len(taken_back(found)) >= 59
    assert all(outcome.reason.startswith("p99_latency failed") for outcome in taken_back(found))


def test_answers_that_moved_by_a_fifth_since_shadow_are_caught_within_400():
    shift = 2 * float(norm.ppf(0.6))  # a Kolmogorov-Smirnov distance of 0.2
    found = outcomes(lambda: World(Model(), Model(), canary_shift=shift), 60)
    assert len([outcome for outcome in taken_back(found) if outcome.canary_answers <= 400]) >= 58


def test_a_candidate_whose_inputs_moved_like_the_champions_is_not_blamed():
    class Night(World):
        def run(self, seed):
            self.canary_shift = 0.6
            self.champion = _Moving()
            return super().run(seed)

    @dataclass
    class _Moving(Model):
        def answer(self, rows, rng, *, shift=0.0):
            return super().answer(rows, rng, shift=0.6 if self.seen else 0.0)

        @property
        def seen(self):
            return any(stage.startswith("canary") for stage, _ in world.evidence)

    found = []
    for seed in range(20):
        world = Night(Model(), Model())
        found.append(world.run(seed))
    assert len(taken_back(found)) <= 1


def test_a_canary_without_traffic_is_inconclusive_and_not_a_regression():
    found = World(Model(), Model(), skip_shadow=True, rate=0).run(1)
    assert found.phase is Phase.ROLLED_BACK
    assert found.extended
    assert found.reason.startswith("inconclusive after 0:20:00 of canary:0, not a regression")
