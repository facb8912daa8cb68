"""Gate and register: what the candidate has to show, and the version that it becomes."""

from __future__ import annotations

from typing import Any

from homeostat.config import ModelConfig
from homeostat.config.errors import Superseded
from homeostat.ports import Notice, Ports
from homeostat.retraining.idempotency import as_json, once
from homeostat.storage.bundles import bundle_folder, load_facts, put_facts
from homeostat.storage.retrain_request import load_request, load_result


@once("gate")
def judge(config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
    """Hold the candidate against the gate; refused is told, recorded, and leaves the champion alone."""
    from homeostat.core import gate

    request = load_request(ports.store, config.name, run_key)
    trained = load_result(ports.store, config.name, run_key, "train")
    scores = load_result(ports.store, config.name, run_key, "validate")
    report = gate.decide(
        gate.Evidence.of(scores["candidate"], scores["champion"], trained["rows"], scores["parity"]), config
    )
    ports.registry.log(
        trained["run_id"],
        tags={"homeostat.gate": "passed" if report.passed else "forced" if request.force else "refused"},
        artifacts={"gate.json": as_json(report.to_json())},
    )
    goes_on = report.passed or request.force
    if not report.passed:
        how = "goes on because it was forced" if request.force else "the champion stays"
        title = f"{config.name}: the gate refused a candidate; {how}"
        ports.notifier.notify(config.notify, Notice("gate_refused", config.name, title, report.sentence()))
    if not goes_on:
        ports.registry.end_run(trained["run_id"])
        ports.ledger.release(config.name, run_key)
    return {
        "passed": report.passed,
        "forced": bool(request.force and not report.passed),
        "goes_on": goes_on,
        "checks": report.to_json()["checks"],
        "sentence": report.sentence(),
        "url": ports.registry.url(run_id=trained["run_id"]),
    }


@once("register")
def register(config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
    """Make the candidate a version with tags that say where it came from; once per run key.

    Raises Superseded (there is nothing to do) when the gate refused it.
    """
    request = load_request(ports.store, config.name, run_key)
    data = load_result(ports.store, config.name, run_key, "assemble")
    trained = load_result(ports.store, config.name, run_key, "train")
    scores = load_result(ports.store, config.name, run_key, "validate")
    verdict = load_result(ports.store, config.name, run_key, "gate")
    if not verdict["goes_on"]:
        msg = f"the gate refused this candidate, so there is nothing to register: {verdict['sentence']}"
        raise Superseded(msg)
    tags = {
        **{name: value for name, value in request.tags().items() if name != "homeostat.trigger"},
        "homeostat.gate": "forced" if verdict["forced"] else "passed",
        "homeostat.data_digest": data["digest"],
        "homeostat.git_revision": str(trained["environment"].get("git_revision", "unknown")),
        "homeostat.lock_digest": str(trained["environment"].get("lock_digest", "unknown")),
        "homeostat.image_digest": str(trained["environment"].get("image_digest", "unknown")),
        "homeostat.digest": trained["digest"],
        "homeostat.phase": "registered",
    }
    if request.recall:
        version = ports.registry.version(config.name, request.recall)
        ports.registry.tag(config.name, version.version, {"homeostat.recalled_by": request.run_key})
    else:
        with bundle_folder(ports, config.name, trained["digest"]) as folder:
            version = ports.registry.register(
                config.name, run_key, trained["run_id"], folder, trained["digest"], tags
            )
    facts = {
        "version": version.version,
        "run_key": run_key,
        "run_id": trained["run_id"],
        "gate": tags["homeostat.gate"],
        "training_rows": trained["rows"],
        "judge": trained["judge"],
        "trained_until": data["until"],
    }
    if request.recall:  # its past stays; what may be expected of it is what it does today
        facts |= load_facts(ports.store, config.name, trained["digest"])
    put_facts(ports.store, config.name, trained["digest"], {**facts, **scores["baseline"]})
    ports.registry.end_run(trained["run_id"])
    ports.registry.set_alias(config.name, "candidate", version.version)
    done = "took up" if request.recall else "registered"
    return {
        "version": version.version,
        "digest": trained["digest"],
        "forced": verdict["forced"],
        "sentence": f"{done} {config.name} version {version.version}",
        "url": ports.registry.url(model=config.name, version=version.version),
    }
