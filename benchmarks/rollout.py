"""Simulate whole rollouts: which candidates are promoted or rolled back, and after how many rows.

    PYTHONPATH=include python benchmarks/rollout.py [--write] [--rollouts 1000] [--workers N]

Shadow, canary steps and deadlines use the library's own `decide_rollout`, evaluated at every tick. On the
same streams, two other rules are evaluated as often: the plain Kolmogorov-Smirnov test of the canary's last
100 predictions against production's last 100 at p < 0.05, and thresholds as progressive-delivery tools use
them (per interval: 99 % of the requests succeed, p99 below the limit; five failed intervals end the rollout).

A second table has rollouts at the default settings, whose candidates disagree with the champion, with and
without labels, beside the rules of release 0.1, which knew neither expectation nor labels.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from rollout_default_cases import AFTER, DEFAULT_CASES, HALF_A_STEP, plan_for, release_0_1
from rollout_default_cases import RATE as DEFAULT_RATE
from rollout_fixture import CASES, HOLDOUT_ROWS, PLAN, RATE, TICK, Outcome, Streams, play
from scipy.stats import ks_2samp

from homeostat.config.duration import describe_duration as said

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs/rollouts.md"
ENOUGH = 400
#: The settings of the two other rules.
WINDOW, P_VALUE, GOOD, FAILED_CHECKS = 100, 0.05, 0.99, 5
#: Rollouts per task of a worker.
BATCH = 25
T = TypeVar("T")


@dataclass(frozen=True)
class RuleOutcomes:
    """The outcomes of one rollout under the three rules."""

    homeostat: Outcome
    plain_ks: bool
    thresholds: bool


def plain_ks(streams: Streams) -> bool:
    """Whether the plain test promotes: no evaluation of the last predictions gives p < 0.05."""
    own, production = np.empty(0), np.empty(0)
    for step in range(len(PLAN.steps)):
        for tick in range(PLAN.step_duration // TICK):
            draws = streams.stage(f"canary:{step}").tick(tick)
            own = np.concatenate([own, draws["candidate"].predictions])[-WINDOW:]
            rest = np.concatenate([draws["control"].predictions, draws["champion"].predictions])
            production = np.concatenate([production, rest])[-WINDOW:]
            full = min(own.size, production.size) >= WINDOW
            if full and ks_2samp(own, production, method="asymp").pvalue < P_VALUE:
                return False
    return True


def thresholds(streams: Streams) -> bool:
    """Whether thresholds promote: fewer than five intervals of the canary fail."""
    failed = 0
    for step in range(len(PLAN.steps)):
        for tick in range(PLAN.step_duration // TICK):
            draw = streams.stage(f"canary:{step}").tick(tick)["candidate"]
            rows = draw.predictions.size + draw.failed
            slow = rows > 0 and float(np.quantile(draw.latency_ms, 0.99)) > PLAN.p99_latency_ms
            failed += rows > 0 and (draw.failed > (1 - GOOD) * rows or slow)
    return failed < FAILED_CHECKS


def run(name: str, seeds: range) -> list[RuleOutcomes]:
    """Run the rollouts of one case; a seed gives every rule the same traffic."""
    case, _ = CASES[name]
    number = list(CASES).index(name)
    found = []
    for seed in seeds:
        streams = Streams(case, 1_000_000 * (number + 1) + seed)
        found.append(RuleOutcomes(play(streams), plain_ks(streams), thresholds(streams)))
    return found


def simulate(
    cases: Iterable[str], run: Callable[[str, range], list[T]], rollouts: int, workers: int
) -> dict[str, list[T]]:
    """Run all cases in parallel, with a progress line."""
    found: dict[str, list[T]] = {name: [] for name in cases}
    begun, total = time.monotonic(), rollouts * len(found)
    with ProcessPoolExecutor(workers) as pool:
        waiting = {
            pool.submit(run, name, range(first, min(first + BATCH, rollouts))): name
            for name in found
            for first in range(0, rollouts, BATCH)
        }
        for future in as_completed(waiting):
            found[waiting[future]] += future.result()
            done = sum(map(len, found.values()))
            spent = time.monotonic() - begun
            print(f"\r{done:,} of {total:,} rollouts, {spent:.0f} s", end="", file=sys.stderr)
    print(file=sys.stderr)
    return found


def run_default(name: str, seeds: range) -> list[tuple[Outcome, Outcome]]:
    """Run the rollouts of one case at the default settings, under today's rules and those of release 0.1."""
    case, _ = DEFAULT_CASES[name]
    number = len(CASES) + list(DEFAULT_CASES).index(name)
    old = release_0_1(case)
    seeded = [1_000_000 * (number + 1) + seed for seed in seeds]
    return [(play(Streams(case, seed)), play(Streams(old, seed))) for seed in seeded]


def share(hits: int, of: int) -> str:
    """Return a share in per cent with its standard error (that of one hit or one miss at 0 % and 100 %)."""
    seen = min(max(hits, 1), of - 1) / of if of > 1 else 0.5
    return f"{hits / of:.1%} ± {np.sqrt(seen * (1 - seen) / of):.1%}"


