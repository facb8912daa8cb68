"""From typed rows to predictions: choose the version, predict, fall back when it fails, record."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from time import monotonic, perf_counter
from typing import Any
from weakref import WeakKeyDictionary

from homeostat.core.rollout.evidence import CANDIDATE, CHAMPION
from homeostat.serving.inference.batcher import Batcher, QueueFull
from homeostat.serving.inference.failures import (
    NothingLoaded,
    PredictTimedOut,
    VersionOverloaded,
    client_error,
    describe,
    why_not_loaded,
)
from homeostat.serving.inference.routing import LoadedVersion, Outcome, RoutingTable, ServedModel
from homeostat.serving.inference.scoring import (
    ClassProbabilities,
    PredictFailed,
    ScoredRequest,
    merged_probabilities,
)
from homeostat.serving.metrics import Metrics
from homeostat.serving.options import Options
from homeostat.serving.recorder.prediction_log import ServedRequest, prediction_ids
from homeostat.serving.recorder.spool import Spool
from homeostat.serving.request_trace import current_trace, trace_stage
from homeostat.serving.scoring_request import BadRequest, Rows


@dataclass(frozen=True, slots=True)
class ScoringResult:
    """The response to a client: one prediction per row, and the versions that made them."""

    predictions: list[Any]
    version: str
    variant: str
    fell_back_from: str = ""
    confidence: Sequence[float | None] | None = None
    probabilities: ClassProbabilities | None = None


#: Variant of a request for one given version: served and logged, but never rollout evidence.
PINNED = "pinned"


@dataclass(frozen=True, slots=True)
class _Served:
    """The predictions that the client gets, and the version that made them."""

    loaded: LoadedVersion
    variant: str
    scored: ScoredRequest
    error: str = ""
    fell_back_from: str = ""


@dataclass(frozen=True, slots=True)
class _Request:
    request_id: str
    ids: list[str]
    received_at: datetime


class Engine:
    """Scores requests. Lives on the event loop.

    Parameters
    ----------
    on_failure
        Called when a version that takes traffic raised or gave an invalid prediction: the controller then
        evaluates the rollout at once.
    traced
        Whether requests have traces, see :mod:`homeostat.serving.request_trace`.
    """

    def __init__(
        self,
        options: Options,
        metrics: Metrics,
        log: Spool[ServedRequest],
        on_failure: Callable[[ServedModel], None],
        *,
        traced: bool = False,
    ) -> None:
        self._options = options
        self._metrics = metrics
        self._log = log
        self._on_failure = on_failure
        self._traced = traced
        self._predict = self._traced_predict if traced else self._call
        #: For each version's batcher, the one for pinned requests.
        self._pinned_batchers: WeakKeyDictionary[Batcher, Batcher] = WeakKeyDictionary()

    async def score(
        self, state: ServedModel, rows: Rows, request_id: str, key: str | None, received_at: datetime
    ) -> ScoringResult:
        """Predict, record, and pass the rows to the shadow.

        Raises
        ------
        BadRequest
            503 while nothing is loaded or a ``log: sync`` cannot be written, 500 when every version failed,
            504 when none predicted in time, 400 for rows from the future.
        """
        table = state.table
        if table.champion is None:
            raise NothingLoaded(why_not_loaded(table), 503)
        self._reject_future(state, rows, received_at)
        self._count_columns(state, rows)
        request = _Request(request_id, prediction_ids(request_id, rows.count), received_at)
        cohorts = table.cohorts(rows, key, request_id)
        if not isinstance(cohorts, str):
            return await self._score_cohorts(state, table, rows, cohorts, request)
        served = await self._serve(state, table, cohorts, rows)
        began = perf_counter() if self._traced else 0.0
        logged = self._record(state, table, served, rows, request)
        if logged is not None:
            await self._wait_until_logged([logged])
        if self._traced:
            trace_stage("log", began)
        scored = served.scored
        return ScoringResult(
            scored.predictions,
            served.loaded.ref.version,
            served.variant,
            served.fell_back_from,
            scored.confidence,
            scored.probabilities,
        )

    async def _score_cohorts(
        self,
        state: ServedModel,
        table: RoutingTable,
        rows: Rows,
        cohorts: Mapping[str, Sequence[int]],
        request: _Request,
    ) -> ScoringResult:
        """Score a request whose rows belong to different cohorts, and merge the predictions."""
        pieces = [(variant, positions, rows.select(positions)) for variant, positions in cohorts.items()]
        parts = await asyncio.gather(
            *(self._serve(state, table, variant, piece) for variant, _, piece in pieces)
        )
        predictions: list[Any] = [None] * rows.count
        confidence: list[float | None] = [None] * rows.count
        logged = []
        began = perf_counter() if self._traced else 0.0
        for (_, positions, piece), served in zip(pieces, parts, strict=True):
            for position, value in zip(positions, served.scored.predictions, strict=True):
                predictions[position] = value
            for position, value in zip(positions, served.scored.confidence or (), strict=False):
                confidence[position] = value
            part = replace(request, ids=[request.ids[i] for i in positions])
            logged.append(self._record(state, table, served, piece, part))
        await self._wait_until_logged([future for future in logged if future is not None])
        if self._traced:
            trace_stage("log", began)
        return ScoringResult(
            predictions,
            _joined(served.loaded.ref.version for served in parts),
            _joined(served.variant for served in parts),
            _joined(served.fell_back_from for served in parts if served.fell_back_from),
            confidence if any(served.scored.confidence is not None for served in parts) else None,
            merged_probabilities(
                rows.count,
                [(at, part.scored.probabilities) for (_, at, _), part in zip(pieces, parts, strict=True)],
            ),
        )

    async def score_pinned(
        self, state: ServedModel, rows: Rows, request_id: str, version: str, received_at: datetime
    ) -> ScoringResult:
        """Predict with one loaded version, independent of the routing and without a fallback.

        The result is no rollout evidence, because the routing did not choose the version.

        Raises
        ------
        BadRequest
            404 when this version is not loaded; the rest as :meth:`score`.
        """
        table = state.table
        loaded = table.find(version)
        if loaded is None:
            raise BadRequest(
                "That version is not loaded: only the champion, the candidate and the previous version are.",
                404,
            )
        self._reject_future(state, rows, received_at)
        self._count_columns(state, rows)
        batcher = self._pinned_batchers.get(loaded.batcher)
        if batcher is None:
            batcher = self._pinned_batchers[loaded.batcher] = loaded.batcher.clone()
        result = await self._predict(replace(loaded, batcher=batcher), rows, self._options.champion_timeout)
        if not isinstance(result, ScoredRequest):
            raise BadRequest(*client_error(result))
        served = _Served(loaded, PINNED, result, "" if result.valid else describe(result))
        request = _Request(request_id, prediction_ids(request_id, rows.count), received_at)
        began = perf_counter() if self._traced else 0.0
        logged = self._record(state, replace(table, rollout="", shadow=None), served, rows, request)
        if logged is not None:
            await self._wait_until_logged([logged])
        if self._traced:
            trace_stage("log", began)
        return ScoringResult(
            result.predictions,
            version,
            PINNED,
            confidence=result.confidence,
            probabilities=result.probabilities,
        )

    # Versions and fallbacks

    async def _serve(self, state: ServedModel, table: RoutingTable, variant: str, rows: Rows) -> _Served:
        loaded, champion = table.version_for(variant), table.champion
        assert loaded is not None  # noqa: S101  # score() checked that there is a champion
        assert champion is not None  # noqa: S101  # the same
        if loaded is table.candidate:
            return await self._serve_candidate(state, table, loaded, champion, rows)
        return await self._serve_champion(state, table, loaded, variant, rows)

    async def _serve_candidate(
        self,
        state: ServedModel,
        table: RoutingTable,
        candidate: LoadedVersion,
        champion: LoadedVersion,
        rows: Rows,
    ) -> _Served:
        """Predict with the candidate; when it fails, serve the champion's predictions instead."""
        plan = table.traffic.rollout.plan if table.traffic.rollout is not None else None
        limit = self._options.candidate_timeout
        if plan is not None:
            limit = max(limit, 2 * plan.p99_latency_ms / 1e3)
        result = await self._predict(candidate, rows, limit)
        if isinstance(result, ScoredRequest) and result.valid:
            self._count(state, table, candidate, CANDIDATE, rows, result)
            return _Served(candidate, CANDIDATE, result)
        began = monotonic()
        served = await self._serve_champion(state, table, champion, CHAMPION, rows)
        # Counted only after the champion succeeded: rows that no version can predict count against none. Nor
        # does a time-out count while the champion stalls as well: the machine is busy.
        if not (isinstance(result, PredictTimedOut) and state.champion_stalled_at >= began - limit):
            self._count(state, table, candidate, CANDIDATE, rows, result)
        candidate.metrics.fallbacks.inc(rows.count)
        self._on_failure(state)
        failed = candidate.ref.version
        return replace(served, error=f"candidate {failed}: {describe(result)}", fell_back_from=failed)

    async def _serve_champion(
        self, state: ServedModel, table: RoutingTable, champion: LoadedVersion, variant: str, rows: Rows
    ) -> _Served:
        """Predict with the champion; when it fails, serve the previous version's predictions instead."""
        began = monotonic()
        result = await self._predict(champion, rows, self._options.champion_timeout)
        if monotonic() - began >= self._options.candidate_timeout:
            state.champion_stalled_at = monotonic()
        if isinstance(result, ScoredRequest) and result.valid:
            self._count(state, table, champion, variant, rows, result)
            return _Served(champion, variant, result)
        previous = table.previous
        if previous is not None:
            second = await self._predict(previous, rows, self._options.champion_timeout)
            if isinstance(second, ScoredRequest) and second.valid:
                self._count(state, table, champion, variant, rows, result)
                champion.metrics.fallbacks.inc(rows.count)
                self._on_failure(state)
                failed = champion.ref.version
                return _Served(previous, CHAMPION, second, f"champion {failed}: {describe(result)}", failed)
        if isinstance(result, ScoredRequest):  # no version has valid predictions: serve these, NaN as null
            self._count(state, table, champion, variant, rows, result)
            self._on_failure(state)
            return _Served(champion, variant, result, describe(result))
        self._metrics.poison.labels(state.config.name).inc(rows.count)
        if previous is None:
            self._count(state, table, champion, variant, rows, result)
        raise BadRequest(*client_error(result))

    async def _traced_predict(
        self, loaded: LoadedVersion, rows: Rows, seconds: float
    ) -> ScoredRequest | PredictFailed:
        trace = current_trace()
        if trace is None:
            return await self._call(loaded, rows, seconds)
        submitted = perf_counter()
        result = await self._call(loaded, rows, seconds)
        started = result.started if isinstance(result, ScoredRequest) else 0.0
        trace.predicted(loaded.ref.version, submitted, started, result.latency_ms, rows.count)
        return result

    async def _call(self, loaded: LoadedVersion, rows: Rows, seconds: float) -> ScoredRequest | PredictFailed:
        try:
            return await loaded.batcher.submit(rows, seconds)
        except PredictFailed as error:
            return error
        except TimeoutError:
            return PredictTimedOut(
                f"version {loaded.ref.version} did not predict within {seconds:g} s", seconds * 1e3
            )
        except QueueFull:
            return VersionOverloaded(f"too many rows wait for version {loaded.ref.version}", 0.0)

    # Metrics, evidence and log

    def _count(
        self,
        state: ServedModel,
        table: RoutingTable,
        loaded: LoadedVersion,
        variant: str,
        rows: Rows,
        result: ScoredRequest | PredictFailed,
    ) -> None:
        series = loaded.metrics
        if isinstance(result, ScoredRequest):
            series.latency.observe(result.latency_ms / 1e3)
            if result.nan:
                series.nan.inc(result.nan)
            if result.out_of_range:
                series.out_of_range.inc(result.out_of_range)
        else:
            series.errors.inc(rows.count)
        if table.counted and not (table.fallback and loaded is not table.candidate):
            scored = result if isinstance(result, ScoredRequest) else None
            latency = result.latency_ms if scored is None or scored.timed else None
            state.outcomes.append(Outcome(table.rollout, table.stage, variant, rows.count, latency, scored))

    def _record(
        self, state: ServedModel, table: RoutingTable, served: _Served, rows: Rows, request: _Request
    ) -> asyncio.Future[bool] | None:
        """Log the request and offer it to the shadow; return a future when ``log: sync`` must be awaited."""
        entry = ServedRequest(
            request.request_id,
            request.ids,
            request.received_at,
            served.loaded.ref.version,
            served.variant,
            table.rollout if table.traffic.active is not None else "",
            rows,
            served.scored.predictions,
            served.scored.confidence,
            served.scored.latency_ms,
            served.error,
            trace.traceparent if self._traced and (trace := current_trace()) is not None else "",
        )
        served.loaded.metrics.rows.inc(rows.count)
        logged = None
        if state.config.log == "sync":
            logged = self._log.add_durable(state.config.name, entry, rows.count)
        else:
            self._log.add(state.config.name, entry, rows.count)
        if table.mirrored and table.shadow is not None:
            table.shadow.offer(entry)
        return logged

    async def _wait_until_logged(self, logged: list[asyncio.Future[bool]]) -> None:
        """Wait until the rows are on disk; BadRequest with 503 when they are not."""
        try:
            async with asyncio.timeout(self._options.champion_timeout):
                on_disk = [await future for future in logged]
        except TimeoutError:
            on_disk = [False]
        if not all(on_disk):
            raise BadRequest(
                "The prediction log cannot be written, and this model's setting 'log: sync' allows no "
                "prediction that is not logged. Try again shortly.",
                503,
            )

    def _reject_future(self, state: ServedModel, rows: Rows, now: datetime) -> None:
        if rows.times is None:
            return
        limit = now + timedelta(seconds=self._options.max_future_seconds)
        for index, at in enumerate(rows.times):
            if at is not None and at > limit:
                msg = (
                    f"Row {index}, timestamp column '{state.spec.timestamp}': more than "
                    f"{self._options.max_future_seconds:g} s in the future. Check the clocks."
                )
                raise BadRequest(msg)

    def _count_columns(self, state: ServedModel, rows: Rows) -> None:
        if rows.extra:
            self._metrics.count_extra(state.config.name, rows.extra, rows.count)
        for feature, count in rows.unknown.items():
            self._metrics.unknown.labels(state.config.name, feature).inc(count)


def _joined(names: Any) -> str:
    """Join distinct names with commas, in order."""
    return ",".join(dict.fromkeys(names))
