"""``python -m homeostat.dev_stack.orphan_reaper RECORDS OWNER``: kills the services of an ended process.

The process OWNER holds the other end of standard input, which closes however it ends, by SIGKILL too.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from homeostat.dev_stack.processes import kill_orphans


def main(records: Path, owner: int) -> None:
    """Wait for the end of input, then kill every service that ``owner`` recorded."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the owner handles Ctrl-C
    sys.stdin.buffer.read()
    kill_orphans(records, owner=owner)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
