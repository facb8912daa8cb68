"""Refuse a retrain before its fit: no failure, but an outcome like any other refusal.

The train step only returns why; it may run where it can neither read the ledger nor notify. The step after it
ends the retrain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from homeostat.config import ModelConfig
from homeostat.ports import Notice, NoticeKind, Ports
from homeostat.rollouts.refusal_notice import failed_once, notify_end
from homeostat.rollouts.version_changes import stays
from homeostat.storage.retrain_outcome import Outcome, RefusalStage, RetrainOutcome, record_outcome

_KINDS = {RefusalStage.ENVIRONMENT: NoticeKind.ENVIRONMENT_REFUSED}


@dataclass(frozen=True, slots=True)
class EarlyRefusal:
    """Why nothing is fitted, and what a person can do; ``title`` is that of the notice."""

    stage: RefusalStage
    title: str
    sentence: str
    action: str

    def to_json(self) -> dict[str, str]:
        """Return plain JSON, for the result of the train step."""
        return {
            "stage": str(self.stage),
            "title": self.title,
            "sentence": self.sentence,
            "action": self.action,
        }


def end_refused(
    config: ModelConfig, run_key: str, trained: Mapping[str, Any], ports: Ports
) -> dict[str, Any]:
    """Record the refusal that the train step returned as the retrain's outcome, notify, release the lease.

    Returns plain JSON like :func:`homeostat.retraining.worthwhile.conclude_probe`.
    """
    refusal, run_id = trained["refusal"], trained["run_id"]
    stage = RefusalStage(refusal["stage"])
    champion = ports.ledger.read(config.name).champion
    said = f"{refusal['sentence']}. {stays(champion.version if champion else None)}."
    sentence = f"{said} {refusal['action']}."
    outcome = Outcome(RetrainOutcome.REFUSED, stage, sentence)
    record_outcome(ports, config.name, run_key, outcome, run_id=run_id)
    ports.registry.end_run(run_id)
    ports.ledger.release_lease(config.name, run_key)
    url = ports.registry.url(run_id=run_id)
    notice = Notice(
        _KINDS.get(stage, NoticeKind.REFUSED),
        config.name,
        refusal["title"],
        said,
        f"{refusal['action']}.",
        links=(("MLflow", url),),
        once=failed_once(run_key),
    )
    notify_end(config, ports, run_key, notice)
    return {"proceeds": False, "sentence": sentence, "url": url}
