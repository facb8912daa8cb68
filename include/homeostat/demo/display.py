"""The live display of the demo on a terminal; plain lines elsewhere."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

MARKS = {"wait": "[dim]·[/]", "run": "[yellow]▶[/]", "ok": "[green]✔[/]", "bad": "[red]✘[/]"}


@dataclass(slots=True)
class Line:
    """One stage on the display."""

    title: str
    state: str = "wait"
    note: str = ""
    began: float = 0.0
    seconds: float = 0.0


class Display:
    """Stages, the last windows, and addresses; thread-safe."""

    def __init__(self, console: Console, title: str, stages: list[tuple[str, str]]) -> None:
        self.console = console
        self.title = title
        self.stages = {name: Line(text) for name, text in stages}
        self.windows: list[tuple[str, str, str, str, str]] = []
        self.links: list[tuple[str, str]] = []
        self.traffic = ""
        self._lock = threading.RLock()
        self._live = (
            Live(console=console, get_renderable=self.render, refresh_per_second=4)
            if console.is_terminal
            else None
        )

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.__exit__(*error)  # type: ignore[arg-type]

    def begin(self, name: str) -> None:
        """Show that a stage has started."""
        with self._lock:
            line = self.stages[name]
            line.state, line.began = "run", time.monotonic()
        self._say(f"{line.title} ...")

    def note(self, name: str, text: str) -> None:
        """Show what a stage is doing."""
        with self._lock:
            changed = self.stages[name].note != text
            self.stages[name].note = text
        if changed:
            self._say(f"  {text}")

    def end(self, name: str, *, ok: bool, note: str) -> float:
        """Show that a stage has ended; return its seconds."""
        with self._lock:
            line = self.stages[name]
            line.state, line.note = ("ok" if ok else "bad"), note
            line.seconds = time.monotonic() - line.began
        self._say(f"{'ok' if ok else 'FAILED'}  {line.title} ({line.seconds:.0f} s): {note}")
        return line.seconds

    def window(self, when: str, share: str, performance: str, accuracy: str, verdict: str) -> None:
        """Show the result of one window's check."""
        with self._lock:
            self.windows.append((when, share, performance, accuracy, verdict))
        self._say(
            f"  window to {when}: features drifted {share}, performance {performance}, accuracy {accuracy}: "
            f"{verdict}"
        )

    def _say(self, text: str) -> None:
        if self._live is None:
            self.console.print(text, highlight=False, markup=False)

    def render(self) -> RenderableType:
        """Return the whole display."""
        with self._lock:
            return Group(
                Panel(
                    self._stages(), title=f"[bold]{self.title}[/]", title_align="left", border_style="blue"
                ),
                *([self._windows()] if self.windows else []),
                *([Text.from_markup(self.traffic)] if self.traffic else []),
                *([self._links()] if self.links else []),
            )

    def _stages(self) -> Table:
        table = Table.grid(padding=(0, 1))
        table.add_column(width=1)
        table.add_column(no_wrap=True)
        table.add_column(justify="right", no_wrap=True)
        table.add_column(overflow="fold")
        for line in self.stages.values():
            seconds = time.monotonic() - line.began if line.state == "run" else line.seconds
            style = {"run": "bold", "wait": "dim"}.get(line.state, "")
            table.add_row(
                Text.from_markup(MARKS[line.state]),
                Text(line.title, style=style),
                Text(f"{seconds:.0f} s" if line.state != "wait" else "", style="dim"),
                Text(line.note, style="" if line.state == "bad" else "dim"),
            )
        return table

    def _windows(self) -> Table:
        table = Table(box=None, padding=(0, 2), header_style="dim")
        for column in ("window to (UTC)", "features drifted", "performance", "accuracy", "decision"):
            table.add_column(column, no_wrap=True)
        for row in self.windows[-8:]:
            style = "bold yellow" if row[-1].startswith("RETRAIN") else ""
            table.add_row(*row, style=style)
        return table

    def _links(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for name, text in self.links:
            table.add_row(Text(name, style="bold"), Text(text))
        return table
