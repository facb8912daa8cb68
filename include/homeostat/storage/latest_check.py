"""The newest check of a model, and how its last retrain ended: what a gateway shows without MLflow.

    history/<model>/latest.json             the newest window's verdicts, at most 50 features, and the slices
    retrain/<model>/latest_outcome.json     the last retrain's outcome

Both are replaced as a whole and small, so a gateway can read those of all models at every scrape.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from typing import Any, Literal, Self

from homeostat.config.errors import NotFound
from homeostat.ports import Store

#: Input features that are kept: those that drifted first, then by their effect.
MAX_FEATURES = 50

_TIMES = ("window_end", "checked_at", "newest_label")


@dataclass(frozen=True, slots=True)
class FeatureDrift:
    """One feature of the newest window; ``effect`` is its KS distance or Cramer's V."""

    name: str
    role: Literal["input", "output"]
    effect: float | None
    drifted: bool | None


@dataclass(frozen=True, slots=True)
class SliceCheck:
    """One slice of the newest window; ``decayed`` and ``drifted`` are None where that is not known.

    ``score`` and ``baseline`` are in ``metric``; positive ``decay`` is worse.
    """

    name: str
    metric: str
    score: float | None
    baseline: float | None
    decay: float | None
    decayed: bool | None
    drifted_share: float | None
    drifted: bool | None


@dataclass(frozen=True, slots=True)
class LatestCheck:
    """The newest window's verdicts.

    Parameters
    ----------
    version
        The champion that was checked; "" when there was none.
    metric
        The metric's name for people, of ``score`` (the mean of the last batches) and ``baseline``.
    estimate
        The accuracy that the predictions' confidence suggests, while labels are pending.
    consecutive
        Windows in a row with an alert, up to this one.
    newest_label
        When the newest label became known that a check has seen; None: no check has seen one.
    input_features, drifted_features, unknown_features
        How many inputs there are, how many drifted, and of how many that could not be computed.
    slices
        Those of ``monitor.slices``, at most ``monitor.max_slices``; none in checks of release 0.2.
    """

    window_end: datetime
    checked_at: datetime
    version: str = ""
    rows: int = 0
    drift: str = "not_computable"
    drifted_share: float | None = None
    performance: str = "pending"
    metric: str = ""
    score: float | None = None
    baseline: float | None = None
    decay: float | None = None
    critical: bool = False
    estimate: float | None = None
    labelled_rows: int = 0
    fired: bool = False
    reason: str = ""
    consecutive: int = 0
    newest_label: datetime | None = None
    unlogged_labels: int | None = None
    input_features: int = 0
    drifted_features: int = 0
    unknown_features: int = 0
    features: tuple[FeatureDrift, ...] = ()
    slices: tuple[SliceCheck, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON; :meth:`from_json` reads it back."""
        raw = asdict(self)
        return raw | {name: raw[name] and raw[name].isoformat() for name in _TIMES}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote; unknown keys are ignored."""
        known = {field.name: raw[field.name] for field in fields(cls) if field.name in raw}
        times = {name: datetime.fromisoformat(known[name]) for name in _TIMES if known.get(name)}
        features = tuple(
            FeatureDrift(each["name"], each["role"], each["effect"], each["drifted"])
            for each in known.get("features", ())
        )
        slices = tuple(
            SliceCheck(**{field.name: each[field.name] for field in fields(SliceCheck)})
            for each in known.get("slices", ())
        )
        return cls(**known | times | {"features": features, "slices": slices})


def shown_features(features: Iterable[FeatureDrift]) -> tuple[FeatureDrift, ...]:
    """Return at most :data:`MAX_FEATURES` inputs, and all outputs."""
    found = list(features)
    inputs = [feature for feature in found if feature.role == "input"]
    inputs.sort(key=lambda feature: (not feature.drifted, -(feature.effect or 0.0), feature.name))
    return (*inputs[:MAX_FEATURES], *(feature for feature in found if feature.role == "output"))


def save_latest_check(store: Store, model: str, check: LatestCheck) -> None:
    """Store the check, unless a newer window has been checked; the newest label that was seen is kept."""
    known = load_latest_check(store, model)
    if known is not None:
        if known.window_end > check.window_end:
            return
        labels = [at for at in (known.newest_label, check.newest_label) if at is not None]
        check = replace(check, newest_label=max(labels, default=None))
    text = json.dumps(check.to_json(), allow_nan=False)
    store.put(latest_key(model), text.encode(), overwrite=True)


def load_latest_check(store: Store, model: str) -> LatestCheck | None:
    """Return the newest check; None before the first one, and where the file cannot be read."""
    raw = _load(store, latest_key(model))
    try:
        return None if raw is None else LatestCheck.from_json(raw)
    except (ValueError, KeyError, TypeError):
        return None


def save_latest_outcome(store: Store, model: str, outcome: Mapping[str, Any]) -> None:
    """Store how a retrain ended, as :meth:`homeostat.storage.retrain_outcome.Outcome.to_json` has it."""
    store.put(outcome_key(model), json.dumps(outcome, allow_nan=False).encode(), overwrite=True)


def load_latest_outcome(store: Store, model: str) -> dict[str, Any] | None:
    """Return how the last retrain ended, ``at`` a datetime; None before it and for an unreadable file."""
    raw = _load(store, outcome_key(model))
    try:
        return None if raw is None or not raw["outcome"] else raw | {"at": datetime.fromisoformat(raw["at"])}
    except (ValueError, KeyError, TypeError):
        return None


def latest_key(model: str) -> str:
    """Return the Store key of a model's newest check; beside the history, which a detector may write."""
    return f"history/{model}/latest.json"


def outcome_key(model: str) -> str:
    """Return the Store key of a model's last outcome."""
    return f"retrain/{model}/latest_outcome.json"


def _load(store: Store, key: str) -> dict[str, Any] | None:
    try:
        raw = json.loads(store.get(key))
    except (NotFound, ValueError):
        return None
    return raw if isinstance(raw, dict) else None
