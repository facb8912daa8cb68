"""Measure the gateway beside MLServer, BentoML and Ray Serve: same model, same machine, one run.

    make bench-servers [ARGS=--write]

Each peer runs as it does by default and once tuned as its documentation says. Servers are up one at a time,
since Ray and BentoML keep several processes each; every round measures the gateway too. Ratios are medians
of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
from gateway_fixture import TREES, BenchmarkFixture, Server, free_port, gateway, running
from gateway_measure import up_to

HERE = Path(__file__).resolve().parent
COMMAND = "make bench-servers ARGS=--write"
ENVIRONMENTS = HERE.parent / ".venv-bench"
CONNECTIONS = (1, 8, 32)
OURS = "Homeostat, canary of 10 %"
Found = dict[str, Any]


@dataclass(frozen=True)
class Peer:
    """A server to compare with: how to run it, its route, and how its request body holds the rows."""

    name: str
    tuned: str
    run: Callable[[], AbstractContextManager[Server]]
    path: str
    body: Callable[[list[list[float]], int], Any]


def main() -> None:
    """Measure, print the table, and write it with ``--write``."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="serving-peers-") as folder, chdir(folder):
        fixture = BenchmarkFixture(Path(folder))
        ours = _ours(fixture)
        model = Path(folder) / "model.joblib"
        (estimator, _frame), *_ = fixture.fitted.values()
        joblib.dump(estimator, model)
        peers = [peer for peer in _peers(fixture, model, options.environments) if _wanted(peer, options.only)]
        found = measure(fixture, [ours, *peers], options)
    lines = table([ours, *peers], found, options)
    print("\n".join(lines))
    if options.write:
        (HERE / "serving_peers.md").write_text("\n".join(lines) + "\n")


def measure(
    fixture: BenchmarkFixture, peers: list[Peer], options: argparse.Namespace
) -> dict[tuple[str, int], list[Found]]:
    """Load one server after the other, in rounds; every server must predict the same."""
    found: dict[tuple[str, int], list[Found]] = {}
    answers: dict[str, Any] = {}
    rows = [
        json.loads(text)["dataframe_split"]["data"] for text in json.loads(fixture.bodies(10, 1).read_text())
    ]
    for _ in up_to(options.repeats, "peers"):
        for peer in peers:
            bodies = fixture.folder / f"bodies-{peers.index(peer)}.json"
            bodies.write_text(json.dumps([json.dumps(peer.body(each, i)) for i, each in enumerate(rows)]))
            with peer.run() as server:
                _load(server, peer, bodies, 1, 1.0)  # to warm up
                for connections in CONNECTIONS:
                    one = _load(server, peer, bodies, connections, options.seconds)
                    found.setdefault((peer.name + peer.tuned, connections), []).append(one)
                    for body, predictions in one["answers"].items():
                        if answers.setdefault(body, predictions) != predictions:
                            sys.exit(f"{peer.name} predicts otherwise")
    return found


def _load(server: Server, peer: Peer, bodies: Path, connections: int, seconds: float) -> Found:
    command = [sys.executable, str(HERE / "gateway_load.py"), str(server.port), peer.path, str(bodies)]
    command += ["--connections", str(connections), "--seconds", str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # our own script
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}\n{server.log.read_text()[-3000:]}")
    found: Found = json.loads(done.stdout)
    if found["failed"] or found["changed"]:
        sys.exit(f"{peer.name}: {found['failed']} requests failed, {found['changed']} answers changed")
    return found


