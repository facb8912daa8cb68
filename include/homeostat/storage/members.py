"""What a version was chosen from, in the Store under the digest of its bundle.

members/<model>/<digest>.json

``version`` is the digest of the bundle with all members, ``chosen`` the names of those that serve, ``record``
how all subsets of them have done, see :mod:`homeostat.retraining.member_record`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from homeostat.config.errors import NotFound
from homeostat.ports import Store


def save_members(store: Store, model: str, digest: str, members: Mapping[str, Any]) -> None:
    """Store the members of a version; replaces what was stored before."""
    store.put(_key(model, digest), json.dumps(members, allow_nan=False).encode(), overwrite=True)


def load_members(store: Store, model: str, digest: str) -> dict[str, Any]:
    """Return the members of a version; {} for one that has one recipe, or is of an older release."""
    try:
        found: dict[str, Any] = json.loads(store.get(_key(model, digest)))
    except NotFound:
        return {}
    return found


def _key(model: str, digest: str) -> str:
    return f"members/{model}/{digest}.json"
