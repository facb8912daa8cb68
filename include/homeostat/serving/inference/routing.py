"""The routing table of one model: immutable, built from the ledger's traffic, swapped by one assignment."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from homeostat.config import ModelConfig
from homeostat.core.rollout.evidence import CANDIDATE, CHAMPION, CONTROL
from homeostat.core.rollout.phases import Traffic, VersionRef
from homeostat.core.rollout.route import choose
from homeostat.serving.inference.batcher import Batcher
from homeostat.serving.inference.scoring import Scored
from homeostat.serving.inference.shadow_client import Shadow
from homeostat.serving.metrics import LegMetrics
from homeostat.serving.recorder.labels import KnownLabels
from homeostat.serving.scoring_request import InputSpec, Rows

#: Answers that may wait to be counted; older ones give way.
MAX_UNCOUNTED = 200_000


@dataclass(frozen=True, slots=True)
class Happened:
    """One version's answers (None: it failed) to one request's rows, on the way to the evidence.

    ``against`` are the champion's answers to the same rows.
    """

    rollout: str
    stage: str
    variant: str
    rows: int
    latency_ms: float | None
    scored: Scored | None
    against: Sequence[Any] | None = None
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class Leg:
    """A loaded version with its collector and its series."""

    ref: VersionRef
    batcher: Batcher
    metrics: LegMetrics


@dataclass(frozen=True, slots=True)
class Table:
    """Who answers what, from one revision of the ledger.

    ``champion`` may be the version before (``stand_in``) while the ledger's own cannot be loaded.
    ``control`` is the champion's version with a collector of its own: batches as small as the canary's,
    next to the same neighbours, so that the two are timed alike. ``counted`` says whether answers are
    evidence for something at the moment.
    """

    traffic: Traffic
    champion: Leg | None = None
    candidate: Leg | None = None
    control: Leg | None = None
    previous: Leg | None = None
    rollout: str = ""
    stage: str = ""
    share: float = 0.0
    shadow: Shadow | None = None
    counted: bool = False
    stand_in: str = ""

    def variant(self, key: str) -> str:
        """Which cohort this key belongs to; the same one on every gateway, for as long as the step lasts."""
        if self.candidate is None:
            return CHAMPION
        return choose(key, self.rollout, self.share)

    def cohorts(self, rows: Rows, header_key: str | None, request_id: str) -> dict[str, list[int]] | str:
        """Split rows by cohort: one variant for all, or the positions of each."""
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

    def named(self, version: str) -> Leg | None:
        """The champion, candidate or previous version of this number, when it is loaded."""
        legs = (self.champion, self.candidate, self.previous)
        return next((leg for leg in legs if leg is not None and leg.ref.version == version), None)

    def leg(self, variant: str) -> Leg | None:
        """The version that answers this cohort."""
        own = {CANDIDATE: self.candidate, CONTROL: self.control}.get(variant)
        return own if own is not None else self.champion


@dataclass(slots=True)
class ModelState:
    """All that the gateway keeps about one model. ``table`` is replaced whole and never changed."""

    config: ModelConfig
    spec: InputSpec
    known_labels: KnownLabels
    table: Table
    lock: threading.RLock = field(default_factory=threading.RLock)
    happened: deque[Happened] = field(default_factory=lambda: deque(maxlen=MAX_UNCOUNTED))
    batchers: dict[tuple[VersionRef, str], Batcher] = field(default_factory=dict)
    failures: dict[VersionRef, tuple[str, float]] = field(default_factory=dict)
    loading: set[VersionRef] = field(default_factory=set)
    tripped: bool = False
    shadow_failed: dict[VersionRef, str] = field(default_factory=dict)
    checks: tuple[dict[str, Any], ...] = ()
    ledger_seen: datetime | None = None
