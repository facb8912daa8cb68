"""Measure what models cost a gateway: memory for each, and the time until all are ready.

    python benchmarks/gateway_models.py             1, 50 and 200 models
    python benchmarks/gateway_models.py --write     the same, into gateway_models.md
    python benchmarks/gateway_models.py --models 200 --limit 50 [--write]
                                                    loaded on demand, into gateway_models_limit.md

Each model is a HistGradientBoosting of 100 trees on 10 features, in a bundle of its own, on the gateway's
disk already: MLflow and the store are not there. The gateway has one worker. Memory is the proportional set
size of its process, once all models are ready and each has answered one request.

With a limit (HOMEOSTAT_GATEWAY_LOADED_MODELS) all models are asked in turn, several rounds: each visit
finds its model unloaded. Its first request loads it, the next ones find it in memory. Memory is measured
after every round: what is unloaded must be given back.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import sys
import tempfile
import time
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "include"))

from rollback_fixture import Gateway, RollbackFixture, until  # noqa: E402  # beside this file

SIZES = (1, 50, 200)
#: Rounds over all models, and requests of each visit after the first.
ROUNDS, LATER = 4, 5
FEATURES = [f"x{n}" for n in range(10)]
NAME = "gateway-1"
_MODEL = """
name: {name}
task: classification
pipeline: pipeline.py:build
source: {{kind: predictions}}
schema:
  label: {{name: y}}
  features: {{{features}}}
"""
_PIPELINE = """
def build():
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(max_iter=100, early_stopping=False)
"""


def make_models(setup: RollbackFixture, number: int) -> int:
    """Write so many models with a champion each; return the bytes of one bundle."""
    import numpy as np
    import pandas as pd

    from homeostat.adapters import open_ledger
    from homeostat.bundle.evaluate import make_reference
    from homeostat.bundle.files import write_bundle
    from homeostat.bundle.predictor import Predictor
    from homeostat.config import Settings
    from homeostat.core.rollout import VersionRef, promote
    from homeostat.retraining.fit import fit

    settings, ledger = Settings.from_env(setup.env(NAME)), open_ledger(setup.ledger_url)
    rng, now = np.random.default_rng(1), datetime.now(UTC)
    frame = pd.DataFrame(rng.normal(size=(5_000, len(FEATURES))), columns=FEATURES)
    frame["y"] = (frame["x0"] + frame["x1"] * frame["x2"] > 0).astype(int)
    frame["timestamp"] = pd.date_range("2026-01-01", periods=len(frame), freq="min", tz="UTC")
    estimator, size = None, 0
    for n in range(number):
        folder = setup.folder / "include" / "models" / f"model_{n:03d}"
        folder.mkdir(parents=True)
        features = ", ".join(f"{name}: {{type: number}}" for name in FEATURES)
        (folder / "model.yaml").write_text(_MODEL.format(name=folder.name, features=features))
        (folder / "pipeline.py").write_text(_PIPELINE)
        config = settings.load_model(folder.name)
        estimator = estimator or fit(config, frame, None)  # one fit serves: what differs is the bundle
        reference = make_reference(config, Predictor.of(config, estimator), frame)
        made = setup.folder / "made" / folder.name
        digest = write_bundle(made, config, estimator, reference, {"number": n})
        cached = settings.cache / "bundles" / digest.removeprefix("sha256:")
        cached.parent.mkdir(parents=True, exist_ok=True)
        made.rename(cached)
        size = sum(path.stat().st_size for path in cached.rglob("*") if path.is_file())
        step = promote(ledger.read(folder.name), VersionRef("1", digest), now, "for the benchmark")
        ledger.write(step.traffic, kind=step.kind, reason=step.reason, by="benchmark", at=now)
    ledger.close()
    return size


def megabytes(pid: int) -> float:
    """Return the proportional set size of a process and its children."""
    total = 0.0
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            total += float(line.split()[1]) / 1024
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        total += sum(megabytes(int(child)) for child in children.read_text().split())
    return total


def measure(number: int) -> dict[str, float]:
    """Return the bytes of a bundle, the seconds until all models were ready, and the memory."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        setup = RollbackFixture(folder, f"sqlite:///{folder}/ledger.db")
        size = make_models(setup, number)
        began = time.monotonic()
        gateway = Gateway.start(setup, NAME, 1, {})
        try:
            until(lambda: _answers(gateway), "the gateway answers", 300)
            answers = time.monotonic() - began
            until(lambda: _ready(gateway) == number, "all models are ready", 600)
            ready = time.monotonic() - began
            row = json.dumps({"dataframe_records": [dict.fromkeys(FEATURES, 0.5)]}).encode()
            for n in range(number):
                url = f"http://127.0.0.1:{gateway.port}/models/model_{n:03d}/invocations"
                asked = urllib.request.Request(url, row, {"Content-Type": "application/json"})  # ours
                urllib.request.urlopen(asked, timeout=60).read()  # noqa: S310  # the same
            memory = megabytes(gateway.process.pid)
        finally:
            gateway.process.terminate()
            gateway.process.wait(60)
    return {"bundle": size, "answers": answers, "ready": ready, "memory": memory}


