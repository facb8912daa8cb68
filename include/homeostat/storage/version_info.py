"""A version's number, origin and baseline metrics, in the Store under the digest of its bundle.

versions/<model>/<digest>.json
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from homeostat.config.errors import NotFound
from homeostat.ports import Store

#: Keys that release 0.1 wrote, and their names now.
_OLD_NAMES = {"judge": "holdout_version"}


def save_version_info(store: Store, model: str, digest: str, info: Mapping[str, Any]) -> None:
    """Store what is known about a version; replaces what was stored before."""
    store.put(_key(model, digest), json.dumps(info, indent=1, allow_nan=False).encode(), overwrite=True)


def load_version_info(store: Store, model: str, digest: str) -> dict[str, Any]:
    """Return what was stored about a version; {} for one that was registered by other means."""
    try:
        found: dict[str, Any] = json.loads(store.get(_key(model, digest)))
    except NotFound:
        return {}
    return {_OLD_NAMES.get(name, name): value for name, value in found.items()}


def _key(model: str, digest: str) -> str:
    return f"versions/{model}/{digest}.json"
