"""Measure how soon a manually rolled back version serves nothing, and what swapping versions costs.

    python benchmarks/rollback.py --quick      20 rollbacks and 200 swaps: a minute
    python benchmarks/rollback.py --write      1,000 rollbacks and 10,000 swaps, into rollback.md

Two gateways of two workers each on one ledger; MLflow and Airflow do not run. Real processes throughout.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from rollback_fixture import HERE, MODEL, Gateway, Load, RollbackFixture, database, monotonic_of, rss, until

from homeostat.adapters import open_ledger
from homeostat.config import Settings
from homeostat.config.errors import StaleRevision
from homeostat.core.rollout import Plan, VersionRef, begin, promote
from homeostat.ports import Ledger

GATEWAY_NAMES = ["gateway-a", "gateway-b"]
WORKERS = 2
CONNECTIONS = 16
BETWEEN = 0.03  # seconds between a response and the next request of a connection
SWAP_SECONDS = 0.02
#: A version counts as serving everywhere once so many connections had a response of it.
SEEN_BY = 12
_BY_COMMAND_EVERY = 50


@dataclass
class Memory:
    """The workers' resident memory over time, by how much was done: (done, MB of each worker)."""

    pids: list[int]
    taken: list[tuple[int, list[float]]] = field(default_factory=list)

    def take(self, done: int) -> None:
        """Take a sample."""
        self.taken.append((done, [rss(pid) for pid in self.pids]))

    def row(self, what: str, count: int) -> str:
        """Start, warm (after a tenth), end and the slope after that, of the worker that grew most."""
        warm = [each for each in self.taken if each[0] >= count / 10]
        slopes = [_slope([(done, mb[i]) for done, mb in warm]) for i in range(len(self.pids))]
        worst = max(range(len(slopes)), key=slopes.__getitem__)
        return (
            f"| {what} | {self.taken[0][1][worst]:.0f} MB | {warm[0][1][worst]:.0f} MB "
            f"| {self.taken[-1][1][worst]:.0f} MB | {1000 * slopes[worst]:+.2f} MB |"
        )


def _slope(points: list[tuple[int, float]]) -> float:
    """Least squares."""
    if len(points) < 3:
        return float("nan")
    return statistics.linear_regression(*zip(*points, strict=True)).slope


@dataclass
class Rollbacks:
    """The rollbacks: seconds from decision to the last bad response, and the time of each request."""

    last_bad_response: list[float] = field(default_factory=list)
    order: list[float] = field(default_factory=list)
    command: list[float] = field(default_factory=list)
    by_itself: int = 0
    responses: int = 0
    failed: list[str] = field(default_factory=list)


def roll_back_often(
    setup: RollbackFixture, gateways: list[Gateway], ledger: Ledger, digest: str, count: int
) -> tuple[Rollbacks, Memory]:
    """Begin a canary at 50 %, wait until it serves nearly every connection, roll it back; repeat."""
    out = Rollbacks()
    memory = Memory([pid for each in gateways for pid in each.pids()])
    plan = Plan.of(Settings.from_env(setup.env(GATEWAY_NAMES[0])).load_model(MODEL))
    numbers = itertools.count(2)
    with _load_on_every_worker(gateways) as load:
        memory.take(0)
        while len(out.last_bad_response) < count:
            bad = VersionRef(str(next(numbers)), digest)
            now = datetime.now(UTC)
            step = begin(ledger.read(MODEL), bad, f"rollout-{bad.version}", plan, now, skip_shadow=True)
            ledger.write(step.traffic, kind=step.kind, reason=step.reason, by="benchmark", at=now)
            until(
                lambda bad=bad: len(load.seen.get(bad.version, ((), 0))[0]) >= SEEN_BY,
                "the canary serves everywhere",
            )  # type: ignore[misc]
            if ledger.read(MODEL).active is None:  # its health checks were sooner than the person
                out.by_itself += 1
                continue
            begun = time.monotonic()
            if (len(out.last_bad_response) + 1) % _BY_COMMAND_EVERY:
                gateways[len(out.last_bad_response) % 2].roll_back("benchmark")
                out.order.append(time.monotonic() - begun)
            else:
                _by_command(setup)
                out.command.append(time.monotonic() - begun)
            decided = next(
                e
                for e in reversed(ledger.events(MODEL, ledger.read(MODEL).revision - 3))
                if e.kind == "rolled_back"
            )
            moment = monotonic_of(decided.at)
            time.sleep(0.25)
            while load.seen[bad.version][1] > time.monotonic() - 0.2:  # until nothing came for 0.2 s
                time.sleep(0.02)
            out.last_bad_response.append(max(0.0, load.seen[bad.version][1] - moment))
            if len(out.last_bad_response) % max(1, count // 50) == 0:
                memory.take(len(out.last_bad_response))
        out.responses, out.failed = load.responses, load.failed
    return out, memory


def _by_command(setup: RollbackFixture) -> None:
    """``homeostat rollback``, which reaches no gateway and so writes the ledger itself."""
    command = [sys.executable, "-c", "from homeostat.cli import main; main()", "rollback", MODEL]
    env = setup.env(GATEWAY_NAMES[0])
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)  # noqa: S603  # our own command
    if done.returncode:
        sys.exit(done.stderr)


