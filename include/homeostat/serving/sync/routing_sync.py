"""Build the routing table in force from the ledger's traffic, as far as its versions are loaded."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from homeostat.core.rollout.champion_watch import is_watched
from homeostat.core.rollout.evidence import CANDIDATE, CHAMPION, CONTROL
from homeostat.core.rollout.phases import Phase, Traffic, VersionRef
from homeostat.core.rollout.transitions import previous_was_rolled_back
from homeostat.hung_calls import Call, ReplacingThreadPool
from homeostat.serving.inference.batcher import Batcher
from homeostat.serving.inference.residency import LoadRefusal, Residency
from homeostat.serving.inference.routing import LoadedVersion, RoutingTable, ServedModel
from homeostat.serving.inference.scoring import Scorer
from homeostat.serving.inference.shadow_client import Shadow
from homeostat.serving.metrics import Metrics
from homeostat.serving.options import Options
from homeostat.serving.sync.bundle_cache import BundleCache, LoadedBundle
from homeostat.serving.sync.evidence_sender import EvidenceSender
from homeostat.serving.sync.load_queue import LoadQueue
from homeostat.serving.sync.shadow_manager import ShadowManager

logger = logging.getLogger(__name__)

#: Predict calls of one version that may hang at the same time; beyond that it gets no more threads.
MAX_HUNG_CALLS = 4

#: The versions that a routing needs; None for those that are not in memory.
Bundles = Mapping[VersionRef, LoadedBundle | None]


@dataclass(frozen=True, slots=True)
class HungVersion:
    """A version whose predict call was just found to hang, and how many of its calls hang now."""

    model: ServedModel
    ref: VersionRef
    calls: int


@dataclass(frozen=True, slots=True)
class _Champion:
    """The version that serves the champion's share, and the loaded previous version."""

    serving: LoadedVersion | None
    previous: LoadedVersion | None


@dataclass(frozen=True, slots=True)
class _Canary:
    """The candidate and the control cohort's version; both None outside a canary."""

    candidate: LoadedVersion | None = None
    control: LoadedVersion | None = None


@dataclass(slots=True)
class _ModelRouting:
    """What only RoutingSync keeps about a model. ``hung`` says which versions get no threads, and why."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    batchers: dict[tuple[VersionRef, str], Batcher] = field(default_factory=dict)
    hung: dict[VersionRef, str] = field(default_factory=dict)

    def drop(self, refs: set[VersionRef]) -> None:
        """Forget the batchers of these versions."""
        self.batchers = {key: batcher for key, batcher in self.batchers.items() if key[0] not in refs}

    def is_alive(self, version: LoadedVersion | None) -> bool:
        """Whether the version's batcher was not dropped because its calls hang."""
        return version is not None and self.batchers.get((version.ref, "")) is version.batcher


