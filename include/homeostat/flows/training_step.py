"""Train: the user's pipeline on the snapshot, and the bundle that comes of it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from homeostat.config import ModelConfig
from homeostat.config.errors import HomeostatError, PipelineError
from homeostat.flows.request import load_request, load_result
from homeostat.flows.snapshots import read_snapshot
from homeostat.flows.step import once
from homeostat.flows.versions import put_bundle
from homeostat.ports import Ports


@once("train")
def train(config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
    """Fit the pipeline on the snapshot and write the bundle: pipeline, reference, manifest."""
    from homeostat import training

    request = load_request(ports.store, config.name, run_key)
    config = request.applied_to(config)
    data = load_result(ports.store, config.name, run_key, "assemble")
    rows, holdout, weights = read_snapshot(ports.store, data["snapshot"])
    spec = request.pipeline or config.pipeline
    environment = training.environment(config)
    ports.registry.log(
        data["run_id"],
        params={
            "pipeline": spec,
            "training_rows": len(rows),
            "holdout_rows": len(holdout),
            "trained_until": data["until"],
            "window": config.training.window.kind,
            **environment,
        },
    )
    estimator = training.fit(config, rows, weights, spec)
    predictor = training.Predictor.of(config, estimator)
    try:
        reference = training.make_reference(config, predictor, holdout)
    except HomeostatError:
        raise
    except Exception as error:  # the user's own code, on its first rows
        msg = f"{config.folder}, {spec}: it fits, but predicting fails with {type(error).__name__}: {error}"
        raise PipelineError(msg) from error
    manifest = {
        "run_key": run_key,
        "snapshot": data["digest"],
        "trained_until": data["until"],
        "environment": environment,
    }
    with tempfile.TemporaryDirectory(prefix="homeostat-") as temporary:
        folder = Path(temporary) / "bundle"
        digest = training.write_bundle(folder, config, estimator, reference, manifest)
        put_bundle(ports.store, config.name, digest, folder)
    return {
        "run_id": data["run_id"],
        "digest": digest,
        "rows": len(rows),
        "environment": environment,
        "sentence": f"fitted {spec} on {len(rows)} rows",
        "url": ports.registry.url(run_id=data["run_id"]),
    }
