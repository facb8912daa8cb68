"""What is known about a version besides its aliases, in the Store under its digest, written once.

bundles/<model>/<digest>/{model.skops, reference.bin, manifest.json}
versions/<model>/<digest>.json
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homeostat.config import ModelConfig
from homeostat.config.errors import HomeostatError, NotFound
from homeostat.ports import Ports, Store
from homeostat.rollout import Traffic, VersionRef

if TYPE_CHECKING:
    from homeostat.profile import Reference
    from homeostat.training import Bundle

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


@contextmanager
def bundle_folder(store: Store, model: str, digest: str) -> Iterator[Path]:
    """A local copy of a bundle, for as long as the block lasts; NotFound when there is none."""
    prefix = f"bundles/{model}/{digest}/"
    keys = store.list(prefix)
    if not keys:
        msg = f"no bundle {digest[:12]} of {model} in the store: retrain to make a new one"
        raise NotFound(msg)
    with tempfile.TemporaryDirectory(prefix="homeostat-") as temporary:
        folder = Path(temporary)
        for key in keys:
            path = folder / key.removeprefix(prefix)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(store.get(key))
        yield folder


def load_version(ports: Ports, config: ModelConfig, digest: str) -> Bundle:
    """Load a bundle from the Store; Untrusted unless its bytes are those that the digest names."""
    from homeostat.training import load_bundle

    if ports.loaded is not None and digest in ports.loaded:
        return ports.loaded[digest]
    with bundle_folder(ports.store, config.name, digest) as folder:
        bundle = load_bundle(folder, ports.trusted_types, digest=digest, config=config)
    if ports.loaded is not None:
        ports.loaded[digest] = bundle
    return bundle


def load_reference(store: Store, model: str, digest: str) -> Reference:
    """The reference profile of a version; NotFound when its bundle is gone."""
    from homeostat.profile import Reference

    return Reference.from_bytes(store.get(f"bundles/{model}/{digest}/reference.bin"))


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
