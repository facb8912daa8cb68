"""From typed rows to answers: cohort, prediction, the champion for a failing candidate, the record."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from weakref import WeakKeyDictionary

from homeostat.core.rollout.evidence import CANDIDATE, CHAMPION
from homeostat.core.rollout.phases import Phase
from homeostat.serving.inference.batcher import Batcher, Busy
from homeostat.serving.inference.routing import Happened, Leg, ModelState, Table
from homeostat.serving.inference.scoring import PredictFailed, Scored
from homeostat.serving.metrics import Metrics
from homeostat.serving.options import Options
from homeostat.serving.recorder.prediction_log import Served, prediction_ids
from homeostat.serving.recorder.spool import Spool
from homeostat.serving.scoring_request import BadRequest, Rows


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client gets: one prediction per row, and who gave them."""

    predictions: list[Any]
    version: str
    variant: str
    fell_back_from: str = ""
    confidence: Sequence[float | None] | None = None


#: The variant of an answer that its client asked one version for: served and logged, evidence for nothing.
PINNED = "pinned"


@dataclass(frozen=True, slots=True)
class _Part:
    leg: Leg
    variant: str
    scored: Scored
    note: str = ""
    fell_back_from: str = ""


@dataclass(frozen=True, slots=True)
class _Asked:
    request_id: str
    ids: list[str]
    received_at: datetime


