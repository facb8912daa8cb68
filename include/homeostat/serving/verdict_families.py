"""The series of a model's verdicts: names, help texts, labels, and where each value comes from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from homeostat.config import ModelConfig
from homeostat.core.rollout.phases import Traffic
from homeostat.storage.latest_check import LatestCheck

_VERDICTS = ("pass", "alert", "pending", "not_computable")

#: The values of the family's own labels, and the value; None: no sample.
Sample = tuple[tuple[str, ...], float | None]


@dataclass(frozen=True, slots=True)
class ModelVerdicts:
    """What store and ledger said about one model."""

    config: ModelConfig
    traffic: Traffic
    retrain: str | None
    check: LatestCheck | None
    outcome: Mapping[str, Any] | None


def _of_config(read: Callable[[ModelConfig], float]) -> Callable[[ModelVerdicts], Iterable[Sample]]:
    return lambda found: [((), read(found.config))]


def _of_check(read: Callable[[LatestCheck], float | None]) -> Callable[[ModelVerdicts], Iterable[Sample]]:
    return lambda found: [] if found.check is None else [((), read(found.check))]


def _verdicts(found: ModelVerdicts) -> Iterable[Sample]:
    if found.check is None:
        return []
    kinds = {"drift": found.check.drift, "performance": found.check.performance}
    return [
        ((kind, verdict), float(verdict == own))
        for kind, own in kinds.items()
        for verdict in _VERDICTS
        if (kind, verdict) != ("drift", "pending")
    ]


def _of_version(
    read: Callable[[LatestCheck], float | None],
) -> Callable[[ModelVerdicts], Iterable[Sample]]:
    def samples(found: ModelVerdicts) -> Iterable[Sample]:
        return [] if found.check is None else [((found.check.version, found.check.metric), read(found.check))]

    return samples


def _features(what: str) -> Callable[[ModelVerdicts], Iterable[Sample]]:
    def samples(found: ModelVerdicts) -> Iterable[Sample]:
        features = found.check.features if found.check is not None else ()
        return [((each.name, each.role), getattr(each, what)) for each in features]

    return samples


def _slices(what: str) -> Callable[[ModelVerdicts], Iterable[Sample]]:
    def samples(found: ModelVerdicts) -> Iterable[Sample]:
        slices = found.check.slices if found.check is not None else ()
        return [((each.name,), getattr(each, what)) for each in slices]

    return samples


def _slice_scores(what: str) -> Callable[[ModelVerdicts], Iterable[Sample]]:
    def samples(found: ModelVerdicts) -> Iterable[Sample]:
        slices = found.check.slices if found.check is not None else ()
        return [((each.name, each.metric), getattr(each, what)) for each in slices]

    return samples


def _feature_counts(found: ModelVerdicts) -> Iterable[Sample]:
    check = found.check
    if check is None:
        return []
    stable = check.input_features - check.drifted_features - check.unknown_features
    return [
        (("drifted",), check.drifted_features),
        (("stable",), stable),
        (("not_computable",), check.unknown_features),
    ]


def _reason(found: ModelVerdicts) -> Iterable[Sample]:
    return [((found.check.reason,), 1.0)] if found.check is not None and found.check.reason else []


def _champion(found: ModelVerdicts) -> Iterable[Sample]:
    traffic = found.traffic
    if traffic.champion is None or traffic.promoted_at is None:
        return []
    return [((traffic.champion.version,), traffic.promoted_at.timestamp())]


def _rollout(found: ModelVerdicts) -> Iterable[Sample]:
    active = found.traffic.active
    if active is None:
        return []
    return [((active.candidate.version, str(active.phase)), active.entered_at.timestamp())]


def _retrain_end(found: ModelVerdicts) -> Iterable[Sample]:
    outcome = found.outcome
    if outcome is None:
        return []
    return [((str(outcome["outcome"]), str(outcome.get("stage", ""))), outcome["at"].timestamp())]


def _timestamp(at: datetime | None) -> float | None:
    return None if at is None else at.timestamp()


_VERSION = ("version", "metric")
_FEATURE = ("feature", "role")
_SLICE = ("slice", "metric")
#: Name without its prefix, help, labels beside ``model``, and the samples of one model.
FAMILIES: tuple[tuple[str, str, tuple[str, ...], Callable[[ModelVerdicts], Iterable[Sample]]], ...] = (
    (
        "check_timestamp_seconds",
        "When the newest window was checked.",
        (),
        _of_check(lambda check: check.checked_at.timestamp()),
    ),
    (
        "check_window_end_timestamp_seconds",
        "The end of the newest window that was checked.",
        (),
        _of_check(lambda check: check.window_end.timestamp()),
    ),
    (
        "check_interval_seconds",
        "monitor.every: how often a window is checked.",
        (),
        _of_config(lambda config: config.monitor.every.total_seconds()),
    ),
    ("check_rows", "Rows of the newest window.", (), _of_check(lambda check: check.rows)),
    (
        "check_verdict",
        "1 for the newest window's verdict on drift and on performance.",
        ("kind", "verdict"),
        _verdicts,
    ),
    (
        "drifted_share",
        "Share of the input features that drifted.",
        (),
        _of_check(lambda check: check.drifted_share),
    ),
    (
        "drifted_share_limit",
        "monitor.drifted_share: from this share on, drift is an alert.",
        (),
        _of_config(lambda config: config.monitor.drifted_share),
    ),
    ("features", "Input features by the newest window's verdict.", ("state",), _feature_counts),
    (
        "feature_effect",
        "KS distance or Cramer's V of a feature: the 50 inputs that drifted most, and the predictions.",
        _FEATURE,
        _features("effect"),
    ),
    (
        "feature_drifted",
        "1 for a feature that drifted, of the same features.",
        _FEATURE,
        _features("drifted"),
    ),
    ("score", "Mean score of the last labelled batches.", _VERSION, _of_version(lambda check: check.score)),
    (
        "score_baseline",
        "The version's score on its holdout.",
        _VERSION,
        _of_version(lambda check: check.baseline),
    ),
    (
        "score_decay",
        "Loss of the score against the baseline; positive is worse.",
        _VERSION,
        _of_version(lambda check: check.decay),
    ),
    (
        "score_decay_limit",
        "trigger.decay: from this decay on, performance is an alert if it is significant.",
        (),
        _of_config(lambda config: config.trigger.decay),
    ),
    (
        "score_decay_critical",
        "1 for a significant decay of trigger.critical_decay or more.",
        (),
        _of_check(lambda check: check.critical),
    ),
    (
        "slice_score",
        "Score of a slice of monitor.slices in its last labelled rows.",
        _SLICE,
        _slice_scores("score"),
    ),
    (
        "slice_score_baseline",
        "The version's score on the slice of its holdout.",
        _SLICE,
        _slice_scores("baseline"),
    ),
    (
        "slice_score_decay",
        "Loss of a slice's score against its own baseline; positive is worse.",
        _SLICE,
        _slice_scores("decay"),
    ),
    (
        "slice_decayed",
        "1 for a slice whose predictions are significantly worse, by trigger.decay or more.",
        ("slice",),
        _slices("decayed"),
    ),
    (
        "slice_drifted_share",
        "Share of the input features that drifted within a slice.",
        ("slice",),
        _slices("drifted_share"),
    ),
    ("slice_drifted", "1 for a slice whose inputs drifted.", ("slice",), _slices("drifted")),
    (
        "accuracy_estimated",
        "Accuracy of the newest window, estimated from the predictions' confidence.",
        (),
        _of_check(lambda check: check.estimate),
    ),
    (
        "labelled_rows",
        "Rows with labels that the newest window's own score is computed from.",
        (),
        _of_check(lambda check: check.labelled_rows),
    ),
    (
        "label_timestamp_seconds",
        "When the newest label became known that a check has seen.",
        (),
        _of_check(lambda check: _timestamp(check.newest_label)),
    ),
    (
        "label_delay_seconds",
        "schema.label.delay: how long a label takes.",
        (),
        _of_config(lambda config: config.columns.label.delay.total_seconds()),
    ),
    (
        "unlogged_labels",
        "New labels whose prediction is not in the log.",
        (),
        _of_check(lambda check: check.unlogged_labels),
    ),
    (
        "trigger_fired",
        "1 when the newest window requested a retrain.",
        (),
        _of_check(lambda check: check.fired),
    ),
    ("trigger_reason", "1 for why the newest window requested a retrain, or did not.", ("reason",), _reason),
    (
        "alert_windows",
        "Windows in a row with an alert, up to the newest.",
        (),
        _of_check(lambda check: check.consecutive),
    ),
    (
        "champion_timestamp_seconds",
        "When the champion became champion.",
        ("version",),
        _champion,
    ),
    (
        "rollout_phase_timestamp_seconds",
        "When the rollout under way entered its phase.",
        ("version", "phase"),
        _rollout,
    ),
    (
        "retrain_running",
        "1 while a retrain, its rollout included, holds the model's lease.",
        (),
        lambda found: [((), float(found.retrain is not None))],
    ),
    (
        "retrain_end_timestamp_seconds",
        "When the last retrain ended, and how.",
        ("outcome", "stage"),
        _retrain_end,
    ),
)
