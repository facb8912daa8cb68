"""A comparison for people in a terminal: alerts first, a sentence at the end, however narrow it is."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from homeostat.commands.console import out
from homeostat.commands.drift_files import Comparison, Entry

#: Columns of a terminal from which on the reasons stand in the table; below, they follow it.
WIDE = 120
#: What a verdict is called, and how it is coloured.
MARKS = {
    "alert": ("ALERT", "bold red"),
    "not_computable": ("no verdict", "yellow"),
    "pass": ("pass", "green"),
}
_ORDER = ("alert", "not_computable", "pass")


def show(found: Comparison, console: Console = out) -> None:
    """Print the table, what is wrong with the columns themselves, and the verdict."""
    wide = console.width >= WIDE
    entries = ranked(found)
    if entries:
        console.print(_table(entries, wide=wide))
    if not wide:
        for entry in entries:
            if entry.verdict != "pass" and not _only_shifted(entry):
                mark, style = MARKS[entry.verdict]
                line = Text.assemble((mark, style), " ", (entry.name, "bold"), ": ", entry.figures.reason)
                console.print(line)
    for finding in found.schema:
        style = {"critical": "bold red", "warning": "yellow"}.get(finding.severity, "dim")
        kind = finding.kind.replace("_", " ")
        console.print(Text.assemble((kind, style), " ", (finding.column, "bold"), ": ", finding.detail))
    mark, style = MARKS[found.verdict]
    before, now = found.rows
    console.print(Text.assemble((mark, style), ": ", sentence(found), f" ({now:,} rows against {before:,})"))


def ranked(found: Comparison) -> list[Entry]:
    """Alerts first, the largest effect at the top; then what is not known; then the rest in its order."""

    def key(item: tuple[int, Entry]) -> tuple[int, float, int]:
        at, entry = item
        effect = entry.figures.effect or 0.0
        return _ORDER.index(entry.verdict), -effect if entry.verdict == "alert" else 0.0, at

    return [entry for _, entry in sorted(enumerate(found.entries), key=key)]


def sentence(found: Comparison) -> str:
    """The verdict's reason, with what it leaves out: alerts that are no drift, and columns left out."""
    text = found.reason
    others = [e.name for e in found.entries if e.verdict == "alert" and not e.figures.drifted]
    if others:
        text += f"; {len(others)} more with an alert of another kind ({_few(others)})"
    if found.verdict == "pass" and found.drifted_share:
        text += f", fewer than the {found.monitor.drifted_share:.0%} from which on all are called drifted"
    return text


def percent(share: float | None) -> str:
    """A share as people read it; a dash when there is none."""
    if share is None:
        return "-"
    return "0%" if share == 0 else "100%" if share == 1 else f"{share:.1%}"


def number(value: float | None, digits: int = 3) -> str:
    """A figure with three places; a dash when there is none."""
    return "-" if value is None else f"{value:.{digits}f}"


def chance(p: float | None) -> str:
    """A p-value in few characters."""
    if p is None:
        return "-"
    return "<1e-99" if p < 1e-99 else f"{p:.3f}" if p >= 0.001 else f"{p:.0e}"


def missing(entry: Entry) -> str:
    """The missing rate, and what it was when it was something else."""
    before, now = percent(entry.figures.missing_reference), percent(entry.figures.missing_current)
    return now if before == now else f"{before} → {now}"


def _table(entries: list[Entry], *, wide: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), collapse_padding=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("column", overflow="fold", min_width=8)
    if wide:
        table.add_column("kind", no_wrap=True)
    table.add_column("effect", justify="right", no_wrap=True)
    for name in ("p", "PSI", "missing"):
        table.add_column(name, justify="right", no_wrap=True)
    if wide:
        table.add_column("reason", ratio=1, overflow="fold")
    for entry in entries:
        figures = entry.figures
        compared = figures.effect is not None
        effect = f"{'KS' if figures.kind == 'number' else 'V'} {figures.effect:.3f}" if compared else "-"
        cells: list[Text | str] = [
            Text(*MARKS[entry.verdict]),
            Text(entry.name),
            *([Text(entry.kind or "-", "dim")] if wide else []),
            effect,
            chance(figures.p_adjusted),
            number(figures.psi),
            missing(entry),
            *([Text(figures.reason, "" if entry.verdict != "pass" else "dim")] if wide else []),
        ]
        table.add_row(*cells)
    return table


def _only_shifted(entry: Entry) -> bool:
    """Whether the reason says no more than the figures of the table."""
    reason = entry.figures.reason
    return reason.startswith("distribution shifted") and ";" not in reason


def _few(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
