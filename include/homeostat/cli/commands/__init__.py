"""The commands behind the command line."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from homeostat.cli.commands.audit import recompute_history
    from homeostat.cli.commands.backtest import backtest_model
    from homeostat.cli.commands.check_retrain import check_now, retrain_now
    from homeostat.cli.commands.drift import compare_files
    from homeostat.cli.commands.explain import explain_decision
    from homeostat.cli.commands.gateway_new import serve_gateway, write_new
    from homeostat.cli.commands.quickstart import write_quickstart
    from homeostat.cli.commands.replay import replay_rows
    from homeostat.cli.commands.status_control import promote_now, rollback_now, show_status

__all__ = [
    "backtest_model",
    "check_now",
    "compare_files",
    "explain_decision",
    "promote_now",
    "recompute_history",
    "replay_rows",
    "retrain_now",
    "rollback_now",
    "serve_gateway",
    "show_status",
    "write_new",
    "write_quickstart",
]

_WHERE = {
    "backtest_model": "backtest",
    "check_now": "check_retrain",
    "compare_files": "drift",
    "explain_decision": "explain",
    "promote_now": "status_control",
    "recompute_history": "audit",
    "replay_rows": "replay",
    "retrain_now": "check_retrain",
    "rollback_now": "status_control",
    "serve_gateway": "gateway_new",
    "show_status": "status_control",
    "write_new": "gateway_new",
    "write_quickstart": "quickstart",
}


def __getattr__(name: str) -> Any:
    """Import a command on first use: `homeostat rollback` must not wait for pandas and SciPy."""
    if name not in _WHERE:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
