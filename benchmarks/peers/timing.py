"""What every runner does: read the same files, time set-up and checks apart, print one line of JSON.

A runner is started with the Python of its own environment, so this file needs nothing but pandas.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

NUMBERS = [f"number_{at:02}" for at in range(30)]
CATEGORIES = [f"category_{at}" for at in range(5)]
#: Rows of the first check, which is not timed: it imports what is imported late.
FEW = 500


def run(
    name: str,
    version: str,
    set_up: Callable[[pd.DataFrame], Any],
    check: Callable[[Any, pd.DataFrame], Any],
    read: Callable[[Any], tuple[bool | None, int]],
    *,
    prepare: Callable[[pd.DataFrame], Any] = lambda frame: frame,
) -> None:
    """Time one tool on the files in ``sys.argv[1]``.

    Parameters
    ----------
    set_up
        Reference to whatever the tool keeps of it.
    check
        That and a window to the tool's answer.
    read
        The answer as the tool's own verdict on the data set (None when it has none) and how many of the 35
        columns it calls drifted; not timed.
    prepare
        A frame as the tool wants it; not timed.
    """
    folder = Path(sys.argv[1])
    reference, same, shifted = (
        prepare(pd.read_parquet(folder / f"{part}.parquet")) for part in ("reference", "same", "shifted")
    )
    check(set_up(reference[: 2 * FEW]), same[:FEW])
    kept, seconds = _timed(set_up, reference)
    answers, checks = {}, []
    for part, window in (("same", same), ("shifted", shifted)):
        found, taken = _timed(check, kept, window)
        checks.append(taken)
        answers[part] = read(found)
    print(
        json.dumps(
            {
                "name": name,
                "version": version,
                "set_up": seconds,
                "check": sum(checks) / len(checks),
                "answers": answers,
            }
        )
    )


def _timed(work: Callable[..., Any], *given: Any) -> tuple[Any, float]:
    start = time.perf_counter()
    found = work(*given)
    return found, time.perf_counter() - start
