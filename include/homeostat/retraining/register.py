"""Register: make the candidate a version in MLflow, with its origin and its baseline metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from homeostat.config import ModelConfig
from homeostat.config.errors import Superseded
from homeostat.ports import HealthRecord, Ports, RecordKind, Version
from homeostat.retraining.idempotency import once
from homeostat.storage.bundles import bundle_folder
from homeostat.storage.retrain_request import RetrainRequest, load_request
from homeostat.storage.step_results import load_result
from homeostat.storage.version_info import load_version_info, save_version_info


@once("register")
def register(config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
    """Register the candidate as a version with tags of its origin, once per run key, and set ``candidate``.

    Raises
    ------
    Superseded
        The gate refused the candidate: there is nothing to register.
    """
    request = load_request(ports.store, config.name, run_key)
    data = load_result(ports.store, config.name, run_key, "assemble")
    trained = load_result(ports.store, config.name, run_key, "train")
    scores = load_result(ports.store, config.name, run_key, "validate")
    gate = load_result(ports.store, config.name, run_key, "gate")
    if not gate["proceeds"]:
        msg = f"the gate refused this candidate, so there is nothing to register: {gate['sentence']}"
        raise Superseded(msg)
    tags = _tags(request, data, trained, forced=gate["forced"])
    version = _version(config, request, trained, tags, ports)
    info = {
        "version": version.version,
        "run_key": run_key,
        "run_id": trained["run_id"],
        "gate": tags["homeostat.gate"],
        "training_rows": trained["rows"],
        "holdout_version": trained["holdout_version"],
        "trained_until": trained.get("trained_until", data["until"]),
        "members": trained.get("members", ""),
    }
    if request.reinstate:  # keeps its origin; its baseline is what it scores on today's holdout
        info |= load_version_info(ports.store, config.name, trained["digest"])
    save_version_info(ports.store, config.name, trained["digest"], {**info, **scores["baseline"]})
    shown = {
        "trained_until": info.get("trained_until") or "",
        "metrics": scores["baseline"]["metrics"],
        "rows": scores["baseline"]["holdout_rows"],
        "slices": scores["candidate"]["slices"],
        "run_url": ports.registry.url(run_id=trained["run_id"]),
    }
    _save_record(config, ports, request, version, shown)
    ports.registry.end_run(trained["run_id"])
    ports.registry.set_alias(config.name, "candidate", version.version)
    done = "reinstated as candidate:" if request.reinstate else "registered"
    origin = f", imported from {request.imported.uri}" if request.imported else ""
    return {
        "version": version.version,
        "digest": trained["digest"],
        "forced": gate["forced"],
        "sentence": f"{done} {config.name} version {version.version}{origin}",
        "url": ports.registry.url(model=config.name, version=version.version),
    }


def _save_record(
    config: ModelConfig,
    ports: Ports,
    request: RetrainRequest,
    version: Version,
    shown: Mapping[str, Any],
) -> None:
    """Write what the pages of a model's health show of a version."""
    at = ports.clock.now()
    body = {
        "version": version.version,
        "at": at.isoformat(),
        "reason": request.reason,
        "dag_run": request.dag_run,
        "airflow_page": request.airflow_page,
        "url": ports.registry.url(model=config.name, version=version.version),
        **shown,
    }
    ports.ledger.save_record(HealthRecord(config.name, RecordKind.VERSION, version.version, at, body))


def _tags(
    request: RetrainRequest, data: dict[str, Any], trained: dict[str, Any], *, forced: bool
) -> dict[str, str]:
    environment = trained["environment"]
    return {
        **{name: value for name, value in request.tags().items() if name != "homeostat.trigger"},
        "homeostat.gate": "forced" if forced else "passed",
        "homeostat.data_digest": data["digest"],
        "homeostat.git_revision": str(environment.get("git_revision", "unknown")),
        "homeostat.lock_digest": str(environment.get("lock_digest", "unknown")),
        "homeostat.image_digest": str(environment.get("image_digest", "unknown")),
        "homeostat.digest": trained["digest"],
        "homeostat.phase": "registered",
        **({"homeostat.model_uri": request.imported.uri} if request.imported else {}),
    }


def _version(
    config: ModelConfig,
    request: RetrainRequest,
    trained: dict[str, Any],
    tags: dict[str, str],
    ports: Ports,
) -> Version:
    """Register a new version, or tag the former champion that the request reinstates."""
    if request.reinstate:
        version = ports.registry.version(config.name, request.reinstate)
        ports.registry.tag(config.name, version.version, {"homeostat.reinstated_by": request.run_key})
        return version
    with bundle_folder(ports, config.name, trained["digest"]) as folder:
        return ports.registry.register(
            config.name, request.run_key, trained["run_id"], folder, trained["digest"], tags
        )
