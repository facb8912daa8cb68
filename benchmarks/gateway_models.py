"""Measure what models cost a gateway: memory for each, and the time until all are ready.

    python benchmarks/gateway_models.py             1, 50 and 200 models
    python benchmarks/gateway_models.py --write     the same, into gateway_models.md

Each model is a HistGradientBoosting of 100 trees on 10 features, in a bundle of its own, on the gateway's
disk already: MLflow and the store are not there. The gateway has one worker. Memory is the proportional set
size of its process, once all models are ready and each has answered one request.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "include"))

from rollback_fixture import Gateway, RollbackFixture, until  # noqa: E402  # beside this file

SIZES = (1, 50, 200)
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
    args = parser.parse_args()
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
    print("\n".join(lines))
    if args.write:
        command = " ".join(["benchmarks/gateway_models.py", *sys.argv[1:]])
        head = f"# Many models in one gateway\n\n    python {command}\n\n"
        stamp = f"\nMeasured {datetime.now(UTC):%Y-%m-%d}.\n"
        (HERE / "gateway_models.md").write_text(head + "\n".join(lines) + "\n" + stamp, encoding="utf-8")


if __name__ == "__main__":
    main()
