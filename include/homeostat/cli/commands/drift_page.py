"""A comparison as one HTML file: it loads nothing else, and shows everything without scripts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from homeostat.cli.commands.drift_result import ColumnResult, TableComparison
from homeostat.cli.commands.drift_svg import BAR_HEIGHT, chart_of
from homeostat.cli.commands.drift_table import (
    VERDICT_TEXTS,
    format_missing,
    format_number,
    format_p_value,
    format_percent,
    ranked,
    summary,
)
from homeostat.figures.html import render

#: What an abbreviated heading of the table means.
_HEADINGS = {
    "effect": "KS distance of numbers and dates, Cramer's V of categories",
    "±": "upper limit of how much the true KS distance exceeds the one shown",
    "p": "p-value, corrected for the number of columns",
    "PSI": "population stability index",
    "chi²": "chi-square statistic",
    "JS": "Jensen-Shannon divergence in bits",
    "W": "Wasserstein distance in the reference's interquartile ranges",
    "missing": "share of rows without a value",
    "unseen": "share of values that the reference does not have",
}


@dataclass(frozen=True, slots=True)
class _Cell:
    """A number of the table: what to sort by, and what to show."""

    value: float | None
    text: str


def drift_page(found: TableComparison) -> str:
    """Return the page: verdict, schema findings, alerts with charts, and the statistics of every column."""
    columns = ranked(found)
    return render(
        "homeostat.cli.commands",
        "drift_page.html",
        found=found,
        summary=summary(found),
        verdict_texts={verdict: text.lower() for verdict, (text, _) in VERDICT_TEXTS.items()},
        alerts=[(column, chart_of(column)) for column in columns if column.verdict == "alert"],
        rows=[(column, _cells(column)) for column in columns],
        headings=_HEADINGS,
        percent=format_percent,
        bar_height=BAR_HEIGHT,
        created_at=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    )


def _cells(column: ColumnResult) -> dict[str, _Cell]:
    """Return the numbers of a column's row, by their heading."""
    stats = column.stats
    return {
        "effect": _Cell(stats.effect, format_number(stats.effect)),
        "±": _Cell(stats.ks_error, format_number(stats.ks_error)),
        "p": _Cell(stats.p_adjusted, format_p_value(stats.p_adjusted)),
        "PSI": _Cell(stats.psi, format_number(stats.psi)),
        "chi²": _Cell(stats.chi2, format_number(stats.chi2, 1)),
        "JS": _Cell(stats.js, format_number(stats.js)),
        "W": _Cell(stats.wasserstein, format_number(stats.wasserstein)),
        "missing": _Cell(stats.missing_current, format_missing(column)),
        "unseen": _Cell(stats.unseen_share, format_percent(stats.unseen_share)),
    }
