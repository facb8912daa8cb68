"""A loader of bundles that a test can hold back, or have raise an error."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from homeostat.config import ModelConfig
from homeostat.config.errors import UntrustedType
from serving import gateway_harness

LOAD = "serving.gated_load:load"
#: Set when loads may go on.
MAY_LOAD = threading.Event()
#: What loads raise, if anything.
ERROR: list[Exception] = []


def load(folder: Path, trusted_types: tuple[str, ...], *, digest: str, config: ModelConfig) -> Any:
    MAY_LOAD.wait(60)
    if ERROR:
        raise ERROR[0]
    return gateway_harness.load(folder, trusted_types, digest=digest, config=config)


def refuse(folder: Path, trusted_types: tuple[str, ...], *, digest: str, config: ModelConfig) -> Any:
    msg = "contains types that are not trusted: evil.Type; add them to HOMEOSTAT_TRUSTED_TYPES"
    raise UntrustedType(msg)


#: Models whose loads wait for MAY_LOAD, for :func:`load_others`; every load, by model, in order.
HELD: set[str] = set()
LOADED: list[str] = []


def load_others(folder: Path, trusted_types: tuple[str, ...], *, digest: str, config: ModelConfig) -> Any:
    LOADED.append(config.name)
    if config.name in HELD:
        MAY_LOAD.wait(120)
    return gateway_harness.load(folder, trusted_types, digest=digest, config=config)
