"""Print a comparison as a table for any width of terminal: alerts first, the verdict as the last sentence."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from homeostat.cli.commands.drift_result import ColumnResult, TableComparison
from homeostat.cli.console import out
from homeostat.core.drift.feature import LEAST_P_VALUE

#: A terminal of this width shows the reasons in the table; a narrower one shows them below it.
WIDE = 120
# Columns of the table, and the width of terminal that each needs.
_COLUMNS = (
    *(("verdict", 0), ("column", 0), ("kind", WIDE), ("effect", 0), ("p", 0)),
    *(("PSI", 64), ("missing", 72), ("reason", WIDE)),
)
#: The text and the style of each verdict.
VERDICT_TEXTS = {
    "alert": ("ALERT", "bold red"),
    "not_computable": ("no verdict", "yellow"),
    "pass": ("pass", "green"),
}
_READING_LINES = 10
_ORDER = ("alert", "not_computable", "pass")


def print_table(found: TableComparison, console: Console = out) -> None:
    """Print the table, the schema findings, and the verdict."""
    wide = console.width >= WIDE
    columns = ranked(found)
    if columns:
        console.print(_table(columns, width=console.width))
    findings = [item for item in found.schema if item.kind in ("missing", "new", "retyped")]
    reported = {item.column for item in findings if item.kind != "retyped"}
    for column in [] if wide else columns:
        if column.verdict != "pass" and column.name not in reported and not _only_shifted(column):
            text, style = VERDICT_TEXTS[column.verdict]
            console.print(Text.assemble((text, style), " ", (column.name, "bold"), ": ", column.stats.reason))
    for finding in findings:
        style = {"critical": "bold red", "warning": "yellow"}.get(finding.severity, "dim")
        console.print(
            Text.assemble((finding.kind, style), " ", (finding.column, "bold"), ": ", finding.detail)
        )
    for line in [] if wide else _reading_lines(columns):
        console.print(line)
    for note in found.notes:
        console.print(Text(note, "yellow"))
    text, style = VERDICT_TEXTS[found.verdict]
    rows = f"{found.rows.current:,} rows against {found.rows.reference:,}"
    console.print(Text.assemble((text, style), ": ", summary(found), f". {rows}."))


def _reading_lines(columns: Sequence[ColumnResult]) -> list[Text]:
    """Return how columns that pass were read, unread values first; a narrow table does not show it."""
    named: dict[str, list[str]] = {}
    for column in sorted(columns, key=lambda column: not any(column.unread)):
        if column.verdict == "pass" and column.read_as:
            named.setdefault(column.read_as, []).append(column.name)
    lines = [Text.assemble((_first_names(names), "bold"), ": ", read_as) for read_as, names in named.items()]
    left = sum(map(len, list(named.values())[_READING_LINES:]))
    more = f"{left} more columns that pass have notes on how they were read: --json and --html show them"
    return [*lines[:_READING_LINES], *([Text(more, "dim")] if left else [])]


def ranked(found: TableComparison) -> list[ColumnResult]:
    """Return alerts first, by effect; then columns without a verdict; then the others, in their order."""

    def key(item: tuple[int, ColumnResult]) -> tuple[int, float, int]:
        at, column = item
        effect = column.stats.effect or 0.0
        return _ORDER.index(column.verdict), -effect if column.verdict == "alert" else 0.0, at

    return [column for _, column in sorted(enumerate(found.columns), key=key)]


def summary(found: TableComparison) -> str:
    """Return the verdict's reason, other alerts, and missing columns."""
    text = found.reason
    if found.verdict == "pass" and found.drifted_share:
        text += f", below the limit of {found.monitor.drifted_share:.0%}"
    others = [
        column.name
        for column in found.columns
        if column.verdict == "alert" and not (column.in_share and column.stats.drifted)
    ]
    if others:
        text += f". Also alerting: {_first_names(others)}"
    missing = [item.column for item in found.schema if item.kind == "missing"]
    if missing:
        text += f". Missing: {_first_names(missing)}"
    return text


def format_percent(share: float | None) -> str:
    """Return a share in percent, a dash for None."""
    if share is None:
        return "-"
    return "0%" if share == 0 else "100%" if share == 1 else f"{share:.1%}"


def format_number(value: float | None, digits: int = 3) -> str:
    """Return a number with so many decimals, a dash for None."""
    return "-" if value is None else f"{value:.{digits}f}"


def format_p_value(p: float | None) -> str:
    """Return a p-value in few characters, a dash for None."""
    if p is None:
        return "-"
    if p < LEAST_P_VALUE:
        return f"<{LEAST_P_VALUE:g}"
    return f"{p:.3f}" if p >= 0.001 else f"{p:.0e}"


def format_missing(column: ColumnResult) -> str:
    """Return the missing rate, and the reference's when it differs."""
    before = format_percent(column.stats.missing_reference)
    now = format_percent(column.stats.missing_current)
    return now if before == now else f"{before} → {now}"


def _table(columns: list[ColumnResult], *, width: int) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), collapse_padding=True)
    shown = [name for name, least in _COLUMNS if width >= least]
    for name in shown:
        if name in ("column", "reason"):
            table.add_column(name, overflow="fold", min_width=8, ratio=1 if name == "reason" else None)
        else:
            right = name in ("effect", "p", "PSI", "missing")
            table.add_column(name, no_wrap=True, justify="right" if right else "left")
    for column in columns:
        cells = _cells(column)
        table.add_row(*(cells[name] for name in shown))
    return table


def _cells(column: ColumnResult) -> dict[str, Text]:
    stats = column.stats
    effect = f"{'KS' if stats.kind == 'number' else 'V'} {format_number(stats.effect)}"
    return {
        "verdict": Text(*VERDICT_TEXTS[column.verdict]),
        "column": Text(column.name),
        "kind": Text(column.kind or "-", "dim"),
        "effect": Text("-" if stats.effect is None else effect),
        "p": Text(format_p_value(stats.p_adjusted)),
        "PSI": Text(format_number(stats.psi)),
        "missing": Text(format_missing(column)),
        "reason": Text(stats.reason, "dim" if column.verdict == "pass" else ""),
    }


def _only_shifted(column: ColumnResult) -> bool:
    """Return whether the reason repeats only what the table shows."""
    reason = column.stats.reason
    return reason.startswith("distribution shifted") and ";" not in reason


def _first_names(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
