"""Follow the ledger beside the requests: send evidence, advance rollouts, put the resulting routing in force.

A few threads check all models in turn, and one that waits holds up no other model. Meanwhile requests are
served by the table in force; replacing it is one assignment. The ledger is written by compare-and-swap before
a change takes effect.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import wait
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from homeostat.config.errors import Unavailable
from homeostat.core.rollout import EventKind
from homeostat.core.rollout.phases import Phase, Traffic, VersionRef
from homeostat.core.rollout.transitions import Transition
from homeostat.hung_calls import ReplacingThreadPool
from homeostat.ports import Ports
from homeostat.rollouts.advance import AdvanceResult
from homeostat.rollouts.manual import request_change
from homeostat.serving.inference.residency import Residency
from homeostat.serving.inference.routing import ServedModel
from homeostat.serving.metrics import Metrics
from homeostat.serving.options import Options
from homeostat.serving.recorder.prediction_log import ServedRequest
from homeostat.serving.recorder.spool import Spool
from homeostat.serving.sync.bundle_cache import BundleCache
from homeostat.serving.sync.evaluator import Evaluator
from homeostat.serving.sync.evidence_sender import EvidenceSender
from homeostat.serving.sync.routing_sync import HungVersion, RoutingSync
from homeostat.serving.sync.shadow_manager import ShadowManager
from homeostat.tracing import logged_trace

logger = logging.getLogger(__name__)

_PARALLEL_MODELS = 4  # models that are checked in parallel
_PATIENCE = 0.25  # seconds without any of them finishing, after which the next round begins
_SHADOW_TICKS = 4  # clients never see a shadow's predictions: it is evaluated that much less often
_PAUSE = 0.3  # seconds before a model is checked again whose check failed


@dataclass(slots=True)
class _ModelSync:
    """What only the controller keeps about a model. Times are monotonic seconds."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    busy: bool = False
    evaluate_now: bool = False
    next_evaluation: float = 0.0
    paused_until: float = 0.0
    ledger_error: str = ""
    ledger_read_at: datetime | None = None
    checks: tuple[dict[str, Any], ...] = ()


