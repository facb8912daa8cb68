"""The gateway beside `mlflow models serve`, and by itself: same model, same machine, one run.

    make bench                                                          measures everything
    PYTHONPATH=include .venv/bin/python benchmarks/gateway.py --write   writes benchmarks/gateway.md too

All servers of a table are up at the same time and are asked in turn, round after round, so that a slow
minute of the machine meets all of them; medians are shown, and ratios are medians of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway_fixture import SLOW_TREES, TREES, BenchmarkFixture, Server, gateway, mlflow
from gateway_measure import Canary, Rounds, Target, growth_power, time_model, up_to

HERE = Path(__file__).resolve().parent
COMMAND = "PYTHONPATH=include .venv/bin/python benchmarks/gateway.py --write"
CONNECTIONS = (1, 8, 32)
ROWS = (1, 3, 10, 30, 100, 300, 1_000)
FEATURES = (10, 30, 100, 300, 1_000)


@dataclass(frozen=True)
class Section:
    """A section of gateway.md, and its targets."""

    lines: list[str]
    targets: list[Target]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the tables as Markdown, and write them to gateway.md with ``--write``."""
    options = _options(arguments)
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as folder, chdir(folder):
        fixture = BenchmarkFixture(Path(folder))
        parts = [PARTS[name](fixture, options) for name in options.only]
    targets = [target for part in parts for target in part.targets]
    text = "\n".join(
        [
            *_head(options),
            "",
            "| target | limit | measured | |",
            "|---|---:|---:|---|",
            *(target.row() for target in targets),
            *(line for part in parts for line in ["", *part.lines]),
        ]
    )
    print(text)
    if options.write:
        (HERE / "gateway.md").write_text(text + "\n")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="rounds (5)")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each load lasts (3)")
    parser.add_argument("--only", nargs="*", choices=PARTS, default=list(PARTS), help="sections to run")
    parser.add_argument("--write", action="store_true", help="write benchmarks/gateway.md")
    return parser.parse_args(arguments)


def _head(options: argparse.Namespace) -> list[str]:
    from importlib.metadata import version

    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    return [
        "# The gateway, timed",
        "",
        f"Written by `{COMMAND}`",
        f"({machine}, MLflow {version('mlflow')}, scikit-learn {version('scikit-learn')});",
        f"medians of {options.repeats} rounds of {options.seconds:g} s.",
        "README.md describes what is measured, and how.",
    ]


# Beside MLflow


@contextmanager
def _canary(fixture: BenchmarkFixture) -> Iterator[Canary]:
    """A gateway during a canary of 10 %; both versions are the same model, with equal predictions."""
    fixture.model("canary", "bench", 10)
    (champion, _), (candidate, _) = fixture.register("canary", "bench"), fixture.register("canary", "bench")
    fixture.begin_rollout("canary", "bench", champion)
    fixture.begin_rollout("canary", "bench", candidate, skip_shadow=True)
    with gateway(fixture, "canary", {"bench": "canary"}) as server:
        yield Canary(fixture, "canary", server, candidate, "canary")


@contextmanager
def _shadowed(fixture: BenchmarkFixture, home: str, trees: int = TREES) -> Iterator[Canary]:
    """A gateway whose candidate is in its shadow phase and gets every row."""
    fixture.model(home, "bench", 10)
    champion, candidate = fixture.register(home, "bench")[0], fixture.register(home, "bench", trees=trees)[0]
    fixture.begin_rollout(home, "bench", champion)
    fixture.begin_rollout(home, "bench", candidate)
    with gateway(fixture, home, {"bench": "shadow"}) as server:
        yield Canary(fixture, home, server, candidate, "shadow")