def measure_limit(number: int, limit: int) -> dict[str, Any]:
    """Return start-up, memory after each round, and the milliseconds of first and later requests."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        setup = RollbackFixture(folder, f"sqlite:///{folder}/ledger.db")
        make_models(setup, number)
        began = time.monotonic()
        gateway = Gateway.start(setup, NAME, 1, {"HOMEOSTAT_GATEWAY_LOADED_MODELS": str(limit)})
        first: list[float] = []
        later: list[float] = []
        memory = []
        try:
            until(lambda: _is_ready(gateway), "the gateway is ready", 300)
            ready = time.monotonic() - began
            memory.append(megabytes(gateway.process.pid))
            line = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60)
            for _ in range(ROUNDS):
                for n in range(number):
                    taken = [_milliseconds(line, f"model_{n:03d}") for _ in range(1 + LATER)]
                    first.append(taken[0])
                    later += taken[1:]
                memory.append(megabytes(gateway.process.pid))
            line.close()
            loaded = sum(bool(each["loaded"]) for each in json.loads(gateway.get("/models"))["models"])
            if limit and loaded > limit:
                sys.exit(f"{loaded} models are in memory, the limit is {limit}")
        finally:
            gateway.process.terminate()
            gateway.process.wait(60)
    return {"ready": ready, "memory": memory, "first": first, "later": later}


def _milliseconds(line: http.client.HTTPConnection, model: str) -> float:
    """Return how long one request takes on an open connection."""
    row = json.dumps({"dataframe_records": [dict.fromkeys(FEATURES, 0.5)]})
    began = time.perf_counter()
    line.request("POST", f"/models/{model}/invocations", row, {"Content-Type": "application/json"})
    response = line.getresponse()
    body = response.read()
    if response.status != 200:
        sys.exit(f"{model}: {response.status} {body.decode()}")
    return 1e3 * (time.perf_counter() - began)


def _is_ready(gateway: Gateway) -> bool:
    try:
        return _answers(gateway) and b"true" in gateway.get("/v2/health/ready").partition(b"ready")[2]
    except OSError:  # 503, too
        return False


def limit_lines(number: int, limit: int) -> list[str]:
    """Measure with the limit, and with none beside it, and return the table."""
    lines = [
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {number} models in turn, {ROUNDS} rounds.",
        "",
        "| limit | s until ready | MB then | " + " | ".join(f"round {n + 1}" for n in range(ROUNDS)) + " MB |"
        " first request, ms (p50, p95, max) | later ones, ms (p50, p95) |",
        "|---:|---:|---:|" + "---:|" * (ROUNDS + 2),
    ]
    for each in (limit, 0):
        found = measure_limit(number, each)
        first, later = (statistics.quantiles(found[key], n=20) for key in ("first", "later"))
        lines.append(
            f"| {each or 'none'} | {found['ready']:.1f} | "
            + " | ".join(f"{megabytes:.0f}" for megabytes in found["memory"])
            + f" | {first[9]:.1f}, {first[18]:.1f}, {max(found['first']):.0f}"
            f" | {later[9]:.2f}, {later[18]:.2f} |"
        )
    return lines


def _answers(gateway: Gateway) -> bool:
    if gateway.process.poll() is not None:
        sys.exit(f"the gateway ended:\n{gateway.log.read_text()[-3000:]}")
    try:
        gateway.get("/models")
    except OSError:
        return False
    return True


def _ready(gateway: Gateway) -> int:
    return sum(each["ready"] for each in json.loads(gateway.get("/models"))["models"])


def main() -> None:
    """Measure, print the table, and write it if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, nargs="*", default=list(SIZES))
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--limit", type=int, default=0, help="models in memory; with one size of --models")
    args = parser.parse_args()
    if args.limit:
        _show(limit_lines(max(args.models), args.limit), HERE / "gateway_models_limit.md", write=args.write)
        return
    found = {number: measure(number) for number in args.models}
    rows = [
        f"| {number} | {each['answers']:.1f} | {each['ready']:.1f} | {each['memory']:.0f} |"
        for number, each in found.items()
    ]
    (least, first), (most, last) = next(iter(found.items())), list(found.items())[-1]
    lines = [
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; a bundle has {last['bundle'] / 1e6:.2f} MB.",
        "",
        "| models | s until the gateway answers | s until all are ready | MB |",
        "|---:|---:|---:|---:|",
        *rows,
    ]
    if most > least:
        each = (last["memory"] - first["memory"]) / (most - least)
        seconds = (last["ready"] - first["ready"]) / (most - least)
        lines += ["", f"A model more: {each:.2f} MB, and {seconds:.3f} s until all are ready."]
    _show(lines, HERE / "gateway_models.md", write=args.write)


def _show(lines: list[str], path: Path, *, write: bool) -> None:
    print("\n".join(lines))
    if write:
        command = " ".join(["benchmarks/gateway_models.py", *sys.argv[1:]])
        head = f"# Many models in one gateway\n\n    python {command}\n\n"
        stamp = f"\nMeasured {datetime.now(UTC):%Y-%m-%d}.\n"
        path.write_text(head + "\n".join(lines) + "\n" + stamp, encoding="utf-8")


if __name__ == "__main__":
    main()
