"""Train: fit the user's pipeline on the snapshot and write the bundle."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homeostat.config import ModelConfig
from homeostat.config.errors import HomeostatError, PipelineError, Refused
from homeostat.core.trigger import TriggerReason
from homeostat.ports import Ports
from homeostat.retraining.early_refusal import EarlyRefusal
from homeostat.retraining.environment_check import check_environment
from homeostat.retraining.idempotency import once
from homeostat.retraining.import_model import import_model
from homeostat.retraining.worthwhile import (
    NO_COMPARISON,
    ageing_metrics,
    compare_probe,
    has_evidence,
)
from homeostat.rollouts.gate_check import passed_gate
from homeostat.storage.bundles import load_version, put_bundle
from homeostat.storage.members import save_members
from homeostat.storage.retrain_request import RetrainRequest, load_request
from homeostat.storage.snapshots import read_snapshot
from homeostat.storage.step_results import load_result, scored_config
from homeostat.storage.version_info import load_version_info

if TYPE_CHECKING:
    import pandas as pd

    from homeostat.core.profile import Reference
    from homeostat.retraining.recipes import Probe, Refit


@once("train")
def train(config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
    """Fit the pipeline on the snapshot and write the bundle: pipeline, reference, manifest.

    First it is fitted without the holdout: the probe. Where it can be compared with the champion and a
    retrain does not pay, this is all (``pays`` is false, see :mod:`homeostat.retraining.worthwhile`), and
    ``digest`` is the probe's. Otherwise it is fitted again with the holdout. What was fitted on the holdout
    cannot be evaluated on it: ``holdout_version`` is therefore the digest of the probe's bundle.

    Where ``training.parity`` is ``enforce`` and this is not the environment that trained the champion,
    nothing is fitted, and ``refusal`` says why (see :mod:`homeostat.retraining.early_refusal`). Force
    overrides it, and a reinstatement fits nothing anyway.

    Raises
    ------
    NotFound
        The assemble step of this run key has not finished.
    Refused
        A former champion that is to be reinstated did not pass its gate.
    SingleClass, PipelineError
        The rows, or the pipeline, cannot be fitted.
    SignatureMismatch
        An imported model takes other inputs, or predicts other labels.
    UntrustedType
        The bundle could not be loaded; nothing was fitted.
    MissingExtra
        A library of ``training.serving_format`` is not installed; nothing was fitted.
    """
    from homeostat.bundle.environment import environment as environment_of
    from homeostat.retraining.former_members import load_former
    from homeostat.retraining.recipes import Refit, probe_version, refit_version
    from homeostat.retraining.serving_format import ServingFormat
    from homeostat.retraining.type_check import check_types

    request = load_request(ports.store, config.name, run_key)
    config = request.apply_to(config)
    data = load_result(ports.store, config.name, run_key, "assemble")
    config = scored_config(config, data)
    if request.reinstate:
        return _reinstate(config, request.reinstate, data, ports)
    if request.imported:
        return import_model(config, request, data, ports)
    environment = environment_of(config)
    check = check_environment(config, request, environment, ports)
    if check.refusal or (_for_probe_only(request) and not has_evidence(config, run_key, ports)):
        return _nothing_fitted(data, environment, ports, check.refusal)
    rows, holdout, _ = read_snapshot(ports.store, data["snapshot"])
    spec, until = request.pipeline or config.pipeline, datetime.fromisoformat(data["until"])
    form = ServingFormat(config, holdout)
    check_types(config, rows, ports.trusted_types, spec)
    former = load_former(config, ports, data.get("former") or {})
    fitted = probe_version(config, rows, holdout, until, spec, former)
    try:
        reference, compared = _probe_figures(config, run_key, fitted, rows, holdout, ports)
    except HomeostatError:
        raise
    except Exception as error:  # the user's own code, on its first rows
        msg = f"{config.folder}, {spec}: fitted, but predict failed with {type(error).__name__}: {error}"
        raise PipelineError(msg) from error
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
        tags={"homeostat.metric": config.metric_title},
        metrics={
            **{f"trials/{name}": value for name, value in fitted.scores.items()},
            **ageing_metrics(compared),
        },
    )
    manifest = {
        "run_key": run_key,
        "snapshot": data["digest"],
        "trained_until": data["until"],
        "recipe": fitted.recipe,
        "refit": config.training.refit,
        "environment": environment,
    }
    put = form.wrap(partial(_put, config, ports, reference, manifest))
    result = {
        "run_id": data["run_id"],
        "trained": True,
        "rows": len(rows),
        "members": "+".join(fitted.chosen),
        "environment": environment,
        "environment_forced": check.forced,
        "probe": compared,
        "pays": _pays(request, compared),
        "url": ports.registry.url(run_id=data["run_id"]),
    }
    said = f"fitted {spec} on {len(rows)} rows ({fitted.recipe})"
    if not result["pays"]:
        ports.registry.log(data["run_id"], params={"fits": fitted.fits})
        probe = put(fitted.estimator, {"probe": True, "fits": fitted.fits})
        why = compared["sentence"] if compared else NO_COMPARISON
        sentence = f"{said}{check.sentence}. {why}"
        return {**result, "digest": probe, "holdout_version": probe, "sentence": sentence}
    refit = Refit(fitted.estimator, fitted.members, fitted.recipe, 0)
    if config.training.refit:
        refit = refit_version(config, rows, holdout, until, fitted.chosen, spec)
        said += f", and again with the {len(holdout)} holdout rows"
    fits = fitted.fits + refit.fits
    ports.registry.log(data["run_id"], params={"fits": fits})
    said += f", {fits} fits" if fits > 2 else ""
    stored = _put_versions(config, ports, fitted, refit, put)
    ports.registry.log(data["run_id"], params=form.facts)
    sentence = f"{said}{form.sentence}{check.sentence}" + (f". {compared['sentence']}" if compared else "")
    return {**result, **stored, **form.facts, "sentence": sentence}


def _put_versions(
    config: ModelConfig, ports: Ports, probe: Probe, refit: Refit, put: Callable[[Any, dict[str, Any]], str]
) -> dict[str, str]:
    """Write the version, its holdout version and its members; return the digests of the first two."""
    fits = probe.fits + refit.fits
    digest = put(refit.estimator, {"fits": fits})
    holdout_version = digest
    if refit.estimator is not probe.estimator:
        holdout_version = put(probe.estimator, {"holdout_version_of": digest, "fits": fits})
    if refit.members is not None and probe.record is not None:
        whole = digest
        if refit.members is not refit.estimator:
            whole = put(refit.members, {"members_of": digest, "fits": fits})
        members = {"version": whole, "chosen": probe.chosen, "record": probe.record.to_json()}
        save_members(ports.store, config.name, digest, members)
    return {"digest": digest, "holdout_version": holdout_version}


def _put(
    config: ModelConfig,
    ports: Ports,
    reference: Reference,
    manifest: Mapping[str, Any],
    estimator: Any,
    more: Mapping[str, Any],
) -> str:
    """Write a bundle into the Store; return its digest."""
    from homeostat.bundle.files import write_bundle

    with tempfile.TemporaryDirectory(prefix="homeostat-") as temporary:
        folder = Path(temporary) / "bundle"
        digest = write_bundle(folder, config, estimator, reference, {**manifest, **more})
        put_bundle(ports.store, config.name, digest, folder)
    return digest


def _probe_figures(
    config: ModelConfig,
    run_key: str,
    fitted: Probe,
    rows: pd.DataFrame,
    holdout: pd.DataFrame,
    ports: Ports,
) -> tuple[Reference, dict[str, Any] | None]:
    """Return the version's reference, and how its probe compares with the champion, where that is known."""
    from homeostat.bundle.evaluate import evaluate, make_reference
    from homeostat.bundle.predictor import Predictor

    predictor = Predictor.of(config, fitted.estimator)
    compared = compare_probe(
        config, run_key, predictor, holdout, ports, members=fitted.chosen, switched=fitted.switched
    )
    if compared is None:
        return make_reference(config, predictor, holdout), None
    found = evaluate(config, predictor, holdout)
    compared["score"] = {  # for the baseline of the versions after it
        "score": found.metrics.get(config.served_metric),
        "rows": found.rows,
        "variance": found.variance,
        "metric": config.served_metric_title,
    }
    return make_reference(config, predictor, holdout, before=_before(config, rows, holdout)), compared


