"""Import of the core: processor time and packages.

    PYTHONPATH=include python benchmarks/core_import.py [--write] [--runs 15]

Each run is a fresh interpreter; its processor time is compared with that of one that imports nothing.
`homeostat.cli.app` is what every command imports. The standard library does not count as packages.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
#: Limits of an import, in seconds of processor time and in packages.
MAX_SECONDS, MAX_PACKAGES = 0.3, 15
MODULES = ("homeostat", "homeostat.cli.app")
CODE = """
import time
import sys
before = set(sys.modules)
{statement}
new = {{name.partition(".")[0] for name in set(sys.modules) - before}} - set(sys.stdlib_module_names)
print(time.process_time(), len(new - {{"homeostat"}}))
"""


def run_fresh(statement: str) -> tuple[float, int]:
    """Return the processor seconds of a fresh interpreter and how many packages the statement imported."""
    code = CODE.format(statement=statement)
    done = subprocess.run(  # noqa: S603  # our own code
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    seconds, packages = done.stdout.split()
    return float(seconds), int(packages)


def main() -> None:
    """Print the table; save it with ``--write``. Fail when an import exceeds its limit."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=int, default=15, help="fresh interpreters for each module")
    parser.add_argument("--write", action="store_true", help="save to benchmarks/core_import.md")
    args = parser.parse_args()
    seconds: dict[str, list[float]] = {module: [] for module in MODULES}
    packages: dict[str, int] = {}
    for _ in range(args.runs):
        bare, _packages = run_fresh("pass")
        for module in MODULES:
            took, packages[module] = run_fresh(f"import {module}")
            seconds[module].append(took - bare)
    slow = {module: statistics.median(took) for module, took in seconds.items()}
    rows = [
        f"| `import {module}` | {slow[module]:.3f} s | {min(took):.3f} to {max(took):.3f} | {count} |"
        for (module, took), count in zip(seconds.items(), packages.values(), strict=True)
    ]
    where = f"Python {sys.version.split()[0]} on {os.cpu_count()} cores"
    limits = f"Limits: {MAX_SECONDS:g} s of processor time, {MAX_PACKAGES} packages."
    header = ["| | median | range | packages |", "|---|---:|---:|---:|"]
    text = "\n".join([f"{args.runs} fresh interpreters each, {where}. {limits}", "", *header, *rows])
    print(text)
    if args.write:
        command = f"PYTHONPATH=include python benchmarks/core_import.py --write --runs {args.runs}"
        about = (__doc__ or "").rpartition("\n\n")[2].strip()
        page = f"# Import of the core\n\nMade by `{command}`.\n\n{about}\n\n{text}\n"
        (HERE / "core_import.md").write_text(page, encoding="utf-8")
    if max(slow.values()) > MAX_SECONDS or max(packages.values()) > MAX_PACKAGES:
        sys.exit(f"more than the limits: {slow} s, {packages} packages")


if __name__ == "__main__":
    main()
