"""Measurements for the tables of benchmarks/gateway.py: alternating loads, medians, ratios."""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway_fixture import HERE, INCLUDE, BenchmarkFixture, Server

from homeostat.core.rollout import VersionRef

_TRIES = 5
Found = dict[str, Any]


@dataclass(frozen=True)
class Target:
    """A target and its measured value."""

    text: str
    sign: str
    limit: float
    found: float

    def row(self) -> str:
        """Return a row of Markdown."""
        met = self.found >= self.limit if self.sign == ">=" else self.found <= self.limit
        return (
            f"| {self.text} | {self.sign} {self.limit:g} | {self.found:.3g} | {'met' if met else 'not met'} |"
        )


@dataclass
class Canary:
    """A gateway that is measured during a rollout."""

    fixture: BenchmarkFixture
    home: str
    server: Server
    candidate: VersionRef
    phase: str
    begun: datetime = field(default_factory=lambda: datetime.now(UTC))
    predicted: int = 0
    restarts: int = 0

    def ensure_phase(self) -> bool:
        """Return True when the rollout is in its phase; otherwise restart it and return False."""
        if self.server.phases() == {"bench": self.phase}:
            return True
        self.restarts += 1
        self.fixture.begin_rollout(self.home, "bench", self.candidate, skip_shadow=self.phase == "canary")
        while self.server.phases() != {"bench": self.phase}:
            time.sleep(0.1)
        return False

    def until_shadow_is_idle(self) -> None:
        """Wait until the shadow's queue is empty."""
        last = -1.0
        while (now := self.server.counted("homeostat_log_written_rows")) != last:
            last = now
            time.sleep(1.0)

    def check_logged(self) -> str:
        """Check that every served row is in the log; return a sentence about it."""
        deadline = time.monotonic() + 30
        while (rows := self.fixture.logged_rows(self.home, "bench", self.begun)) < self.predicted:
            if time.monotonic() > deadline:
                break
            time.sleep(1.0)
        if rows != self.predicted:
            sys.exit(f"{self.home}: {self.predicted} rows were served, {rows} are in the log")
        noise = f" ({self.phase} restarted {self.restarts} times)" if self.restarts else ""
        return f"{rows:,} of {self.predicted:,} rows of the {self.phase} are in the log{noise}"


class Rounds:
    """Measurements by load, server and round."""

    def __init__(self, bodies: Path, servers: Mapping[str, Server | Canary]) -> None:
        self._bodies = bodies
        self._servers = dict(servers)
        self._found: dict[Hashable, dict[str, list[Found]]] = {}
        self._answers: dict[str, Found] = {}

    def each(
        self,
        what: Hashable,
        connections: int,
        seconds: float,
        rate: float = 0.0,
        names: Sequence[str] | None = None,
        *,
        bodies: Path | None = None,
        model: str = "",
    ) -> None:
        """Load one server after the other."""
        path = f"/models/{model}/invocations" if model else "/invocations"
        arguments = [path, str(bodies or self._bodies), "--connections", str(connections)]
        arguments += ["--seconds", str(seconds), "--rate", str(rate)]
        for name in names or self._servers:
            found = self._load(self._servers[name], arguments)
            if bodies is None:
                self._answers.setdefault(name, {}).update(found["answers"])
            self._found.setdefault(what, {}).setdefault(name, []).append(found)

    def _load(self, server: Server | Canary, arguments: list[str]) -> Found:
        for _ in range(_TRIES):
            if isinstance(server, Canary):
                server.ensure_phase()
            port = server.server.port if isinstance(server, Canary) else server.port
            command = [sys.executable, str(HERE / "gateway_load.py"), str(port), *arguments]
            done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # our own script
            if done.returncode:
                sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
            found: Found = json.loads(done.stdout)
            if found["failed"] or found["changed"]:
                sys.exit(f"{found['failed']} requests failed, {found['changed']} answers changed: {command}")
            if not isinstance(server, Canary):
                return found
            server.predicted += found["requests"]
            if server.ensure_phase():
                return found
        sys.exit(f"the rollout was taken back {_TRIES} times in a row")

    def check_equal(self) -> None:
        """Check that every server gave the same predictions for the same rows."""
        first = next(iter(self._answers.values()))
        for name, answers in self._answers.items():
            shared = first.keys() & answers.keys()
            if not shared or any(first[body] != answers[body] for body in shared):
                sys.exit(f"{name} answers otherwise")

    def names(self, what: Hashable) -> list[str]:
        """Return the measured servers."""
        return list(self._found[what])

    def median(self, what: Hashable, key: str, name: str) -> float:
        """Return the median over the rounds."""
        return statistics.median(found[key] for found in self._found[what][name])

    def ratio(self, what: Hashable, key: str, name: str, base: str) -> float:
        """Return the median over the rounds of the ratio of two servers in the same round."""
        pairs = zip(self._found[what][name], self._found[what][base], strict=True)
        return statistics.median(one[key] / other[key] for one, other in pairs)

    def less(self, what: Hashable, key: str, name: str, others: Sequence[float]) -> float:
        """Return the median over the rounds of the difference of two figures."""
        return statistics.median(
            found[key] - other for found, other in zip(self._found[what][name], others, strict=True)
        )

    def above(self, what: str, size: int, base: int, name: str) -> float:
        """Return the median over the rounds of a request's cost above one of the smallest size, in ms."""
        pairs = zip(self._found[what, size][name], self._found[what, base][name], strict=True)
        return statistics.median(1e3 / one["rate"] - 1e3 / smallest["rate"] for one, smallest in pairs)


def growth_power(above: Mapping[int, float]) -> float:
    """Return the power with which a cost grows: least squares on the logarithms of size and cost.

    NaN where a cost is not above zero: noise is then larger than the cost.
    """
    if min(above.values()) <= 0:
        return math.nan
    points = [(math.log(size), math.log(cost)) for size, cost in above.items()]
    return statistics.linear_regression(*zip(*points, strict=True)).slope


def time_model(bundle: Path, bodies: Path) -> float:
    """Return the median milliseconds of the pipeline's ``predict`` on one row, in its own process."""
    command = [sys.executable, str(HERE / "gateway_fixture.py"), "time", str(bundle), str(bodies)]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(INCLUDE)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)  # noqa: S603  # our own script
    return 1e3 * float(done.stdout)


def up_to(count: int, what: str) -> Iterator[int]:
    """Count rounds, and print the progress."""
    for i in range(count):
        print(f"{what}: round {i + 1} of {count}", file=sys.stderr, flush=True)
        yield i
