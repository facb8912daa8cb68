"""A group-sequential test of errors and latency, beside Homeostat's checks on the same streams.

    PYTHONPATH=include python benchmarks/group_sequential.py [--write] [--rollouts 1000]

The rule of clinical trials. Before a canary step begins, its looks are fixed; at each look a z statistic is
compared with a boundary from Lan and DeMets' alpha spending (1983, "Discrete sequential boundaries for
clinical trials", Biometrika 70), of the kind of O'Brien and Fleming or of Pocock. Between looks, and after
the last one, nothing may be tested: a step that is extended has no test left.

Errors are compared with all requests of the champion in the step, latencies with the control cohort's. Each
of the two tests has the alpha of the library's check, split over the steps. As in the library, latencies
count when they are more than 10 % above the control's, and several requests of a batch count as one. Errors
are compared by the exact conditional test. The usual z of two proportions is given too; with few errors it
does not keep alpha. Neither does the z of the mean log latencies where latencies hang together, as a version
at the tolerance shows.

scipy has no group-sequential boundaries, so they are integrated here (Armitage, McPherson & Rowe 1969,
"Repeated significance tests on accumulating data", Journal of the Royal Statistical Society A 132).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from math import e, log, sqrt
from pathlib import Path

import numpy as np
from rollout_fixture import NUMBERS, Case, Stream, Streams, Version, play
from scipy.stats import binom, norm

from homeostat.core.rollout import Phase
from homeostat.core.rollout.health import ALPHA, CANARY_CHECKS
from homeostat.core.rollout.health.errors import errors
from homeostat.core.rollout.health.latency import COMPARED_BATCH_SIZE, p99_latency

HERE = Path(__file__).resolve().parent
#: Alpha of a whole rollout for each of the two tests.
ALPHA_ERRORS, ALPHA_LATENCY = (ALPHA * dict(CANARY_CHECKS)[check] for check in (errors, p99_latency))
TOLERATED = log(1.1)
#: Width of the grid of the integration, in standard deviations.
_GRID = np.linspace(-8.0, 8.0, 1601)


def obrien_fleming(fraction: float, alpha: float) -> float:
    """Return the one-sided alpha spent at this fraction of the information: little at first."""
    return float(2.0 * norm.sf(norm.isf(alpha / 2.0) / sqrt(fraction)))


def pocock(fraction: float, alpha: float) -> float:
    """Return the one-sided alpha spent at this fraction of the information: about evenly."""
    return float(alpha * log(1.0 + (e - 1.0) * fraction))


@cache
def boundaries(spending: Callable[[float, float], float], looks: int, alpha: float) -> tuple[float, ...]:
    """Return the z boundary of each of ``looks`` equally spaced looks.

    The statistic is a Brownian motion at the looks' times; its density below all boundaries so far is kept on
    a grid of z.
    """
    found: list[float] = []
    density, spent = norm.pdf(_GRID), 0.0
    width = _GRID[1] - _GRID[0]
    for look in range(1, looks + 1):
        if look > 1:
            before, now = (look - 1) / looks, look / looks
            # z_now sqrt(now) = z_before sqrt(before) + N(0, now - before)
            mean = _GRID * sqrt(before / now)
            kernel = norm.pdf(_GRID[:, None], mean[None, :], sqrt((now - before) / now))
            density = kernel @ (density * (found[-1] > _GRID)) * width
        spend = spending(look / looks, alpha) - spent
        tail = (np.cumsum(density[::-1])[::-1] - density / 2) * width
        found.append(float(np.interp(-spend, -tail, _GRID)))
        spent += spend
    return tuple(found)


def two_proportions(bad: int, rows: int, others_bad: int, others: int) -> float:
    """Return the pooled z statistic of two proportions."""
    pooled = (bad + others_bad) / (rows + others)
    if not 0.0 < pooled < 1.0:
        return 0.0
    return (bad / rows - others_bad / others) / sqrt(pooled * (1 - pooled) * (1 / rows + 1 / others))


def exact_proportions(bad: int, rows: int, others_bad: int, others: int) -> float:
    """Return the z of the exact conditional test: errors fall on the candidate with its share."""
    return float(norm.isf(binom.sf(bad - 1, bad + others_bad, rows / (rows + others))))


Compare = Callable[[int, int, int, int], float]


@dataclass(frozen=True)
class GroupSequential:
    """The rule, with ``looks`` per canary step."""

    spending: Callable[[float, float], float]
    looks: int
    compare: Compare = exact_proportions

    def run(self, streams: Streams) -> tuple[bool, str, int]:
        """Return whether it promotes, what failed, and the canary rows until then."""
        plan = streams.case.plan
        total = 0
        for step in range(len(plan.steps)):
            stream, ticks = streams.stage(f"canary:{step}"), plan.step_duration // streams.case.canary_tick
            due = {round(ticks * (look + 1) / self.looks): look for look in range(self.looks)}
            bad = rows = others_bad = others = 0
            own: list[np.ndarray] = []
            control: list[np.ndarray] = []
            for tick in range(ticks):
                draws = stream.tick(tick)
                candidate = draws["candidate"]
                beside = [draws[name] for name in ("control", "champion")]
                bad += candidate.failed
                rows += candidate.predictions.size + candidate.failed
                others_bad += sum(draw.failed for draw in beside)
                others += sum(draw.predictions.size + draw.failed for draw in beside)
                own.append(np.log(candidate.latency_ms))
                control.append(np.log(draws["control"].latency_ms))
                look = due.get(tick + 1)
                if look is None:
                    continue
                now = total + rows
                steps = len(plan.steps)
                more = self.compare(bad, rows, others_bad, others)
                if more >= boundaries(self.spending, self.looks, ALPHA_ERRORS / steps)[look]:
                    return False, "errors", now
                if slower(own, control) >= boundaries(self.spending, self.looks, ALPHA_LATENCY / steps)[look]:
                    return False, "p99_latency", now
            total += rows
        return True, "", total


def slower(own: Sequence[np.ndarray], control: Sequence[np.ndarray]) -> float:
    """Return the z statistic of the mean log latencies' difference beyond what is tolerated."""
    a, b = np.concatenate(own), np.concatenate(control)
    deviation = sqrt(COMPARED_BATCH_SIZE * (a.var() / a.size + b.var() / b.size))
    return float((a.mean() - b.mean() - TOLERATED) / deviation)


