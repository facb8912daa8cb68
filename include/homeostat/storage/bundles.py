"""What is known about a version besides its aliases, in the Store under its digest, written once.

bundles/<model>/<digest>/{model.skops, reference.bin, manifest.json}
versions/<model>/<digest>.json
"""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homeostat.config import ModelConfig
from homeostat.config.errors import HomeostatError, NotFound, Untrusted
from homeostat.core.rollout import Traffic, VersionRef
from homeostat.ports import Ports, Store

if TYPE_CHECKING:
    from homeostat.bundle.files import Bundle
    from homeostat.core.profile import Reference

logger = logging.getLogger(__name__)

MANIFEST = "manifest.json"


def put_bundle(store: Store, model: str, digest: str, folder: Path) -> None:
    """Copy a bundle folder into the Store under its digest, whole or not at all.

    Another try of the same retrain fits anew and so has another digest: what a failed one has written
    would lie there for ever. After a kill it does, but nothing names it and it lacks its manifest.
    """
    files = sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda p: p.name == MANIFEST)
    keys = [f"bundles/{model}/{digest}/{path.relative_to(folder).as_posix()}" for path in files]
    there = set(store.list(f"bundles/{model}/{digest}/"))
    try:
        for key, path in zip(keys, files, strict=True):
            store.put(key, path.read_bytes())
    except Exception:
        with suppress(HomeostatError):
            for key in set(keys) - there:
                store.delete(key)
        raise


def fetch_bundle(store: Store, model: str, digest: str, folder: Path) -> None:
    """Copy a bundle's files from the Store into a new folder.

    Raises
    ------
    NotFound
        The Store has no such bundle, or not all of it.
    Untrusted
        The bytes are not those that the digest names: nothing is left behind.
    """
    from homeostat.bundle.files import FILES, tree_digest

    prefix = f"bundles/{model}/{digest.removeprefix('sha256:')}/"
    if not {prefix + name for name in FILES} <= set(store.list(prefix)):
        msg = f"no bundle {digest[:12]} of {model} in the store: retrain to make a new one"
        raise NotFound(msg)
    folder.mkdir(parents=True)
    try:
        for name in FILES:  # and nothing else that may lie there
            (folder / name).write_bytes(store.get(prefix + name))
        found = tree_digest(folder)
        if found != digest.removeprefix("sha256:"):
            msg = (
                f"{store.uri(prefix + MANIFEST)}: the bundle's files have digest {found[:12]}, "
                f"not {digest[:12]}: they were changed since, and are not loaded"
            )
            raise Untrusted(msg)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


@contextmanager
def bundle_folder(ports: Ports, model: str, digest: str) -> Iterator[Path]:
    """A local copy of a bundle, for as long as the block lasts.

    What is missing from the Store is taken from the registry and put back.

    Raises
    ------
    NotFound
        Neither has it.
    Untrusted
        The bytes are not those that the digest names.
    """
    with tempfile.TemporaryDirectory(prefix="homeostat-") as temporary:
        folder = Path(temporary) / "bundle"
        try:
            fetch_bundle(ports.store, model, digest, folder)
        except NotFound as lost:
            registered = [each for each in ports.registry.versions(model) if each.digest == digest]
            if not registered:
                raise
            logger.warning("%s; taken from the registry", lost)
            ports.registry.fetch(registered[0], folder)
            _put_back(ports.store, model, digest, folder)
        yield folder


def _put_back(store: Store, model: str, digest: str, folder: Path) -> None:
    for path in folder.iterdir():
        # Whatever lies there is not whole; these bytes have been held against the digest.
        store.put(f"bundles/{model}/{digest}/{path.name}", path.read_bytes(), overwrite=True)


def load_version(ports: Ports, config: ModelConfig, digest: str) -> Bundle:
    """Load a bundle; Untrusted unless its bytes are those that the digest names."""
    from homeostat.bundle.files import load_bundle

    if ports.loaded is not None and digest in ports.loaded:
        return ports.loaded[digest]
    with bundle_folder(ports, config.name, digest) as folder:
        bundle = load_bundle(folder, ports.trusted_types, digest=digest, config=config)
    if ports.loaded is not None:
        ports.loaded[digest] = bundle
    return bundle


def load_reference(ports: Ports, model: str, digest: str) -> Reference:
    """The reference profile of a version; NotFound when its bundle is nowhere to be had."""
    from homeostat.core.profile import Reference

    try:
        return Reference.from_bytes(ports.store.get(f"bundles/{model}/{digest}/reference.bin"))
    except NotFound:
        with bundle_folder(ports, model, digest) as folder:
            return Reference.from_bytes((folder / "reference.bin").read_bytes())


def put_facts(store: Store, model: str, digest: str, facts: Mapping[str, Any]) -> None:
    """Write down a version's number, metrics and origin."""
    store.put(
        f"versions/{model}/{digest}.json",
        json.dumps(facts, indent=1, allow_nan=False).encode(),
        overwrite=True,
    )


def load_facts(store: Store, model: str, digest: str) -> dict[str, Any]:
    """What was written down about a version; {} when nothing was (registered by other means)."""
    try:
        found: dict[str, Any] = json.loads(store.get(f"versions/{model}/{digest}.json"))
    except NotFound:
        return {}
    return found


def champions(ports: Ports, model: str) -> list[VersionRef]:
    """Everyone that has been champion, in the order in which they became it; one after the other."""
    found: list[VersionRef] = []
    for event in ports.ledger.events(model):
        champion = Traffic.from_json(dict(event.traffic)).champion
        if champion is not None and (not found or found[-1] != champion):
            found.append(champion)
    return found