def _pays(request: RetrainRequest, compared: dict[str, Any] | None) -> bool:
    """Whether to go on after the probe; without a comparison, unless the probe was all that was wanted."""
    if compared is not None:
        return bool(compared["retrain"])
    return not _for_probe_only(request)


def _for_probe_only(request: RetrainRequest) -> bool:
    return request.reason in (TriggerReason.PROBE_DUE, TriggerReason.RETRAINING_PAYS) and not request.force


def _nothing_fitted(
    data: dict[str, Any], environment: dict[str, str], ports: Ports, refusal: EarlyRefusal | None
) -> dict[str, Any]:
    """Return the result without a fit: it was refused, or the probe has no window to compare it on."""
    return {
        "run_id": data["run_id"],
        "digest": "",
        "holdout_version": "",
        "trained": False,
        "rows": data["rows"],
        "environment": environment,
        "probe": None,
        "pays": False,
        "refusal": refusal.to_json() if refusal else None,
        "sentence": refusal.sentence if refusal else f"nothing was fitted: {NO_COMPARISON}",
        "url": ports.registry.url(run_id=data["run_id"]),
    }


def _before(config: ModelConfig, rows: pd.DataFrame, holdout: pd.DataFrame) -> pd.DataFrame:
    """Return the newest rows before the holdout, as many as make it ``training.holdout`` of all rows."""
    wanted = round(config.training.holdout * (len(rows) + len(holdout))) - len(holdout)
    return rows.tail(max(wanted, 0))


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
