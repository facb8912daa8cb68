"""Load versions in background threads, beside the requests; no load waits for the download of another."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from homeostat.core.rollout.phases import VersionRef
from homeostat.hung_calls import ReplacingThreadPool
from homeostat.serving.inference.routing import ServedModel
from homeostat.serving.metrics import Metrics
from homeostat.serving.sync.bundle_cache import BundleCache, LoadedBundle, NotCached
from homeostat.serving.sync.load_failure import LoadFailure
from homeostat.tracing import logged_trace, logged_traceparent

logger = logging.getLogger(__name__)

#: Seconds until the next attempt: soon after a transient error, rarely after one that a person must fix.
_RETRY_TRANSIENT, _RETRY_PERMANENT = 2.0, 60.0
#: Seconds that loading a version may take, and fetching it as well.
LOAD_SECONDS, FETCH_SECONDS = 120.0, 300.0

#: A version of a model, by the model's name.
_Key = tuple[str, VersionRef]


@dataclass(frozen=True, slots=True)
class _FailedLoad:
    """Why a version is not loaded, and when (monotonic seconds) to try again."""

    failure: LoadFailure
    retry_at: float
    hanging: bool = False


class LoadQueue:
    """Threads that load the versions that the routing names.

    Parameters
    ----------
    done
        Called after each attempt to load a version, successful or not.
    """

    def __init__(
        self,
        models: Mapping[str, ServedModel],
        cache: BundleCache,
        metrics: Metrics,
        done: Callable[[ServedModel], None],
    ) -> None:
        self._models = models
        self._cache = cache
        self._metrics = metrics
        self._done = done
        self._failed: dict[_Key, _FailedLoad] = {}
        self._unloadable: dict[_Key, str] = {}
        self._loading: set[_Key] = set()
        # Cached versions never wait for those that have to be fetched.
        self._loads = ReplacingThreadPool(2, "load", hang_seconds=LOAD_SECONDS)
        self._fetches = ReplacingThreadPool(4, "fetch", hang_seconds=FETCH_SECONDS)
        self._stop = threading.Event()

    def stop(self) -> None:
        """Start no more loads."""
        self._stop.set()
        for pool in (self._loads, self._fetches):
            pool.shutdown(wait=False, cancel_futures=True)

    def get_or_load(self, model: ServedModel, ref: VersionRef) -> LoadedBundle | None:
        """Return the version if it is in memory; otherwise queue it and return None."""
        key = (model.name, ref)
        loaded = self._cache.get(model.name, ref)
        if loaded is not None or key in self._loading or self._stop.is_set():
            return loaded
        failed = self._failed.get(key)
        if failed is None or time.monotonic() >= failed.retry_at:
            self._loading.add(key)
            self._loads.submit(self._load, model, ref, traceparent=logged_traceparent())
        return None

    def pending(self, model: str, refs: Iterable[VersionRef]) -> bool:
        """Whether one of these versions is being loaded, and is not known to hang."""
        keys = [(model, ref) for ref in refs if (model, ref) in self._loading]
        return any((failed := self._failed.get(key)) is None or not failed.hanging for key in keys)

    def retry_in(self, model: str, ref: VersionRef) -> float:
        """Return the seconds until the next attempt to load a version that failed."""
        failed = self._failed.get((model, ref))
        return max(0.0, failed.retry_at - time.monotonic()) if failed is not None else 0.0

    def failures(self, model: str) -> dict[VersionRef, str]:
        """Return why versions of this model are not loaded."""
        found = dict(self._failed).items()
        return {ref: failed.failure.reason for (name, ref), failed in found if name == model}

    def unloadable(self, model: str, ref: VersionRef) -> str:
        """Return why this version cannot be loaded by trying again; "" when it can."""
        return self._unloadable.get((model, ref), "")

    def replace_hung(self) -> None:
        """Replace the threads of loads that hang; their versions count as unloadable."""
        for call in (*self._loads.replace_hung(), *self._fetches.replace_hung()):
            model, ref = call.args
            self._fail(model, ref, LoadFailure.hanging(model.name, ref), retry_in=0.0, hanging=True)

    def _load(
        self, model: ServedModel, ref: VersionRef, *, traceparent: str = "", fetch: bool = False
    ) -> None:
        with logged_trace(traceparent):
            self._try(model, ref, traceparent, fetch=fetch)

    def _try(self, model: ServedModel, ref: VersionRef, traceparent: str, *, fetch: bool) -> None:
        try:
            began = time.monotonic()
            self._cache.load(model.config, ref, fetch=fetch)
            self._metrics.load_seconds.observe(time.monotonic() - began)
            self._metrics.loads.labels(model.name).inc()
            self._failed.pop((model.name, ref), None)
            self._cache.prune({ref, *self._named()})
        except NotCached:
            self._fetches.submit(self._load, model, ref, fetch=True, traceparent=traceparent)
            return
        except Exception as error:  # noqa: BLE001  # no bundle may bring the gateway down
            self._metrics.load_errors.labels(model.name).inc()
            failure = LoadFailure.of(error, model.name, ref)
            logger.warning("%s version %s is not loaded: %s", model.name, ref.version, failure.reason)
            retry_in = _RETRY_TRANSIENT if failure.transient else _RETRY_PERMANENT
            self._fail(model, ref, failure, retry_in=retry_in)
        self._done(model)
        self._loading.discard((model.name, ref))  # last: until then the version may still serve

    def _fail(
        self,
        model: ServedModel,
        ref: VersionRef,
        failure: LoadFailure,
        *,
        retry_in: float,
        hanging: bool = False,
    ) -> None:
        key = (model.name, ref)
        self._failed[key] = _FailedLoad(failure, time.monotonic() + retry_in, hanging)
        if not failure.transient:
            self._unloadable[key] = failure.rollback

    def _named(self) -> set[VersionRef]:
        """Return every version that some model's routing names."""
        traffics = [model.table.traffic for model in self._models.values()]
        named = {ref for t in traffics for ref in (t.champion, t.previous) if ref is not None}
        return named | {t.rollout.candidate for t in traffics if t.rollout is not None}