def table(
    peers: list[Peer], found: dict[tuple[str, int], list[Found]], options: argparse.Namespace
) -> list[str]:
    """Return serving_peers.md."""
    lines = [
        "# The gateway beside other servers, timed",
        "",
        f"Written by `{COMMAND}`",
        f"({_machine(options)}; load {os.getloadavg()[0]:.1f} at the end);",
        f"medians of {options.repeats} rounds of {options.seconds:g} s; ratios with their range.",
        "README.md describes what is measured, and how.",
        "",
        "| | | connections | requests a second | ours is that times | p50, ms | p99, ms |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for connections in CONNECTIONS:
        base = [one["rate"] for one in found[OURS, connections]]
        for peer in peers:
            each = found[peer.name + peer.tuned, connections]
            ratios = [mine / one["rate"] for mine, one in zip(base, each, strict=True)]
            times = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            lines.append(
                f"| {peer.name} | {peer.tuned} | {connections} "
                f"| {statistics.median(one['rate'] for one in each):,.0f} "
                f"| {'1' if peer.name == OURS else times} "
                f"| {statistics.median(one['p50'] for one in each):.2f} "
                f"| {statistics.median(one['p99'] for one in each):.1f} |"
            )
    return [
        *lines,
        "",
        f"One row a request, {TREES} trees, 10 features; all predictions were equal. Homeostat logs each row",
        "and counts evidence meanwhile, in one process; the others log no row and compare no versions.",
    ]


def _ours(fixture: BenchmarkFixture) -> Peer:
    fixture.model("canary", "bench", 10)
    (champion, _), (candidate, _) = fixture.register("canary", "bench"), fixture.register("canary", "bench")
    fixture.begin_rollout("canary", "bench", champion)
    fixture.begin_rollout("canary", "bench", candidate, skip_shadow=True)

    def body(rows: list[list[float]], _number: int) -> Any:
        return {"dataframe_split": {"columns": [f"f{i}" for i in range(len(rows[0]))], "data": rows}}

    return Peer(OURS, "", lambda: gateway(fixture, "canary", {"bench": "canary"}), "/invocations", body)


def _peers(fixture: BenchmarkFixture, model: Path, environments: Path) -> list[Peer]:
    def mlserver(workers: int, batch: int) -> Callable[[], AbstractContextManager[Server]]:
        @contextmanager
        def run() -> Iterator[Server]:
            port, folder = free_port(), Path(tempfile.mkdtemp(dir=fixture.folder))
            ports = {"http_port": port, "grpc_port": free_port(), "metrics_port": free_port()}
            more = {"host": "127.0.0.1", "parallel_workers": workers, "debug": False}
            (folder / "settings.json").write_text(json.dumps(ports | more))
            setting: dict[str, Any] = {"name": "bench", "implementation": "mlserver_sklearn.SKLearnModel"}
            setting["parameters"] = {"uri": str(model)}
            if batch:
                setting |= {"max_batch_size": batch, "max_batch_time": 0.001}
            (folder / "model-settings.json").write_text(json.dumps(setting))
            command = [str(environments / "mlserver/bin/mlserver"), "start", str(folder)]
            ready = "/v2/models/bench/ready"
            with running(
                command, _env(), port, folder, lambda s: s.log.exists() and _is_up(s, ready)
            ) as server:
                yield server

        return run

    def bento(workers: int) -> Callable[[], AbstractContextManager[Server]]:
        @contextmanager
        def run() -> Iterator[Server]:
            port, folder = free_port(), Path(tempfile.mkdtemp(dir=fixture.folder))
            (folder / "service.py").write_text((HERE / "peers/serve_bentoml.py").read_text())
            command = [str(environments / "bentoml/bin/bentoml"), "serve", "service:Bench"]
            command += ["--port", str(port), "--host", "127.0.0.1"]
            env = _env() | {"MODEL": str(model), "WORKERS": str(workers), "BENTOML_HOME": str(folder)}
            env |= {"BENTOML_DO_NOT_TRACK": "True"}
            with running(command, env, port, folder, lambda s: _is_up(s, "/readyz")) as server:
                yield server

        return run

    def ray(replicas: int, **env: str) -> Callable[[], AbstractContextManager[Server]]:
        @contextmanager
        def run() -> Iterator[Server]:
            port = free_port()
            command = [str(environments / "ray/bin/python"), str(HERE / "peers/serve_ray.py")]
            command += [str(model), str(port), str(replicas)]
            settings = _env() | {"RAY_USAGE_STATS_ENABLED": "0"} | env
            with running(
                command, settings, port, fixture.folder, lambda s: _is_up(s, "/-/healthz")
            ) as server:
                yield server

        return run

    def v2(rows: list[list[float]], number: int) -> Any:
        shape, data = [len(rows), len(rows[0])], [value for row in rows for value in row]
        tensor = {"name": "predict", "shape": shape, "datatype": "FP64", "data": data}
        return {"id": str(number), "inputs": [tensor]}

    def plain(rows: list[list[float]], _number: int) -> Any:
        return {"rows": rows}

    fast = {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"}
    return [
        Peer("MLServer", "defaults", mlserver(1, 0), "/v2/models/bench/infer", v2),
        Peer("MLServer", "no worker process, batches", mlserver(0, 64), "/v2/models/bench/infer", v2),
        Peer("BentoML", "one worker", bento(1), "/predict", plain),
        Peer("BentoML", "a worker for each core", bento(2), "/predict", plain),
        Peer("Ray Serve", "one replica", ray(1), "/predict", plain),
        Peer("Ray Serve", "two replicas, throughput optimized", ray(2, **fast), "/predict", plain),
    ]


def _is_up(server: Server, path: str) -> bool:
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _env() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return kept | {"OMP_NUM_THREADS": "1"}


def _wanted(peer: Peer, only: list[str]) -> bool:
    return not only or any(name.lower() in peer.name.lower() for name in only)


def _machine(options: argparse.Namespace) -> str:
    parts = [f"{os.cpu_count()} cores", platform.machine(), f"Python {platform.python_version()}"]
    return ", ".join([*parts, *_versions(options.environments)])


def _versions(environments: Path) -> Iterator[str]:
    for name in ("mlserver", "bentoml", "ray"):
        python = environments / name / "bin/python"
        if python.exists():
            code = f"from importlib.metadata import version; print('{name}', version('{name}'))"
            done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
            yield done.stdout.strip()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="rounds (3)")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each load lasts (3)")
    parser.add_argument("--only", nargs="*", default=[], help="peers, by a part of their names")
    parser.add_argument(
        "--environments", type=Path, default=ENVIRONMENTS, help="folder of the peers' environments"
    )
    parser.add_argument("--write", action="store_true", help="write benchmarks/serving_peers.md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
