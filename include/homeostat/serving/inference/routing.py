"""The routing table of a model: immutable, built from the ledger's traffic, replaced by one assignment."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

from homeostat.config import ModelConfig
from homeostat.core.rollout.evidence import CANDIDATE, CHAMPION, CONTROL
from homeostat.core.rollout.phases import Traffic, VersionRef
from homeostat.core.rollout.route import choose_variant
from homeostat.serving.inference.batcher import Batcher
from homeostat.serving.inference.scoring import ScoredRequest
from homeostat.serving.inference.shadow_client import Shadow
from homeostat.serving.metrics import VersionMetrics
from homeostat.serving.recorder.labels import KnownLabels, RecentPredictions
from homeostat.serving.scoring_request import InputSpec, Rows

#: Outcomes that may wait to be counted; the oldest are dropped beyond that.
MAX_UNCOUNTED = 200_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """One version's result for one request's rows (``scored`` is None: it failed), to be counted as evidence.

    ``champion_predictions`` are the champion's predictions for the same rows.
    """

    rollout: str
    stage: str
    variant: str
    rows: int
    latency_ms: float | None
    scored: ScoredRequest | None
    champion_predictions: Sequence[Any] | None = None
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class LoadedVersion:
    """A loaded version with its batcher and its metrics."""

    ref: VersionRef
    batcher: Batcher
    metrics: VersionMetrics


@dataclass(frozen=True, slots=True)
class RoutingTable:
    """Which version serves which requests, from one revision of the ledger.

    ``champion`` may be the previous version (named in ``fallback``) while the ledger's champion cannot be
    loaded. ``control`` is the champion's version with a batcher of its own: its batches are as small as the
    canary's and run under the same load, so that latencies compare. ``mirrored`` is True while the shadow
    gets the champion's requests (before that it only loads), ``counted`` while predictions are rollout
    evidence.
    """

    traffic: Traffic
    champion: LoadedVersion | None = None
    candidate: LoadedVersion | None = None
    control: LoadedVersion | None = None
    previous: LoadedVersion | None = None
    rollout: str = ""
    stage: str = ""
    share: float = 0.0
    shadow: Shadow | None = None
    mirrored: bool = False
    counted: bool = False
    fallback: str = ""

    def variant(self, key: str) -> str:
        """Return the cohort of a key; every gateway returns the same one until the canary step changes."""
        if self.candidate is None:
            return CHAMPION
        return choose_variant(key, self.rollout, self.share)

    def cohorts(self, rows: Rows, header_key: str | None, request_id: str) -> dict[str, list[int]] | str:
        """Split rows by cohort: one variant for all rows, or the row positions of each variant."""
        if self.candidate is None:
            return CHAMPION
        if header_key is not None or rows.keys is None:
            return self.variant(header_key or request_id)
        if rows.count == 1:
            return self.variant(rows.keys[0] or request_id)
        known: dict[str, str] = {}
        picked: dict[str, list[int]] = {}
        for position, key in enumerate(rows.keys):
            salt = key or request_id
            variant = known.get(salt)
            if variant is None:
                variant = known[salt] = self.variant(salt)
            picked.setdefault(variant, []).append(position)
        return next(iter(picked)) if len(picked) == 1 else picked

    def find(self, version: str) -> LoadedVersion | None:
        """Return the champion, candidate or previous version with this number, when it is loaded."""
        roles = (self.champion, self.candidate, self.previous)
        return next((each for each in roles if each is not None and each.ref.version == version), None)

    def version_for(self, variant: str) -> LoadedVersion | None:
        """Return the version that serves this cohort."""
        own = {CANDIDATE: self.candidate, CONTROL: self.control}.get(variant)
        return own if own is not None else self.champion


@dataclass(slots=True)
class ServedModel:
    """A model that this gateway serves.

    ``table`` is the routing in force: immutable, read once per request, and replaced whole by
    :class:`~homeostat.serving.sync.routing_sync.RoutingSync` only. ``outcomes`` is the queue from the
    requests and the shadow to the :class:`~homeostat.serving.sync.evidence_sender.EvidenceSender`.
    ``champion_stalled_at`` is when the champion last took longer than a candidate may, in monotonic seconds.
    """

    config: ModelConfig
    spec: InputSpec
    known_labels: KnownLabels
    table: RoutingTable
    outcomes: deque[Outcome] = field(default_factory=lambda: deque(maxlen=MAX_UNCOUNTED))
    champion_stalled_at: float = -inf
    recent: RecentPredictions = field(default_factory=RecentPredictions)

    @property
    def name(self) -> str:
        """The model's name."""
        return self.config.name
