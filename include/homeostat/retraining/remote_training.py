"""The train step outside of Airflow (Fargate): hand its error back, and check that it runs the same code.

Airflow sees no more than the exit status. The error and the notices to send are stored beside the results of
the retrain's steps:

    retrain/<model>/<run_key>/train-failed.json
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from homeostat.config import ModelConfig
from homeostat.config.redaction import secret_redactor
from homeostat.ports import Notice, Store
from homeostat.storage.step_results import find_result, save_result

#: Exit statuses of ``homeostat train-step``: done; a permanent error; a bug; a temporary error (EX_TEMPFAIL).
DONE, FAILED, UNEXPECTED_ERROR, TEMPORARY_FAILURE = 0, 1, 70, 75
#: Environment variable with the :func:`code_digest` that Airflow expects.
EXPECTED_CODE = "HOMEOSTAT_MODEL_DIGEST"

_FAILED = "train-failed"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the last attempt failed, and the notices to send, each with its targets."""

    sentence: str
    notices: tuple[tuple[tuple[str, ...], Notice], ...] = ()


def save_failure(
    store: Store,
    model: str,
    run_key: str,
    error: Exception,
    notices: Iterable[tuple[Sequence[str], Notice]] = (),
) -> None:
    """Store why this attempt failed; does nothing when no retrain of this key has started."""
    if find_result(store, model, run_key, "request") is None:
        return
    to_send = [[list(targets), asdict(notice)] for targets, notice in notices]
    sentence = secret_redactor()(f"{type(error).__name__}: {error}")[:4000]
    save_result(store, model, run_key, _FAILED, {"sentence": sentence, "notices": to_send})


def clear_failure(store: Store, model: str, run_key: str) -> None:
    """Delete the stored failure before another attempt."""
    if find_result(store, model, run_key, _FAILED):
        save_result(store, model, run_key, _FAILED, {})


def find_failure(store: Store, model: str, run_key: str) -> Failure | None:
    """Return why the last attempt failed; None when it has stored nothing."""
    found = find_result(store, model, run_key, _FAILED)
    if not found:
        return None
    notices = tuple((tuple(targets), Notice.from_json(notice)) for targets, notice in found["notices"])
    return Failure(found["sentence"], notices)


def code_digest(config: ModelConfig) -> str:
    """Return the SHA-256 of all that decides the fit: the model's Python files and its keys of model.yaml.

    It does not depend on the folder's path, nor on the keys of monitoring, rollout and notices.
    """
    fields: dict[str, Any] = config.model_dump(
        mode="json", include={"task", "pipeline", "columns", "training"}
    )
    whole = hashlib.sha256(json.dumps([fields, config.metric], sort_keys=True).encode())
    folder = config.folder.resolve()
    for path in sorted(folder.rglob("*.py")):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        whole.update(f"{path.relative_to(folder).as_posix()} {content}\n".encode())
    return whole.hexdigest()
