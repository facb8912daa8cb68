"""What happens beside the answers: evidence to the ledger, decisions from it, the routing that follows.

One thread ticks for all models. Whatever it waits for, answers are given by the table in force; a
swap is one assignment. The ledger is written by compare-and-swap before anything takes effect.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import datetime, timedelta

from homeostat.config.errors import HomeostatError, StaleRevision, Unavailable
from homeostat.gateway.batcher import Batcher
from homeostat.gateway.counting import Counts
from homeostat.gateway.loader import Loaded, Loader, passing
from homeostat.gateway.metrics import Metrics
from homeostat.gateway.options import Options
from homeostat.gateway.predictionlog import Served
from homeostat.gateway.routing import Happened, Leg, ModelState, Table
from homeostat.gateway.scoring import Scored
from homeostat.gateway.shadow import Result, Shadow, ShadowHooks
from homeostat.gateway.shadow_process import ShadowJob
from homeostat.gateway.spool import Spool
from homeostat.ports import Notice, Ports
from homeostat.rollout import decide, evidence_json, roll_back, watch
from homeostat.rollout.evidence import CANDIDATE, CHAMPION, CONTROL, SHADOW, Tally
from homeostat.rollout.phases import Phase, Rollout, Traffic, VersionRef
from homeostat.rollout.transitions import Transition

logger = logging.getLogger(__name__)

#: A champion is judged by what it did lately: a long good record must not hide that it went bad.
RECENT = timedelta(hours=1)
#: How long a registered candidate may take to load before its shadow or canary begins all the same.
WARM_UP = timedelta(minutes=2)
_RETRY_LOAD = 2.0
_ATTEMPTS = 5

#: From the state that was just read to what should follow; None: nothing.
Step = Callable[[Traffic], "Transition | None"]


class Controller:
    """Keeps every model's table in line with the ledger, and judges rollouts."""

    def __init__(  # noqa: PLR0913  # put together in one place, by name
        self,
        states: Mapping[str, ModelState],
        ports: Ports,
        loader: Loader,
        metrics: Metrics,
        options: Options,
        *,
        pool: Executor,
        log: Spool[Served],
        load_name: str,
        trusted_types: tuple[str, ...],
    ) -> None:
        self._states = states
        self._ports = ports
        self._loader = loader
        self._metrics = metrics
        self._options = options
        self._pool = pool
        self._log = log
        self._load_name = load_name
        self._trusted = trusted_types
        self._counts = {name: Counts(state.config) for name, state in states.items()}
        self._by = f"gateway:{options.gateway}"
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._loads = ThreadPoolExecutor(1, thread_name_prefix="load")
        self._thread = threading.Thread(target=self._run, name="controller", daemon=True)
        self._next: dict[str, float] = {}
        self.ledger_error = ""

    # Life

    def start(self) -> None:
        """Bring up the last known routing, then follow the ledger."""
        for state in self._states.values():
            kept = self._loader.recall(state.config.name)
            if kept is not None:
                self._apply(state, kept)
        self._thread.start()

    def stop(self) -> None:
        """Stop ticking and stop the shadows; what was counted goes to the ledger."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(5.0)
        self._loads.shutdown(wait=False, cancel_futures=True)
        for state in self._states.values():
            if state.table.shadow is not None:
                state.table.shadow.stop()
            try:
                self._hand_over(state)
            except Exception as error:  # noqa: BLE001  # evidence that is lost at the end decides nothing
                logger.warning("%s: the last counts were not kept: %s", state.config.name, error)

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
            for name, state in self._states.items():
                if self._stop.is_set():
                    return
                try:
                    self.step(state)
                    self.ledger_error = ""
                except Unavailable as error:
                    self._metrics.ledger_errors.inc()
                    if not self.ledger_error:
                        logger.warning("%s: the last known routing stays: %s", name, error)
                    self.ledger_error = str(error)
                    self._stop.wait(0.2)
                except Exception:
                    logger.exception("%s: the controller's step failed; the routing stays", name)
                    self._stop.wait(0.2)
            spent = time.monotonic() - begun

    # One look at one model

    def step(self, state: ModelState) -> None:
        """Read the ledger, follow it, and judge when it is time (or at once after a hard failure)."""
        with state.lock:
            self._count(state)
            self._apply(state, state.table.traffic)  # what was loaded meanwhile serves, ledger or no ledger
            traffic = self._ports.ledger.read(state.config.name)
            state.ledger_seen = self._ports.clock.now()
            self._apply(state, traffic)
            name = state.config.name
            begun = time.monotonic()
            if begun < self._next.get(name, 0.0) and not state.tripped:
                return
            state.tripped = False
            try:
                self._hand_over(state)
                self._judge(state)
            finally:
                # Judging may take a tenth of the time at most, however large the evidence has grown.
                spent = time.monotonic() - begun
                self._next[name] = begun + max(self._options.tick_seconds, 10 * spent)

    def _judge(self, state: ModelState) -> None:
        failed = self._failed_candidate(state)
        if failed:
            self.change(state, lambda t: roll_back(t, failed, self._now()) if t.active else None, self._by)
            return
        traffic = state.table.traffic
        if traffic.active is not None:
            self._judge_candidate(state, traffic.active)
        elif self._watched(traffic):
            self._judge_champion(state, traffic)

    def _judge_candidate(self, state: ModelState, rollout: Rollout) -> None:
        if rollout.phase is Phase.REGISTERED and not self._warm(state, rollout):
            return
        evidence = self._ports.ledger.evidence(state.config.name, rollout.id)

        def step(traffic: Traffic) -> Transition | None:
            if traffic.active is None or traffic.active.id != rollout.id:
                return None
            decision = decide(traffic, evidence, self._now())
            state.checks = tuple(check.to_json() for check in decision.checks)
            return decision.transition

        self.change(state, step, self._by, tallies=evidence)

    def _warm(self, state: ModelState, rollout: Rollout) -> bool:
        """Whether the candidate is loaded, and its shadow up: its time must not run before it can answer."""
        if self._now() - rollout.entered_at > WARM_UP:
            return True
        if self._loader.get(state.config.name, rollout.candidate) is None:
            return False
        shadow = state.table.shadow
        return rollout.plan.shadow <= timedelta(0) or (shadow is not None and shadow.ready.is_set())

    def _judge_champion(self, state: ModelState, traffic: Traffic) -> None:
        rollout = traffic.rollout
        if rollout is None or traffic.previous is None or traffic.promoted_at is None:
            return
        now = self._now()
        since = max(traffic.promoted_at, now - RECENT)
        evidence = self._ports.ledger.evidence(state.config.name, rollout.id, since)
        recent = evidence.get((rollout.stage, CHAMPION), Tally())

        def step(now_traffic: Traffic) -> Transition | None:
            if now_traffic.active is not None or now_traffic.rollout != rollout:
                return None
            decision = watch(now_traffic, recent, now)
            state.checks = tuple(check.to_json() for check in decision.checks)
            return decision.transition

        done = self.change(state, step, self._by, tallies=evidence)
        if done is not None and done.kind == "rolled_back":
            self._tell(state, done.reason)

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
        with state.lock:
            for _ in range(_ATTEMPTS):
                traffic = self._ports.ledger.read(state.config.name)
                transition = step(traffic)
                if transition is None or transition.kind == "unchanged":
                    self._apply(state, traffic)
                    return transition
                proof = {
                    "checks": list(state.checks),
                    "tallies": evidence_json(tallies or {}),
                }
                try:
                    written = self._ports.ledger.write(
                        transition.traffic,
                        kind=transition.kind,
                        reason=transition.reason,
                        by=by,
                        at=self._now(),
                        evidence=proof,
                    )
                except StaleRevision:
                    continue
                logger.info("%s: %s: %s", state.config.name, transition.kind, transition.reason)
                if transition.kind == "rolled_back":
                    self._metrics.rollbacks.labels(state.config.name).inc()
                self._apply(state, written)
                return transition
            msg = (
                f"{state.config.name}: the ledger changed {_ATTEMPTS} times while this was decided; try again"
            )
            raise StaleRevision(msg)

    # Routing

    def _apply(self, state: ModelState, traffic: Traffic) -> None:
        """Swap in the table of this traffic, as far as its versions are loaded; load the others."""
        old = state.table
        active = traffic.active
        previous = None if _taken_back(traffic) else traffic.previous
        wanted = [traffic.champion, traffic.previous, active.candidate if active else None]
        loaded = {ref: self._ready(state, ref) for ref in wanted if ref is not None}
        champion = self._leg(state, traffic.champion, loaded, CHAMPION)
        fallback = self._leg(state, previous, loaded, CHAMPION)
        stand_in = ""
        if champion is None and traffic.champion is not None:
            # The last good copy serves while the new one is being loaded, or cannot be.
            champion = old.champion if old.champion is not None else fallback
            if champion is not None and champion.ref != traffic.champion:
                stand_in = champion.ref.version
        share = active.share if active else 0.0
        candidate = self._leg(state, active.candidate, loaded, CANDIDATE) if active and share > 0 else None
        table = Table(
            traffic=traffic,
            champion=champion,
            candidate=candidate if champion is not None else None,
            control=self._leg(state, traffic.champion, loaded, CONTROL) if candidate is not None else None,
            previous=fallback if fallback is not champion else None,
            rollout=traffic.rollout.id if traffic.rollout is not None else "",
            stage=traffic.rollout.stage if traffic.rollout is not None else "",
            share=share,
            shadow=self._shadow(state, old, active, loaded) if champion is not None else None,
            counted=active is not None or self._watched(traffic),
            stand_in=stand_in,
        )
        if table == old:
            return
        state.table = table
        if old.shadow is not None and old.shadow is not table.shadow:
            self._loads.submit(old.shadow.stop)
        if old.traffic != traffic:
            self._metrics.show_traffic(traffic)
            if active is None:
                state.checks = state.checks if traffic.rollout and old.traffic.active else ()
            self._loader.remember(traffic)
        in_use = {ref for ref in wanted if ref is not None} | ({champion.ref} if champion else set())
        self._loader.keep(state.config.name, in_use)
        for key in [key for key in state.batchers if key[0] not in in_use]:
            del state.batchers[key]

    def _leg(
        self, state: ModelState, ref: VersionRef | None, loaded: Mapping[VersionRef, Loaded | None], role: str
    ) -> Leg | None:
        ready = loaded.get(ref) if ref is not None else None
        if ref is None or ready is None:
            return None
        name = state.config.name
        key = (ref, CONTROL if role == CONTROL else "")
        batcher = state.batchers.get(key)
        if batcher is None:
            batcher = state.batchers[key] = Batcher(
                ready.scorer,
                self._pool,
                max_batch_rows=self._options.max_batch_rows,
                max_waiting_rows=self._options.max_waiting_rows,
                on_batch=self._metrics.batch.labels(name).observe,
            )
        return Leg(ref, batcher, self._metrics.leg(name, ref.version, role))

    def _ready(self, state: ModelState, ref: VersionRef) -> Loaded | None:
        """The version when it is in memory; otherwise have it loaded."""
        loaded = self._loader.get(state.config.name, ref)
        if loaded is not None:
            self._counts[state.config.name].know(ref, loaded.bundle)
            return loaded
        if ref in state.loading or self._stop.is_set():
            return None
        failure = state.failures.get(ref)
        if failure is not None and time.monotonic() < failure[1]:
            return None
        state.loading.add(ref)
        self._loads.submit(self._load, state, ref)
        return None

    def _named(self) -> set[VersionRef]:
        """Every version that some model's routing names."""
        traffics = [state.table.traffic for state in self._states.values()]
        named = {ref for t in traffics for ref in (t.champion, t.previous) if ref is not None}
        return named | {t.rollout.candidate for t in traffics if t.rollout is not None}

    def _load(self, state: ModelState, ref: VersionRef) -> None:
        name = state.config.name
        try:
            self._loader.load(state.config, ref)
            state.failures.pop(ref, None)
            self._loader.prune({ref, *self._named()})
        except Exception as error:  # noqa: BLE001  # whatever a bundle does, the gateway lives
            self._metrics.load_errors.labels(name).inc()
            again = passing(error)
            said = str(error) if isinstance(error, (HomeostatError, OSError)) else repr(error)
            logger.warning("%s version %s is not loaded: %s", name, ref.version, said)
            # What can pass is tried again soon; what cannot, now and then: a person may have mended it.
            state.failures[ref] = (said, time.monotonic() + (_RETRY_LOAD if again else 60.0))
            if not again:
                state.shadow_failed[ref] = f"version {ref.version} could not be loaded: {said}"
        finally:
            state.loading.discard(ref)
            self._wake.set()

    def _failed_candidate(self, state: ModelState) -> str:
        active = state.table.traffic.active
        return state.shadow_failed.get(active.candidate, "") if active is not None else ""

    # Shadow

    def _shadow(
        self,
        state: ModelState,
        old: Table,
        active: Rollout | None,
        loaded: Mapping[VersionRef, Loaded | None],
    ) -> Shadow | None:
        """The shadow process: started while the candidate is only registered, so that it is warm in time."""
        if active is None or active.phase not in (Phase.REGISTERED, Phase.SHADOW) or self._stop.is_set():
            return None
        if active.plan.shadow <= timedelta(0):
            return None
        ready = loaded.get(active.candidate)
        if ready is None or active.candidate in state.shadow_failed:
            return None
        if old.shadow is not None and old.rollout == active.id:
            return old.shadow
        name, candidate = state.config.name, active.candidate
        rollout, stage = active.id, str(Phase.SHADOW)

        def answered(batch: list[Served], results: list[Result]) -> None:
            for served, result in zip(batch, results, strict=True):
                self._shadow_answered(state, active, served, result)

        def dropped(rows: int) -> None:
            self._metrics.shadow_dropped.labels(name).inc(rows)
            state.happened.append(Happened(rollout, stage, SHADOW, 0, 0.0, None, dropped=rows))

        def failed(sentence: str) -> None:
            state.shadow_failed[candidate] = f"version {candidate.version} failed in its shadow: {sentence}"
            self.trip(state)

        job = ShadowJob(
            state.config, ready.folder, candidate.version, candidate.digest, self._trusted, self._load_name
        )
        restarted = self._metrics.shadow_restarts.labels(name).inc
        shadow = Shadow(
            job,
            ShadowHooks(answered, dropped, restarted, failed),  # type: ignore[arg-type]  # lists are sequences
            max_rows=self._options.shadow_rows,
        )
        shadow.start()
        return shadow

    def _shadow_answered(self, state: ModelState, rollout: Rollout, served: Served, result: Result) -> None:
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
            self.trip(state)

    # Evidence

    def _count(self, state: ModelState) -> None:
        counts = self._counts[state.config.name]
        happened = state.happened
        for _ in range(len(happened)):
            try:
                counts.add(happened.popleft(), state.table.traffic)
            except IndexError:
                return

    def _hand_over(self, state: ModelState) -> None:
        self._count(state)
        counts = self._counts[state.config.name]
        for rollout, tallies in counts.drain().items():
            try:
                self._ports.ledger.add_evidence(
                    state.config.name, rollout, self._options.gateway, self._now(), tallies
                )
            except BaseException:
                counts.put_back(rollout, tallies)
                raise

    def _watched(self, traffic: Traffic) -> bool:
        """Whether there is a champion to judge, and a version to go back to."""
        return (
            traffic.previous is not None
            and traffic.rollout is not None
            and traffic.rollout.phase is Phase.CHAMPION
        )

    def _tell(self, state: ModelState, reason: str) -> None:
        """A champion taken back by night is news; no retrain is waiting that would tell it."""
        name = state.config.name
        notice = Notice("rolled_back", name, f"{name}: the champion was taken back", reason)
        threading.Thread(
            target=self._ports.notifier.notify, args=(state.config.notify, notice), daemon=True
        ).start()

    def _now(self) -> datetime:
        return self._ports.clock.now()


def _taken_back(traffic: Traffic) -> bool:
    last = traffic.rollout
    return last is not None and last.phase is Phase.ROLLED_BACK and last.candidate == traffic.previous
