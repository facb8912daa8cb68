"""Everything a running gateway consists of, started and stopped together, and what operators may order."""

from __future__ import annotations

import asyncio
import importlib.metadata
import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from homeostat.config import ModelConfig, Settings
from homeostat.config.errors import NotFound, Refused, Unavailable
from homeostat.core.rollout import Transition, approve, promote, roll_back
from homeostat.core.rollout.phases import Traffic, VersionRef
from homeostat.ports import Ports
from homeostat.rollouts.rollback_guard import check_goes
from homeostat.serving.auth.audit import Audit
from homeostat.serving.auth.guard import Door
from homeostat.serving.inference.engine import Engine
from homeostat.serving.inference.routing import ModelState, Table
from homeostat.serving.inference.shadow_worker import named
from homeostat.serving.inference.thread_pool import Pool
from homeostat.serving.metrics import Metrics
from homeostat.serving.options import Options
from homeostat.serving.recorder.labels import KnownLabels
from homeostat.serving.recorder.log_manager import Logs
from homeostat.serving.redaction import cleaner
from homeostat.serving.scoring_request import InputSpec
from homeostat.serving.sync.bundle_cache import Loader
from homeostat.serving.sync.controller import Controller, Step
from homeostat.serving.sync.notify import tell_rolled_back
from homeostat.serving.worker_ipc import Siblings

logger = logging.getLogger(__name__)

#: The function that loads a bundle, by name: the shadow process looks it up for itself.
LOAD_BUNDLE = "homeostat.bundle.files:load_bundle"
#: How long the store may take for the last rows: orchestrators kill 30 s after SIGTERM.
STOP_SECONDS = 6.0


def _version() -> str:
    try:
        return importlib.metadata.version("homeostat")
    except importlib.metadata.PackageNotFoundError:  # run from a folder on PYTHONPATH
        return "development"