class RoutingSync:
    """The only writer of :attr:`ServedModel.table`; has the versions loaded that it names.

    Parameters
    ----------
    loaded
        Called after each attempt to load a version, successful or not.
    residency
        Which models may be in memory; None: all.
    """

    def __init__(  # noqa: PLR0913  # put together in one place, by name
        self,
        models: Mapping[str, ServedModel],
        cache: BundleCache,
        metrics: Metrics,
        options: Options,
        *,
        pool: ReplacingThreadPool,
        evidence: EvidenceSender,
        shadows: ShadowManager,
        loaded: Callable[[], None],
        residency: Residency | None = None,
    ) -> None:
        self._models = models
        self._cache = cache
        self._metrics = metrics
        self._options = options
        self._pool = pool
        self._evidence = evidence
        self._shadows = shadows
        self._after_load = loaded
        self._routings = {name: _ModelRouting() for name in models}
        self._stop = threading.Event()
        self.loads = LoadQueue(models, cache, metrics, self._loaded)
        self._residency = residency
        if residency is not None:
            residency.connect(lambda name: self.refresh(models[name]), self._refusal)

    def restore(self) -> None:
        """Apply the routing that was last in force here; it needs no ledger."""
        for model in self._models.values():
            saved = self._cache.load_routing(model.name)
            if saved is not None:
                self.apply(model, saved)

    def stop(self) -> None:
        """Start no more loads, and stop the shadows."""
        self._stop.set()
        if self._residency is not None:
            self._residency.stop()
        self.loads.stop()
        for model in self._models.values():
            if model.table.shadow is not None:
                model.table.shadow.stop()

    def refresh(self, model: ServedModel) -> None:
        """Build the table in force again: versions loaded meanwhile serve even without the ledger."""
        with self._routings[model.name].lock:
            self._apply(model, model.table.traffic)

    def apply(self, model: ServedModel, traffic: Traffic) -> None:
        """Put this traffic's table in force, as far as its versions are loaded; queue the others."""
        with self._routings[model.name].lock:
            self._apply(model, traffic)

    def load_failures(self, model: str) -> dict[VersionRef, str]:
        """Return why versions of this model are not loaded or get no requests."""
        return {**self.loads.failures(model), **self._routings[model].hung}

    def replace_hung(self) -> list[HungVersion]:
        """Replace the batchers of versions whose predict calls hang, and return those versions."""
        self.loads.replace_hung()
        if self._residency is not None:
            self._residency.replace_slow()
        found = []
        for owner in map(self._owner, self._pool.replace_hung()):
            if owner is None:
                continue
            model, ref = owner
            calls = self._hung_calls(model, ref)
            logger.error("%s version %s: %d predict calls hang", model.name, ref.version, calls)
            routing = self._routings[model.name]
            with routing.lock:
                routing.drop({ref})
                self._apply(model, model.table.traffic)
            found.append(HungVersion(model, ref, calls))
        return found

    def _owner(self, call: Call) -> tuple[ServedModel, VersionRef] | None:
        scorer = next((arg for arg in call.args if isinstance(arg, Scorer)), None)
        if scorer is None:
            return None
        ref = VersionRef(scorer.version, scorer.digest)
        for model in self._models.values():
            loaded = self._cache.get(model.name, ref)
            if loaded is not None and loaded.scorer is scorer:
                return model, ref
            if self._residency is not None and ref in needed_versions(model.table.traffic):
                return model, ref  # unloaded since the call began
        return None

    def _hung_calls(self, model: ServedModel, ref: VersionRef) -> int:
        return sum(self._owner(call) == (model, ref) for call in self._pool.hung_calls())

    def _refusal(self, model: ServedModel, ref: VersionRef) -> LoadRefusal | None:
        """Return why a version is not loaded; None while one that serves may still come."""
        if self.loads.pending(model.name, needed_versions(model.table.traffic)):
            return None
        why = self.load_failures(model.name).get(ref)
        return None if why is None else (why, self.loads.retry_in(model.name, ref))

    def _apply(self, model: ServedModel, traffic: Traffic) -> None:
        if self._residency is None:
            self._put_in_force(model, traffic, self._build(model, traffic, self._bundles(model, traffic)))
            return
        # A rollout's versions stay: its evidence counts, and its candidate and reverse shadow must be ready.
        pinned = traffic.active is not None or self._shadows.task(model.name, traffic) is not None
        if self._residency.keeps(model.name, pinned=pinned):
            bundles = self._bundles(model, traffic)
            self._put_in_force(model, traffic, self._build(model, traffic, bundles))
            in_memory = any(bundle is not None for bundle in bundles.values())
            failed = traffic.champion in self.load_failures(model.name)
            self._residency.settle(model.name, in_memory=in_memory, failed=failed)
        else:
            self._put_in_force(model, traffic, RoutingTable(traffic))
            if self._cache.unload(model.name):
                self._metrics.unloads.labels(model.name).inc()
            self._routings[model.name].batchers.clear()

    def _put_in_force(self, model: ServedModel, traffic: Traffic, table: RoutingTable) -> None:
        old = model.table
        if table == old:
            return
        model.table = table
        if old.shadow is not None and old.shadow is not table.shadow:
            threading.Thread(target=old.shadow.stop, name="stop-shadow", daemon=True).start()
        if old.traffic != traffic:
            self._metrics.set_traffic(traffic)
            self._cache.save_routing(traffic)
        in_use = set(needed_versions(traffic)) | ({table.champion.ref} if table.champion else set())
        self._cache.evict_except(model.name, in_use)
        routing = self._routings[model.name]
        routing.drop({ref for ref, _ in routing.batchers} - in_use)

    def _bundles(self, model: ServedModel, traffic: Traffic) -> Bundles:
        """Return the versions that the routing needs; queue those that are not in memory.

        A model that is loaded on demand loads its champion first: the previous version must not serve because
        it was faster.
        """
        found: dict[VersionRef, LoadedBundle | None] = {}
        for ref in needed_versions(traffic):
            champion = traffic.champion
            first = ref == champion or champion is None or found.get(champion) is not None
            if first or self._residency is None or champion in self.load_failures(model.name):
                found[ref] = self._get_or_load(model, ref)
            else:
                found[ref] = self._cache.get(model.name, ref)
        return found

    def _build(self, model: ServedModel, traffic: Traffic, bundles: Bundles) -> RoutingTable:
        champion = self._champion(model, traffic, bundles)
        canary = self._canary(model, traffic, bundles)
        serving, rollout = champion.serving, traffic.rollout
        shadow = self._shadow(model, traffic, bundles, serving)
        return RoutingTable(
            traffic=traffic,
            champion=serving,
            candidate=canary.candidate if serving is not None else None,
            control=canary.control,
            previous=champion.previous if champion.previous is not serving else None,
            rollout=rollout.id if rollout is not None else "",
            stage=rollout.stage if rollout is not None else "",
            share=traffic.active.share if traffic.active is not None else 0.0,
            shadow=shadow,
            mirrored=shadow is not None and rollout is not None and rollout.phase is not Phase.REGISTERED,
            counted=traffic.active is not None or is_watched(traffic),
            fallback=serving.ref.version if serving is not None and serving.ref != traffic.champion else "",
        )

    def _champion(self, model: ServedModel, traffic: Traffic, bundles: Bundles) -> _Champion:
        """Return the ledger's champion; while it is not loaded, the last one that served, or the previous."""
        champion = self._version(model, traffic.champion, bundles, CHAMPION)
        restorable = None if previous_was_rolled_back(traffic) else traffic.previous
        previous = self._version(model, restorable, bundles, CHAMPION)
        if champion is None and traffic.champion is not None:
            last = model.table.champion
            champion = last if self._routings[model.name].is_alive(last) else previous
        return _Champion(champion, previous)

    def _canary(self, model: ServedModel, traffic: Traffic, bundles: Bundles) -> _Canary:
        active = traffic.active
        if active is None or active.share <= 0:
            return _Canary()
        candidate = self._version(model, active.candidate, bundles, CANDIDATE)
        if candidate is None:
            return _Canary()
        control = self._version(model, traffic.champion, bundles, CONTROL)
        if control is not None:
            candidate.batcher.share_wait(control.batcher)
        return _Canary(candidate, control)

    def _shadow(
        self, model: ServedModel, traffic: Traffic, bundles: Bundles, serving: LoadedVersion | None
    ) -> Shadow | None:
        if serving is None or self._stop.is_set():
            return None
        task = self._shadows.task(model.name, traffic)
        bundle = bundles.get(task.ref) if task is not None else None
        if task is None or bundle is None or task.ref == serving.ref:
            return None
        return self._shadows.shadow_for(model, task, bundle)

    def _version(
        self, model: ServedModel, ref: VersionRef | None, bundles: Bundles, role: str
    ) -> LoadedVersion | None:
        """Return a version with its batcher; None when it is not loaded, or too many of its calls hang."""
        bundle = bundles.get(ref) if ref is not None else None
        if ref is None or bundle is None:
            return None
        routing = self._routings[model.name]
        key = (ref, CONTROL if role == CONTROL else "")
        batcher = routing.batchers.get(key)
        if batcher is None:
            calls = self._hung_calls(model, ref)
            if calls >= MAX_HUNG_CALLS:
                routing.hung = {**routing.hung, ref: f"{calls} of its predict calls hang"}
                return None
            routing.hung = {other: reason for other, reason in routing.hung.items() if other != ref}
            batcher = routing.batchers[key] = Batcher(
                bundle.scorer,
                self._pool,
                max_batch_rows=self._options.max_batch_rows,
                max_waiting_rows=self._options.max_waiting_rows,
                on_batch=self._metrics.batch.labels(model.name).observe,
            )
        return LoadedVersion(ref, batcher, self._metrics.of_version(model.name, ref.version, role))

    def _get_or_load(self, model: ServedModel, ref: VersionRef) -> LoadedBundle | None:
        loaded = self.loads.get_or_load(model, ref)
        if loaded is not None:
            self._evidence.register_version(model.name, ref, loaded.bundle)
        return loaded

    def _loaded(self, model: ServedModel) -> None:
        with contextlib.suppress(Exception):  # the controller builds the table too, and logs what fails
            self.refresh(model)
        self._after_load()


def needed_versions(traffic: Traffic) -> list[VersionRef]:
    """Return the versions that must be in memory."""
    candidate = traffic.active.candidate if traffic.active is not None else None
    return [ref for ref in (traffic.champion, traffic.previous, candidate) if ref is not None]
