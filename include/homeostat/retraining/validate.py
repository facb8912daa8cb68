"""Validate: candidate and champion on the same holdout."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pandas as pd

from homeostat.config import ModelConfig
from homeostat.ports import Ports
from homeostat.retraining.idempotency import once
from homeostat.storage.bundles import load_facts, load_version
from homeostat.storage.retrain_request import load_result
from homeostat.storage.snapshots import read_snapshot

if TYPE_CHECKING:
    from homeostat.bundle.evaluate import Evaluation
    from homeostat.bundle.files import Bundle


@once("validate")
def validate(config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
    """Score candidate and champion on the same holdout, and leave pictures to compare.

    Where the champion has learnt from a part of it, its judge stands in: having seen the answers is no merit.
    """
    from homeostat import figures
    from homeostat.bundle.environment import parity as environment_differences
    from homeostat.bundle.evaluate import evaluate, p99_latency

    data = load_result(ports.store, config.name, run_key, "assemble")
    trained = load_result(ports.store, config.name, run_key, "train")
    _, holdout, _ = read_snapshot(ports.store, data["snapshot"])
    judge = load_version(ports, config, trained["judge"]).predictor
    served = load_version(ports, config, trained["digest"]).predictor
    mine = replace(
        evaluate(config, judge, holdout, latency=False),
        p99_latency_ms=p99_latency(served, holdout),
    )
    champion = ports.ledger.read(config.name).champion
    theirs = None
    parity: list[str] = []
    if champion is not None:
        incumbent = _incumbent(config, ports, champion.digest, holdout)
        theirs = evaluate(config, incumbent.predictor, holdout, latency=False)
        parity = environment_differences(incumbent.manifest.get("environment", {}), trained["environment"])
    if trained.get("parity_forced"):
        parity.append(trained["parity_forced"])
    metrics = {
        **{f"candidate.{name}": value for name, value in mine.metrics.items()},
        **{f"champion.{name}": value for name, value in (theirs.metrics if theirs else {}).items()},
        "candidate.p99_latency_ms": mine.p99_latency_ms or 0.0,
        "candidate.nan_rate": mine.nan_rate,
    }
    ports.registry.log(
        data["run_id"],
        metrics=metrics,
        artifacts=figures.evaluation(config, mine, theirs) if ports.pictures else {},
        tags={"homeostat.environment_differs": ", ".join(parity)[:4000] or "-"},
    )
    return {
        "run_id": data["run_id"],
        "candidate": _plain(mine),
        "baseline": {"metrics": mine.metrics, "holdout_rows": mine.rows, "variance": mine.variance},
        "champion": _plain(theirs) if theirs else None,
        "champion_version": champion.version if champion else None,
        "parity": parity,
        "sentence": _compared(config, mine, theirs),
        "url": ports.registry.url(run_id=data["run_id"]),
    }


def _incumbent(config: ModelConfig, ports: Ports, digest: str, holdout: pd.DataFrame) -> Bundle:
    """Who speaks for the champion: itself, on rows that it has not learnt from.

    Assembling sees to it that the holdout holds no others, unless too few would be left. Then its judge does,
    who has not seen this stretch either.
    """
    facts = load_facts(ports.store, config.name, digest)
    known = facts.get("trained_until")
    champion = load_version(ports, config, digest)
    if known is None:
        return champion
    if holdout[config.columns.timestamp].min() >= datetime.fromisoformat(known):
        return champion
    judge = facts.get("judge", digest)
    return champion if judge == digest else load_version(ports, config, judge)


def _plain(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "metrics": evaluation.metrics,
        "nan_rate": evaluation.nan_rate,
        "p99_latency_ms": evaluation.p99_latency_ms,
        "slices": evaluation.slices,
        "distinct_predictions": evaluation.distinct_predictions,
    }


def _compared(config: ModelConfig, mine: Evaluation, theirs: Evaluation | None) -> str:
    def shown(evaluation: Evaluation) -> str:
        value = evaluation.metrics.get(config.metric)
        return "not computable" if value is None else f"{value:.4f}"

    champion = f"champion {shown(theirs)}" if theirs else "no champion yet"
    return f"{config.metric} on the same holdout: candidate {shown(mine)}, {champion}"
