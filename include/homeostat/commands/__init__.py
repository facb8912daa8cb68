"""What the command line does once it knows what is wanted."""

from homeostat.commands.backtest import backtest_model
from homeostat.commands.drift import compare_files
from homeostat.commands.loop import check_now, retrain_now
from homeostat.commands.rows import replay_rows
from homeostat.commands.run import serve_gateway, write_new
from homeostat.commands.traffic import promote_now, rollback_now, show_status

__all__ = [
    "backtest_model",
    "check_now",
    "compare_files",
    "promote_now",
    "replay_rows",
    "retrain_now",
    "rollback_now",
    "serve_gateway",
    "show_status",
    "write_new",
]
