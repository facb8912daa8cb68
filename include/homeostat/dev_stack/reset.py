"""An empty state folder for a run that starts afresh, whatever the run before it left."""

from __future__ import annotations

import shutil
from pathlib import Path

from homeostat.dev_stack.processes import sweep
from homeostat.dev_stack.state_lock import owner


def clear_state(state: Path) -> None:
    """End what a killed run left behind and remove everything below ``state``.

    Raises
    ------
    Refused
        A platform is running there.
    """
    with owner(state):
        records = state / "run"
        if records.is_dir():
            sweep(records)
        for path in state.iterdir():
            if path.name != "lock":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
