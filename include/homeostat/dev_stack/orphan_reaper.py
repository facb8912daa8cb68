"""``python -m homeostat.dev_stack.orphan_reaper RECORDS OWNER``: stops what OWNER left running.

The owner holds the other end of standard input. However the owner ends, SIGKILL included, that end closes.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from homeostat.dev_stack.processes import sweep


def main(records: Path, owner: int) -> None:
    """Wait for the end of input, then end every service that this owner recorded."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a Ctrl-C in the terminal is the owner's to answer
    sys.stdin.buffer.read()
    sweep(records, owner=owner)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
