"""What the command line and model.yaml ask of each column's values, and what to say about their reading."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from homeostat.cli.commands.drift_columns import ComparedColumn
from homeostat.cli.commands.drift_result import RowCounts
from homeostat.config import ModelConfig
from homeostat.config.date_format import date_format_of
from homeostat.config.errors import ConfigError
from homeostat.core.profile import CategoryEdges, FeatureKind
from homeostat.core.profile.notes import (
    epoch_note,
    marker_note,
    reading_note,
    unread,
    unread_note,
    words_note,
)
from homeostat.core.profile.reading import Reading
from homeostat.core.values.similar_texts import similar_note
from homeostat.core.values.text_hints import text_hint

_EXAMPLE = "--date-format day=%d/%m/%Y"


def parse_date_formats(options: Iterable[str]) -> dict[str, str]:
    """Return the format of each column from ``COLUMN=FORMAT``.

    Raises
    ------
    ConfigError
        An option has no ``=``, or its format is no format of dates.
    """
    formats: dict[str, str] = {}
    for option in options:
        name, mark, date_format = option.partition("=")
        if not (name and mark and date_format):
            msg = f"--date-format {option}: write COLUMN=FORMAT, for example {_EXAMPLE}"
            raise ConfigError(msg)
        try:
            formats[name] = date_format_of(date_format)
        except ValueError as error:
            msg = f"--date-format {option}: {error}"
            raise ConfigError(msg) from None
    return formats


def new_columns(
    names: Iterable[str], config: ModelConfig | None, date_formats: Mapping[str, str]
) -> list[ComparedColumn]:
    """Return the columns to compare, each with what is known about its values.

    Raises
    ------
    ConfigError
        A format is for a column that is not there.
    """
    names = list(dict.fromkeys(names))
    for name in date_formats:
        if name not in names:
            known = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
            option = f"--date-format {name}={date_formats[name]}"
            msg = f"{option}: neither table has a column '{name}'; the columns are: {known}"
            raise ConfigError(msg)
    features = {name: feature.type for name, feature in config.columns.features.items()} if config else {}
    return [
        ComparedColumn(name, _asked(name, features.get(name), config, date_formats), features.get(name))
        for name in names
    ]


def _asked(
    name: str, kind: FeatureKind | None, config: ModelConfig | None, date_formats: Mapping[str, str]
) -> Reading | None:
    if name in date_formats:
        return Reading("dates", date_format=date_formats[name])
    if kind is not None and config is not None:
        listed = config.columns.features[name].categories
        return _category(listed) if kind == "category" else Reading(codes=True)
    if config is None:
        return None
    if name == config.columns.timestamp:
        return Reading("dates", date_format=config.columns.timestamp_format or "")
    if name == config.columns.label.name:
        known = config.columns.label
        classes = config.task == "classification"
        return _category((*(known.classes or ()), *known.mapping)) if classes else Reading(codes=True)
    return Reading("text") if name == config.columns.key else None


def _category(listed: Iterable[str] | None) -> Reading:
    return Reading("text", listed=frozenset(listed or ()))


def note_of(column: ComparedColumn) -> str:
    """Return how a column was read, and what could not be read; empty when there is nothing to say."""
    before, now = column.reference_scan, column.current_scan
    if before is None or now is None or column.ambiguous or column.kind in ("opaque", "empty"):
        return ""
    notes = [reading_note(*column.readings, (before, now)), epoch_note(before, now, column.name)]
    if column.read_as == "text":
        too_many = isinstance(column.edges, CategoryEdges) and column.edges.open
        notes.append((marker_note(before) or text_hint(before.texts)) if too_many else "")
        notes.append(words_note(before, now))
        if column.kind == "category" and not too_many:
            notes.append(similar_note([*before.texts, *now.texts]))
    else:
        notes.append(unread_note(before, now, column.read_as, column.missing_markers))
    return "; ".join(filter(None, notes))


def rows_unread(column: ComparedColumn) -> RowCounts:
    """Return the words in a column of numbers or dates, in rows of each table."""
    if column.read_as == "text" or column.edges is None:
        return RowCounts(0, 0)
    scans = (column.reference_scan, column.current_scan)
    return RowCounts(*(unread(scan, ()) if scan else 0 for scan in scans))
