"""Load versions from a local, digest-addressed cache, filled from the store or through the registry.

    <cache>/bundles/<digest>/          a bundle as it was registered
    <cache>/routing/<model>.json       the last routing of this gateway

While MLflow and the store are unavailable, the cached copy serves; while the ledger is unavailable too, the
last known routing is used. Bytes from any place are loaded only if they have the digest that the ledger
names.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from homeostat.config import ModelConfig
from homeostat.config.errors import HomeostatError, NotFound, Unavailable, Untrusted
from homeostat.core.rollout.phases import Traffic, VersionRef
from homeostat.ports import Registry, Store
from homeostat.serving.inference.scoring import Scorer, make_scorer, warm_up
from homeostat.serving.scoring_request import InputSpec
from homeostat.storage.bundles import fetch_bundle

logger = logging.getLogger(__name__)

_DIGEST = re.compile(r"(sha256:)?[0-9a-f]{16,128}")
KEEP_UNUSED = 10  # cached bundles that no routing names; the newest are kept
_LOAD_SECONDS = 120.0

#: ``load(folder, trusted_types, digest=..., config=...)`` -> bundle; tests pass their own.
LoadBundle = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class LoadedBundle:
    """A version in memory, and the folder of its bundle."""

    scorer: Scorer
    bundle: Any
    folder: Path


@dataclass(frozen=True, slots=True)
class VersionFacts:
    """What is known of a version once it was loaded, also after it was unloaded.

    ``label_classes`` are the texts of its classes, ``classes`` the classes themselves.
    """

    label_classes: frozenset[str] | None
    classes: tuple[Any, ...]


class NotCached(Exception):
    """The version has to be fetched first."""


class BundleCache:
    """Loads versions by digest and keeps those that the routing names. Blocking: call it from a thread.

    Several versions load in parallel; each version loads once at a time.
    """

    def __init__(
        self,
        cache: Path,
        registry: Registry,
        trusted_types: tuple[str, ...],
        load: LoadBundle,
        *,
        store: Store | None = None,
    ) -> None:
        self._cache = cache
        self._registry = registry
        self._store = store
        self._trusted = trusted_types
        self._load = load
        self._loaded: dict[tuple[str, VersionRef], LoadedBundle] = {}
        self._facts: dict[tuple[str, VersionRef], VersionFacts] = {}
        self._locks: dict[tuple[str, VersionRef], threading.Lock] = {}

    def facts(self, model: str, ref: VersionRef) -> VersionFacts | None:
        """Return what is known of a version that is or was in memory."""
        return self._facts.get((model, ref))

    def get(self, model: str, ref: VersionRef) -> LoadedBundle | None:
        """Return the version if it is in memory."""
        return self._loaded.get((model, ref))

    def load(self, config: ModelConfig, ref: VersionRef, *, fetch: bool = True) -> LoadedBundle:
        """Load a version from the cache, or fetch it first.

        Raises
        ------
        NotCached
            The cache has no good copy, and ``fetch`` is False.
        Untrusted
            The bytes are not what ``ref.digest`` promises, or hold a type that is not trusted.
        Unavailable
            The version is not cached and neither store nor registry answers, or another thread has been
            loading it for too long.
        NotFound
            Neither store nor registry knows the version.
        """
        lock = self._locks.setdefault((config.name, ref), threading.Lock())
        if not lock.acquire(timeout=_LOAD_SECONDS):
            msg = f"{config.name} version {ref.version} has been loading for {_LOAD_SECONDS:g} s"
            raise Unavailable(msg)
        try:
            return self.get(config.name, ref) or self._load_now(config, ref, fetch=fetch)
        finally:
            lock.release()

    def _load_now(self, config: ModelConfig, ref: VersionRef, *, fetch: bool) -> LoadedBundle:
        folder = self.folder(ref.digest)
        bundle = None
        if folder.is_dir():
            try:
                bundle = self._open(config, folder, ref)
            except Untrusted as error:
                logger.warning(
                    "the cached copy of %s version %s is deleted: %s", config.name, ref.version, error
                )
                shutil.rmtree(folder, ignore_errors=True)
        if bundle is None and not fetch:
            raise NotCached
        if bundle is None:
            self._fetch(config, ref, folder)
            bundle = self._open(config, folder, ref)
        spec = InputSpec.of(config)
        scorer = make_scorer(ref.version, ref.digest, bundle.predictor, bundle.manifest, spec)
        warm_up(scorer, spec)
        loaded = LoadedBundle(scorer, bundle, folder)
        self._facts[config.name, ref] = VersionFacts(
            scorer.classes, tuple(bundle.manifest.get("classes") or ())
        )
        self._loaded[config.name, ref] = loaded
        return loaded

    def folder(self, digest: str) -> Path:
        """Return the cache folder of a digest; Untrusted for what is no digest and might be a path."""
        if not _DIGEST.fullmatch(digest):
            msg = f"{digest[:80]!r} is no digest (a hexadecimal hash such as sha256): nothing is loaded"
            raise Untrusted(msg)
        return self._cache / "bundles" / digest.removeprefix("sha256:")

    def evict_except(self, model: str, refs: Iterable[VersionRef | None]) -> None:
        """Remove all versions of this model from memory except these."""
        wanted = {ref for ref in refs if ref is not None}
        for versions in (self._loaded, self._facts):
            for key in [key for key in list(versions) if key[0] == model and key[1] not in wanted]:
                versions.pop(key, None)

    def unload(self, model: str) -> bool:
        """Remove all versions of this model from memory; return whether there were any."""
        keys = [key for key in list(self._loaded) if key[0] == model]
        for key in keys:
            self._loaded.pop(key, None)
        return bool(keys)

    def prune(self, named: Iterable[VersionRef]) -> None:
        """Delete cached bundles that no routing names, except the newest few."""
        wanted = {self.folder(ref.digest).name for ref in named}
        root = self._cache / "bundles"
        unused = [path for path in root.glob("*") if path.name not in wanted and path.is_dir()]
        unused.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        for path in unused[KEEP_UNUSED:]:
            shutil.rmtree(path, ignore_errors=True)

    def _open(self, config: ModelConfig, folder: Path, ref: VersionRef) -> Any:
        return self._load(folder, self._trusted, digest=ref.digest, config=config)

    def _fetch(self, config: ModelConfig, ref: VersionRef, folder: Path) -> None:
        """Fill the cache from the store, which keeps bundles by digest, or else from the registry."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetch-") as scratch:
            fetched = Path(scratch) / "bundle"
            if not self._fetch_from_store(config, ref, fetched):
                self._fetch_from_registry(config, ref, fetched)
            try:
                os.replace(fetched, folder)  # noqa: PTH105  # atomic, also when another thread was first
            except OSError:
                if not folder.is_dir():
                    raise

    def _fetch_from_store(self, config: ModelConfig, ref: VersionRef, fetched: Path) -> bool:
        if self._store is None:
            return False
        try:
            fetch_bundle(self._store, config.name, ref.digest, fetched)
        except NotFound:
            return False
        except HomeostatError as error:
            logger.warning(
                "%s version %s is fetched from MLflow, not from the store: %s",
                config.name,
                ref.version,
                error,
            )
            shutil.rmtree(fetched, ignore_errors=True)
            return False
        return True

    def _fetch_from_registry(self, config: ModelConfig, ref: VersionRef, fetched: Path) -> None:
        version = self._registry.version(config.name, ref.version)
        if version.digest != ref.digest:
            msg = (
                f"{config.name} version {ref.version} is not loaded: its digest is {version.digest} in MLflow"
                f" and {ref.digest} in the ledger"
            )
            raise Untrusted(msg)
        self._registry.fetch(version, fetched)

    def save_routing(self, traffic: Traffic) -> None:
        """Save the routing on disk, for a start without the ledger; a write error is only logged."""
        path = self._routing(traffic.model)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # A unique name: another worker of this machine may be writing at the same time.
            handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{traffic.model}-")
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(traffic.to_json(), file)
                file.flush()
                os.fsync(file.fileno())
            Path(scratch).replace(path)
        except OSError as error:
            logger.warning("%s: the routing could not be saved: %s", traffic.model, error)

    def load_routing(self, model: str) -> Traffic | None:
        """Return the routing that was last in force here."""
        try:
            return Traffic.from_json(json.loads(self._routing(model).read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.warning("%s: the saved routing cannot be read and is ignored: %r", model, error)
            return None

    def _routing(self, model: str) -> Path:
        return self._cache / "routing" / f"{model}.json"
