"""Run a shadow process while a candidate needs it, and turn its results into evidence and log rows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from homeostat.core.rollout.evidence import SHADOW
from homeostat.core.rollout.phases import Phase, Rollout, VersionRef
from homeostat.serving.inference.routing import Outcome, ServedModel
from homeostat.serving.inference.scoring import ScoredRequest
from homeostat.serving.inference.shadow_client import Result, Shadow, ShadowCallbacks
from homeostat.serving.inference.shadow_worker import ShadowJob
from homeostat.serving.metrics import Metrics
from homeostat.serving.recorder.prediction_log import ServedRequest
from homeostat.serving.recorder.spool import Spool
from homeostat.serving.sync.bundle_cache import LoadedBundle


class ShadowManager:
    """Starts and reuses shadow processes, and records their results.

    Parameters
    ----------
    evaluate_soon
        Called when a candidate failed in its shadow: the controller evaluates the model at once.
    load_name, trusted_types
        How the process loads its bundle, see :class:`~homeostat.serving.inference.shadow_worker.ShadowJob`.
    max_rows
        Rows that may wait for one shadow.
    """

    def __init__(
        self,
        metrics: Metrics,
        log: Spool[ServedRequest],
        evaluate_soon: Callable[[ServedModel], None],
        *,
        load_name: str,
        trusted_types: tuple[str, ...],
        max_rows: int,
    ) -> None:
        self._metrics = metrics
        self._log = log
        self._evaluate_soon = evaluate_soon
        self._load_name = load_name
        self._trusted = trusted_types
        self._max_rows = max_rows
        self._failed: dict[tuple[str, VersionRef], str] = {}

    def failure(self, model: str, candidate: VersionRef) -> str:
        """Return why this candidate failed in its shadow; "" when it did not."""
        return self._failed.get((model, candidate), "")

    def shadow_for(self, model: ServedModel, active: Rollout, bundle: LoadedBundle | None) -> Shadow | None:
        """Return the shadow that this rollout needs now: the running one, a new one, or None.

        It starts while the candidate is still registered, so that it is warm when its phase begins.
        """
        if active.phase not in (Phase.REGISTERED, Phase.SHADOW):
            return None
        if active.plan.shadow <= timedelta(0):
            return None
        if bundle is None or self.failure(model.name, active.candidate):
            return None
        running = model.table
        if running.shadow is not None and running.rollout == active.id:
            return running.shadow
        return self._start(model, active, bundle)

    def _start(self, model: ServedModel, rollout: Rollout, bundle: LoadedBundle) -> Shadow:
        name, candidate = model.name, rollout.candidate

        def predicted(batch: list[ServedRequest], results: list[Result]) -> None:
            for served, result in zip(batch, results, strict=True):
                self._record(model, rollout, served, result)

        def dropped(rows: int) -> None:
            self._metrics.shadow_dropped.labels(name).inc(rows)
            model.outcomes.append(Outcome(rollout.id, str(Phase.SHADOW), SHADOW, 0, 0.0, None, dropped=rows))

        def failed(sentence: str) -> None:
            self._failed[name, candidate] = f"version {candidate.version} failed in its shadow: {sentence}"
            self._evaluate_soon(model)

        job = ShadowJob(
            model.config, bundle.folder, candidate.version, candidate.digest, self._trusted, self._load_name
        )
        restarted = self._metrics.shadow_restarts.labels(name).inc
        shadow = Shadow(
            job,
            ShadowCallbacks(predicted, dropped, restarted, failed),  # type: ignore[arg-type]  # lists are sequences
            max_rows=self._max_rows,
        )
        shadow.start()
        return shadow

    def _record(self, model: ServedModel, rollout: Rollout, served: ServedRequest, result: Result) -> None:
        scored = result if isinstance(result, ScoredRequest) else None
        latency = result.latency_ms if isinstance(result, ScoredRequest) else result[1]
        count = served.rows.count
        model.outcomes.append(
            Outcome(rollout.id, Phase.SHADOW, SHADOW, count, latency, scored, served.predictions)
        )
        record = ServedRequest(
            served.request_id,
            served.ids,
            served.received_at,
            rollout.candidate.version,
            SHADOW,
            rollout.id,
            served.rows,
            scored.predictions if scored is not None else [None] * count,
            scored.confidence if scored is not None else None,
            latency,
            "" if isinstance(result, ScoredRequest) else result[0],
        )
        self._log.add(model.name, record, count)
        if scored is None or not scored.valid:
            self._evaluate_soon(model)