class Engine:
    """Answers requests. Lives on the event loop.

    Parameters
    ----------
    trip
        Called when a version that takes traffic raised or gave a bad answer: the controller looks at once.
    """

    def __init__(
        self, options: Options, metrics: Metrics, log: Spool[Served], trip: Callable[[ModelState], None]
    ) -> None:
        self._options = options
        self._metrics = metrics
        self._log = log
        self._trip = trip
        self._apart: WeakKeyDictionary[Batcher, Batcher] = WeakKeyDictionary()

    async def answer(
        self, state: ModelState, rows: Rows, request_id: str, key: str | None, received_at: datetime
    ) -> Answer:
        """Predict, record, and hand the rows to the shadow.

        Raises
        ------
        BadRequest
            503 while nothing is loaded or a ``log: sync`` cannot be written, 500 when no version could
            answer, 504 when none did in time, 400 for rows from the future.
        """
        table = state.table
        if table.champion is None:
            raise BadRequest(nothing_loaded(table), 503)
        self._refuse_future(state, rows, received_at)
        self._count_columns(state, rows)
        ids = prediction_ids(request_id, rows.count)
        cohorts = table.cohorts(rows, key, request_id)
        if isinstance(cohorts, str):
            part = await self._answer(state, table, cohorts, rows)
            waiting = self._record(state, table, part, rows, _Asked(request_id, ids, received_at))
            if waiting is not None:
                await self._on_disk([waiting])
            scored = part.scored
            return Answer(
                scored.predictions, part.leg.ref.version, part.variant, part.fell_back_from, scored.confidence
            )
        pieces = [(variant, picked, rows.take(picked)) for variant, picked in cohorts.items()]
        parts = await asyncio.gather(
            *(self._answer(state, table, variant, piece) for variant, _, piece in pieces)
        )
        merged: list[Any] = [None] * rows.count
        sure: list[float | None] = [None] * rows.count
        held = []
        for (_, picked, piece), part in zip(pieces, parts, strict=True):
            for position, value in zip(picked, part.scored.predictions, strict=True):
                merged[position] = value
            for position, value in zip(picked, part.scored.confidence or (), strict=False):
                sure[position] = value
            asked = _Asked(request_id, [ids[i] for i in picked], received_at)
            held.append(self._record(state, table, part, piece, asked))
        await self._on_disk([waiting for waiting in held if waiting is not None])
        versions = dict.fromkeys(part.leg.ref.version for part in parts)
        variants = dict.fromkeys(part.variant for part in parts)
        fell_back = dict.fromkeys(part.fell_back_from for part in parts if part.fell_back_from)
        told = any(part.scored.confidence is not None for part in parts)
        return Answer(
            merged, ",".join(versions), ",".join(variants), ",".join(fell_back), sure if told else None
        )

    async def answer_pinned(
        self, state: ModelState, rows: Rows, request_id: str, version: str, received_at: datetime
    ) -> Answer:
        """Answer with one loaded version, wherever the traffic goes; no other version steps in for it.

        What it answers, or that it fails, is evidence for nothing: it is not what the routing sends there.

        Raises
        ------
        BadRequest
            404 when this version is not loaded; the rest as :meth:`answer`.
        """
        table = state.table
        leg = table.named(version)
        if leg is None:
            raise BadRequest(
                "That version is not loaded: only the champion, the candidate and the previous version are.",
                404,
            )
        self._refuse_future(state, rows, received_at)
        self._count_columns(state, rows)
        batcher = self._apart.get(leg.batcher)
        if batcher is None:
            batcher = self._apart[leg.batcher] = leg.batcher.apart()
        result = await self._ask(replace(leg, batcher=batcher), rows, self._options.champion_timeout)
        if not isinstance(result, Scored):
            raise BadRequest(*_refusal(result))
        part = _Part(leg, PINNED, result, "" if result.good else _what(result))
        asked = _Asked(request_id, prediction_ids(request_id, rows.count), received_at)
        waiting = self._record(state, replace(table, rollout="", shadow=None), part, rows, asked)
        if waiting is not None:
            await self._on_disk([waiting])
        return Answer(result.predictions, version, PINNED, confidence=result.confidence)

    async def _answer(self, state: ModelState, table: Table, variant: str, rows: Rows) -> _Part:
        leg, champion = table.leg(variant), table.champion
        assert leg is not None  # noqa: S101  # answer() looked
        assert champion is not None  # noqa: S101  # the same
        if leg is table.candidate:
            if table.control is not None:  # timed alike: either both are waited for, or none
                leg.batcher.pace = table.control.batcher.pace
            return await self._candidate(state, table, leg, champion, rows)
        return await self._champion(state, table, leg, variant, rows)

    async def _candidate(
        self, state: ModelState, table: Table, candidate: Leg, champion: Leg, rows: Rows
    ) -> _Part:
        """Ask the candidate; whatever it does wrong, the champion answers and the client never sees it."""
        plan = table.traffic.rollout.plan if table.traffic.rollout is not None else None
        limit = self._options.candidate_timeout
        if plan is not None:
            limit = max(limit, 2 * plan.p99_latency_ms / 1e3)
        result = await self._ask(candidate, rows, limit)
        if isinstance(result, Scored) and result.good:
            self._count(state, table, candidate, CANDIDATE, rows, result)
            return _Part(candidate, CANDIDATE, result)
        part = await self._champion(state, table, champion, CHAMPION, rows)
        # Only now is it the candidate's own failure: rows that no version can answer count against none.
        self._count(state, table, candidate, CANDIDATE, rows, result)
        candidate.metrics.fallbacks.inc(rows.count)
        self._trip(state)
        return _Part(
            part.leg,
            part.variant,
            part.scored,
            f"candidate {candidate.ref.version}: {_what(result)}",
            candidate.ref.version,
        )

    async def _champion(
        self, state: ModelState, table: Table, champion: Leg, variant: str, rows: Rows
    ) -> _Part:
        result = await self._ask(champion, rows, self._options.champion_timeout)
        if isinstance(result, Scored) and result.good:
            self._count(state, table, champion, variant, rows, result)
            return _Part(champion, variant, result)
        previous = table.previous
        if previous is not None:
            second = await self._ask(previous, rows, self._options.champion_timeout)
            if isinstance(second, Scored) and second.good:
                self._count(state, table, champion, variant, rows, result)
                champion.metrics.fallbacks.inc(rows.count)
                self._trip(state)
                failed = champion.ref.version
                return _Part(previous, CHAMPION, second, f"champion {failed}: {_what(result)}", failed)
        if isinstance(result, Scored):  # a poor answer is still the best there is; NaN goes out as null
            self._count(state, table, champion, variant, rows, result)
            self._trip(state)
            return _Part(champion, variant, result, _what(result))
        self._metrics.poison.labels(state.config.name).inc(rows.count)
        if previous is None:
            self._count(state, table, champion, variant, rows, result)
        raise BadRequest(*_refusal(result))

    async def _ask(self, leg: Leg, rows: Rows, seconds: float) -> Scored | PredictFailed:
        try:
            return await leg.batcher.submit(rows, seconds)
        except PredictFailed as error:
            return error
        except TimeoutError:
            return _TookTooLong(
                f"version {leg.ref.version} did not answer within {seconds:g} s", seconds * 1e3
            )
        except Busy:
            return _TooBusy(f"too many rows wait for version {leg.ref.version}", 0.0)

    def _count(
        self,
        state: ModelState,
        table: Table,
        leg: Leg,
        variant: str,
        rows: Rows,
        result: Scored | PredictFailed,
    ) -> None:
        series = leg.metrics
        if isinstance(result, Scored):
            series.latency.observe(result.latency_ms / 1e3)
            if result.nan:
                series.nan.inc(result.nan)
            if result.out_of_range:
                series.out_of_range.inc(result.out_of_range)
        else:
            series.errors.inc(rows.count)
        if table.counted and not (table.stand_in and leg is not table.candidate):
            scored = result if isinstance(result, Scored) else None
            timing = result.latency_ms if scored is None or scored.timed else None
            state.happened.append(Happened(table.rollout, table.stage, variant, rows.count, timing, scored))

    def _record(
        self,
        state: ModelState,
        table: Table,
        part: _Part,
        rows: Rows,
        asked: _Asked,
    ) -> asyncio.Future[bool] | None:
        served = Served(
            asked.request_id,
            asked.ids,
            asked.received_at,
            part.leg.ref.version,
            part.variant,
            table.rollout if table.traffic.active is not None else "",
            rows,
            part.scored.predictions,
            part.scored.confidence,
            part.scored.latency_ms,
            part.note,
        )
        part.leg.metrics.rows.inc(rows.count)
        waiting = None
        if state.config.log == "sync":
            waiting = self._log.keep(state.config.name, served, rows.count)
        else:
            self._log.add(state.config.name, served, rows.count)
        if table.shadow is not None and table.stage == Phase.SHADOW:
            table.shadow.offer(served)
        return waiting

    async def _on_disk(self, waiting: list[asyncio.Future[bool]]) -> None:
        """Hold an answer back until its rows are on the disk; 503 when they are not."""
        try:
            async with asyncio.timeout(self._options.champion_timeout):
                kept = [await each for each in waiting]
        except TimeoutError:
            kept = [False]
        if not all(kept):
            raise BadRequest(
                "The prediction log cannot be written, and this model answers nothing that is not logged. "
                "Try again shortly.",
                503,
            )

    def _refuse_future(self, state: ModelState, rows: Rows, now: datetime) -> None:
        if rows.times is None:
            return
        limit = now + timedelta(seconds=self._options.max_future_seconds)
        for index, at in enumerate(rows.times):
            if at is not None and at > limit:
                msg = (
                    f"Row {index}, timestamp column '{state.spec.timestamp}': lies more than "
                    f"{self._options.max_future_seconds:g} s in the future; is a clock wrong?"
                )
                raise BadRequest(msg)

    def _count_columns(self, state: ModelState, rows: Rows) -> None:
        if rows.extra:
            self._metrics.count_extra(state.config.name, rows.extra, rows.count)
        for feature, count in rows.unknown.items():
            self._metrics.unknown.labels(state.config.name, feature).inc(count)


class _TookTooLong(PredictFailed):
    """No answer in time."""


class _TooBusy(PredictFailed):
    """Too many rows wait already."""


def _what(result: Scored | PredictFailed) -> str:
    if isinstance(result, PredictFailed):
        return str(result)
    return (
        f"{result.nan} answers were not numbers"
        if result.nan
        else f"{result.out_of_range} answers out of range"
    )


def _refusal(result: PredictFailed) -> tuple[str, int]:
    if isinstance(result, _TookTooLong):
        return "The model did not answer in time. Try again, with fewer rows if there were many.", 504
    if isinstance(result, _TooBusy):
        return "Too many requests wait for this model. Try again shortly.", 503
    return f"The model failed on these rows ({result}). The gateway's log says more.", 500


def nothing_loaded(table: Table) -> str:
    """Why a model answers nobody yet."""
    model = table.traffic.model
    if table.traffic.champion is None:
        return (
            f"Model '{model}' has no champion yet: it answers as soon as its first version is promoted "
            f"(run the DAG retrain__{model})."
        )
    return f"Version {table.traffic.champion.version} of model '{model}' is being loaded. Try again shortly."
