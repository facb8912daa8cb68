"""Compare two tables column by column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homeostat.api.tables import Data, opened

if TYPE_CHECKING:
    from homeostat.cli.commands.drift_result import TableComparison


@dataclass(frozen=True, slots=True)
class Drift:
    """How a table differs from a reference; notebooks show it as a table.

    Attributes
    ----------
    verdict
        ``alert`` when so many columns drifted that the table has, ``pass``, or ``not_computable``.
    reason
        The verdict in one sentence.
    columns
        The verdict of each column, by its name.
    """

    verdict: str
    reason: str
    columns: Mapping[str, str]
    _found: TableComparison = field(repr=False, compare=False)

    @property
    def drifted(self) -> bool:
        """Whether the verdict is ``alert``."""
        return self.verdict == "alert"

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON, as ``homeostat drift --json`` prints it; docs/drift.md lists the keys."""
        return self._found.to_json()

    def to_html(self) -> str:
        """Return a page that loads nothing else, with a chart for each column that alerts."""
        from homeostat.cli.commands.drift_page import drift_page

        return drift_page(self._found)

    def _repr_html_(self) -> str:
        from homeostat.cli.commands.drift_table import format_missing, format_number, format_p_value, ranked
        from homeostat.figures.html import render

        rows = [
            (
                column,
                format_number(column.stats.effect),
                format_p_value(column.stats.p_adjusted),
                format_number(column.stats.psi),
                format_missing(column),
            )
            for column in ranked(self._found)
        ]
        return render(
            "homeostat.api", "drift_table.html", verdict=self.verdict, reason=self.reason, rows=rows
        )


def drift(
    reference: Data,
    current: Data,
    *,
    model: str | PathLike[str] | None = None,
    date_formats: Mapping[str, str] | None = None,
) -> Drift:
    """Compare every column of two tables.

    Parameters
    ----------
    reference, current
        The data to compare with, and the data to check: a path or ``s3://`` address of CSV or Parquet (a
        file or a folder), a pandas DataFrame, an Arrow table, or an object with ``__arrow_c_stream__``.
    model
        A model.yaml or its folder: types, features and thresholds. Without it every column that both tables
        have counts, and 20 rows are enough.
    date_formats
        How a column's dates are written, by its name: a format of ``strptime``, or the unit of numbers since
        1970 (``s``, ``ms``, ``us``, ``ns``).

    Raises
    ------
    HomeostatError
        A table cannot be read, or they have no column in common; the message says what to do.
    """
    from homeostat.cli.commands.drift import MIN_ROWS, load_any_folder
    from homeostat.cli.commands.drift_compare import compare_tables
    from homeostat.config.model import Monitor

    config = load_any_folder(Path(model)) if model is not None else None
    monitor = config.monitor if config else Monitor(min_rows=MIN_ROWS)
    with opened(reference, "reference") as before, opened(current, "current") as now:
        found = compare_tables(before, now, monitor, config, lambda _done: None, date_formats or {})
    found = replace(found, reference=_shown(reference), current=_shown(current))
    return Drift(found.verdict, found.reason, {each.name: each.verdict for each in found.columns}, found)


def _shown(data: Data) -> str:
    return str(data) if isinstance(data, str | PathLike) else f"a {type(data).__name__} in memory"