class Controller:
    """Keeps every model's routing in line with the ledger, and has its rollout evaluated."""

    def __init__(  # noqa: PLR0913  # put together in one place, by name
        self,
        models: Mapping[str, ServedModel],
        ports: Ports,
        cache: BundleCache,
        metrics: Metrics,
        options: Options,
        *,
        pool: ReplacingThreadPool,
        log: Spool[ServedRequest],
        load_name: str,
        trusted_types: tuple[str, ...],
        residency: Residency | None = None,
    ) -> None:
        self._models = models
        self._ports = ports
        self._metrics = metrics
        self._options = options
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="controller", daemon=True)
        workers = min(_PARALLEL_MODELS, len(models) or 1)
        self._checks = ReplacingThreadPool(workers, "check", hang_seconds=float("inf"))
        self._sync = {name: _ModelSync() for name in models}
        self._evidence = EvidenceSender(
            models,
            ports.ledger,
            ports.clock,
            options.gateway,
            dropping_rows=lambda: log.dropping_rows,
        )
        shadows = ShadowManager(
            metrics,
            log,
            self.evaluate_soon,
            ports.clock,
            load_name=load_name,
            trusted_types=trusted_types,
            max_rows=options.shadow_rows,
            tracer=ports.tracer,
        )
        self._routing = RoutingSync(
            models,
            cache,
            metrics,
            options,
            pool=pool,
            evidence=self._evidence,
            shadows=shadows,
            loaded=self._wake.set,
            residency=residency,
        )
        by = f"gateway:{options.gateway}"
        self._evaluator = Evaluator(ports, cache, self._routing.loads, shadows, by)

    def start(self) -> None:
        """Put the last known routing in force, then follow the ledger."""
        self._routing.restore()
        self._thread.start()

    @property
    def ledger_error(self) -> str:
        """Why the ledger does not answer; "" while it does."""
        return next((sync.ledger_error for sync in self._sync.values() if sync.ledger_error), "")

    def ledger_read(self, model: str) -> bool:
        """Whether the ledger has answered for this model since the start."""
        return self._sync[model].ledger_read_at is not None

    def checks(self, model: str) -> list[dict[str, Any]]:
        """Return the results of the last health checks."""
        return list(self._sync[model].checks)

    def load_failures(self, model: str) -> dict[VersionRef, str]:
        """Return why versions of this model are not loaded or get no requests."""
        return self._routing.load_failures(model)

    def stop(self) -> None:
        """Stop following the ledger and stop the shadows; send the last counts if the ledger answers."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(5.0)
        self._checks.shutdown(wait=False, cancel_futures=True)
        self._routing.stop()
        for name, model in self._models.items():
            sync = self._sync[name]
            if self.ledger_error or not sync.lock.acquire(timeout=1.0):
                logger.warning("%s: the last counts were not sent to the ledger", name)
                continue
            try:
                self._evidence.send(model)
            except Exception as error:  # noqa: BLE001  # the last counts decide nothing
                sync.ledger_error = str(error)
                logger.warning("%s: the last counts were not sent to the ledger: %s", name, error)
            finally:
                sync.lock.release()

    def evaluate_soon(self, model: ServedModel) -> None:
        """Evaluate the model at once, since a version failed. Called from any thread, never blocks."""
        self._sync[model.name].evaluate_now = True
        self._wake.set()

    def _run(self) -> None:
        spent = 0.0
        while not self._stop.is_set():
            # With many models, or a slow ledger, a round takes longer: half of the time stays free.
            self._wake.wait(max(self._options.poll_seconds, spent))
            self._wake.clear()
            begun = time.monotonic()
            try:
                self._round()
            except Exception:
                logger.exception("a round of the controller failed; the routing stays in force")
                self._stop.wait(_PAUSE)
            spent = time.monotonic() - begun

    def _round(self) -> None:
        """Check hung calls, and every model that is not being checked already."""
        for hung in self._routing.replace_hung():
            self._checks.submit(self._report_hung, hung)
        now = time.monotonic()
        due = [name for name, sync in self._sync.items() if not sync.busy and now >= sync.paused_until]
        for name in due:
            self._sync[name].busy = True
        left = {self._checks.submit(self._check, self._models[name], self._sync[name]) for name in due}
        while left and not self._stop.is_set():
            done, left = wait(left, timeout=_PATIENCE)
            if not done:
                return

    def _check(self, model: ServedModel, sync: _ModelSync) -> None:
        try:
            self.check(model)
            sync.ledger_error = ""
        except Unavailable as error:
            self._metrics.ledger_errors.inc()
            if not self.ledger_error:
                logger.warning("%s: the last known routing stays in force: %s", model.name, error)
            sync.ledger_error = str(error)
            sync.paused_until = time.monotonic() + _PAUSE
        except Exception:
            logger.exception("%s: the controller's check failed; the routing stays in force", model.name)
            sync.paused_until = time.monotonic() + _PAUSE
        finally:
            sync.busy = False

    def check(self, model: ServedModel) -> None:
        """Read the ledger, follow it, and evaluate the rollout when it is due (at once after a failure)."""
        sync = self._sync[model.name]
        with sync.lock:
            self._evidence.count(model)
            try:
                traffic = self._ports.ledger.read(model.name)
            except Unavailable:
                self._routing.refresh(model)  # versions loaded meanwhile serve all the same
                raise
            sync.ledger_read_at = self._ports.clock.now()
            with logged_trace(_traceparent(traffic)):
                self._follow(model, traffic)
                self._evaluate(model, sync, traffic)

    def _evaluate(self, model: ServedModel, sync: _ModelSync, traffic: Traffic) -> None:
        """Evaluate the rollout when it is due."""
        begun = time.monotonic()
        if begun < sync.next_evaluation and not sync.evaluate_now:
            return
        sync.evaluate_now = False
        try:
            self._evidence.send(model)
            self._apply(model, self._evaluator.evaluate(model))
        finally:
            # Evaluating takes at most a tenth of the time, however large the evidence has grown.
            spent = time.monotonic() - begun
            active = traffic.active
            shadowed = active is not None and active.phase is Phase.SHADOW
            pause = self._options.tick_seconds * (_SHADOW_TICKS if shadowed else 1)
            sync.next_evaluation = begun + max(pause, 10 * spent)

    def _report_hung(self, hung: HungVersion) -> None:
        try:
            traceparent = _traceparent(hung.model.table.traffic)
            with self._sync[hung.model.name].lock, logged_trace(traceparent):
                result = self._evaluator.report_hung(hung.model, hung.ref, hung.calls)
                self._apply(hung.model, result)
        except Exception as error:  # noqa: BLE001  # hung calls are found again, and error rates count them too
            logger.warning("%s version %s hangs and stays: %s", hung.model.name, hung.ref.version, error)

    def change(
        self, model: ServedModel, request: Callable[[Traffic, datetime], Transition], by: str
    ) -> Transition | None:
        """Write a person's request to the ledger and put the resulting routing in force.

        ``request`` gets the moment at which the ledger's event is written.

        Raises
        ------
        StaleRevision
            Other writers were first in every attempt.
        Unavailable
            The ledger does not answer: nothing was changed.
        Refused
            The request is refused.
        """
        with self._sync[model.name].lock, logged_trace(_traceparent(model.table.traffic)):
            at = self._ports.clock.now()
            done = request_change(
                model.name,
                self._ports.ledger,
                lambda traffic: request(traffic, at),
                by=by,
                at=at,
                tracer=self._ports.tracer,
            )
            self._apply(model, AdvanceResult(done.traffic, done.transition))
            return done.transition

    def _apply(self, model: ServedModel, result: AdvanceResult) -> None:
        """Log and count what was written, and follow it."""
        if result.checks is not None:
            self._sync[model.name].checks = tuple(check.to_json() for check in result.checks)
        step = result.transition
        if step is not None and step.kind is not EventKind.UNCHANGED:
            logger.info("%s: %s: %s", model.name, step.kind, step.reason)
            if step.kind is EventKind.ROLLED_BACK:
                self._metrics.rollbacks.labels(model.name).inc()
        self._follow(model, result.traffic)

    def _follow(self, model: ServedModel, traffic: Traffic) -> None:
        """Put this traffic in force. The checks of a rollout that just ended stay until the next change."""
        before, rollout = model.table.traffic, traffic.rollout
        self._routing.apply(model, traffic)
        if rollout is not None and before.rollout != rollout:
            what = f"version {rollout.candidate.version}: {rollout.stage_name}"
            logger.info("%s: follows revision %d of the ledger, %s", model.name, traffic.revision, what)
        if before != traffic and traffic.active is None and not (traffic.rollout and before.active):
            self._sync[model.name].checks = ()


def _traceparent(traffic: Traffic) -> str:
    """Return the trace context of the retrain that the last rollout belongs to; "" for none."""
    return traffic.rollout.traceparent if traffic.rollout is not None else ""
