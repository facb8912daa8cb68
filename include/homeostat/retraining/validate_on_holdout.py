"""Validate: score candidate and champion on the same holdout."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from homeostat.config import ModelConfig
from homeostat.config.errors import Superseded
from homeostat.config.label_text import label_texts
from homeostat.core.rollout import VersionRef
from homeostat.ports import Ports
from homeostat.retraining.drop_error import drop_error
from homeostat.retraining.expected_divergence import expected_divergence, label_facts
from homeostat.retraining.idempotency import once
from homeostat.retraining.shown_metrics import shown_metrics
from homeostat.retraining.slice_evidence import HoldoutSlices
from homeostat.retraining.time_versions import time_versions
from homeostat.retraining.worthwhile import conclude_probe
from homeostat.storage.ageing_record import load_ageing
from homeostat.storage.bundles import load_version
from homeostat.storage.snapshots import read_snapshot
from homeostat.storage.step_results import load_result, scored_config
from homeostat.storage.version_info import load_version_info, monitored_config

if TYPE_CHECKING:
    from homeostat.bundle.evaluate import Evaluation
    from homeostat.bundle.files import Bundle

#: The baseline is the mean score of the probes of so many windows.
BASELINE_WINDOWS = 4


@once("validate")
def validate(config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
    """Score candidate and champion on the same holdout, time them, and log figures that compare them.

    A version that was fitted on a part of the holdout would score too well: its ``holdout_version`` is scored
    instead, the same pipeline fitted without the holdout. Timed are the versions that serve.

    Raises
    ------
    Superseded
        The retrain ended before: it was refused before the fit, or does not pay.
    """
    from homeostat import figures
    from homeostat.bundle.environment import environment_differences
    from homeostat.bundle.evaluate import evaluate

    probed = conclude_probe(config, run_key, ports)
    if not probed["proceeds"]:
        raise Superseded(probed["sentence"])
    data = load_result(ports.store, config.name, run_key, "assemble")
    config = scored_config(config, data)
    trained = load_result(ports.store, config.name, run_key, "train")
    _, holdout, _ = read_snapshot(ports.store, data["snapshot"])
    versions = [load_version(ports, config, trained[name]) for name in ("digest", "holdout_version")]
    slices = HoldoutSlices.of(config, ports, run_key, holdout, versions[1])
    mine = evaluate(config, versions[1].predictor, holdout, slices=slices.compared)
    champion = ports.ledger.read(config.name).champion
    theirs = serving = None
    differences: list[str] = []
    divergence: dict[str, Any] = {}
    if champion is not None:
        incumbent = _champion_to_evaluate(config, ports, champion.digest, holdout)
        theirs = evaluate(
            config, incumbent.predictor, holdout, known=mine.classes or (), slices=slices.compared
        )
        differences = environment_differences(
            incumbent.manifest.get("environment", {}), trained["environment"]
        )
        serving = load_version(ports, config, champion.digest)
        until = datetime.fromisoformat(data["until"])
        divergence = expected_divergence(config, ports, versions, serving, holdout, known_until=until)
    changed = _changed_metric(config, ports, champion, theirs)
    if trained.get("environment_forced"):
        differences.append(trained["environment_forced"])
    latency, champion_latency, typical = time_versions(config, ports, versions[0], serving, holdout)
    ports.registry.log(
        data["run_id"],
        metrics=shown_metrics(config.served_metric, mine, theirs, latency, champion_latency),
        artifacts=figures.evaluation(config, mine, theirs) if ports.renders_figures else {},
        tags={"homeostat.environment_differences": ", ".join(differences)[:4000] or "-"},
    )
    return {
        "run_id": data["run_id"],
        "metric": config.served_metric_title,
        "score": mine.metrics.get(config.served_metric),
        "candidate": _plain(mine)
        | latency
        | {
            "members_ratio": _members(versions[0]) / _members(serving),
            "drop_error": drop_error(config, mine, theirs) if theirs is not None else None,
            **slices.evidence(config, mine, theirs),
        },
        "baseline": {
            **_baseline(config, mine, ports),
            "positive": mine.positive,
            **slices.baselines(config, mine),
            **typical,
        },
        "champion": _plain(theirs) | champion_latency if theirs else None,
        "champion_version": champion.version if champion else None,
        "divergence": divergence,
        "labels": label_facts(config, holdout).to_json(),
        "environment_differences": differences,
        "sentence": _compared(config, mine, theirs) + changed,
        "url": ports.registry.url(run_id=data["run_id"]),
    }


def _baseline(config: ModelConfig, mine: Evaluation, ports: Ports) -> dict[str, Any]:
    """Return the score that the version is expected to have, its rows, and the variance that a row adds.

    One window is little: where probes of the last four windows were scored by the same metric, their mean
    counts.
    """
    known = {"metrics": mine.metrics, "holdout_rows": mine.rows, "variance": mine.variance}
    record = load_ageing(ports.store, config.name)
    if not record.probes or mine.metrics.get(config.served_metric) is None:
        return known
    newest = record.probes[-1]
    probes = [
        (each.score, each.rows, each.variance)
        for each in record.probes
        if each.until > newest.until - BASELINE_WINDOWS * record.window
        and each.metric == newest.metric == config.served_metric_title
        and each.score is not None
        and each.rows
    ]
    if newest.score != mine.metrics[config.served_metric] or len(probes) < 2:
        return known  # this holdout is not the newest probe's window
    scores, rows = np.array([each[0] for each in probes]), np.array([each[1] for each in probes])
    variances = [each[2] for each in probes if each[2] is not None]
    between = float(np.var(scores, ddof=1) * rows.mean())
    mean = float((scores * rows).sum() / rows.sum())
    return {
        "metrics": {**mine.metrics, config.served_metric: mean},
        "holdout_rows": int(rows.sum()),
        "variance": max(between, *variances) if variances else between,
    }


def _champion_to_evaluate(config: ModelConfig, ports: Ports, digest: str, holdout: pd.DataFrame) -> Bundle:
    """Return the champion's bundle, or that of its holdout version where the champion has seen the holdout.

    The assemble step leaves rows that the champion was fitted on out of the holdout, unless too few rows
    would remain.
    """
    info = load_version_info(ports.store, config.name, digest)
    trained_until = info.get("trained_until")
    champion = load_version(ports, config, digest)
    if trained_until is None:
        return champion
    if holdout[config.columns.timestamp].min() >= datetime.fromisoformat(trained_until):
        return champion
    holdout_version = info.get("holdout_version", digest)
    return champion if holdout_version == digest else load_version(ports, config, holdout_version)


def _members(bundle: Bundle | None) -> int:
    """Return how many predictions a version needs for each row."""
    from homeostat.bundle.committee import Committee

    estimator = bundle.predictor.estimator if bundle else None
    return len(estimator.members) if isinstance(estimator, Committee) else 1


def _changed_metric(
    config: ModelConfig, ports: Ports, champion: VersionRef | None, theirs: Evaluation | None
) -> str:
    """Return that the champion's baseline is F1 of another class, as with one of release 0.1."""
    if champion is None or theirs is None:
        return ""
    info = load_version_info(ports.store, config.name, champion.digest)
    classes = [text for text in label_texts(theirs.classes or ()) if text is not None]
    before = monitored_config(config, info, classes).metric_title
    if before == config.metric_title:
        return ""
    return (
        f" (version {champion.version} is monitored by {before}, the next version by {config.metric_title})"
    )


def _plain(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "metrics": evaluation.metrics,
        "nan_rate": evaluation.nan_rate,
        "slices": evaluation.slices,
        "distinct_predictions": evaluation.distinct_predictions,
        "undefined": evaluation.undefined,
    }


def _compared(config: ModelConfig, mine: Evaluation, theirs: Evaluation | None) -> str:
    def shown(evaluation: Evaluation) -> str:
        value = evaluation.metrics.get(config.metric)
        return "not computable" if value is None else f"{value:.4f}"

    champion = f"champion {shown(theirs)}" if theirs else "no champion yet"
    return f"{config.metric_title} on the same holdout: candidate {shown(mine)}, {champion}"
