"""Which values of a category were never seen in the reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from homeostat.core.profile.coerce import hash_of
from homeostat.core.profile.edges import CategoryEdges

#: So many distinct unseen values are counted by name; all others only by their number.
MAX_UNSEEN = 1_000
#: So many are named.
NAMED = 3


@dataclass(slots=True)
class UnseenLabels:
    """Rows of each label that the reference does not have. Memory does not grow with the rows."""

    rows: dict[str, int] = field(default_factory=dict)

    def add(self, edges: CategoryEdges, labels: Mapping[str, int]) -> None:
        """Count the labels without a slot in these edges.

        Parameters
        ----------
        labels
            Rows of each label, spelt as the labels of the edges are, so that long ones are short already.
        """
        if edges.open:
            return
        known, rest = frozenset(edges.labels), frozenset(edges.rest)
        for label, rows in labels.items():
            if label in known or (rest and hash_of(label) in rest):
                continue
            if label in self.rows or len(self.rows) < MAX_UNSEEN:
                self.rows[label] = self.rows.get(label, 0) + rows

    def most_frequent(self) -> dict[str, int]:
        """Return the labels with the most rows, at most :data:`NAMED`, and their rows."""
        ranked = sorted(self.rows.items(), key=lambda item: (-item[1], item[0]))
        return dict(ranked[:NAMED])

    @property
    def sentence(self) -> str:
        """Return the most frequent ones in words: ``never seen: 'NA' (120 rows), 'x' (3)``; "" if none."""
        named = [
            f"{label!r} ({rows:,}{'' if at else ' rows'})"
            for at, (label, rows) in enumerate(self.most_frequent().items())
        ]
        more = ", ..." if len(self.rows) > len(named) else ""
        return f"never seen: {', '.join(named)}{more}" if named else ""