def swap_often(gateways: list[Gateway], ledger: Ledger, digest: str, count: int) -> Swaps:
    """Swap champion and previous version in the ledger, every 20 ms; the gateways poll as often."""
    memory = Memory([pid for each in gateways for pid in each.pids()])
    pair = [VersionRef("1000001", digest), VersionRef("1000002", digest)]
    with _load_on_every_worker(gateways) as load:
        memory.take(0)
        begun = due = time.monotonic()
        done = 0
        while done < count:
            now = datetime.now(UTC)
            step = promote(ledger.read(MODEL), pair[done % 2], now, "benchmark")
            try:
                ledger.write(step.traffic, kind=step.kind, reason=step.reason, by="benchmark", at=now)
            except StaleRevision:  # a gateway wrote in between
                continue
            done += 1
            due += SWAP_SECONDS
            time.sleep(max(0.0, due - time.monotonic()))
            if done % max(1, count // 50) == 0:
                memory.take(done)
        return Swaps(load, memory, time.monotonic() - begun, count)


@contextlib.contextmanager
def _load_on_every_worker(gateways: list[Gateway]) -> Iterator[Load]:
    """Load whose connections reach every worker: which one accepts a connection is up to the kernel."""
    for attempt in range(20):
        before = [each.rows_by_worker() for each in gateways]
        with Load([each.port for each in gateways], CONNECTIONS, BETWEEN) as load:
            until(lambda load=load: load.responses > 10 * CONNECTIONS, "requests are served")  # type: ignore[misc]
            after = [each.rows_by_worker() for each in gateways]
            spread = all(
                now.get(str(worker), 0) > then.get(str(worker), 0)
                for then, now in zip(before, after, strict=True)
                for worker in range(WORKERS)
            )
            if spread or attempt == 19:
                yield load
                return


@dataclass(frozen=True)
class Swaps:
    """What the swaps gave."""

    load: Load
    memory: Memory
    seconds: float
    count: int


def page_of(rollbacks: Rollbacks, memory: Memory, swaps: Swaps, ledger: str, reached: int) -> str:
    """The page, as rollback.md holds it."""
    count, load = len(rollbacks.last_bad_response), swaps.load
    ms, total, spent = 1000 * SWAP_SECONDS, WORKERS * len(GATEWAY_NAMES), swaps.seconds
    by_command = f"`homeostat rollback`, no gateway in reach, start to end ({len(rollbacks.command)})"
    return f"""# Rollback

    python benchmarks/rollback.py --write

Two gateways of {WORKERS} workers each, the ledger in {ledger}, {os.cpu_count()} cores for everything:
gateways, database, load and this script. MLflow and Airflow do not run.
{CONNECTIONS} connections ask for single rows all the time; they reached {reached} of the {total} workers.

Each rollback: a version is registered with a canary at 50 %; when at least {SEEN_BY} connections had a
response of it, a person requests a rollback. The decision is the event's time in the ledger. The last bad
response is the last one, on any connection, whose `X-Homeostat-Version` names the version.

| {count:,} manual rollbacks | p50 | p90 | p99 | longest |
|---|---|---|---|---|
| decision to the last response of the bad version | {_quantiles(rollbacks.last_bad_response)} |
| the request over HTTP, from sent to response ({len(rollbacks.order)}) | {_quantiles(rollbacks.order)} |
| {by_command} | {_quantiles(rollbacks.command)} |

| | responses | failed |
|---|---|---|
| during {count:,} rollbacks | {rollbacks.responses:,} | {len(rollbacks.failed)} |
| during {swaps.count:,} swaps of the champion in {spent:.0f} s | {load.responses:,} | {len(load.failed)} |

The swaps go through the ledger too, each by compare-and-swap, one every {ms:.0f} ms. The gateways read it
as often (`HOMEOSTAT_GATEWAY_POLL_SECONDS={SWAP_SECONDS}`, the default is 0.1); the connections saw the
version change {load.changes:,} times. {rollbacks.by_itself} more canaries were rolled back by their health
checks before the request came.

| memory of the worker that grew most | at the start | after a tenth | at the end | per 1,000 after it |
|---|---|---|---|---|
{memory.row(f"{count:,} rollbacks", count)}
{swaps.memory.row(f"{swaps.count:,} swaps", swaps.count)}

Resident memory. The last column is a least squares line through the samples after the first tenth. Every
rollback brings a version number that was never seen before, which each worker has to load, and which has
series of its own in `/metrics`.
"""


def _quantiles(seconds: list[float]) -> str:
    if not seconds:
        return "| | |"
    ms = sorted(1000 * each for each in seconds)
    picked = [ms[min(len(ms) - 1, int(share * len(ms)))] for share in (0.5, 0.9, 0.99)]
    return " | ".join(f"{each:.0f} ms" for each in [*picked, ms[-1]])


def main() -> None:
    """Measure, and print or write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="20 rollbacks and 200 swaps")
    parser.add_argument("--write", action="store_true", help="write benchmarks/rollback.md")
    asked = parser.parse_args()
    rollbacks_wanted, swaps_wanted = (20, 200) if asked.quick else (1_000, 10_000)
    with (
        tempfile.TemporaryDirectory(prefix="homeostat-bench-") as scratch,
        database(Path(scratch)) as (url, what),
    ):
        setup = RollbackFixture(Path(scratch), url)
        digest = setup.make_version(GATEWAY_NAMES)
        ledger = open_ledger(url)
        first = VersionRef("1", digest)
        plan = Plan.of(Settings.from_env(setup.env(GATEWAY_NAMES[0])).load_model(MODEL))
        now = datetime.now(UTC)
        step = begin(ledger.read(MODEL), first, "first", plan, now)
        ledger.write(step.traffic, kind=step.kind, reason=step.reason, by="benchmark", at=now)
        with setup.running(GATEWAY_NAMES, WORKERS) as gateways:
            rollbacks, memory = roll_back_often(setup, gateways, ledger, digest, rollbacks_wanted)
            reached = sum(len(each.rows_by_worker()) for each in gateways)
        with setup.running(
            GATEWAY_NAMES, WORKERS, HOMEOSTAT_GATEWAY_POLL_SECONDS=str(SWAP_SECONDS)
        ) as gateways:
            swaps = swap_often(gateways, ledger, digest, swaps_wanted)
        page = page_of(rollbacks, memory, swaps, what, reached)
        print(page)
        for line in [*rollbacks.failed, *swaps.load.failed][:20]:
            print("failed:", line, file=sys.stderr)
        if asked.write:
            (HERE / "rollback.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
