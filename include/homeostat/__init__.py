"""Homeostat keeps machine-learning models healthy without a person watching them.

The names in ``__all__`` and the package :mod:`homeostat_airflow` are the public interface, described in
docs/python-api.md. Every other module is private and may change in any release.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

from homeostat._version import __version__

if TYPE_CHECKING:
    from homeostat.api.backtest import Backtest, backtest
    from homeostat.api.client import AsyncClient, Client, Predictions
    from homeostat.api.drift import Drift, drift
    from homeostat.api.profile import Profile
    from homeostat.config.errors import HomeostatError

# OpenMP's threads spin while they wait for each other: where another process wants the same CPUs, a fit of
# half a second takes a minute. This is read when scikit-learn is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_PUBLIC = {
    "AsyncClient": "api.client",
    "Backtest": "api.backtest",
    "Client": "api.client",
    "Drift": "api.drift",
    "HomeostatError": "config.errors",
    "Predictions": "api.client",
    "Profile": "api.profile",
    "backtest": "api.backtest",
    "drift": "api.drift",
}

__all__ = [
    "AsyncClient",
    "Backtest",
    "Client",
    "Drift",
    "HomeostatError",
    "Predictions",
    "Profile",
    "__version__",
    "backtest",
    "drift",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that importing the package costs nothing."""
    if name not in _PUBLIC:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    found = getattr(importlib.import_module(f"{__name__}.{_PUBLIC[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__
