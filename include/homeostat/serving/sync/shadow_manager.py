"""When a candidate's shadow runs, and what becomes of its answers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from homeostat.core.rollout.evidence import SHADOW
from homeostat.core.rollout.phases import Phase, Rollout
from homeostat.serving.inference.routing import Happened, ModelState, Table
from homeostat.serving.inference.scoring import Scored
from homeostat.serving.inference.shadow_client import Result, Shadow, ShadowHooks
from homeostat.serving.inference.shadow_worker import ShadowJob
from homeostat.serving.metrics import Metrics
from homeostat.serving.recorder.prediction_log import Served
from homeostat.serving.recorder.spool import Spool
from homeostat.serving.sync.bundle_cache import Loaded


class Shadowing:
    """Starts shadow processes, and turns their answers into evidence and rows of the log.

    Parameters
    ----------
    trip
        Called when a candidate failed in its shadow: the controller looks at once.
    load_name, trusted_types
        How the process loads its bundle, see :class:`~homeostat.serving.inference.shadow_worker.ShadowJob`.
    max_rows
        Rows that may wait for one shadow.
    """

    def __init__(
        self,
        metrics: Metrics,
        log: Spool[Served],
        trip: Callable[[ModelState], None],
        *,
        load_name: str,
        trusted_types: tuple[str, ...],
        max_rows: int,
    ) -> None:
        self._metrics = metrics
        self._log = log
        self._trip = trip
        self._load_name = load_name
        self._trusted = trusted_types
        self._max_rows = max_rows

    def of(
        self, state: ModelState, old: Table, active: Rollout | None, ready: Loaded | None
    ) -> Shadow | None:
        """The shadow that this rollout needs now: the one that runs, a new one, or none.

        It is started while the candidate is only registered, so that it is warm in time.
        """
        if active is None or active.phase not in (Phase.REGISTERED, Phase.SHADOW):
            return None
        if active.plan.shadow <= timedelta(0):
            return None
        if ready is None or active.candidate in state.shadow_failed:
            return None
        if old.shadow is not None and old.rollout == active.id:
            return old.shadow
        return self._start(state, active, ready)

    def _start(self, state: ModelState, rollout: Rollout, ready: Loaded) -> Shadow:
        name, candidate = state.config.name, rollout.candidate

        def answered(batch: list[Served], results: list[Result]) -> None:
            for served, result in zip(batch, results, strict=True):
                self._answered(state, rollout, served, result)

        def dropped(rows: int) -> None:
            self._metrics.shadow_dropped.labels(name).inc(rows)
            state.happened.append(Happened(rollout.id, str(Phase.SHADOW), SHADOW, 0, 0.0, None, dropped=rows))

        def failed(sentence: str) -> None:
            state.shadow_failed[candidate] = f"version {candidate.version} failed in its shadow: {sentence}"
            self._trip(state)

        job = ShadowJob(
            state.config, ready.folder, candidate.version, candidate.digest, self._trusted, self._load_name
        )
        restarted = self._metrics.shadow_restarts.labels(name).inc
        shadow = Shadow(
            job,
            ShadowHooks(answered, dropped, restarted, failed),  # type: ignore[arg-type]  # lists are sequences
            max_rows=self._max_rows,
        )
        shadow.start()
        return shadow

    def _answered(self, state: ModelState, rollout: Rollout, served: Served, result: Result) -> None:
        scored = result if isinstance(result, Scored) else None
        latency = result.latency_ms if isinstance(result, Scored) else result[1]
        count = served.rows.count
        state.happened.append(
            Happened(rollout.id, Phase.SHADOW, SHADOW, count, latency, scored, served.predictions)
        )
        record = Served(
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
            "" if isinstance(result, Scored) else result[0],
        )
        self._log.add(state.config.name, record, count)
        if scored is None or not scored.good:
            self._trip(state)
