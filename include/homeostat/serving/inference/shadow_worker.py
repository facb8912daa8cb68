"""The shadow's process: runs at low priority, loads one bundle and predicts batches."""

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
    """The bundle that a shadow process serves. ``load`` names the function that loads it, ``module:name``."""

    config: ModelConfig
    folder: Path
    version: str
    digest: str
    trusted_types: tuple[str, ...]
    load: str


def import_object(name: str) -> Any:
    """Import the object named ``module:name``."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _lower_priority() -> None:
    """Take the lowest priority, so that the gateway runs at once when it has work.

    A higher ``nice`` is not enough on Linux: a running process keeps the processor for its time slice, some
    milliseconds. Only a process of the idle class is preempted as soon as another wakes up.
    """
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def main(connection: Connection, job: ShadowJob) -> None:
    """Load the bundle, send ``ready`` or ``failed``, then predict batches until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C and closes the pipe
    os.environ["OMP_NUM_THREADS"] = "1"
    _lower_priority()
    from homeostat.serving.inference.scoring import PredictFailed, make_scorer, score
    from homeostat.serving.scoring_request import InputSpec

    try:
        bundle = import_object(job.load)(job.folder, job.trusted_types, digest=job.digest, config=job.config)
        spec = InputSpec.of(job.config)
        scorer = make_scorer(job.version, job.digest, bundle.predictor, bundle.manifest, spec)
    except Exception as error:  # noqa: BLE001  # every error is sent to the parent
        reason = str(error) if isinstance(error, HomeostatError) else type(error).__name__
        connection.send(("failed", reason))
        return
    connection.send(("ready", ""))
    with contextlib.suppress(EOFError, OSError):
        while True:
            batch = connection.recv()
            results = score(scorer, batch)
            connection.send([(str(r), r.latency_ms) if isinstance(r, PredictFailed) else r for r in results])