def table(found: dict[str, list[RuleOutcomes]]) -> str:
    """Return the outcomes as Markdown."""
    lines = [
        "| candidate | should be | Homeostat | plain KS test | thresholds |",
        "|---|---|---:|---:|---:|",
    ]
    for name, outcomes in found.items():
        good = CASES[name][1]
        verdicts = np.array([(o.homeostat.promoted, o.plain_ks, o.thresholds) for o in outcomes])
        right = " | ".join(share(int(hits), len(outcomes)) for hits in (verdicts == good).sum(axis=0))
        lines.append(f"| {name} | {'promoted' if good else 'rolled back'} | {right} |")
    lines += [
        "",
        "Homeostat's rollouts in detail; the time to a rollback is counted in canary rows:",
        "",
        "| candidate | rolled back after, median | 99 % | within 400 | extended | usual reason |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for name, outcomes in found.items():
        back = [o.homeostat for o in outcomes if not o.homeostat.promoted]
        rows = [o.canary_rows for o in back]
        reasons = [o.reason.split(" ")[0].rstrip(":") for o in back]
        usual = max(set(reasons), key=reasons.count) if reasons else ""
        middle = f"{np.median(rows):.0f} | {np.quantile(rows, 0.99):.0f}" if rows else "- | -"
        soon = sum(count <= ENOUGH for count in rows)
        extended = sum(o.homeostat.extended for o in outcomes)
        lines.append(
            f"| {name} | {middle} | {soon / len(outcomes):.1%} | {extended / len(outcomes):.1%} | {usual} |"
        )
    return "\n".join(lines) + "\n"


def default_table(found: dict[str, list[tuple[Outcome, Outcome]]]) -> str:
    """Return the outcomes at the default settings as Markdown."""
    lines = [
        "| candidate | should be | Homeostat | release 0.1 | usual reason |",
        "|---|---|---:|---:|---|",
    ]
    for name, outcomes in found.items():
        good = DEFAULT_CASES[name][1]
        right = [share(sum(each[n].promoted == good for each in outcomes), len(outcomes)) for n in (0, 1)]
        back = [new for new, _ in outcomes if not new.promoted]
        reasons = [f"{o.reason.split(' ')[0].rstrip(':')}, {o.stage}" for o in back]
        usual = max(set(reasons), key=reasons.count) if reasons else ""
        lines.append(f"| {name} | {'promoted' if good else 'rolled back'} | {' | '.join(right)} | {usual} |")
    return "\n".join(lines) + "\n"


def about_defaults() -> str:
    """Describe the rollouts at the default settings, from the settings."""
    plan = plan_for(AFTER)
    steps = ", ".join(f"{step:.0%}" for step in plan.steps)
    return (
        f"At the default settings: shadow of {said(plan.shadow)}, canary steps of {steps}"
        f" for {said(plan.step_duration)} each, `max_divergence` {plan.max_divergence} beyond the expected,"
        f" `gate.max_regression` {plan.max_regression}; {DEFAULT_RATE / 120:g} request a second;"
        f" a holdout of {HOLDOUT_ROWS} rows."
        f" Labels arrive at once, {said(HALF_A_STEP)} or {said(AFTER)} after the request, or never;"
        f" in the last but one case the former champion is in shadow for {said(plan.reverse_shadow)}"
        " after the promotion. A rollback after the promotion counts as rolled back."
    )


def about() -> str:
    """Describe the simulation, from its settings."""
    steps = ", ".join(f"{step:.0%}" for step in PLAN.steps)
    return (
        f"Shadow of {said(PLAN.shadow)}, then canary steps of {steps} for {said(PLAN.step_duration)} each;"
        f" {RATE} requests per tick of {TICK.total_seconds():.0f} s, evaluated at every tick;"
        f" at least {PLAN.min_samples} canary rows per step. Limits: `max_divergence` {PLAN.max_divergence},"
        f" `error_rate` {PLAN.error_rate}, `p99_latency_ms` {PLAN.p99_latency_ms:g}. Both versions take"
        " about 10 ms, with the shared load, batches and pauses that `rollout_fixture.py` describes."
        " Shares of right outcomes with their standard error."
    )


def main() -> None:
    """Print the tables; write them to rollout.md with ``--write``."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--rollouts", type=int, default=1000, help="of each kind (1000)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (one per core)")
    parser.add_argument("--write", action="store_true", help="into benchmarks/rollout.md")
    args = parser.parse_args()
    tables = table(simulate(CASES, run, args.rollouts, args.workers))
    tables += f"\n{about_defaults()}\n\n"
    tables += default_table(simulate(DEFAULT_CASES, run_default, args.rollouts, args.workers))
    print(tables)
    if args.write:
        write(tables, f"PYTHONPATH=include python benchmarks/rollout.py --write --rollouts {args.rollouts}")


def write(tables: str, command: str) -> None:
    """Write the tables into rollout.md, and between the marks of the page on rollouts."""
    rules = (__doc__ or "").split("\n\n", maxsplit=2)[2]
    text = f"Made by `{command}`.\n\n{rules}\n{about()}\n\n{tables}"
    (HERE / "rollout.md").write_text(f"# Simulated rollouts\n\n{text}", encoding="utf-8")
    before, begin, rest = PAGE.read_text(encoding="utf-8").partition("<!-- simulated -->\n")
    _, end, after = rest.partition("<!-- until here -->")
    PAGE.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
