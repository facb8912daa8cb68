"""Handle one event in a fresh interpreter, as in a cold container; print its costs as JSON in the last line.

    python cold_start.py '{"model": "sample", "window_end": "..."}' [die-at]

``die-at`` is where the process exits: before-send, or before-receipt, which is after the message was sent.
HIDDEN lists packages that cannot be imported, as if they were not installed.
"""

import importlib.abc
import json
import os
import sys
import time
from pathlib import Path
from types import ModuleType


class HidingFinder(importlib.abc.MetaPathFinder):
    """Raise ModuleNotFoundError for these packages."""

    def __init__(self, names: set[str]) -> None:
        self.names = names

    def find_spec(self, name: str, path: object = None, target: ModuleType | None = None) -> None:
        """Raise for a hidden package; leave others to the next finder."""
        if name.partition(".")[0] in self.names:
            msg = f"No module named {name!r}"
            raise ModuleNotFoundError(msg, name=name)


def die_at(point: str) -> None:
    """Exit the process at this point, as if it were killed."""
    from homeostat.adapters.store_s3 import S3Store
    from homeostat.adapters.trigger_queue_sqs import SqsTriggerQueue

    put = S3Store.put

    def dying_put(self: S3Store, key: str, data: bytes, *, overwrite: bool = False) -> None:
        if point == "before-receipt" and key.startswith("triggers/"):
            os._exit(9)
        put(self, key, data, overwrite=overwrite)

    if point == "before-send":
        setattr(SqsTriggerQueue, "send", lambda self, message: os._exit(9))  # noqa: B010  # mypy: a method
    setattr(S3Store, "put", dying_put)  # noqa: B010


def peak_mb() -> float:
    """Return the peak memory of this program; getrusage would count the parent's at the fork as well."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def main() -> None:
    """Import, check, report."""
    sys.meta_path.insert(0, HidingFinder({name for name in os.environ.get("HIDDEN", "").split(",") if name}))
    before = set(sys.modules)
    start = time.perf_counter()
    from homeostat.aws.lambda_handler import handler

    imported = time.perf_counter()
    if len(sys.argv) > 2:
        die_at(sys.argv[2])
    result = handler(json.loads(sys.argv[1]), None)
    done = time.perf_counter()
    report = {
        "import_seconds": imported - start,
        "check_seconds": done - imported,
        "peak_mb": peak_mb(),
        "result": result,
        "modules": sorted(set(sys.modules) - before),
    }
    print(json.dumps(report))  # noqa: T201  # read by the caller


if __name__ == "__main__":
    main()
