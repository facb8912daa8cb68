"""Empty a state folder, whatever an earlier run left in it."""

from __future__ import annotations

import shutil
from pathlib import Path

from homeostat.dev_stack.processes import kill_orphans
from homeostat.dev_stack.state_lock import state_lock


def clear_state(state: Path) -> None:
    """Kill the processes that an earlier run left, and remove everything below ``state``.

    Raises
    ------
    Refused
        A platform uses this state folder.
    """
    with state_lock(state):
        records = state / "run"
        if records.is_dir():
            kill_orphans(records)
        for path in state.iterdir():
            if path.name != "lock":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
