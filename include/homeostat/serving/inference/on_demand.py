"""Score requests for models that may have to be loaded first: the engine of a gateway with a limit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from homeostat.core.rollout.phases import VersionRef
from homeostat.core.rollout.transitions import previous_was_rolled_back
from homeostat.serving.inference.engine import Engine, ScoringResult
from homeostat.serving.inference.failures import NothingLoaded, PredictTimedOut, client_error
from homeostat.serving.inference.residency import Residency
from homeostat.serving.inference.routing import RoutingTable, ServedModel
from homeostat.serving.scoring_request import BadRequest, Rows


class OnDemandEngine(Engine):
    """An engine that loads a model with its first request.

    Loading and predicting share one time limit, ``champion_timeout``: a request waits no longer than without
    a limit of models. Without one the gateway uses :class:`~homeostat.serving.inference.engine.Engine`, whose
    requests know nothing of this.
    """

    def __init__(self, residency: Residency, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._residency = residency

    async def score(
        self, state: ServedModel, rows: Rows, request_id: str, key: str | None, received_at: datetime
    ) -> ScoringResult:
        """As :meth:`Engine.score`; 503 with the reason when the champion cannot be loaded, or not in time."""
        with self._residency.request(state.name):
            try:
                return await super().score(state, rows, request_id, key, received_at)
            except NothingLoaded:
                champion = state.table.traffic.champion
                if champion is None:
                    raise
            async with self._limited(state, champion):
                await self._residency.loaded(state, champion, lambda: _serves(state.table))
                return await super().score(state, rows, request_id, key, received_at)

    async def score_pinned(
        self, state: ServedModel, rows: Rows, request_id: str, version: str, received_at: datetime
    ) -> ScoringResult:
        """As :meth:`Engine.score_pinned`, for the champion and the previous version when not loaded."""
        with self._residency.request(state.name):
            ref = _loadable(state.table, version)
            if ref is None:
                return await super().score_pinned(state, rows, request_id, version, received_at)
            async with self._limited(state, ref):
                await self._residency.loaded(state, ref, lambda: _loadable(state.table, version) is None)
                return await super().score_pinned(state, rows, request_id, version, received_at)

    @asynccontextmanager
    async def _limited(self, state: ServedModel, ref: VersionRef) -> AsyncIterator[None]:
        """Limit loading and predicting together."""
        seconds = self._options.champion_timeout
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError:
            if _serves(state.table):
                late = PredictTimedOut(f"version {ref.version} was loaded too late", seconds * 1e3)
                raise BadRequest(*client_error(late)) from None
            raise BadRequest(self._residency.why_waiting(state, ref), 503) from None


def _serves(table: RoutingTable) -> bool:
    """Whether waiting is over: a version serves, or the ledger names none any more."""
    return table.champion is not None or table.traffic.champion is None


def _loadable(table: RoutingTable, version: str) -> VersionRef | None:
    """Return the version with this number that is not loaded, but would be with a request."""
    if table.find(version) is not None:
        return None
    traffic = table.traffic
    previous = None if previous_was_rolled_back(traffic) else traffic.previous
    refs = (traffic.champion, previous)
    return next((ref for ref in refs if ref is not None and ref.version == version), None)
