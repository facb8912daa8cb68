"""What happens beside the answers: evidence to the ledger, decisions from it, the routing that follows.

A few threads look at all models in turn, and one that waits holds up no other model. Whatever they wait
for, answers are given by the table in force; a swap is one assignment. The ledger is written by
compare-and-swap before anything takes effect.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from concurrent.futures import wait

from homeostat.config.errors import Unavailable
from homeostat.core.rollout import evidence_json
from homeostat.core.rollout.evidence import Tally
from homeostat.core.rollout.phases import Phase, Traffic, VersionRef
from homeostat.core.rollout.transitions import Transition
from homeostat.ports import Ports
from homeostat.rollouts.ledger_cas import Decided, swap
from homeostat.serving.inference.routing import ModelState
from homeostat.serving.inference.thread_pool import Pool
from homeostat.serving.metrics import Metrics
from homeostat.serving.options import Options
from homeostat.serving.recorder.prediction_log import Served
from homeostat.serving.recorder.spool import Spool
from homeostat.serving.sync.bundle_cache import Loader
from homeostat.serving.sync.evaluator import Judge, Step
from homeostat.serving.sync.evidence_sender import Handover
from homeostat.serving.sync.routing_sync import Tables
from homeostat.serving.sync.shadow_manager import Shadowing

__all__ = ["Controller", "Step"]

logger = logging.getLogger(__name__)

_LOOKING = 4  # models that are looked at side by side
_PATIENCE = 0.25  # seconds without any of them getting done, after which the others' next turn begins
_SHADOW_TICKS = 4  # nobody gets a shadow's answers: it is judged that much less often, but for hard failures
_PAUSE = 0.3  # seconds that a model whose look failed is left alone


class Controller:
    """Keeps every model's table in line with the ledger, and has rollouts judged."""

    def __init__(  # noqa: PLR0913  # put together in one place, by name
        self,
        states: Mapping[str, ModelState],
        ports: Ports,
        loader: Loader,
        metrics: Metrics,
        options: Options,
        *,
        pool: Pool,
        log: Spool[Served],
        load_name: str,
        trusted_types: tuple[str, ...],
    ) -> None:
        self._states = states
        self._ports = ports
        self._metrics = metrics
        self._options = options
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="controller", daemon=True)
        self._looks = Pool(min(_LOOKING, len(states) or 1), "look", patience=float("inf"))
        self._busy: set[str] = set()
        self._next: dict[str, float] = {}
        self._paused: dict[str, float] = {}
        self._troubles: dict[str, str] = {}
        self._handover = Handover(states, ports.ledger, ports.clock, options.gateway)
        shadowing = Shadowing(
            metrics,
            log,
            self.trip,
            load_name=load_name,
            trusted_types=trusted_types,
            max_rows=options.shadow_rows,
        )
        self._tables = Tables(
            states,
            loader,
            metrics,
            options,
            pool=pool,
            handover=self._handover,
            shadowing=shadowing,
            loaded=self._wake.set,
        )
        self._judge = Judge(
            ports, loader, self.change, f"gateway:{options.gateway}", losing=lambda: log.losing
        )

    def start(self) -> None:
        """Bring up the last known routing, then follow the ledger."""
        self._tables.recall()
        self._thread.start()

    @property
    def ledger_error(self) -> str:
        """What the ledger's absence looks like; "" while it answers."""
        return next(iter(dict(self._troubles).values()), "")

    def stop(self) -> None:
        """Stop ticking and stop the shadows; what was counted goes to the ledger, if it answers."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(5.0)
        self._looks.shutdown(wait=False, cancel_futures=True)
        self._tables.stop()
        for state in self._states.values():
            if self.ledger_error or not state.lock.acquire(timeout=1.0):
                logger.warning("%s: the last counts were not kept", state.config.name)
                continue
            try:
                self._handover.hand_over(state)
            except Exception as error:  # noqa: BLE001  # evidence that is lost at the end decides nothing
                self._troubles[state.config.name] = str(error)
                logger.warning("%s: the last counts were not kept: %s", state.config.name, error)
            finally:
                state.lock.release()

    def trip(self, state: ModelState) -> None:
        """A version that takes traffic failed: look now. Called from any thread, never blocks."""
        state.tripped = True
        self._wake.set()

    def _run(self) -> None:
        spent = 0.0
        while not self._stop.is_set():
            # With many models, or a slow ledger, a round takes longer: half of the time stays free.
            self._wake.wait(max(self._options.poll_seconds, spent))
            self._wake.clear()
            begun = time.monotonic()
            try:
                self._round()
            except Exception:
                logger.exception("a round of the controller failed; the routing stays")
                self._stop.wait(_PAUSE)
            spent = time.monotonic() - begun

    def _round(self) -> None:
        """Look at every model that is not being looked at already, and at the calls that hang."""
        for state, ref, hanging in self._tables.write_off():
            self._looks.submit(self._give_up, state, ref, hanging)
        now = time.monotonic()
        due = [name for name in self._states if name not in self._busy and now >= self._paused.get(name, 0.0)]
        self._busy.update(due)
        left = {self._looks.submit(self._look, name, self._states[name]) for name in due}
        while left and not self._stop.is_set():
            done, left = wait(left, timeout=_PATIENCE)
            if not done:
                return

    def _look(self, name: str, state: ModelState) -> None:
        try:
            self.step(state)
            self._troubles.pop(name, None)
        except Unavailable as error:
            self._metrics.ledger_errors.inc()
            if not self._troubles:
                logger.warning("%s: the last known routing stays: %s", name, error)
            self._troubles[name] = str(error)
            self._paused[name] = time.monotonic() + _PAUSE
        except Exception:
            logger.exception("%s: the controller's step failed; the routing stays", name)
            self._paused[name] = time.monotonic() + _PAUSE
        finally:
            self._busy.discard(name)

    def _give_up(self, state: ModelState, ref: VersionRef, hanging: int) -> None:
        try:
            self._judge.give_up(state, ref, hanging)
        except Exception as error:  # noqa: BLE001  # what hangs is found again, and rates judge it too
            logger.warning("%s version %s hangs and stays: %s", state.config.name, ref.version, error)

    def step(self, state: ModelState) -> None:
        """Read the ledger, follow it, and judge when it is time (or at once after a hard failure)."""
        with state.lock:
            self._handover.count(state)
            try:
                traffic = self._ports.ledger.read(state.config.name)
            except Unavailable:
                self._tables.refresh(state)  # what was loaded meanwhile serves all the same
                raise
            state.ledger_seen = self._ports.clock.now()
            self._tables.apply(state, traffic)
            name = state.config.name
            begun = time.monotonic()
            if begun < self._next.get(name, 0.0) and not state.tripped:
                return
            state.tripped = False
            try:
                self._handover.hand_over(state)
                self._judge.judge(state)
            finally:
                # Judging may take a tenth of the time at most, however large the evidence has grown.
                spent = time.monotonic() - begun
                active = traffic.active
                shadowed = active is not None and active.phase is Phase.SHADOW
                pause = self._options.tick_seconds * (_SHADOW_TICKS if shadowed else 1)
                self._next[name] = begun + max(pause, 10 * spent)

    def change(
        self,
        state: ModelState,
        step: Step,
        by: str,
        *,
        tallies: Mapping[tuple[str, str], Tally] | None = None,
    ) -> Transition | None:
        """Read, decide, write by compare-and-swap, swap the routing; again when someone else was first.

        Raises
        ------
        StaleRevision
            Others kept being first.
        Unavailable
            The ledger does not answer: nothing is changed.
        Refused
            What ``step`` refuses.
        """

        def decision(traffic: Traffic) -> Decided:
            transition = step(traffic)
            if transition is None:
                return None
            return transition, {"checks": list(state.checks), "tallies": evidence_json(tallies or {})}

        name = state.config.name
        with state.lock:
            done = swap(name, self._ports.ledger, decision, by=by, now=self._ports.clock.now)
            transition = done.transition
            if transition is not None and transition.kind != "unchanged":
                logger.info("%s: %s: %s", name, transition.kind, transition.reason)
                if transition.kind == "rolled_back":
                    self._metrics.rollbacks.labels(name).inc()
            self._tables.apply(state, done.traffic)
            return transition
