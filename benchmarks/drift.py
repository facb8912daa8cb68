"""Time Homeostat's drift check and its peers on the same data in the same run, set-up and check separately.

    make bench                                                        builds what is missing, then runs this
    PYTHONPATH=include .venv/bin/python benchmarks/drift.py --write   writes benchmarks/drift.md too

Every tool runs in its own process and environment, one after the other, and the whole round is repeated,
so that a slow minute of the machine affects all of them. Medians are shown.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from drift_data import MOVED_CATEGORIES, MOVED_NUMBERS, ROWS, SHIFT, write_all, write_long

HERE = Path(__file__).resolve().parent
VENVS = HERE.parent / ".venv-bench"
OWN = Path(sys.executable)
COLUMNS = 35

#: Which Python, and which runner in peers/ with its arguments; Homeostat first.
TOOLS: dict[str, tuple[Path, tuple[str, ...]]] = {
    "homeostat": (OWN, ("run_homeostat.py",)),
    "nannyml": (VENVS / "nannyml/bin/python", ("run_nannyml.py",)),
    "alibi-detect": (VENVS / "alibi_detect/bin/python", ("run_alibi_detect.py",)),
    "scipy": (OWN, ("run_scipy.py",)),
    "evidently": (VENVS / "evidently/bin/python", ("run_evidently.py",)),
    "evidently-ks": (VENVS / "evidently/bin/python", ("run_evidently.py", "ks")),
}
Found = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the tables as Markdown, and write them with ``--write``."""
    options = _options(arguments)
    text = "\n".join(report(options))
    print(text)
    if options.write:
        (HERE / "drift.md").write_text(text + "\n")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="rounds over all tools (3)")
    parser.add_argument("--only", nargs="*", choices=TOOLS, default=list(TOOLS), help="some of the tools")
    parser.add_argument("--data", type=Path, default=VENVS / "data", help="where the Parquet files are kept")
    parser.add_argument("--write", action="store_true", help="write benchmarks/drift.md")
    return parser.parse_args(arguments)


def report(options: argparse.Namespace) -> list[str]:
    """All of drift.md, line by line."""
    write_all(options.data)
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    return [
        "# Drift checks, timed",
        "",
        f"Written by `make bench ARGS=--write` ({machine}); medians of {options.repeats} rounds.",
        "What is measured, and how, stands in README.md.",
        "",
        *_beside_peers(options),
        "",
        *_by_itself(options.data),
    ]


def _beside_peers(options: argparse.Namespace) -> list[str]:
    rounds: dict[str, list[Found]] = {tool: [] for tool in options.only}
    for _ in range(options.repeats):
        for tool, results in rounds.items():
            python, (script, *more) = TOOLS[tool]
            if not python.exists():
                sys.exit(f"{python} does not exist: `make bench` builds the environments of all peers")
            results.append(_run(python, HERE / "peers" / script, options.data, *more))
    own = _median(rounds["homeostat"], "check") if "homeostat" in rounds else None
    moved = f"{MOVED_NUMBERS + MOVED_CATEGORIES} of the {COLUMNS} columns have moved"
    return [
        f"## A window of {ROWS['same']:,} rows against a reference of {ROWS['reference']:,}",
        "",
        "| | version | set-up, s | check, s | times Homeostat's | where nothing drifted | where drift is |",
        "|---|---|---:|---:|---:|---|---|",
        *(_row(results, own) for results in rounds.values()),
        "",
        f"30 numeric and 5 categorical columns. Where drift is, {moved}, the numbers by {SHIFT} standard",
        "deviations. The last two columns give the tool's own verdict on the data set and how many columns",
        "it calls drifted.",
    ]


def _row(results: list[Found], own: float | None) -> str:
    one, check = results[0], _median(results, "check")
    times = f"{check / own:.1f}" if own else ""
    cells = (
        one["name"],
        one["version"],
        f"{_median(results, 'set_up'):.3f}",
        f"{check:.3f}",
        times,
        _answer(one["answers"]["same"]),
        _answer(one["answers"]["shifted"]),
    )
    return f"| {' | '.join(cells)} |"


def _answer(found: tuple[bool | None, int]) -> str:
    verdict, columns = found
    words = {True: "drift", False: "no drift", None: "none given"}
    return f"{words[verdict]}, {columns} of {COLUMNS}"


def _by_itself(data: Path) -> list[str]:
    """Return the measurements without peers, each from its own process."""

    def scale(*arguments: object) -> Found:
        return _run(OWN, HERE / "drift_scale.py", *arguments)

    size, length = (scale(what, data) for what in ("size", "length"))
    memory = {}
    for rows in (1_000_000, 4_000_000):
        write_long(data, rows)
        memory[rows] = scale("memory", data, rows)
    return [
        "## The check by itself",
        "",
        "| | |",
        "|---|---:|",
        f"| check of 100,000 rows, reference of 200,000 rows, ms | {1e3 * length['200k']:.0f} |",
        f"| check of 100,000 rows, reference of 2,000,000 rows, ms | {1e3 * length['2M']:.0f} |",
        f"| hourly check out of the prediction log, window of 1 day, ms | {1e3 * length['1 day']:.0f} |",
        f"| hourly check out of the prediction log, window of 7 days, ms | {1e3 * length['7 days']:.0f} |",
        f"| reference profile, bytes a feature | {size['mean']:,.0f} |",
        f"| ... of the feature that needs most | {size['largest']:,.0f} |",
        *(
            f"| peak memory of counting {rows:,} rows from Parquet, MB (before: {found['before']:.0f}) "
            f"| {found['peak']:.0f} |"
            for rows, found in memory.items()
        ),
    ]


def _run(python: Path, script: Path, *arguments: object) -> Found:
    env = {**os.environ, "PYTHONWARNINGS": "ignore"}
    if python != OWN:
        env.pop("PYTHONPATH", None)
    command = [str(python), str(script), *map(str, arguments)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)  # noqa: S603  # our own scripts
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    found: Found = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def _median(results: list[Found], key: str) -> float:
    return statistics.median(result[key] for result in results)


if __name__ == "__main__":
    main()
