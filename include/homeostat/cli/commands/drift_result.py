"""The result of comparing two tables: one entry per column, and a verdict for all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from homeostat.config.model import Monitor
from homeostat.core.drift import DriftVerdict, FeatureVerdict, SchemaFinding
from homeostat.core.profile import FeatureCounts

#: Keys of a column in JSON, in this order; a value that does not apply is null.
KEYS = (
    *("kind", "verdict", "reason", "ks", "ks_error", "p_value", "p_adjusted", "psi", "chi2", "cramers_v"),
    *("js", "wasserstein", "missing_reference", "missing_current", "unseen_share"),
    "unseen_values",
    *("read_as", "unread_reference", "unread_current"),
)


#: Prefix of names in a profile: makes a column called "prediction" a feature, not a model output.
COLUMN_PREFIX = "\0"


class RowCounts(NamedTuple):
    """Rows of both tables."""

    reference: int
    current: int


@dataclass(frozen=True, slots=True)
class ColumnResult:
    """One column's statistics and verdict, and the counts behind its chart.

    ``unseen`` has the rows of the most frequent values that the reference lacks.
    ``read_as`` says how its text was read and what could not be read, ``unread`` in how many rows of each
    table: words in a column of numbers or dates.
    """

    stats: FeatureVerdict
    kind: str | None
    in_share: bool  # whether it counts in the drifted share
    reference: FeatureCounts | None = None
    current: FeatureCounts | None = None
    dates: bool = False
    unseen: Mapping[str, int] = field(default_factory=dict)
    read_as: str = ""
    unread: RowCounts = field(default_factory=lambda: RowCounts(0, 0))

    @property
    def name(self) -> str:
        """The column's name."""
        return self.stats.name

    @property
    def verdict(self) -> DriftVerdict:
        """Alert, pass, or not computable."""
        return self.stats.verdict

    def to_json(self) -> dict[str, Any]:
        """Return the documented keys; a value that does not apply is None."""
        found = asdict(self.stats) | {"kind": self.kind, "unseen_values": dict(self.unseen)}
        unread = {"unread_reference": self.unread.reference, "unread_current": self.unread.current}
        found |= {"read_as": self.read_as or None, **unread}
        return {key: found[key] for key in KEYS}


@dataclass(frozen=True, slots=True)
class TableComparison:
    """The result of comparing two tables."""

    reference: str
    current: str
    rows: RowCounts
    monitor: Monitor
    columns: tuple[ColumnResult, ...]
    schema: tuple[SchemaFinding, ...]
    drifted_share: float | None
    verdict: DriftVerdict
    reason: str
    notes: tuple[str, ...] = ()  # on what of the tables is not read

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON: no NaN, no numpy."""
        return {
            "columns": {column.name: column.to_json() for column in self.columns},
            "schema": [asdict(finding) for finding in self.schema],
            "drifted_share": self.drifted_share,
            "verdict": self.verdict,
            "reason": self.reason,
            "rows": self.rows._asdict(),
            "notes": list(self.notes),
        }
