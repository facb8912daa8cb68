"""Run each step of a retrain once, and record its failure.

Airflow runs tasks at least once. A step that finds its own result returns it. One that fails for good records
the error in MLflow, stores the refused rows and releases the lease.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from homeostat.config import ModelConfig
from homeostat.config.errors import HomeostatError, QualityRefused, StaleRevision, Superseded, Unavailable
from homeostat.ports import Ports
from homeostat.storage.retrain_outcome import Outcome, RetrainOutcome, record_outcome
from homeostat.storage.retrain_trace import traced_step
from homeostat.storage.snapshots import quarantine
from homeostat.storage.step_results import find_result, save_result

RetrainStep = Callable[[ModelConfig, str, Ports], dict[str, Any]]


def once(name: str) -> Callable[[RetrainStep], RetrainStep]:
    """Make a step store its result under ``name``, and return the stored one when it runs again."""

    def wrap(step: RetrainStep) -> RetrainStep:
        @wraps(step)
        def run(config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
            done = find_result(ports.store, config.name, run_key, name)
            if done is not None:
                return done
            try:
                with traced_step(ports, config.name, run_key, name) as record:
                    result = step(config, run_key, ports)
                    record(result)
            except (Unavailable, StaleRevision, Superseded):
                raise  # a retry may succeed, or there was nothing to do
            except HomeostatError as error:
                started = find_result(ports.store, config.name, run_key, "assemble")
                if started is not None:
                    fail_run(config, ports, run_key, started["run_id"], error, step=name)
                raise
            return save_result(ports.store, config.name, run_key, name, result)

        return run

    return wrap


def fail_run(
    config: ModelConfig, ports: Ports, run_key: str, run_id: str, error: HomeostatError, *, step: str
) -> None:
    """Record why the retrain failed at this step, store the refused rows, and release the lease."""
    artifacts = {}
    if isinstance(error, QualityRefused):
        artifacts["data_quality.json"] = json_bytes(error.report)
        if error.quarantined is not None and len(error.quarantined):
            quarantine(ports.store, config.name, error.quarantined)
    ports.registry.log(
        run_id,
        tags={"homeostat.error": f"{type(error).__name__}: {error}"[:4000]},
        artifacts=artifacts,
    )
    outcome = Outcome(RetrainOutcome.FAILED, step, f"{config.name}: the retrain failed at {step}: {error}")
    record_outcome(ports, config.name, run_key, outcome, run_id=run_id)
    ports.registry.end_run(run_id, "FAILED")
    ports.ledger.release_lease(config.name, run_key)


def json_bytes(value: Mapping[str, Any]) -> bytes:
    """Return a report as the bytes of a JSON artifact."""
    return json.dumps(value, indent=1, allow_nan=False, default=str).encode()
