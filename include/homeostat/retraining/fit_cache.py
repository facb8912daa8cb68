"""Fits on equal rows, made once: a backtest asks for the same fit under several policies."""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

_folder: ContextVar[Path | None] = ContextVar("fit_cache", default=None)


@contextmanager
def cached_fits(folder: Path) -> Iterator[None]:
    """Keep fits in this folder, which processes may share; pipelines must not change meanwhile."""
    token = _folder.set(folder)
    try:
        yield
    finally:
        _folder.reset(token)


def use_folder(folder: Path) -> None:
    """Keep fits in this folder for as long as this process runs."""
    _folder.set(folder)


def keeps_fits() -> bool:
    """Return whether fits are kept, so that pipelines do not change meanwhile."""
    return _folder.get() is not None


def fit_key(spec: str, inputs: Any, target: np.ndarray, weights: np.ndarray | None) -> str | None:
    """Return a text that is the same for equal fits; None where fits are not kept.

    Parameters
    ----------
    spec
        The pipeline.
    inputs
        A matrix or a DataFrame.
    """
    if _folder.get() is None:
        return None
    digest = hashlib.sha256(spec.encode())
    for part in (inputs, target, weights):
        if isinstance(part, pd.DataFrame):
            digest.update(pd.util.hash_pandas_object(part, index=False).to_numpy().tobytes())
        elif part is not None:
            digest.update(f"{part.dtype} {part.shape}".encode() + np.ascontiguousarray(part).tobytes())
        digest.update(b"|")
    return digest.hexdigest()


def find_fit(key: str | None) -> Any:
    """Return the fitted estimator; None where there is none."""
    folder = _folder.get()
    if folder is None or key is None:
        return None
    try:
        return pickle.loads((folder / f"{key}.fit").read_bytes())  # noqa: S301  # our own file
    except Exception:  # noqa: BLE001  # not kept, or by a pipeline whose parts cannot be unpickled here
        return None


def keep_fit(key: str | None, estimator: Any) -> None:
    """Keep a fitted estimator, where it can be pickled."""
    folder = _folder.get()
    if folder is None or key is None:
        return
    with suppress(Exception):  # a pipeline with a lambda is fitted again
        unfinished = folder / f"{key}.{os.getpid()}"
        unfinished.write_bytes(pickle.dumps(estimator))
        unfinished.replace(folder / f"{key}.fit")
