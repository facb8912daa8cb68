"""The gateway: serves champions and canaries over HTTP and rolls bad versions back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from homeostat.serving.http.app import create_app
    from homeostat.serving.options import Options
    from homeostat.serving.server.serve import run

__all__ = ["Options", "create_app", "run"]

_MODULES = {"Options": "options", "create_app": "http.app", "run": "server.serve"}


def __getattr__(name: str) -> Any:
    """Import a public name on first use: the shadow process starts without the web server."""
    import importlib

    if name not in _MODULES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
