"""Run a shadow process while a rollout needs it, and turn its results into evidence and log rows.

Before the promotion the candidate is in shadow; for a while after it, the former champion is: the *reverse
shadow*, so that labels can still compare the two.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from homeostat.core.rollout.champion_watch import is_watched
from homeostat.core.rollout.evidence import SHADOW
from homeostat.core.rollout.phases import Phase, Rollout, Traffic, VersionRef
from homeostat.ports import Clock
from homeostat.serving.inference.routing import Outcome, ServedModel
from homeostat.serving.inference.scoring import ScoredRequest
from homeostat.serving.inference.shadow_client import Result, Shadow, ShadowCallbacks
from homeostat.serving.inference.shadow_worker import ShadowJob
from homeostat.serving.metrics import Metrics
from homeostat.serving.recorder.prediction_log import ServedRequest
from homeostat.serving.recorder.spool import Spool
from homeostat.serving.sync.bundle_cache import LoadedBundle
from homeostat.tracing import Tracer

logger = logging.getLogger(__name__)

#: The stage under which the former champion's outcomes are counted.
REVERSE_SHADOW = "reverse_shadow"


@dataclass(frozen=True, slots=True)
class ShadowTask:
    """A version that is to run in shadow for a rollout, and the stage under which it is counted."""

    rollout: Rollout
    ref: VersionRef
    stage: str

    @property
    def reverse(self) -> bool:
        """Whether this is the former champion, after the promotion."""
        return self.stage == REVERSE_SHADOW


class ShadowManager:
    """Starts and reuses shadow processes, and records their results.

    Parameters
    ----------
    evaluate_soon
        Called when a candidate failed in its shadow: the controller evaluates the model at once. A failure of
        a former champion ends its shadow and says nothing about the new one.
    load_name, trusted_types
        How the process loads its bundle, see :class:`~homeostat.serving.inference.shadow_worker.ShadowJob`.
    max_rows
        Rows that may wait for one shadow.
    tracer
        Records a trace of each prediction for a traced request.
    """

    def __init__(
        self,
        metrics: Metrics,
        log: Spool[ServedRequest],
        evaluate_soon: Callable[[ServedModel], None],
        clock: Clock,
        *,
        load_name: str,
        trusted_types: tuple[str, ...],
        max_rows: int,
        tracer: Tracer | None = None,
    ) -> None:
        self._metrics = metrics
        self._log = log
        self._evaluate_soon = evaluate_soon
        self._clock = clock
        self._load_name = load_name
        self._trusted = trusted_types
        self._max_rows = max_rows
        self._tracer = tracer
        self._failed: dict[tuple[str, VersionRef], str] = {}
        self._ended: set[tuple[str, str]] = set()  # model and rollout whose reverse shadow failed

    def failure(self, model: str, candidate: VersionRef) -> str:
        """Return why this candidate failed in its shadow; "" when it did not."""
        return self._failed.get((model, candidate), "")

    def task(self, model: str, traffic: Traffic) -> ShadowTask | None:
        """Return what is to run in shadow now: the candidate, the former champion, or nothing.

        A candidate's shadow starts while it is still registered, so that it is warm when its phase begins.
        """
        rollout = traffic.rollout
        if rollout is None:
            return None
        if rollout.phase in (Phase.REGISTERED, Phase.SHADOW):
            failed = self.failure(model, rollout.candidate)
            needed = rollout.plan.shadow > timedelta(0) and not failed
            return ShadowTask(rollout, rollout.candidate, str(Phase.SHADOW)) if needed else None
        until, former = rollout.reverse_shadow_until, traffic.previous
        if (
            until is None
            or former is None
            or not is_watched(traffic)
            or traffic.champion != rollout.candidate
        ):
            return None
        if self._clock.now() >= until or (model, rollout.id) in self._ended:
            return None
        return ShadowTask(rollout, former, REVERSE_SHADOW)

    def shadow_for(self, model: ServedModel, task: ShadowTask, bundle: LoadedBundle) -> Shadow:
        """Return the shadow of this task: the running one, or a new one."""
        running = model.table.shadow
        if running is not None and model.table.rollout == task.rollout.id:
            running_ref = VersionRef(running.job.version, running.job.digest)
            return running if running_ref == task.ref else self._start(model, task, bundle)
        return self._start(model, task, bundle)

    def _start(self, model: ServedModel, task: ShadowTask, bundle: LoadedBundle) -> Shadow:
        name, ref = model.name, task.ref

        def predicted(batch: list[ServedRequest], results: list[Result]) -> None:
            for served, result in zip(batch, results, strict=True):
                self._record(model, task, served, result)

        def dropped(rows: int) -> None:
            self._metrics.shadow_dropped.labels(name).inc(rows)
            model.outcomes.append(Outcome(task.rollout.id, task.stage, SHADOW, 0, 0.0, None, dropped=rows))

        def failed(sentence: str) -> None:
            if task.reverse:
                logger.warning(
                    "%s: the shadow of version %s, the former champion, ends: %s", name, ref.version, sentence
                )
                self._ended.add((name, task.rollout.id))
                return
            self._failed[name, ref] = f"version {ref.version} failed in its shadow: {sentence}"
            self._evaluate_soon(model)

        job = ShadowJob(model.config, bundle.folder, ref.version, ref.digest, self._trusted, self._load_name)
        restarted = self._metrics.shadow_restarts.labels(name).inc
        shadow = Shadow(
            job,
            ShadowCallbacks(predicted, dropped, restarted, failed),  # type: ignore[arg-type]  # lists are sequences
            max_rows=self._max_rows,
        )
        shadow.start()
        return shadow

    def _record(self, model: ServedModel, task: ShadowTask, served: ServedRequest, result: Result) -> None:
        scored = result if isinstance(result, ScoredRequest) else None
        latency = result.latency_ms if isinstance(result, ScoredRequest) else result[1]
        count = served.rows.count
        model.outcomes.append(
            Outcome(task.rollout.id, task.stage, SHADOW, count, latency, scored, served.predictions)
        )
        record = ServedRequest(
            served.request_id,
            served.ids,
            served.received_at,
            task.ref.version,
            SHADOW,
            task.rollout.id,
            served.rows,
            scored.predictions if scored is not None else [None] * count,
            scored.confidence if scored is not None else None,
            latency,
            "" if isinstance(result, ScoredRequest) else result[0],
        )
        self._log.add(model.name, record, count)
        if self._tracer is not None and served.traceparent:
            self._trace(self._tracer, model.name, task, served.traceparent, record)
        if not task.reverse and (scored is None or not scored.valid):
            self._evaluate_soon(model)

    def _trace(
        self, tracer: Tracer, model: str, task: ShadowTask, request: str, record: ServedRequest
    ) -> None:
        """Send the prediction as a trace of its own, with links to the request's and to the retrain's."""
        end = time.time_ns()
        tracer.emit(
            "shadow",
            end - int(record.latency_ms * 1e6),
            end,
            links=(request, task.rollout.traceparent),
            attributes={
                "homeostat.model": model,
                "homeostat.version": record.version,
                "homeostat.rollout": record.rollout,
                "homeostat.request_id": record.request_id,
            },
            error=record.error,
        )