class RisingErrors(Streams):
    """Errors of both versions rise at once when the canary begins."""

    def stage(self, name: str) -> Stream:
        """Return the stream of a stage."""
        stream = super().stage(name)
        if name != Phase.SHADOW:
            worse = replace(NUMBERS, errors=0.004)
            stream.case = replace(self.case, champion=worse, candidate=worse)
        return stream


NIGHT = Version(mean=-0.8, confidence=(12.0, 8.0))
#: Name, traffic, and whether the candidate ought to be promoted.
CASES: dict[str, tuple[type[Streams], Case, bool]] = {
    "identical": (Streams, Case(NUMBERS, NUMBERS), True),
    "identical, both err in 0.4 %": (Streams, Case(*[replace(NUMBERS, errors=0.004)] * 2), True),
    "identical, errors of both rise to 0.4 % in the canary": (RisingErrors, Case(NUMBERS, NUMBERS), True),
    "identical while the inputs move": (Streams, Case(NUMBERS, NUMBERS, moves=0.6), True),
    "10 % slower, which is tolerated": (Streams, Case(NUMBERS, replace(NUMBERS, slowness=1.1)), True),
    "better than a stale champion": (Streams, Case(NIGHT, replace(NUMBERS, divergence=0.25)), True),
    "1 % errors that shadow did not show": (
        Streams,
        Case(NUMBERS, NUMBERS, replace(NUMBERS, errors=0.01)),
        False,
    ),
    "50 % slower": (Streams, Case(NUMBERS, NUMBERS, replace(NUMBERS, slowness=1.5)), False),
}
RULES = {
    "O'Brien-Fleming, 10 looks a step": GroupSequential(obrien_fleming, 10),
    "Pocock, 10 looks a step": GroupSequential(pocock, 10),
    "Pocock, 20 looks a step": GroupSequential(pocock, 20),
    "Pocock, 10 looks a step, z of two proportions": GroupSequential(pocock, 10, two_proportions),
}


def at_defaults(case: Case) -> Case:
    """Return the same traffic at a template's durations: a day of shadow, steps of an hour."""
    plan = replace(case.plan, shadow=timedelta(hours=24), step_duration=timedelta(hours=1))
    return replace(case, plan=plan, tick=timedelta(hours=1))


def run(name: str, seed: int, *, defaults: bool) -> dict[str, tuple[bool, int, bool]]:
    """Return per rule: whether it promotes, the canary rows until then, and whether a phase was extended."""
    kind, case, _ = CASES[name]
    streams = kind(at_defaults(case) if defaults else case, 1_000_000 * (50 + list(CASES).index(name)) + seed)
    own = play(streams)
    found = {"Homeostat": (own.promoted, own.canary_rows, own.extended)}
    for title, rule in RULES.items():
        promoted, _, rows = rule.run(streams)
        found[title] = (promoted, rows, False)
    return found


def table(rollouts: int, *, defaults: bool) -> str:
    """Simulate and return the outcomes as Markdown."""
    lines = [
        "| candidate | rule | rolled back | after, median | 99 % | extended |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for name in CASES:
        outcomes = [run(name, seed, defaults=defaults) for seed in range(rollouts)]
        for rule in ("Homeostat", *RULES):
            rows = [outcome[rule][1] for outcome in outcomes if not outcome[rule][0]]
            after = f"{np.median(rows):.0f} | {np.quantile(rows, 0.99):.0f}" if rows else "- | -"
            extended = sum(outcome[rule][2] for outcome in outcomes) / rollouts
            shown = f"{extended:.1%}" if rule == "Homeostat" else "-"
            lines.append(f"| {name} | {rule} | {len(rows) / rollouts:.1%} | {after} | {shown} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print both tables; write them to group_sequential.md with ``--write``."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--rollouts", type=int, default=1000, help="of each kind (1000)")
    parser.add_argument("--write", action="store_true", help="into benchmarks/group_sequential.md")
    args = parser.parse_args()
    short, usual = (table(args.rollouts, defaults=defaults) for defaults in (False, True))
    command = f"PYTHONPATH=include python benchmarks/group_sequential.py --write --rollouts {args.rollouts}"
    text = (
        f"Made by `{command}`."
        f"\n\n{(__doc__ or '').split(chr(10) * 2, maxsplit=2)[2]}\nRows are canary rows."
        f"\n\nShadow and steps of ten minutes:\n\n{short}"
        f"\nA template's settings, a day of shadow and steps of an hour:\n\n{usual}"
    )
    print(text)
    if args.write:
        (HERE / "group_sequential.md").write_text(
            f"# Beside a group-sequential test\n\n{text}", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