class Runtime:
    """The parts of a gateway, put together.

    Parameters
    ----------
    load
        The loading function as ``module:name``; a seam for tests.
    """

    def __init__(
        self,
        models: Mapping[str, ModelConfig],
        ports: Ports,
        settings: Settings,
        options: Options,
        *,
        load: str = LOAD_BUNDLE,
    ) -> None:
        self.ports = ports
        self.settings = settings
        self.options = options
        self.version = _version()
        self.metrics = Metrics()
        self.clean = cleaner(settings)
        self.audit = Audit(settings.state / "audit.jsonl")
        self.door = Door(settings, options, self.audit, ports.clock.now)
        served = {name: config for name, config in models.items() if config.serve == "gateway"}
        self.states = {
            name: ModelState(
                config, InputSpec.of(config), KnownLabels(options.known_labels), Table(Traffic(name))
            )
            for name, config in served.items()
        }
        self.logs = Logs(served, ports.store, settings.state, options, self.metrics)
        self.log, self.label_log = self.logs.predictions, self.logs.labels
        self.quarantine = self.logs.quarantine
        self.pool = Pool(options.threads, "predict", patience=options.champion_timeout)
        self.loader = Loader(
            settings.cache, ports.registry, settings.trusted_types, named(load), store=ports.store
        )
        self.controller = Controller(
            self.states,
            ports,
            self.loader,
            self.metrics,
            options,
            pool=self.pool,
            log=self.log,
            load_name=load,
            trusted_types=settings.trusted_types,
        )
        self.engine = Engine(options, self.metrics, self.log, self.controller.trip)
        self.in_flight = 0
        #: The other workers of this gateway, when there are several.
        self.siblings: Siblings | None = None

    # Life

    def start(self) -> None:
        """Start the background work; answers begin as soon as a champion is loaded."""
        self.controller.start()
        self.logs.start()

    async def stop(self, *, drain_seconds: float = 20.0) -> None:
        """Let requests in flight end, write the logs, stop everything."""
        end = time.monotonic() + drain_seconds
        while self.in_flight and time.monotonic() < end:  # noqa: ASYNC110  # an event would cost every request
            await asyncio.sleep(0.01)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._stop_background)

    def _stop_background(self) -> None:
        self.controller.stop()
        for spool in self.logs.spools:
            spool.commit()  # on this machine's disk, whatever becomes of the store
        ending = threading.Thread(target=self.logs.stop, name="stop-logs", daemon=True)
        ending.start()
        ending.join(STOP_SECONDS)
        if ending.is_alive():
            logger.error("the store does not answer: the rows wait in the journal for the next start")
        self.pool.shutdown(wait=False, cancel_futures=True)

    # What operators and clients ask

    def now(self) -> datetime:
        """The clock's time."""
        return self.ports.clock.now()

    @property
    def log_error(self) -> str:
        """Why the logs are not written; "" while they are."""
        return self.logs.error

    def state(self, model: str) -> ModelState:
        """A served model; NotFound names those that there are."""
        state = self.states.get(model)
        if state is None:
            msg = f"No model of that name is served here; there are: {', '.join(self.states) or 'none'}."
            raise NotFound(msg)
        return state

    def counters(self, model: str) -> dict[str, float]:
        """The counters of one model, summed over its versions."""
        metrics = self.metrics
        families = {
            "rows": metrics.rows,
            "errors": metrics.errors,
            "nan": metrics.nan,
            "out_of_range": metrics.out_of_range,
            "fallbacks": metrics.fallbacks,
            "shadow_dropped": metrics.shadow_dropped,
            "poison_rows": metrics.poison,
        }
        out = {}
        for name, family in families.items():
            samples = (s for metric in family.collect() for s in metric.samples)
            out[name] = sum(
                s.value for s in samples if s.labels.get("model") == model and s.name.endswith("_total")
            )
        return out | self.logs.lost(model)

    def roll_back(self, model: str, reason: str, by: str, version: str = "") -> dict[str, Any]:
        """Take back the candidate, or else the champion; NoPrevious when there is nothing to go back to.

        With a ``version``, that one or none: Refused when another would go.
        """

        def step(traffic: Traffic) -> Transition:
            check_goes(traffic, version)
            return roll_back(traffic, reason, self.now())

        done = self._change(model, step, by)
        config = self.states[model].config
        tell_rolled_back(self.ports.notifier, config, "rolled back by hand", f"by {by}: {reason}")
        return done

    def approve(self, model: str, by: str) -> dict[str, Any]:
        """Approve the candidate that waits."""
        return self._change(model, lambda traffic: approve(traffic, self.now()), by)

    def promote(self, model: str, version: str, reason: str, by: str) -> dict[str, Any]:
        """Make a version champion that passed its gate.

        The ledger vouches for the candidate under way; for any other version the registry is asked.
        """
        state = self.state(model)
        active = state.table.traffic.active
        if active is not None and active.candidate.version == version and not active.forced:
            ref = active.candidate
        else:
            found = self.ports.registry.version(model, version)
            if found.tags.get("homeostat.gate") != "passed":
                msg = (
                    f"Version {version} of {model} never passed its gate; retrain, or force it through a "
                    "canary and approve it there."
                )
                raise Refused(msg)
            ref = VersionRef(version, found.digest)
        # Loaded before the ledger says so: what cannot be loaded must not become champion.
        self.loader.load(state.config, ref)
        return self._change(model, lambda traffic: promote(traffic, ref, self.now(), reason), by)

    def _change(self, model: str, step: Step, by: str) -> dict[str, Any]:
        state = self.state(model)
        transition = self.controller.change(state, step, by)
        traffic = state.table.traffic
        return {
            "kind": transition.kind if transition else "unchanged",
            "reason": transition.reason if transition else "",
            "traffic": traffic.to_json(),
        }

    def flush(self) -> dict[str, Any]:
        """Write all buffers now; Unavailable when the store does not answer (the rows are kept)."""
        done = self.logs.flush()
        errors = [flushed.error for flushed in done.values() if flushed.error]
        if errors:
            raise Unavailable("; ".join(errors))
        return {name.replace(" ", "_"): asdict(flushed) for name, flushed in done.items()}
