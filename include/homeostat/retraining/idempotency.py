"""What every step of a retrain has in common: done once, and its failure said aloud.

Tasks run at least once. A step that finds its own result returns it; one that fails for good says so in
MLflow, keeps what was refused, and gives the right of way back.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from homeostat.config import ModelConfig
from homeostat.config.errors import HomeostatError, QualityRefused, StaleRevision, Superseded, Unavailable
from homeostat.ports import Ports
from homeostat.storage.retrain_request import find_result, save_result
from homeostat.storage.snapshots import quarantine

Step = Callable[[ModelConfig, str, Ports], dict[str, Any]]


def once(name: str) -> Callable[[Step], Step]:
    """Make a step keep its result under ``name`` and return it when it is asked to run again."""

    def wrap(step: Step) -> Step:
        @wraps(step)
        def run(config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
            done = find_result(ports.store, config.name, run_key, name)
            if done is not None:
                return done
            try:
                result = step(config, run_key, ports)
            except (Unavailable, StaleRevision, Superseded):
                raise  # it may pass, or there was nothing to do
            except HomeostatError as error:
                begun = find_result(ports.store, config.name, run_key, "assemble")
                if begun is not None:
                    end_in_failure(config, ports, run_key, begun["run_id"], error)
                raise
            return save_result(ports.store, config.name, run_key, name, result)

        return run

    return wrap


def end_in_failure(
    config: ModelConfig, ports: Ports, run_key: str, run_id: str, error: HomeostatError
) -> None:
    """Say in MLflow why the retrain ended, keep what was refused, and give the right of way back."""
    artifacts = {}
    if isinstance(error, QualityRefused):
        artifacts["data_quality.json"] = as_json(error.report)
        if error.quarantined is not None and len(error.quarantined):
            quarantine(ports.store, config.name, error.quarantined)
    ports.registry.log(
        run_id,
        tags={"homeostat.failed": f"{type(error).__name__}: {error}"[:4000]},
        artifacts=artifacts,
    )
    ports.registry.end_run(run_id, "FAILED")
    ports.ledger.release(config.name, run_key)


def as_json(value: Mapping[str, Any]) -> bytes:
    """A report as an artifact's bytes."""
    return json.dumps(value, indent=1, allow_nan=False, default=str).encode()
