"""Advance rollouts with what only this gateway knows: which versions are ready, and which fail."""

from __future__ import annotations

from datetime import timedelta

from homeostat.core.rollout import HardFailure
from homeostat.core.rollout.phases import Rollout, VersionRef
from homeostat.ports import Ports
from homeostat.rollouts.advance import AdvanceResult, advance
from homeostat.serving.inference.routing import ServedModel
from homeostat.serving.sync.bundle_cache import BundleCache
from homeostat.serving.sync.load_notice import LoadWatch
from homeostat.serving.sync.load_queue import LoadQueue
from homeostat.serving.sync.rollback_notice import notify_rolled_back
from homeostat.serving.sync.shadow_manager import ShadowManager


class Evaluator:
    """Calls the rollout driver for one model at a time, and notifies when a champion was rolled back."""

    def __init__(
        self, ports: Ports, cache: BundleCache, loads: LoadQueue, shadows: ShadowManager, by: str
    ) -> None:
        self._ports = ports
        self._cache = cache
        self._loads = loads
        self._shadows = shadows
        self._by = by
        self._watch_loads = LoadWatch(ports.notifier)

    def evaluate(self, model: ServedModel) -> AdvanceResult:
        """Decide once on the model's candidate, or on its champion when no rollout is under way."""
        self._watch_loads.check(model, self._loads.failures(model.name))
        active = model.table.traffic.active
        if active is None:
            return self._advance(model)
        failed = self._failure(model.name, active.candidate)
        failure = HardFailure(active.candidate, failed) if failed else None
        return self._advance(model, candidate_ready=self._ready(model, active), failure=failure)

    def report_hung(self, model: ServedModel, ref: VersionRef, calls: int) -> AdvanceResult:
        """Report predict calls that have not returned; a candidate or a new champion is rolled back."""
        reason = f"version {ref.version} hangs: {calls} predict calls have not returned"
        return self._advance(model, failure=HardFailure(ref, reason, hanging=calls))

    def _advance(
        self, model: ServedModel, *, candidate_ready: bool = False, failure: HardFailure | None = None
    ) -> AdvanceResult:
        result = advance(
            model.name,
            self._ports.ledger,
            by=self._by,
            now=self._ports.clock.now(),
            candidate_ready=candidate_ready,
            failure=failure,
            tracer=self._ports.tracer,
        )
        if result.champion_rolled_back and result.transition is not None:
            # No retrain is waiting that would notify.
            versions = [ref.version for ref in (result.traffic.previous, result.traffic.champion) if ref]
            what = "version {} rolled back, version {} is champion".format(*versions)
            rollout = result.traffic.rollout
            notify_rolled_back(
                self._ports.notifier,
                model.config,
                what,
                result.transition.reason,
                rollout.id if rollout else "",
            )
        return result

    def _failure(self, model: str, candidate: VersionRef) -> str:
        return self._shadows.failure(model, candidate) or self._loads.unloadable(model, candidate)

    def _ready(self, model: ServedModel, rollout: Rollout) -> bool:
        """Whether the candidate is loaded and its shadow, if it has one, is up."""
        if self._cache.get(model.name, rollout.candidate) is None:
            return False
        if model.table.traffic.champion is None:  # a first version has no shadow: nothing else predicts
            return True
        shadow = model.table.shadow
        return rollout.plan.shadow <= timedelta(0) or (shadow is not None and shadow.ready.is_set())
