"""What a version was chosen from, in the Store under the digest of its bundle.

bundles/<model>/<digest>/members.json

``version`` is the digest of the bundle with all members, ``chosen`` the names of those that serve, ``record``
how all subsets of them have done, see :mod:`homeostat.retraining.member_record`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from homeostat.config import ModelConfig
from homeostat.config.errors import NotFound
from homeostat.ports import Ledger, Store
from homeostat.storage.champion_history import champions
from homeostat.storage.version_info import load_version_info


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


def find_former(config: ModelConfig, ledger: Ledger, store: Store) -> dict[str, str]:
    """Return the digests of the newest champion that was fitted and of the champion; {} without one.

    Needs the ledger, which the machine that fits may not reach. Where an older champion was reinstated, the
    two differ: its members are the chosen ones, and the record is that of the newest, which has not learnt
    from the fewest rows.
    """
    served = champions(ledger, config.name)
    if config.training.window.kind != "auto" or not served:
        return {}
    newest = max(served, key=lambda ref: _trained_until(store, config.name, ref.digest))
    return {"newest": newest.digest, "champion": served[-1].digest}


def _trained_until(store: Store, model: str, digest: str) -> str:
    return str(load_version_info(store, model, digest).get("trained_until") or "")


def _key(model: str, digest: str) -> str:
    return f"bundles/{model}/{digest}/members.json"
