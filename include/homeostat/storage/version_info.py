"""A version's number, origin and baseline metrics, in the Store under the digest of its bundle.

versions/<model>/<digest>.json
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from homeostat.config import ModelConfig
from homeostat.config.errors import NotFound
from homeostat.config.positive_class import OF_ONE_CLASS
from homeostat.ports import Store

#: The key of the losses of each watched slice on the holdout.
SLICE_LOSSES = "slice_losses"
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


def monitored_config(config: ModelConfig, info: Mapping[str, Any], classes: Collection[str]) -> ModelConfig:
    """Return the configuration with the positive class that this version's baseline was scored with.

    Release 0.1 stored none, and took the last of two classes by name.

    Parameters
    ----------
    info
        What is stored about the version.
    classes
        The classes that it predicts, as text.
    """
    if not set(OF_ONE_CLASS) & set(info.get("metrics", {})):
        return config  # there is no baseline to be compared with
    if "positive" in info:
        return config.with_positive(info["positive"])
    return config.with_positive(max(classes) if len(classes) == 2 else None)


def _key(model: str, digest: str) -> str:
    return f"versions/{model}/{digest}.json"
