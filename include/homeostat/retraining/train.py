"""Train: the user's pipeline on the snapshot, and the bundle that comes of it."""

from __future__ import annotations

import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

from homeostat.config import ModelConfig
from homeostat.config.errors import HomeostatError, PipelineError, Refused
from homeostat.ports import Ports
from homeostat.retraining.environment_check import hold_against_champion
from homeostat.retraining.idempotency import once
from homeostat.storage.bundles import load_facts, load_version, put_bundle
from homeostat.storage.retrain_request import load_request, load_result
from homeostat.storage.snapshots import read_snapshot


@once("train")
def train(config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
    """Fit the pipeline on the snapshot and write the bundle: pipeline, reference, manifest.

    What has seen the holdout cannot be judged on it: ``judge`` is the digest of a second bundle, of the same
    pipeline fitted on the rows before the holdout (see :func:`homeostat.retraining.recipes.fit_version`).

    Raises
    ------
    NotFound
        No retrain of this key has been assembled.
    Refused
        ``training.parity`` is ``required``, and this is not the environment that the champion was trained in;
        nothing was fitted. Not where the request forces it, and never of a recall, which fits nothing.
    SingleClass, PipelineError
        The rows, or the pipeline, cannot be fitted.
    """
    from homeostat.bundle.environment import environment as environment_of
    from homeostat.bundle.evaluate import make_reference
    from homeostat.bundle.files import write_bundle
    from homeostat.bundle.predictor import Predictor
    from homeostat.retraining.recipes import fit_version

    request = load_request(ports.store, config.name, run_key)
    config = request.applied_to(config)
    data = load_result(ports.store, config.name, run_key, "assemble")
    if request.recall:
        return _recalled(config, request.recall, data, ports)
    environment = environment_of(config)
    parity = hold_against_champion(config, request, environment, ports)
    rows, holdout, _ = read_snapshot(ports.store, data["snapshot"])
    spec = request.pipeline or config.pipeline
    fitted = fit_version(config, rows, holdout, datetime.fromisoformat(data["until"]), spec)
    ports.registry.log(
        data["run_id"],
        params={
            "pipeline": spec,
            "training_rows": len(rows),
            "holdout_rows": len(holdout),
            "trained_until": data["until"],
            "window": config.training.window.kind,
            "recipe": fitted.recipe,
            **environment,
        },
        metrics={f"recipe.{name.replace(',', '')}": value for name, value in fitted.scores.items()},
    )
    try:
        judge = Predictor.of(config, fitted.judge)
        reference = make_reference(config, judge, holdout)
    except HomeostatError:
        raise
    except Exception as error:  # the user's own code, on its first rows
        msg = f"{config.folder}, {spec}: it fits, but predicting fails with {type(error).__name__}: {error}"
        raise PipelineError(msg) from error
    manifest = {
        "run_key": run_key,
        "snapshot": data["digest"],
        "trained_until": data["until"],
        "recipe": fitted.recipe,
        "refit": config.training.refit,
        "environment": environment,
    }

    def put(estimator: Any, role: dict[str, Any]) -> str:
        with tempfile.TemporaryDirectory(prefix="homeostat-") as temporary:
            folder = Path(temporary) / "bundle"
            digest = write_bundle(folder, config, estimator, reference, {**manifest, **role})
            put_bundle(ports.store, config.name, digest, folder)
        return digest

    digest = put(fitted.estimator, {})
    return {
        "run_id": data["run_id"],
        "digest": digest,
        "judge": digest if fitted.judge is fitted.estimator else put(fitted.judge, {"judge_of": digest}),
        "trained": True,
        "rows": len(rows),
        "environment": environment,
        "parity_forced": parity.forced,
        "sentence": f"fitted {spec} on {len(rows)} rows ({fitted.recipe})"
        + (f", and again with the {len(holdout)} held out" if config.training.refit else "")
        + parity.sentence,
        "url": ports.registry.url(run_id=data["run_id"]),
    }


def _recalled(config: ModelConfig, number: str, data: dict[str, Any], ports: Ports) -> dict[str, Any]:
    """A former version in the place of a new one: it learnt long ago, and has not seen the holdout."""
    version = ports.registry.version(config.name, number)
    if version.tags.get("homeostat.gate") != "passed":
        msg = (
            f"version {number} of {config.name} never passed its gate and is not tried again: retrain instead"
        )
        raise Refused(msg)
    manifest = load_version(ports, config, version.digest).manifest
    rows = int(load_facts(ports.store, config.name, version.digest).get("training_rows") or data["rows"])
    ports.registry.log(data["run_id"], params={"recall": number, "holdout_rows": data["holdout"]})
    return {
        "run_id": data["run_id"],
        "digest": version.digest,
        "judge": version.digest,
        "trained": False,
        "rows": rows,
        "environment": manifest.get("environment", {}),
        "sentence": f"nothing was fitted: version {number}, champion before, is tried again",
        "url": ports.registry.url(model=config.name, version=number),
    }