def beside_mlflow(fixture: BenchmarkFixture, options: argparse.Namespace) -> Section:
    """Closed and open loops against MLflow's server."""
    with ExitStack() as up:
        ours = up.enter_context(_canary(fixture))
        shadowed = up.enter_context(_shadowed(fixture, "shadow"))
        version = ours.candidate.version
        servers: dict[str, Server | Canary] = {
            "mlflow models serve": up.enter_context(mlflow(fixture, "bench", version)),
            "the same, -w 2 and OMP_NUM_THREADS=1": up.enter_context(
                mlflow(fixture, "bench", version, "-w", "2", OMP_NUM_THREADS="1")
            ),
            "Homeostat, canary of 10 %": ours,
            "Homeostat, shadow of 100 %": shadowed,
        }
        rounds = Rounds(fixture.bodies(10, 1), servers)
        for _ in up_to(options.repeats, "beside MLflow"):
            for connections in CONNECTIONS:
                rounds.each(("closed", connections), connections, options.seconds)
            for rate in (50, 1_000):
                names = list(servers) if rate <= 50 else list(servers)[2:]
                rounds.each(("open", rate), 64, options.seconds, rate, names)
        rounds.check_equal()
        kept = ours.check_logged(), shadowed.check_logged()
    base, _, canary, shadow = servers
    faster = {
        (name, c): rounds.ratio(("closed", c), "rate", name, base)
        for name in (canary, shadow)
        for c in CONNECTIONS
    }
    tail = rounds.ratio(("closed", 8), "p99", canary, base)
    return Section(
        [
            "## Beside `mlflow models serve`",
            "",
            "| | connections | requests a second | times MLflow's | p50, ms | p99, ms |",
            "|---|---:|---:|---:|---:|---:|",
            *(
                f"| {name} | {c} | {rounds.median(('closed', c), 'rate', name):,.0f} "
                f"| {rounds.ratio(('closed', c), 'rate', name, base):.1f} "
                f"| {rounds.median(('closed', c), 'p50', name):.2f} "
                f"| {rounds.median(('closed', c), 'p99', name):.1f} |"
                for c in CONNECTIONS
                for name in servers
            ),
            "",
            "Requests due at fixed times, whatever the server does; latencies count from then:",
            "",
            "| | requests due a second | p50, ms | p99, ms |",
            "|---|---:|---:|---:|",
            *(
                f"| {name} | {rate:,} | {rounds.median(('open', rate), 'p50', name):.2f} "
                f"| {rounds.median(('open', rate), 'p99', name):.1f} |"
                for rate in (50, 1_000)
                for name in rounds.names(("open", rate))
            ),
            "",
            f"One row a request, {TREES} trees, 10 features. All predictions were equal. Homeostat logs",
            f"rows and counts evidence and metrics meanwhile: {kept[0]},",
            f"{kept[1]}. A rollout is in its canary or in its shadow, never in both.",
        ],
        [
            Target("times MLflow's requests a second, 8 connections", ">=", 10, faster[canary, 8]),
            Target("... 32 connections", ">=", 25, faster[canary, 32]),
            Target("share of MLflow's p99, 8 connections", "<=", 0.2, tail),
            Target("times MLflow's requests a second with shadow, 8 connections", ">=", 5, faster[shadow, 8]),
            Target("... 32 connections", ">=", 5, faster[shadow, 32]),
        ],
    )


# What it adds


def overhead(fixture: BenchmarkFixture, options: argparse.Namespace) -> Section:
    """One connection, against the model's own predict call."""
    fixture.model("plain", "bench", 10)
    champion, bundle = fixture.register("plain", "bench")
    fixture.begin_rollout("plain", "bench", champion)
    bodies, own = fixture.bodies(10, 1), []
    with gateway(fixture, "plain", {"bench": "champion"}) as server:
        rounds = Rounds(bodies, {"plain": server})
        for _ in up_to(options.repeats, "overhead"):
            rounds.each("one", 1, options.seconds)
            own.append(time_model(bundle, bodies))
    added = rounds.less("one", "p50", "plain", own)
    return Section(
        [
            "## What the gateway adds",
            "",
            "| one row, 1 connection | p50, ms |",
            "|---|---:|",
            f"| the pipeline's own `predict`, in a process of its own | {statistics.median(own):.3f} |",
            f"| the whole request, as the client sees it | {rounds.median('one', 'p50', 'plain'):.3f} |",
            f"| the difference | {added:.3f} |",
        ],
        [Target("ms that the gateway adds to predict, p50 at 1 connection", "<=", 0.5, added)],
    )


# A slow shadow


