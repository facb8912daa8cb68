"""Serves champion and candidate over HTTP and takes a bad version back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from homeostat.serving.http.app import create_app
    from homeostat.serving.options import Options
    from homeostat.serving.server.serve import run

__all__ = ["Options", "create_app", "run"]

_WHERE = {"Options": "options", "create_app": "http.app", "run": "server.serve"}


def __getattr__(name: str) -> Any:
    """Import a public name when it is asked for: the shadow process needs no web server to start."""
    import importlib

    if name not in _WHERE:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
