"""Train: fit the user's pipeline on the snapshot and write the bundle."""

from __future__ import annotations

import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

from homeostat.config import ModelConfig
from homeostat.config.errors import HomeostatError, PipelineError, Refused
from homeostat.ports import Ports
from homeostat.retraining.environment_check import check_environment
from homeostat.retraining.idempotency import once
from homeostat.rollouts.gate_check import passed_gate
from homeostat.storage.bundles import load_version, put_bundle
from homeostat.storage.members import save_members
from homeostat.storage.retrain_request import load_request
from homeostat.storage.snapshots import read_snapshot
from homeostat.storage.step_results import load_result, scored_config
from homeostat.storage.version_info import load_version_info


@once("train")
def train(config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
    """Fit the pipeline on the snapshot and write the bundle: pipeline, reference, manifest.

    A pipeline that was fitted on the holdout cannot be evaluated on it. ``holdout_version`` is therefore the
    digest of a second bundle, of the same pipeline fitted without the holdout (see
    :func:`homeostat.retraining.recipes.fit_version`).

    Raises
    ------
    NotFound
        The assemble step of this run key has not finished.
    Refused
        ``training.parity`` is ``enforce`` and this is not the environment that trained the champion; nothing
        was fitted. Not raised where the request forces the retrain, nor for a reinstatement, which fits
        nothing.
    SingleClass, PipelineError
        The rows, or the pipeline, cannot be fitted.
    """
    from homeostat.bundle.environment import environment as environment_of
    from homeostat.bundle.evaluate import make_reference
    from homeostat.bundle.files import write_bundle
    from homeostat.bundle.predictor import Predictor
    from homeostat.retraining.former_members import load_former
    from homeostat.retraining.recipes import fit_version

    request = load_request(ports.store, config.name, run_key)
    config = request.apply_to(config)
    data = load_result(ports.store, config.name, run_key, "assemble")
    config = scored_config(config, data)
    if request.reinstate:
        return _reinstate(config, request.reinstate, data, ports)
    environment = environment_of(config)
    check = check_environment(config, request, environment, ports)
    rows, holdout, _ = read_snapshot(ports.store, data["snapshot"])
    spec = request.pipeline or config.pipeline
    former = load_former(config, ports, data.get("former") or {})
    fitted = fit_version(config, rows, holdout, datetime.fromisoformat(data["until"]), spec, former)
    ports.registry.log(
        data["run_id"],
        params={
            "pipeline": spec,
            "training_rows": len(rows),
            "holdout_rows": len(holdout),
            "trained_until": data["until"],
            "window": config.training.window.kind,
            "recipe": fitted.recipe,
            "fits": fitted.fits,
            **environment,
        },
        tags={"homeostat.metric": config.metric_title},
        metrics={f"recipe_score.{name}": value for name, value in fitted.scores.items()},
    )
    try:
        reference = make_reference(config, Predictor.of(config, fitted.holdout_estimator), holdout)
    except HomeostatError:
        raise
    except Exception as error:  # the user's own code, on its first rows
        msg = f"{config.folder}, {spec}: fitted, but predict failed with {type(error).__name__}: {error}"
        raise PipelineError(msg) from error
    manifest = {
        "run_key": run_key,
        "snapshot": data["digest"],
        "trained_until": data["until"],
        "recipe": fitted.recipe,
        "fits": fitted.fits,
        "refit": config.training.refit,
        "environment": environment,
    }

    def put(estimator: Any, more: dict[str, Any]) -> str:
        with tempfile.TemporaryDirectory(prefix="homeostat-") as temporary:
            folder = Path(temporary) / "bundle"
            digest = write_bundle(folder, config, estimator, reference, {**manifest, **more})
            put_bundle(ports.store, config.name, digest, folder)
        return digest

    digest = put(fitted.estimator, {})
    holdout_version = digest
    if fitted.holdout_estimator is not fitted.estimator:
        holdout_version = put(fitted.holdout_estimator, {"holdout_version_of": digest})
    if fitted.members is not None and fitted.record is not None:
        whole = digest
        if fitted.members is not fitted.estimator:
            whole = put(fitted.members, {"members_of": digest})
        members = {"version": whole, "chosen": fitted.chosen, "record": fitted.record.to_json()}
        save_members(ports.store, config.name, digest, members)
    return {
        "run_id": data["run_id"],
        "digest": digest,
        "holdout_version": holdout_version,
        "trained": True,
        "rows": len(rows),
        "members": "+".join(fitted.chosen),
        "environment": environment,
        "environment_forced": check.forced,
        "sentence": f"fitted {spec} on {len(rows)} rows ({fitted.recipe})"
        + (f", and again with the {len(holdout)} holdout rows" if config.training.refit else "")
        + (f", {fitted.fits} fits" if fitted.fits > 2 else "")
        + check.sentence,
        "url": ports.registry.url(run_id=data["run_id"]),
    }


def _reinstate(config: ModelConfig, number: str, data: dict[str, Any], ports: Ports) -> dict[str, Any]:
    """Use a former version as the candidate: it was fitted on older rows and has not seen the holdout."""
    version = ports.registry.version(config.name, number)
    if not passed_gate(version):
        msg = (
            f"version {number} of {config.name} did not pass its gate (tag homeostat.gate) and is not "
            "reinstated: retrain instead"
        )
        raise Refused(msg)
    manifest = load_version(ports, config, version.digest).manifest
    info = load_version_info(ports.store, config.name, version.digest)
    rows = int(info.get("training_rows") or data["rows"])
    ports.registry.log(data["run_id"], params={"reinstate": number, "holdout_rows": data["holdout"]})
    return {
        "run_id": data["run_id"],
        "digest": version.digest,
        "holdout_version": version.digest,
        "trained": False,
        "rows": rows,
        "environment": manifest.get("environment", {}),
        "sentence": f"nothing was fitted: version {number}, a former champion, is the candidate again",
        "url": ports.registry.url(model=config.name, version=number),
    }
