"""A train step that runs elsewhere: how it says why it failed, and that it is the same code.

Who started it sees an exit status and no more. The sentence, and what people are to be told, lie beside the
results of the retrain's steps:

    retrain/<model>/<run_key>/train-failed.json
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from homeostat.config import ModelConfig
from homeostat.config.redaction import masker
from homeostat.ports import Notice, Store
from homeostat.storage.retrain_request import find_result, save_result

#: Exit statuses of ``homeostat train-step``: done; for good; not foreseen; what may pass (EX_TEMPFAIL).
DONE, FAILED, UNFORESEEN, PASSING = 0, 1, 70, 75
#: Variable in which the starter says what :func:`code_digest` it expects.
EXPECTED_CODE = "HOMEOSTAT_MODEL_DIGEST"

_FAILED = "train-failed"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the last try failed, and whom to tell what."""

    sentence: str
    notices: tuple[tuple[tuple[str, ...], Notice], ...] = ()


def leave_failure(
    store: Store,
    model: str,
    run_key: str,
    error: Exception,
    notices: Iterable[tuple[Sequence[str], Notice]] = (),
) -> None:
    """Say why this try failed; nothing where no such retrain has begun."""
    if find_result(store, model, run_key, "request") is None:
        return
    told = [[list(targets), asdict(notice)] for targets, notice in notices]
    sentence = masker()(f"{type(error).__name__}: {error}")[:4000]
    save_result(store, model, run_key, _FAILED, {"sentence": sentence, "notices": told})


def forget_failure(store: Store, model: str, run_key: str) -> None:
    """Before another try, whose failure may be another."""
    if find_result(store, model, run_key, _FAILED):
        save_result(store, model, run_key, _FAILED, {})


def find_failure(store: Store, model: str, run_key: str) -> Failure | None:
    """Why the last try failed, where it came to say so."""
    found = find_result(store, model, run_key, _FAILED)
    if not found:
        return None
    notices = tuple((tuple(targets), Notice(**notice)) for targets, notice in found["notices"])
    return Failure(found["sentence"], notices)


def code_digest(config: ModelConfig) -> str:
    """SHA-256 of all that decides what is fitted: the model's Python files, and what model.yaml says of it.

    The same wherever the folder lies. How a model is watched, rolled out or told about has no part in it.
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
