"""What the command line does once it knows what is wanted."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from homeostat.commands.backtest import backtest_model
    from homeostat.commands.drift import compare_files
    from homeostat.commands.history import recompute_history
    from homeostat.commands.loop import check_now, retrain_now
    from homeostat.commands.rows import replay_rows
    from homeostat.commands.run import serve_gateway, write_new
    from homeostat.commands.traffic import promote_now, rollback_now, show_status

__all__ = [
    "backtest_model",
    "check_now",
    "compare_files",
    "promote_now",
    "recompute_history",
    "replay_rows",
    "retrain_now",
    "rollback_now",
    "serve_gateway",
    "show_status",
    "write_new",
]

_WHERE = {
    "backtest_model": "backtest",
    "check_now": "loop",
    "compare_files": "drift",
    "promote_now": "traffic",
    "recompute_history": "history",
    "replay_rows": "rows",
    "retrain_now": "loop",
    "rollback_now": "traffic",
    "serve_gateway": "run",
    "show_status": "traffic",
    "write_new": "run",
}


def __getattr__(name: str) -> Any:
    """Import a command when it is asked for: a rollback by night must not wait for pandas and SciPy."""
    if name not in _WHERE:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
