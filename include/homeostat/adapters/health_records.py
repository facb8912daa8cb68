"""Which health records a page shows and which are kept, for the in-memory ledger; SQL has the same rules."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from homeostat.ports import HealthRecord, RecordKind

#: Windows are kept in full for so long before the newest one; of older days, one each.
KEPT_IN_FULL = timedelta(days=100)
DAY_MS = 24 * 3600 * 1000
#: Above any time in milliseconds: orders records by rank, then time.
RANK_UNIT = 2**42


def millis(at: datetime) -> int:
    """Return a time as whole milliseconds since 1970."""
    return round(at.timestamp() * 1000)


def from_millis(at: int) -> datetime:
    """Return the time of :func:`millis`."""
    return datetime.fromtimestamp(at / 1000, UTC)


def part_length(first: int, last: int, limit: int) -> int:
    """Return the length in milliseconds of each of ``limit`` equal parts of a time, at least 1."""
    return max(1, -(-(last - first + 1) // limit))


def thin(records: Sequence[HealthRecord], limit: int) -> list[HealthRecord]:
    """Return the highest of each part of the time, and the newest; ``records`` are oldest first."""
    if len(records) <= limit:
        return list(records)
    times = [millis(record.at) for record in records]
    length = part_length(times[0], times[-1], limit)
    best = _highest(records, times, [(at - times[0]) // length for at in times])
    return [record for record in records if record.key in {*best, records[-1].key}]


def too_fine(written: HealthRecord, records: Sequence[HealthRecord]) -> list[str]:
    """Return the keys of the old windows that are dropped after ``written``."""
    if written.kind is not RecordKind.WINDOW:
        return []
    old = [r for r in records if r.model == written.model and r.kind is written.kind]
    old = [r for r in old if r.at < written.at - KEPT_IN_FULL]
    times = [millis(record.at) for record in old]
    best = _highest(old, times, [at // DAY_MS for at in times])
    return [record.key for record in old if record.key not in best]


def _highest(records: Sequence[HealthRecord], times: Sequence[int], parts: Sequence[int]) -> set[str]:
    found: dict[int, tuple[int, int, str]] = {}
    for record, at, part in zip(records, times, parts, strict=True):
        found[part] = max(found.get(part, (-1, -1, "")), (record.rank, at, record.key))
    return {key for _, _, key in found.values()}
