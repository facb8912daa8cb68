"""Gate: compare the candidate's scores with the limits of model.yaml's ``gate`` block."""

from __future__ import annotations

from typing import Any

from homeostat.config import ModelConfig
from homeostat.ports import Notice, NoticeKind, Ports
from homeostat.retraining.idempotency import json_bytes, once
from homeostat.rollouts.refusal_notice import notify_refused, retrain_story
from homeostat.rollouts.version_changes import stays
from homeostat.storage.retrain_outcome import Outcome, RefusalStage, RetrainOutcome, record_outcome
from homeostat.storage.retrain_request import load_request
from homeostat.storage.step_results import load_result, scored_config


@once("gate")
def gate(config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
    """Run the gate's checks on the candidate.

    A refusal is recorded in MLflow and as the retrain's outcome, sent as a notice, and ends the retrain; the
    champion stays.
    """
    from homeostat.core.gate import GateEvidence, decide_gate

    request = load_request(ports.store, config.name, run_key)
    config = scored_config(config, load_result(ports.store, config.name, run_key, "assemble"))
    trained = load_result(ports.store, config.name, run_key, "train")
    scores = load_result(ports.store, config.name, run_key, "validate")
    evidence = GateEvidence.of(
        scores["candidate"], scores["champion"], trained["rows"], scores["environment_differences"]
    )
    report = decide_gate(evidence, config)
    ports.registry.log(
        trained["run_id"],
        tags={"homeostat.gate": "passed" if report.passed else "forced" if request.force else "refused"},
        artifacts={"gate.json": json_bytes(report.to_json())},
    )
    proceeds = report.passed or request.force
    sentence = report.sentence()
    if not report.passed and request.force:
        title = f"{config.name}: the gate refused a candidate; the retrain continues because Force is set"
        notice = Notice(
            NoticeKind.FORCED,
            config.name,
            title,
            sentence,
            "Approve or decline the version when it waits after its canary.",
            story=retrain_story(request.trigger_id),
            part="update",
        )
        ports.notifier.notify(config.notify, notice)
    if not proceeds:
        sentence = (
            f"The candidate of {config.name} was refused by the gate: {report.failures()}."
            f" {stays(scores['champion_version'])}."
        )
        refusal = Outcome(RetrainOutcome.REFUSED, RefusalStage.GATE, sentence)
        record_outcome(ports, config.name, run_key, refusal, run_id=trained["run_id"])
        ports.registry.end_run(trained["run_id"])
        ports.ledger.release_lease(config.name, run_key)
        notify_refused(config, ports, run_key, "candidate", RefusalStage.GATE, sentence)
    return {
        "passed": report.passed,
        "forced": bool(request.force and not report.passed),
        "proceeds": proceeds,
        "checks": report.to_json()["checks"],
        "sentence": sentence,
        "url": ports.registry.url(run_id=trained["run_id"]),
    }
