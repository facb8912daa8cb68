"""A comparison for people in a terminal: alerts first, a sentence at the end, however narrow it is."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from homeostat.cli.commands.drift_compare import Comparison, Entry
from homeostat.cli.console import out

#: Columns of a terminal from which on the reasons stand in the table; below, they follow it.
WIDE = 120
# What the table shows, and how wide a terminal has to be for it.
_COLUMNS = (
    *(("verdict", 0), ("column", 0), ("kind", WIDE), ("effect", 0), ("p", 0)),
    *(("PSI", 64), ("missing", 72), ("reason", WIDE)),
)
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
        console.print(_table(entries, width=console.width))
    findings = [item for item in found.schema if item.kind in ("missing", "new", "retyped")]
    said = {item.column for item in findings if item.kind != "retyped"}
    for entry in [] if wide else entries:
        if entry.verdict != "pass" and entry.name not in said and not _only_shifted(entry):
            mark, style = MARKS[entry.verdict]
            console.print(Text.assemble((mark, style), " ", (entry.name, "bold"), ": ", entry.figures.reason))
    for finding in findings:
        style = {"critical": "bold red", "warning": "yellow"}.get(finding.severity, "dim")
        console.print(
            Text.assemble((finding.kind, style), " ", (finding.column, "bold"), ": ", finding.detail)
        )
    mark, style = MARKS[found.verdict]
    before, now = found.rows
    console.print(Text.assemble((mark, style), ": ", sentence(found), f". {now:,} rows against {before:,}."))


def ranked(found: Comparison) -> list[Entry]:
    """Alerts first, the largest effect at the top; then what is not known; then the rest in its order."""

    def key(item: tuple[int, Entry]) -> tuple[int, float, int]:
        at, entry = item
        effect = entry.figures.effect or 0.0
        return _ORDER.index(entry.verdict), -effect if entry.verdict == "alert" else 0.0, at

    return [entry for _, entry in sorted(enumerate(found.entries), key=key)]


def sentence(found: Comparison) -> str:
    """The verdict's reason, and what does not enter into it: other alerts, and columns that are gone."""
    text = found.reason
    if found.verdict == "pass" and found.drifted_share:
        text += f", below the limit of {found.monitor.drifted_share:.0%}"
    others = [e.name for e in found.entries if e.verdict == "alert" and not (e.counted and e.figures.drifted)]
    if others:
        text += f". Also alerting: {_few(others)}"
    gone = [item.column for item in found.schema if item.kind == "missing"]
    if gone:
        text += f". Missing: {_few(gone)}"
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


def _table(entries: list[Entry], *, width: int) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), collapse_padding=True)
    shown = [name for name, least in _COLUMNS if width >= least]
    for name in shown:
        if name in ("column", "reason"):
            table.add_column(name, overflow="fold", min_width=8, ratio=1 if name == "reason" else None)
        else:
            right = name in ("effect", "p", "PSI", "missing")
            table.add_column(name, no_wrap=True, justify="right" if right else "left")
    for entry in entries:
        cells = _cells(entry)
        table.add_row(*(cells[name] for name in shown))
    return table


def _cells(entry: Entry) -> dict[str, Text]:
    figures = entry.figures
    effect = f"{'KS' if figures.kind == 'number' else 'V'} {number(figures.effect)}"
    return {
        "verdict": Text(*MARKS[entry.verdict]),
        "column": Text(entry.name),
        "kind": Text(entry.kind or "-", "dim"),
        "effect": Text("-" if figures.effect is None else effect),
        "p": Text(chance(figures.p_adjusted)),
        "PSI": Text(number(figures.psi)),
        "missing": Text(missing(entry)),
        "reason": Text(figures.reason, "dim" if entry.verdict == "pass" else ""),
    }


def _only_shifted(entry: Entry) -> bool:
    """Whether the reason says no more than the figures of the table."""
    reason = entry.figures.reason
    return reason.startswith("distribution shifted") and ";" not in reason


def _few(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
