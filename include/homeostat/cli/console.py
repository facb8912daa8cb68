"""Output of the command line: text for people, JSON for programs, progress on standard error."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

out = Console()
err = Console(stderr=True)
BY = "command line"


def say(sentence: str, style: str = "") -> None:
    """Print one line on standard output without markup, wrapping or highlighting."""
    out.print(sentence, style=style, markup=False, emoji=False, highlight=False, soft_wrap=True)


#: Text is not wrapped later than this, however wide the terminal is.
_WIDEST = 100


def say_wrapped(text: Text | str, first: Text | str = "", indent: int = 0) -> None:
    """Print text after ``first``, its later lines indented, within the terminal's width.

    Where the output is no terminal the text stays on one line, for programs that search in it.
    """
    text = Text(text) if isinstance(text, str) else text
    lines = text.wrap(out, max(20, min(out.width, _WIDEST) - indent)) if out.is_terminal else [text]
    for number, line in enumerate(lines):
        line.rstrip()
        before = first if number == 0 else " " * indent
        out.print(Text.assemble(before, line), highlight=False, soft_wrap=True)


def shown_path(path: Path) -> str:
    """Return a path as it is shortest to write here: relative to the working directory, if it is below it."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def print_json(value: Any) -> None:
    """Print one JSON value on standard output."""
    sys.stdout.write(json.dumps(value, indent=1, default=str, allow_nan=False) + "\n")


def progress(unit: str = "steps") -> Progress:
    """Return a progress bar on standard error."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        console=err,
        transient=True,
    )


class ProgressLines:
    """Progress where there is no terminal: a line on standard error every few seconds.

    It has the methods of :class:`rich.progress.Progress` that commands use.

    Parameters
    ----------
    unit
        What the steps are, such as ``windows``.
    every
        Seconds between two lines.
    """

    def __init__(
        self, unit: str = "steps", *, every: float = 5.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._unit = unit
        self._every = every
        self._clock = clock
        self._last = clock()
        self._tasks: list[_Task] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def add_task(self, description: str, total: int) -> TaskID:
        """Begin a task of so many steps; return its number."""
        self._tasks.append(_Task(description, total, self._clock()))
        return TaskID(len(self._tasks) - 1)

    def advance(self, task_id: TaskID) -> None:
        """Count one step; print a line when the last one is long ago."""
        self.update(task_id, completed=self._tasks[task_id].done + 1)

    def update(self, task_id: TaskID, *, completed: int, description: str | None = None) -> None:
        """Set the number of steps done, and what they are; print a line when the last one is long ago."""
        from homeostat.config import format_duration

        task, now = self._tasks[task_id], self._clock()
        task.done = completed
        task.description = description or task.description
        if not completed or now - self._last < self._every:
            return
        self._last = now
        seconds = round((now - task.begun) / task.done * (task.total - task.done))
        left = f", about {format_duration(timedelta(seconds=seconds))} left" if seconds else ""
        line = f"{task.description}: {task.done} of {task.total} {self._unit}{left}"
        err.print(line, style="dim", markup=False, highlight=False, soft_wrap=True)


@dataclass(slots=True)
class _Task:
    description: str
    total: int
    begun: float
    done: int = 0
