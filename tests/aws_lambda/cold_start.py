"""One event in a fresh interpreter, as in a cold container; prints what it cost as JSON in its last line.

    python cold_start.py '{"model": "toy", "window_end": "..."}' [die-at]

``die-at`` names the point at which the process is killed: before-send, or before-receipt, after it was sent.
HIDDEN names packages that are to be found by nobody, as if they were not installed.
"""

import importlib.abc
import json
import os
import sys
import time
from pathlib import Path
from types import ModuleType


class Hidden(importlib.abc.MetaPathFinder):
    """Says of these packages that they are not there."""

    def __init__(self, names: set[str]) -> None:
        self.names = names

    def find_spec(self, name: str, path: object = None, target: ModuleType | None = None) -> None:
        """Refuse them; others are for the next finder."""
        if name.partition(".")[0] in self.names:
            msg = f"No module named {name!r}"
            raise ModuleNotFoundError(msg, name=name)


def die_at(point: str) -> None:
    """Have the process end there as if it were killed."""
    from homeostat.adapters.store_s3 import S3Store
    from homeostat.adapters.trigger_queue_sqs import SqsTriggers

    put = S3Store.put

    def dying_put(self: S3Store, key: str, data: bytes, *, overwrite: bool = False) -> None:
        if point == "before-receipt" and key.startswith("triggers/"):
            os._exit(9)
        put(self, key, data, overwrite=overwrite)

    if point == "before-send":
        SqsTriggers.send = lambda self, message: os._exit(9)
    S3Store.put = dying_put


def peak_mb() -> float:
    """The most memory so far, of this program alone: getrusage counts what the parent had at the fork too."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def main() -> None:
    """Import, check, tell."""
    sys.meta_path.insert(0, Hidden({name for name in os.environ.get("HIDDEN", "").split(",") if name}))
    before = set(sys.modules)
    began = time.perf_counter()
    from homeostat.aws.lambda_handler import handler

    imported = time.perf_counter()
    if len(sys.argv) > 2:
        die_at(sys.argv[2])
    answer = handler(json.loads(sys.argv[1]), None)
    done = time.perf_counter()
    told = {
        "import_seconds": imported - began,
        "check_seconds": done - imported,
        "peak_mb": peak_mb(),
        "answer": answer,
        "modules": sorted(set(sys.modules) - before),
    }
    print(json.dumps(told))  # noqa: T201  # read by whoever started this


if __name__ == "__main__":
    main()
