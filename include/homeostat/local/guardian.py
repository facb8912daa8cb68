"""``python -m homeostat.local.guardian RECORDS``: stops what is recorded there as soon as its parent is gone.

The parent holds the other end of standard input. However the parent ends, SIGKILL included, that end closes.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from homeostat.local.processes import sweep


def main(records: Path) -> None:
    """Wait for the end of input, then end every recorded service."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a Ctrl-C in the terminal is the parent's to answer
    sys.stdin.buffer.read()
    sweep(records)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
