"""The other side of the shadow: a process of low priority that loads one bundle and answers batches."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from homeostat.config import ModelConfig
from homeostat.config.errors import HomeostatError

NICENESS = 10


@dataclass(frozen=True, slots=True)
class ShadowJob:
    """Which bundle a shadow process serves. ``load`` names the function that loads it, ``module:name``."""

    config: ModelConfig
    folder: Path
    version: str
    digest: str
    trusted_types: tuple[str, ...]
    load: str


def named(name: str) -> Any:
    """The object that ``module:name`` names."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _step_back() -> None:
    """Take the lowest priority there is: the gateway runs at once when it has something to do.

    A higher ``nice`` is not enough on Linux: whoever runs keeps the processor for its slice, some
    milliseconds. Only a process of the idle class gives way the moment another wakes up.
    """
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def main(connection: Connection, job: ShadowJob) -> None:
    """Load the bundle, say ``ready`` or ``failed``, then answer batches until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle; it closes the pipe
    os.environ["OMP_NUM_THREADS"] = "1"
    _step_back()
    from homeostat.serving.inference.scoring import PredictFailed, score, scorer_of
    from homeostat.serving.scoring_request import InputSpec

    try:
        bundle = named(job.load)(job.folder, job.trusted_types, digest=job.digest, config=job.config)
        spec = InputSpec.of(job.config)
        scorer = scorer_of(job.version, job.digest, bundle.predictor, bundle.manifest, spec)
    except Exception as error:  # noqa: BLE001  # whatever stops it from loading is the answer
        what = str(error) if isinstance(error, HomeostatError) else type(error).__name__
        connection.send(("failed", what))
        return
    connection.send(("ready", ""))
    with contextlib.suppress(EOFError, OSError):
        while True:
            batch = connection.recv()
            results = score(scorer, batch)
            connection.send([(str(r), r.latency_ms) if isinstance(r, PredictFailed) else r for r in results])