def slow_shadow(fixture: BenchmarkFixture, options: argparse.Namespace) -> Section:
    """The champion's latency with and without a shadow candidate that is ten times slower."""
    rate = 200
    with ExitStack() as up:
        fixture.model("alone", "bench", 10)
        fixture.begin_rollout("alone", "bench", fixture.register("alone", "bench")[0])
        slow = up.enter_context(_shadowed(fixture, "slow", SLOW_TREES))
        servers: dict[str, Server | Canary] = {
            "no shadow": up.enter_context(gateway(fixture, "alone", {"bench": "champion"})),
            f"shadow of {SLOW_TREES} trees, {SLOW_TREES // TREES} times the champion's": slow,
        }
        rounds = Rounds(fixture.bodies(10, 1), servers)
        for _ in up_to(2 * options.repeats, "slow shadow"):
            rounds.each("open", 32, 2 * options.seconds, rate)
            slow.until_shadow_is_idle()
        dropped = slow.server.counted("homeostat_shadow_dropped_total")
    alone, with_shadow = servers
    moved = rounds.ratio("open", "p99", with_shadow, alone)
    return Section(
        [
            "## A shadow candidate that is ten times slower",
            "",
            f"| {rate} requests due a second | p50, ms | p99, ms |",
            "|---|---:|---:|",
            *(
                f"| {name} | {rounds.median('open', 'p50', name):.2f} "
                f"| {rounds.median('open', 'p99', name):.2f} |"
                for name in servers
            ),
            "",
            f"Rows that the shadow did not get round to: {dropped:,.0f}, counted in `/metrics`.",
        ],
        [Target("p99 of the champion with a slow shadow, share of p99 without", "<=", 1.1, moved)],
    )


# Growth


def growth(fixture: BenchmarkFixture, options: argparse.Namespace) -> Section:
    """Rows per request and features per row."""
    for features in FEATURES:
        name = f"wide{features}"
        fixture.model("sizes", name, features)
        fixture.begin_rollout("sizes", name, fixture.register("sizes", name)[0])
    with gateway(fixture, "sizes", {f"wide{n}": "champion" for n in FEATURES}) as server:
        rounds = Rounds(fixture.bodies(10, 1), {"": server})
        for _ in up_to(2 * options.repeats, "growth"):
            for rows in ROWS:
                rounds.each(
                    ("rows", rows), 1, options.seconds / 3, bodies=fixture.bodies(10, rows), model="wide10"
                )
            for n in FEATURES:
                rounds.each(
                    ("features", n), 1, options.seconds / 3, bodies=fixture.bodies(n, 1), model=f"wide{n}"
                )
    lines, targets = [], []
    for what, sizes, each in (("rows", ROWS, "row"), ("features", FEATURES, "feature")):
        cost = {n: 1e3 / rounds.median((what, n), "rate", "") for n in sizes}
        above = {n: rounds.above(what, n, sizes[0], "") for n in sizes[1:]}
        # The second smallest is left out: its cost above the smallest is mostly noise.
        slope = growth_power({n - sizes[0]: above[n] for n in sizes[2:]})
        lines += [
            "",
            f"| {what} | ms a request | above the smallest, us a {each} | p50, ms |",
            "|---:|---:|---:|---:|",
        ]
        for n in sizes:
            more = f"{1e3 * above[n] / (n - sizes[0]):.1f}" if n in above else ""
            lines.append(f"| {n:,} | {cost[n]:.2f} | {more} | {rounds.median((what, n), 'p50', ''):.2f} |")
        lines += [
            "",
            f"From {sizes[2]:,} to {sizes[-1]:,}, the cost above the smallest grows with power {slope:.2f}.",
        ]
        targets.append(Target(f"power with which the cost grows with {what}", "<=", 1.1, slope))
    return Section(
        [
            "## Larger requests",
            "",
            "1 connection; 10 features a row, and one row a request. The cost is the time divided by the",
            "number of requests: it holds what a request causes later, above all the rows of the log.",
            *lines,
        ],
        targets,
    )


PARTS = {"mlflow": beside_mlflow, "overhead": overhead, "shadow": slow_shadow, "growth": growth}

if __name__ == "__main__":
    main()
