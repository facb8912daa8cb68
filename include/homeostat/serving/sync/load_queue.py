"""Versions brought into memory beside the answers; none waits for another's download."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping

from homeostat.config.errors import HomeostatError
from homeostat.core.rollout.phases import VersionRef
from homeostat.serving.inference.routing import ModelState
from homeostat.serving.inference.thread_pool import Pool
from homeostat.serving.metrics import Metrics
from homeostat.serving.sync.bundle_cache import Loaded, Loader, NotCached, passing

logger = logging.getLogger(__name__)

#: Seconds until another try: soon for what can pass, now and then for what a person may have mended.
_SOON, _NOW_AND_THEN = 2.0, 60.0
#: Seconds that a version may take to load, and to be fetched as well.
LOAD_SECONDS, FETCH_SECONDS = 120.0, 300.0


class Loading:
    """Threads that load what routing names.

    Parameters
    ----------
    done
        Called when a version was loaded, or could not be.
    """

    def __init__(
        self,
        states: Mapping[str, ModelState],
        loader: Loader,
        metrics: Metrics,
        done: Callable[[ModelState], None],
    ) -> None:
        self._states = states
        self._loader = loader
        self._metrics = metrics
        self._done = done
        # What is in the cache never waits for what has to be fetched.
        self._loads = Pool(2, "load", patience=LOAD_SECONDS)
        self._fetches = Pool(4, "fetch", patience=FETCH_SECONDS)
        self._stop = threading.Event()

    def stop(self) -> None:
        """Load nothing more."""
        self._stop.set()
        for pool in (self._loads, self._fetches):
            pool.shutdown(wait=False, cancel_futures=True)

    def ready(self, state: ModelState, ref: VersionRef) -> Loaded | None:
        """The version when it is in memory; otherwise have it loaded."""
        loaded = self._loader.get(state.config.name, ref)
        if loaded is not None or ref in state.loading or self._stop.is_set():
            return loaded
        failure = state.failures.get(ref)
        if failure is None or time.monotonic() >= failure[1]:
            state.loading.add(ref)
            self._loads.submit(self._load, state, ref)
        return None

    def write_off(self) -> None:
        """Give up versions that do not get loaded: their threads are somebody else's now."""
        for call in (*self._loads.write_off(), *self._fetches.write_off()):
            state, ref = call.args
            said = "loading it does not come to an end"
            state.failures[ref] = (said, time.monotonic())
            state.shadow_failed[ref] = f"version {ref.version} could not be loaded: {said}"

    def _load(self, state: ModelState, ref: VersionRef, *, fetch: bool = False) -> None:
        name = state.config.name
        try:
            self._loader.load(state.config, ref, fetch=fetch)
            state.failures.pop(ref, None)
            self._loader.prune({ref, *self._named()})
        except NotCached:
            self._fetches.submit(self._load, state, ref, fetch=True)
            return
        except Exception as error:  # noqa: BLE001  # whatever a bundle does, the gateway lives
            self._metrics.load_errors.labels(name).inc()
            again = passing(error)
            said = str(error) if isinstance(error, (HomeostatError, OSError)) else repr(error)
            logger.warning("%s version %s is not loaded: %s", name, ref.version, said)
            state.failures[ref] = (said, time.monotonic() + (_SOON if again else _NOW_AND_THEN))
            if not again:
                state.shadow_failed[ref] = f"version {ref.version} could not be loaded: {said}"
        state.loading.discard(ref)
        self._done(state)

    def _named(self) -> set[VersionRef]:
        """Every version that some model's routing names."""
        traffics = [state.table.traffic for state in self._states.values()]
        named = {ref for t in traffics for ref in (t.champion, t.previous) if ref is not None}
        return named | {t.rollout.candidate for t in traffics if t.rollout is not None}
