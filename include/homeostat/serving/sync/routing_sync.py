"""From the ledger's traffic to the routing table in force, as far as its versions are loaded."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Mapping

from homeostat.core.rollout.evidence import CANDIDATE, CHAMPION, CONTROL
from homeostat.core.rollout.phases import Phase, Traffic, VersionRef
from homeostat.serving.inference.batcher import Batcher
from homeostat.serving.inference.routing import Leg, ModelState, Table
from homeostat.serving.inference.scoring import Scorer
from homeostat.serving.inference.thread_pool import Call, Pool
from homeostat.serving.metrics import Metrics
from homeostat.serving.options import Options
from homeostat.serving.sync.bundle_cache import Loaded, Loader
from homeostat.serving.sync.evaluator import watched
from homeostat.serving.sync.evidence_sender import Handover
from homeostat.serving.sync.load_queue import Loading
from homeostat.serving.sync.shadow_manager import Shadowing

logger = logging.getLogger(__name__)

#: Predict calls of one version that may hang at a time; then it gets no more of the threads.
MOST_HUNG = 4

Versions = Mapping[VersionRef, Loaded | None]


class Tables:
    """Builds tables and swaps them in; has what they name loaded.

    Parameters
    ----------
    loaded
        Called when a version was loaded, or could not be.
    """

    def __init__(
        self,
        states: Mapping[str, ModelState],
        loader: Loader,
        metrics: Metrics,
        options: Options,
        *,
        pool: Pool,
        handover: Handover,
        shadowing: Shadowing,
        loaded: Callable[[], None],
    ) -> None:
        self._states = states
        self._loader = loader
        self._metrics = metrics
        self._options = options
        self._pool = pool
        self._handover = handover
        self._shadowing = shadowing
        self._loading = Loading(states, loader, metrics, self._loaded)
        self._done = loaded
        self._locks = {name: threading.RLock() for name in states}
        self._stop = threading.Event()

    def recall(self) -> None:
        """Bring up the routing that was last in force here, ledger or no ledger."""
        for state in self._states.values():
            kept = self._loader.recall(state.config.name)
            if kept is not None:
                self.apply(state, kept)

    def stop(self) -> None:
        """Load nothing more, and stop the shadows."""
        self._stop.set()
        self._loading.stop()
        for state in self._states.values():
            if state.table.shadow is not None:
                state.table.shadow.stop()

    def refresh(self, state: ModelState) -> None:
        """Build the table in force anew: what was loaded meanwhile serves, ledger or no ledger."""
        with self._locks[state.config.name]:
            self._apply(state, state.table.traffic)

    def apply(self, state: ModelState, traffic: Traffic) -> None:
        """Swap in the table of this traffic, as far as its versions are loaded; load the others."""
        with self._locks[state.config.name]:
            self._apply(state, traffic)

    def write_off(self) -> list[tuple[ModelState, VersionRef, int]]:
        """Versions whose predict call was just found to hang, and how many of theirs do.

        Their requests go on through new collectors. A version that does not get loaded is given up.
        """
        self._loading.write_off()
        found = []
        for owner in map(self._owner, self._pool.write_off()):
            if owner is None:
                continue
            state, ref = owner
            count = self._hanging(state, ref)
            logger.error("%s version %s: %d predict calls hang", state.config.name, ref.version, count)
            with self._locks[state.config.name]:
                for key in [key for key in state.batchers if key[0] == ref]:
                    del state.batchers[key]
                self._apply(state, state.table.traffic)
            found.append((state, ref, count))
        return found

    def _owner(self, call: Call) -> tuple[ModelState, VersionRef] | None:
        scorer = next((arg for arg in call.args if isinstance(arg, Scorer)), None)
        if scorer is None:
            return None
        ref = VersionRef(scorer.version, scorer.digest)
        for state in self._states.values():
            loaded = self._loader.get(state.config.name, ref)
            if loaded is not None and loaded.scorer is scorer:
                return state, ref
        return None

    def _hanging(self, state: ModelState, ref: VersionRef) -> int:
        return sum(self._owner(call) == (state, ref) for call in self._pool.hanging())

    def _apply(self, state: ModelState, traffic: Traffic) -> None:
        old = state.table
        table = self._build(state, traffic)
        if table == old:
            return
        state.table = table
        if old.shadow is not None and old.shadow is not table.shadow:
            threading.Thread(target=old.shadow.stop, name="stop-shadow", daemon=True).start()
        if old.traffic != traffic:
            self._metrics.show_traffic(traffic)
            if traffic.active is None:
                state.checks = state.checks if traffic.rollout and old.traffic.active else ()
            self._loader.remember(traffic)
        in_use = set(wanted(traffic)) | ({table.champion.ref} if table.champion else set())
        self._loader.keep(state.config.name, in_use)
        for key in [key for key in state.batchers if key[0] not in in_use]:
            del state.batchers[key]

    def _build(self, state: ModelState, traffic: Traffic) -> Table:
        old = state.table
        active = traffic.active
        previous = None if _taken_back(traffic) else traffic.previous
        loaded: Versions = {ref: self._ready(state, ref) for ref in wanted(traffic)}
        champion = self._leg(state, traffic.champion, loaded, CHAMPION)
        fallback = self._leg(state, previous, loaded, CHAMPION)
        stand_in = ""
        if champion is None and traffic.champion is not None:
            # The last good copy serves while the new one is being loaded, or cannot be.
            champion = old.champion if _alive(state, old.champion) else fallback
            if champion is not None and champion.ref != traffic.champion:
                stand_in = champion.ref.version
        share = active.share if active else 0.0
        candidate = self._leg(state, active.candidate, loaded, CANDIDATE) if active and share > 0 else None
        shadow = None
        if champion is not None and active is not None and not self._stop.is_set():
            shadow = self._shadowing.of(state, old, active, loaded.get(active.candidate))
        return Table(
            traffic=traffic,
            champion=champion,
            candidate=candidate if champion is not None else None,
            control=self._leg(state, traffic.champion, loaded, CONTROL) if candidate is not None else None,
            previous=fallback if fallback is not champion else None,
            rollout=traffic.rollout.id if traffic.rollout is not None else "",
            stage=traffic.rollout.stage if traffic.rollout is not None else "",
            share=share,
            shadow=shadow,
            counted=active is not None or watched(traffic),
            stand_in=stand_in,
        )

    def _leg(self, state: ModelState, ref: VersionRef | None, loaded: Versions, role: str) -> Leg | None:
        ready = loaded.get(ref) if ref is not None else None
        if ref is None or ready is None:
            return None
        name = state.config.name
        key = (ref, CONTROL if role == CONTROL else "")
        batcher = state.batchers.get(key)
        if batcher is None and (count := self._hanging(state, ref)) >= MOST_HUNG:
            state.failures[ref] = (f"{count} of its predict calls hang", 0.0)
            return None
        if batcher is None:
            state.failures.pop(ref, None)
            batcher = state.batchers[key] = Batcher(
                ready.scorer,
                self._pool,
                max_batch_rows=self._options.max_batch_rows,
                max_waiting_rows=self._options.max_waiting_rows,
                on_batch=self._metrics.batch.labels(name).observe,
            )
        return Leg(ref, batcher, self._metrics.leg(name, ref.version, role))

    def _ready(self, state: ModelState, ref: VersionRef) -> Loaded | None:
        loaded = self._loading.ready(state, ref)
        if loaded is not None:
            self._handover.know(state.config.name, ref, loaded.bundle)
        return loaded

    def _loaded(self, state: ModelState) -> None:
        with contextlib.suppress(Exception):  # the controller builds it too, and says what is wrong
            self.refresh(state)
        self._done()


def _alive(state: ModelState, leg: Leg | None) -> bool:
    """Whether the leg's collector was not dropped because its calls hang."""
    return leg is not None and state.batchers.get((leg.ref, "")) is leg.batcher


def wanted(traffic: Traffic) -> list[VersionRef]:
    """The versions that have to be in memory."""
    candidate = traffic.active.candidate if traffic.active is not None else None
    return [ref for ref in (traffic.champion, traffic.previous, candidate) if ref is not None]


def _taken_back(traffic: Traffic) -> bool:
    last = traffic.rollout
    return last is not None and last.phase is Phase.ROLLED_BACK and last.candidate == traffic.previous
