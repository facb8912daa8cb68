"""Everything a running gateway consists of, started and stopped together, and what operators may order."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import logging
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import datetime
from typing import Any

from homeostat.config import ModelConfig, Settings
from homeostat.config.errors import NotFound, Refused, Unavailable
from homeostat.gateway import labels, predictionlog
from homeostat.gateway.audit import Audit
from homeostat.gateway.controller import Controller, Step
from homeostat.gateway.door import Door
from homeostat.gateway.engine import Engine
from homeostat.gateway.labels import KnownLabels, Label
from homeostat.gateway.loader import Loader
from homeostat.gateway.metrics import Metrics
from homeostat.gateway.options import Options
from homeostat.gateway.predictionlog import Served
from homeostat.gateway.protocol import InputSpec
from homeostat.gateway.public import cleaner
from homeostat.gateway.routing import ModelState, Table
from homeostat.gateway.shadow_process import named
from homeostat.gateway.spool import Flushed, Spool
from homeostat.ports import Notice, Ports
from homeostat.rollout import approve, promote, roll_back
from homeostat.rollout.phases import Traffic, VersionRef

logger = logging.getLogger(__name__)

#: The function that loads a bundle, by name: the shadow process looks it up for itself.
LOAD_BUNDLE = "homeostat.training:load_bundle"


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
        self.log: Spool[Served] = Spool(
            "prediction log", predictionlog.writer(ports.store, served, options.gateway), options.keep_rows
        )
        self.label_log: Spool[tuple[Label, ...]] = Spool(
            "label log", labels.writer(ports.store, served, options.gateway), options.keep_rows
        )
        self.quarantine: Spool[tuple[Label, ...]] = Spool(
            "label quarantine", labels.quarantine_writer(ports.store, options.gateway), options.keep_rows
        )
        self.pool = ThreadPoolExecutor(options.threads, thread_name_prefix="predict")
        self.loader = Loader(settings.cache, ports.registry, settings.trusted_types, named(load))
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
        self.log_error = ""
        self.in_flight = 0
        self._stop = threading.Event()
        self._flusher = threading.Thread(target=self._flush_now_and_then, name="flush", daemon=True)
        for spool, series in ((self.log, "log"), (self.label_log, "label_log")):
            self._gauges(spool, series)

    def _gauges(self, spool: Spool[Any], series: str) -> None:
        self.metrics.gauge(
            f"homeostat_{series}_written_rows", f"Rows that the {spool.name} wrote.", lambda: spool.written
        )
        self.metrics.gauge(
            f"homeostat_{series}_kept_rows", f"Rows that wait for the {spool.name}.", lambda: spool.kept
        )
        self.metrics.gauge(
            f"homeostat_{series}_lost_rows", f"Rows that the {spool.name} lost.", lambda: spool.lost
        )

    # Life

    def start(self) -> None:
        """Start the background work; answers begin as soon as a champion is loaded."""
        self.controller.start()
        self._flusher.start()

    async def stop(self, *, drain_seconds: float = 20.0) -> None:
        """Let requests in flight end, write the logs, stop everything."""
        end = time.monotonic() + drain_seconds
        while self.in_flight and time.monotonic() < end:  # noqa: ASYNC110  # an event would cost every request
            await asyncio.sleep(0.01)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._stop_background)

    def _stop_background(self) -> None:
        self.controller.stop()
        self._stop.set()
        if self._flusher.is_alive():
            self._flusher.join(5.0)
        with contextlib.suppress(Unavailable):
            self.flush()
        self.pool.shutdown(wait=False, cancel_futures=True)
        for spool in (self.log, self.label_log):
            if spool.kept:
                logger.error("%s: %d rows could not be written before the end", spool.name, spool.kept)

    def _flush_now_and_then(self) -> None:
        due = time.monotonic() + self.options.flush_seconds
        while not self._stop.wait(0.1):
            full = max(self.log.kept, self.label_log.kept) >= self.options.flush_rows
            if not (time.monotonic() >= due or (full and not self.log_error)):
                continue
            due = time.monotonic() + self.options.flush_seconds
            try:
                self._write_all()
            except Exception:  # the thread must live as long as the gateway
                logger.exception("a flush failed; rows are kept")

    def _write_all(self) -> dict[str, Flushed]:
        done = {spool.name: spool.flush() for spool in (self.log, self.label_log, self.quarantine)}
        self.log_error = "; ".join(each.error for each in done.values() if each.error)
        return done

    # What operators and clients ask

    def now(self) -> datetime:
        """The clock's time."""
        return self.ports.clock.now()

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
        return out

    def roll_back(self, model: str, reason: str, by: str) -> dict[str, Any]:
        """Take back the candidate, or else the champion; NoPrevious when there is nothing to go back to."""
        done = self._change(model, lambda traffic: roll_back(traffic, reason, self.now()), by)
        config = self.states[model].config
        body = f"by {by}: {reason}"
        notice = Notice("rolled_back", model, f"{model}: rolled back by hand", body)
        threading.Thread(target=self.ports.notifier.notify, args=(config.notify, notice), daemon=True).start()
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
        done = self._write_all()
        if self.log_error:
            raise Unavailable(self.log_error)
        return {name.replace(" ", "_"): asdict(flushed) for name, flushed in done.items()}
