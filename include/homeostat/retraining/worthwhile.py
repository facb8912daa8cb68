"""Whether a retrain is worth its cost: compare its probe with the champion, decide by the record of ageing.

The probe is the version that was fitted without the newest window of labels. The train step may run where it
cannot read the ledger, so the assemble step stores what the comparison needs:

    retrain/<model>/<run_key>/ageing.json
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from homeostat.config import ModelConfig
from homeostat.config.errors import HomeostatError, Unavailable
from homeostat.core.performance import (
    AgeingObservation,
    ageing,
    block_sums,
    mean_of_blocks,
    row_losses,
)
from homeostat.core.trigger import TriggerReason, worthwhile
from homeostat.ports import Notice, NoticeKind, Ports
from homeostat.retraining.early_refusal import end_refused
from homeostat.retraining.idempotency import once
from homeostat.rollouts.refusal_notice import notify_end
from homeostat.rollouts.version_changes import stays
from homeostat.storage.ageing_record import (
    AgeingRecord,
    ProbeRecord,
    load_ageing,
    save_ageing,
    with_reference,
)
from homeostat.storage.ageing_steps import load_steps, observed_since_probe
from homeostat.storage.bundles import load_version
from homeostat.storage.champion_history import champions
from homeostat.storage.retrain_outcome import Outcome, RetrainOutcome, record_outcome
from homeostat.storage.retrain_request import RetrainRequest, load_request
from homeostat.storage.step_results import find_result, load_result, save_result
from homeostat.storage.version_info import load_version_info

if TYPE_CHECKING:
    import pandas as pd

    from homeostat.bundle.predictor import Predictor
    from homeostat.core.training_data.snapshot import NewestWindow

_EVIDENCE = "ageing"
#: Why a retrain says nothing about what it is worth.
NO_COMPARISON = "There are too few labels that the champion has not learned to compare a new version with it."


def save_evidence(
    config: ModelConfig, request: RetrainRequest, newest: NewestWindow | None, ports: Ports
) -> None:
    """Store what the train step needs to compare its probe with the champion; nothing without a window."""
    champion = ports.ledger.read(config.name).champion
    if newest is None or champion is None or request.reinstate:
        return
    info = load_version_info(ports.store, config.name, champion.digest)
    learned_until = datetime.fromisoformat(info["trained_until"])
    members = info.get("members", "")
    record = load_ageing(ports.store, config.name)
    record = replace(record, window=newest.length, scale=_scale(config, record, ports))
    record = with_reference(record, ports.store, config.name, champion.digest)
    record = record.with_observations(
        observed_since_probe(
            load_steps(ports.store, config.name),
            record,
            champion=champion.version,
            members=members,
            learned_until=learned_until,
            window=newest.length,
            min_rows=config.monitor.min_rows,
        )
    )
    evidence = {
        "champion": {"version": champion.version, "digest": champion.digest},
        "members": members,
        "begin": newest.begin.isoformat(),
        "end": newest.end.isoformat(),
        "gap": newest.gap,
        "record": record.to_json(),
        "retrain_cost": config.trigger.retrain_cost,
        "unconditional": _unconditional(request),
    }
    save_result(ports.store, config.name, request.run_key, _EVIDENCE, evidence)


def has_evidence(config: ModelConfig, run_key: str, ports: Ports) -> bool:
    """Whether the assemble step found a window to compare a probe with the champion on."""
    return find_result(ports.store, config.name, run_key, _EVIDENCE) is not None


def compare_probe(
    config: ModelConfig,
    run_key: str,
    probe: Predictor,
    holdout: pd.DataFrame,
    ports: Ports,
    *,
    members: Sequence[str],
    switched: bool,
) -> dict[str, Any] | None:
    """Compare the probe with the champion on the newest window, and decide whether the retrain pays.

    Parameters
    ----------
    members, switched
        What the probe learned from, and whether the record of members chose it anew. That is worth a retrain
        by itself, and says nothing about age.

    Returns
    -------
    Plain JSON: ``retrain``, ``sentence``, ``expected_gain``, the ``observation``, and the figures of the
    record; None where there is nothing to compare with.
    """
    evidence = find_result(ports.store, config.name, run_key, _EVIDENCE)
    if evidence is None:
        return None
    try:
        champion = load_version(ports, config, evidence["champion"]["digest"]).predictor
    except Unavailable:
        raise
    except HomeostatError:  # its bundle is missing, or does not fit today's schema
        return None
    record = AgeingRecord.from_json(evidence["record"])
    theirs, ours = (
        row_losses(config, each.predict(holdout).prediction, holdout) for each in (champion, probe)
    )
    gain, variance = mean_of_blocks(block_sums(theirs - ours))
    observation = AgeingObservation(
        datetime.fromisoformat(evidence["end"]),
        evidence["champion"]["version"],
        evidence["members"],
        evidence["gap"],
        gain / record.scale,
        variance / record.scale**2,
    )
    if not np.isfinite([observation.gain, observation.variance]).all():
        return None
    if not switched:
        record = record.with_observations([observation])
    found = ageing(
        record.observations,
        champion=observation.champion,
        members=observation.members,
        now=observation.end,
        window=record.window,
    )
    unconditional = evidence["unconditional"]
    decision = worthwhile(
        rate=found.local,
        z=found.z,
        cusum=found.cusum,
        gap=observation.gap + 1,
        settings=config.trigger.model_copy(update={"retrain_cost": evidence["retrain_cost"]}),
        other_members=switched,
    )
    said = f"With the probe, {decision.sentence[0].lower()}{decision.sentence[1:]}"
    return {
        "retrain": decision.retrain or bool(unconditional),
        "sentence": said if decision.retrain else f"{said} {unconditional}".strip(),
        "expected_gain": decision.expected_gain,
        "observation": observation.to_json(),
        "switched": switched,
        "members": "+".join(members),
        "begin": evidence["begin"],
        "ageing": {"local": found.local, "pooled": found.pooled, "z": found.z, "cusum": found.cusum},
    }


def ageing_metrics(compared: Mapping[str, Any] | None) -> dict[str, float]:
    """Return what MLflow shows of a comparison, for the training run."""
    if compared is None:
        return {}
    return {
        "worth/gain": compared["observation"]["gain"],
        "worth/gap": compared["observation"]["gap"],
        "worth/expected_gain": compared["expected_gain"],
        **{f"worth/ageing_{name}": value for name, value in compared["ageing"].items()},
    }


@once("probe")
def conclude_probe(config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
    """Add the probe to the record of ageing; where the retrain does not pay, or was refused, end it.

    That is no failure: the outcome ``not_worthwhile`` or ``refused`` is recorded, the lease released; the
    champion stays.

    Returns
    -------
    Plain JSON: ``proceeds`` (whether the retrain goes on), ``sentence`` ("" where no probe was compared) and
    ``url``.
    """
    trained = load_result(ports.store, config.name, run_key, "train")
    if trained.get("refusal"):
        return end_refused(config, run_key, trained, ports)
    url = ports.registry.url(run_id=trained["run_id"])
    compared = trained.get("probe")
    if compared is not None:
        _record_probe(config, run_key, trained, ports)
    if trained.get("pays", True):
        return {"proceeds": True, "sentence": compared["sentence"] if compared else "", "url": url}
    said = compared["sentence"] if compared else NO_COMPARISON
    champion = ports.ledger.read(config.name).champion
    sentence = f"{config.name}: {said} {stays(champion.version if champion else None)}."
    outcome = Outcome(RetrainOutcome.NOT_WORTHWHILE, "probe", sentence)
    record_outcome(ports, config.name, run_key, outcome, run_id=trained["run_id"])
    ports.registry.end_run(trained["run_id"])
    ports.ledger.release_lease(config.name, run_key)
    if load_request(ports.store, config.name, run_key).reason != TriggerReason.PROBE_DUE:
        title = f"{config.name}: a retrain does not pay now"
        links = (("MLflow", url),)
        notice = Notice(NoticeKind.NOT_WORTHWHILE, config.name, title, sentence, links=links)
        notify_end(config, ports, run_key, notice)
    return {"proceeds": False, "sentence": sentence, "url": url}


def _record_probe(config: ModelConfig, run_key: str, trained: Mapping[str, Any], ports: Ports) -> None:
    compared, evidence = (
        trained["probe"],
        load_result(ports.store, config.name, run_key, _EVIDENCE),
    )
    observation = AgeingObservation.from_json(compared["observation"])
    probe = ProbeRecord(
        digest=trained["holdout_version"],
        champion=observation.champion,
        members=compared["members"],
        learned_until=datetime.fromisoformat(compared["begin"]),
        until=observation.end,
        paid=compared["retrain"],
        **compared["score"],
    )
    before = AgeingRecord.from_json(evidence["record"])
    record = load_ageing(ports.store, config.name)  # a second run of this step finds the probe there
    record = replace(record, window=before.window, scale=before.scale)
    observed = [] if compared["switched"] else [observation]
    record = record.with_observations([*before.observations, *observed]).with_probe(probe)
    save_ageing(ports.store, config.name, record)


def _unconditional(request: RetrainRequest) -> str:
    """Return why the retrain goes on whether it pays or not; "" where the rule decides."""
    if request.force:
        return "The retrain goes on because Force is set."
    if request.reason == TriggerReason.PERFORMANCE_DECAY_CRITICAL:
        return "The retrain goes on because decay is critical."
    if request.reason == TriggerReason.SLICE_DECAY:
        return "The retrain goes on because a slice has decayed, which the whole does not show."
    if request.pipeline or request.training_window:
        return "The retrain goes on because it tries another pipeline or training window."
    return ""


def _scale(config: ModelConfig, record: AgeingRecord, ports: Ports) -> float:
    """Return what gains are parts of: 1, or for a regression the first version's mean absolute error."""
    if config.task != "regression":
        return 1.0
    if record.probed:
        return record.scale
    for ref in champions(ports.ledger, config.name):
        error = load_version_info(ports.store, config.name, ref.digest).get("metrics", {}).get("mae")
        if error:
            return float(error)
    return 1.0
