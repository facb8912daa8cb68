"""What a retrain was asked for, and what its steps have done so far; both lie in the Store under its key.

    retrain/<model>/<run_key>/request.json
    retrain/<model>/<run_key>/<step>.json

A step that finds its own result returns it: tasks run at least once, and the second time must change nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Self

from homeostat.config import ModelConfig, parse_duration
from homeostat.config.errors import ConfigError, NotFound
from homeostat.config.model import Window
from homeostat.config.times import parse_utc
from homeostat.ports import Store


def run_key(model: str, run_id: str) -> str:
    """The key of one retrain: short, safe in paths and tags, the same for every try of the same run."""
    return hashlib.sha256(f"{model}/{run_id}".encode()).hexdigest()[:12]


def parse_time(text: str, name: str) -> datetime:
    """An ISO time as people write it; without an offset it is UTC. Raises ConfigError naming ``name``."""
    try:
        return parse_utc(text)
    except (ValueError, OverflowError):
        msg = f"{name} {text!r} is not a time: write it like 2026-01-05T07:00Z"
        raise ConfigError(msg) from None


@dataclass(frozen=True, slots=True)
class RetrainRequest:
    """Why and how to retrain. ``trigger_id`` names the cause: the same cause retrains once.

    ``recall`` names a version to try again: it takes every step of a retrain except for the fit.
    """

    run_key: str
    trigger_id: str
    dag_run: str = ""
    reason: str = "by hand"
    until: str = ""
    training_window: str = ""
    pipeline: str = ""
    skip_shadow: bool = False
    force: bool = False
    recall: str = ""

    @classmethod
    def of(cls, *, run_key: str, dag_run: str, params: Mapping[str, Any], event: Mapping[str, Any]) -> Self:
        """Build it from a drift event, or from the form of a run started by hand (``event`` is empty)."""
        return cls(
            run_key=run_key,
            dag_run=dag_run,
            trigger_id=event.get("trigger_id") or f"hand/{run_key}",
            reason=event.get("reason") or params.get("reason") or "by hand",
            until=event.get("window_end") or params.get("until") or "",
            training_window=params.get("training_window") or "",
            pipeline=params.get("pipeline") or "",
            skip_shadow=bool(params.get("skip_shadow")),
            force=bool(params.get("force")),
            recall=event.get("recall") or params.get("recall") or "",
        )

    def end(self, now: datetime) -> datetime:
        """Rows up to here may be learnt from."""
        return parse_time(self.until, "until") if self.until else now

    def tags(self) -> dict[str, str]:
        """What MLflow's runs and versions say about their origin."""
        return {
            "homeostat.run_key": self.run_key,
            "homeostat.dag_run": self.dag_run or "-",
            "homeostat.trigger": self.trigger_id,
            "homeostat.reason": self.reason,
        }

    def applied_to(self, config: ModelConfig) -> ModelConfig:
        """model.yaml with what this request asks for instead."""
        if not self.training_window:
            return config
        try:
            window = Window(kind="sliding", length=parse_duration(self.training_window))
        except ValueError as error:
            msg = f"training_window: {error}"
            raise ConfigError(msg) from None
        return config.model_copy(update={"training": config.training.model_copy(update={"window": window})})


def save_request(store: Store, model: str, request: RetrainRequest) -> None:
    """Keep the request beside its results."""
    store.put(_key(model, request.run_key, "request"), _dump(asdict(request)), overwrite=True)


def load_request(store: Store, model: str, run_key: str) -> RetrainRequest:
    """The request of a retrain that has begun; NotFound before it has."""
    return RetrainRequest(**json.loads(store.get(_key(model, run_key, "request"))))


def save_result(
    store: Store, model: str, run_key: str, step: str, result: Mapping[str, Any]
) -> dict[str, Any]:
    """Keep a step's result and hand it back."""
    store.put(_key(model, run_key, step), _dump(result), overwrite=True)
    return dict(result)


def load_result(store: Store, model: str, run_key: str, step: str) -> dict[str, Any]:
    """The result of a step that is done; NotFound otherwise."""
    found: dict[str, Any] = json.loads(store.get(_key(model, run_key, step)))
    return found


def find_result(store: Store, model: str, run_key: str, step: str) -> dict[str, Any] | None:
    """The result of a step, or None when it has not run yet."""
    try:
        return load_result(store, model, run_key, step)
    except NotFound:
        return None


def _key(model: str, run_key: str, name: str) -> str:
    return f"retrain/{model}/{run_key}/{name}.json"


def _dump(value: Any) -> bytes:
    return json.dumps(value, indent=1, allow_nan=False).encode()
