"""Keep the models in memory that were used last, and let requests wait until theirs is loaded."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import threading
from collections.abc import Callable, Iterator

from homeostat.core.rollout.phases import VersionRef
from homeostat.hung_calls import ReplacingThreadPool
from homeostat.serving.inference.model_slots import Changes, ModelSlots
from homeostat.serving.inference.routing import ServedModel
from homeostat.serving.scoring_request import BadRequest

logger = logging.getLogger(__name__)

#: A model whose load takes longer than these seconds no longer counts until it is loaded: a load that hangs
#: must not keep others from their slot.
STALL_SECONDS = 5.0
#: Seconds after which a waiting request checks again without having been woken: a load that hangs wakes none.
_CHECK_SECONDS = 1.0

#: Why a version is not loaded, and the seconds until the next attempt; None while it may still come.
LoadRefusal = tuple[str, float]


class NotLoaded(BadRequest):
    """The version cannot be loaded; ``retry_after`` are the seconds until the gateway tries again."""

    def __init__(self, sentence: str, retry_after: float) -> None:
        super().__init__(sentence, 503)
        self.retry_after = max(1, round(retry_after))


class Residency:
    """The models of one gateway process that may be in memory, when their number is limited.

    Requests use it on the event loop; the routing asks it in threads. It holds its own lock only for the
    decision, never while a model is loaded or unloaded.

    Parameters
    ----------
    limit
        Models in memory, see :class:`~homeostat.serving.inference.model_slots.ModelSlots`.
    redact
        Every reason passes through it before a client gets it.
    """

    def __init__(self, limit: int, redact: Callable[[str], str]) -> None:
        self.limit = limit
        self._redact = redact
        self._slots = ModelSlots(limit)
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiters: dict[str, set[asyncio.Future[None]]] = {}
        self._queued: set[str] = set()  # models that got a slot, and whose load is not queued yet
        self._jobs = ReplacingThreadPool(1, "residency", hang_seconds=float("inf"))
        self._refresh: Callable[[str], None] = lambda _: None
        self._refusal: Callable[[ServedModel, VersionRef], LoadRefusal | None] = lambda *_: None

    def connect(
        self,
        refresh: Callable[[str], None],
        refusal: Callable[[ServedModel, VersionRef], LoadRefusal | None],
    ) -> None:
        """Connect the routing: ``refresh`` loads a model, or unloads it where it has no slot."""
        self._refresh, self._refusal = refresh, refusal

    def stop(self) -> None:
        """Load and unload nothing more."""
        self._jobs.shutdown(cancel_futures=True)

    # Requests, on the event loop

    @contextlib.contextmanager
    def request(self, model: str) -> Iterator[None]:
        """Hold the model in memory for one request; one without a slot gets in line for it."""
        self._loop = self._loop or asyncio.get_running_loop()
        with self._lock:
            changes = None if self._slots.use(model) else self._rebalance()
        self._carry_out(changes)
        try:
            yield
        finally:
            with self._lock:
                idle = self._slots.release(model)
                changes = self._rebalance() if idle and self._slots.tight else None
            self._carry_out(changes)

    async def loaded(self, state: ServedModel, ref: VersionRef, ready: Callable[[], bool]) -> None:
        """Wait until ``ready``, which this version's load brings about. To be called within :meth:`request`.

        Raises
        ------
        NotLoaded
            The version cannot be loaded.
        """
        name, loop = state.name, asyncio.get_running_loop()
        began = 0.0
        while not ready():
            if name in self._slots and name not in self._queued:
                refused = self._refusal(state, ref)
                if refused is not None and not ready():
                    why, again = refused
                    msg = f"Version {ref.version} of model '{name}' is not loaded: {why.strip(' .')}."
                    raise NotLoaded(self._redact(msg), again)
                began = began or loop.time()
                if loop.time() - began >= STALL_SECONDS:
                    self._change(lambda: self._slots.count(name, counted=False))
            woken: asyncio.Future[None] = loop.create_future()
            waiters = self._waiters.setdefault(name, set())
            waiters.add(woken)
            try:
                await asyncio.wait([woken], timeout=_CHECK_SECONDS)
            finally:
                waiters.discard(woken)

    def why_waiting(self, state: ServedModel, ref: VersionRef) -> str:
        """Return why the model is not loaded in time."""
        if state.name in self._slots:
            return f"Version {ref.version} of model '{state.name}' is being loaded. Try again shortly."
        return (
            f"Model '{state.name}' is not loaded, and all models that are have requests "
            f"(HOMEOSTAT_GATEWAY_LOADED_MODELS={self.limit}). Try again shortly."
        )

    # The routing, in threads

    def keeps(self, model: str, *, pinned: bool) -> bool:
        """Whether the model may be in memory; one in a rollout always."""
        self._change(lambda: self._slots.pin(model, pinned=pinned))
        return model in self._slots

    def settle(self, model: str, *, in_memory: bool, failed: bool) -> None:
        """Note whether the model is in memory, and wake the requests that wait for it."""
        if in_memory or failed:
            self._change(lambda: self._slots.count(model, counted=in_memory))
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._wake, model)

    def replace_slow(self) -> None:
        """Use another thread while one takes long."""
        self._jobs.replace_hung()

    def _wake(self, model: str) -> None:
        for waiter in self._waiters.get(model, ()):
            if not waiter.done():
                waiter.set_result(None)

    def _change(self, change: Callable[[], bool]) -> None:
        with self._lock:
            changes = self._rebalance() if change() else None
        self._carry_out(changes)

    def _rebalance(self) -> Changes:
        changes = self._slots.rebalance()
        self._queued.update(changes.load)
        return changes

    def _carry_out(self, changes: Changes | None) -> None:
        if changes is not None and (changes.unload or changes.load):
            with contextlib.suppress(RuntimeError):  # the gateway is stopping
                self._jobs.submit(self._load_and_unload, changes)

    def _load_and_unload(self, changes: Changes) -> None:
        for name in (*changes.unload, *changes.load):
            try:
                self._refresh(name)
            except Exception:
                logger.exception("%s: could not be loaded or unloaded; the controller tries again", name)
            self._queued.discard(name)
        if changes.unload:
            release_memory()


def release_memory() -> None:
    """Give freed memory back to the system, where the C library (glibc) can."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
