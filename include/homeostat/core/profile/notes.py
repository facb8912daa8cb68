"""Say in a few words how a column was read, and what could not be read."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace

from homeostat.config.label_text import is_number_text
from homeostat.core.profile.infer import MIXED_MARKS, value_families
from homeostat.core.profile.reading import Reading
from homeostat.core.profile.scan import ColumnScan, dates_by_file
from homeostat.core.values.date_doubts import OrderDoubt, taken_note
from homeostat.core.values.date_orders import DateOrders, decide_orders
from homeostat.core.values.dates import is_contradicted, order_of, strptime_of
from homeostat.core.values.text_hints import text_hint
from homeostat.core.values.time_numbers import UNIT_NAMES, guess_time_numbers

_SHOWN = 3
_MIN_NUMBERS = 20


def reading_note(reference: Reading, current: Reading, scans: Sequence[ColumnScan]) -> str:
    """Return how both tables were read; empty for plain numbers, ISO dates and text.

    Parameters
    ----------
    scans
        Of both tables, in these readings.
    """
    readings = (reference, current)
    taken = _taken_note(readings, scans)
    before, now = (
        _describe(reading if _uses_format(reading, scan) else replace(reading, date_format=""))
        for reading, scan in zip(readings, scans, strict=True)
    )
    usual = "ISO dates" if reference.kind == "dates" else "plain numbers"
    note = f"read with {before}" if before else ""
    if before != now:
        note = f"read with {before or usual} in the reference, {now or usual} now"
    return "; ".join(filter(None, (note, taken, _codes_note(readings, scans))))


def _codes_note(readings: Sequence[Reading], scans: Sequence[ColumnScan]) -> str:
    """Return which values with a leading zero are read as numbers."""
    pairs = zip(readings, scans, strict=True)
    rows = [scan.code_cells if reading.codes else 0 for reading, scan in pairs]
    if not any(rows) or readings[0].kind != "numbers":
        return ""
    code = next(scan.code for scan, n in zip(scans, rows, strict=True) if n)
    return f"values with a leading zero, such as {code!r}, are read as numbers ({_counts(rows, scans)})"


def _taken_note(readings: Sequence[Reading], scans: Sequence[ColumnScan]) -> str:
    """Return which files do not tell the order of their dates, and whose order they have."""
    if readings[0].kind != "dates":
        return ""
    decision = decide_orders(dates_by_file(*scans), order_of(readings[0].date_format))
    names = {key: _file_name(key) for pair in decision.taken.items() for key in pair}
    return taken_note({names[file]: names[source] for file, source in decision.taken.items()})


def unread_note(reference: ColumnScan, current: ColumnScan, kind: str, missing_words: Iterable[str]) -> str:
    """Return the words that are missing values, and those that could not be read, with their rows."""
    markers = set(missing_words)
    sides = (reference, current)
    notes = [words_note(reference, current), _missing_note(markers, sides)]
    left = {word for scan in sides for word in scan.texts} - markers
    rows = [unread(scan, markers) for scan in sides]
    if sum(rows):
        notes.append(f"{_counts(rows, sides)} could not be read as {kind} ({_list(_frequent(left, sides))})")
        notes.append(text_hint(left))
    return "; ".join(filter(None, notes))


def words_note(reference: ColumnScan, current: ColumnScan) -> str:
    """Return the usual words and signs that are missing values, with their rows."""
    return _missing_note(set(reference.words) | set(current.words), (reference, current))


def _missing_note(names: set[str], sides: Sequence[ColumnScan]) -> str:
    rows = [sum(n for word, n in {**scan.words, **scan.texts}.items() if word in names) for scan in sides]
    shown = [word for word in _frequent(names, sides) if word.strip()]
    if not (sum(rows) and shown):
        return ""
    are = "is" if len(names) == 1 else "are"
    return f"{_list(shown)} {are} read as missing ({_counts(rows, sides)})"


def unread(scan: ColumnScan, missing_words: Iterable[str]) -> int:
    """Return the rows that could not be read in a column of numbers or dates."""
    return scan.text_rows - sum(scan.texts.get(word, 0) for word in missing_words)


def marker_note(scan: ColumnScan) -> str:
    """Return that a word stands for most values of a column of text, and all others are numbers; or ""."""
    numbers = scan.number_cells
    top = max(scan.texts, key=lambda text: scan.texts[text], default="")
    rows = scan.texts.get(top, 0)
    if not top or is_number_text(top) or numbers < _MIN_NUMBERS or numbers < 0.9 * (scan.text_cells - rows):
        return ""
    return (
        f"{rows:,} of {scan.rows:,} values are {top!r}, the others numbers: if it means missing, leave "
        "these cells empty"
    )


def ambiguous_note(
    ambiguous: Mapping[str, tuple[str, ...]], column: str, doubts: Mapping[str, OrderDoubt] | None = None
) -> str:
    """Return why dates or numbers are not read, and what to do.

    Parameters
    ----------
    ambiguous, doubts
        What :func:`~homeostat.core.profile.infer.decide_reading` and
        :func:`~homeostat.core.values.date_orders.decide_orders` found.
    """
    layout, orders = next(iter(ambiguous.items()))
    if layout == MIXED_MARKS:
        return (
            "has numbers like 1,234 and like 1.234, and nothing tells which mark is the decimal one: save "
            "all files with the same"
        )
    formats = [strptime_of(layout, order) for order in orders]
    cure = f"give {' or '.join(f'--date-format {column}={each}' for each in formats)}"
    doubt = (doubts or {}).get(layout)
    if doubt:
        file = _file_name(doubt.file)
        return (
            f"day and month cannot be told apart in {file} ({doubt.describe()}): {cure}, the format of {file}"
        )
    return f"day and month cannot be told apart in dates such as {_example(layout)}: {cure}"


def _uses_format(reading: Reading, scan: ColumnScan) -> bool:
    """Return whether a table has values that are no dates in any other layout than the format's."""
    layouts = order_of(reading.date_format)
    dates = sum(
        max(orders.values(), default=0)
        for each in scan.date_evidence.values()
        for name, orders in each.rows.items()
        if name not in layouts
    )
    return bool(reading.date_format) and dates < scan.text_cells + (0 if scan.typed_dates else scan.typed)


def epoch_note(reference: ColumnScan, current: ColumnScan, column: str) -> str:
    """Return what to do where one table has dates and the other numbers; empty when they count no time."""
    families = value_families(reference, current)
    if set(families) != {"dates", "numbers"}:
        return ""
    numbers = (reference, current)[families.index("numbers")]
    guesses = guess_time_numbers(numbers.plain_low, numbers.plain_high)
    if not guesses:
        return ""
    side = "the current table" if numbers is current else "the reference"
    advice = (
        f"if they are {each.describe()}, "
        + (f"give --date-format {column}={each.date_format}" if each.date_format else each.remedy)
        for each in guesses
    )
    return f"{side} has numbers; {'; '.join(advice)}"


def _describe(reading: Reading) -> str:
    if reading.kind == "numbers":
        return _describe_spellings(reading)
    if reading.date_format:
        unit = UNIT_NAMES.get(reading.date_format)
        own = [each for each in reading.orders.values() if is_contradicted(reading.date_format, each)]
        others = [reading.date_format] if not own or len(own) < len(reading.orders) else []
        formats = [*others, *sorted(_formats(own))]
        return f"numbers as {unit} since 1970" if unit else f"dates as {' and '.join(formats)}"
    found = _formats(reading.orders.values())
    return "dates as " + " and ".join(sorted(found)) if found else ""


def _formats(orders: Iterable[DateOrders]) -> set[str]:
    return {strptime_of(*item) for each in orders for item in each.items() if item[0] not in ("iso", "name")}


def _describe_spellings(reading: Reading) -> str:
    files: dict[str, list[Hashable]] = {}
    for file, spelling in reading.spellings.items():
        files.setdefault(spelling.describe(), []).append(file)
    if len(files) < 2:
        return next(iter(files), "")
    return " and ".join(
        f"{words or 'plain numbers'} in {_file_names(names)}" for words, names in files.items()
    )


def _file_names(files: Sequence[Hashable]) -> str:
    first = _file_name(files[0])
    return first if len(files) == 1 else f"{first} and {len(files) - 1} other files"


def _file_name(file: Hashable) -> str:
    """Return the name of a file, or of one of a table: a pair."""
    path = file[1] if isinstance(file, tuple) else file
    return str(path).rstrip("/").rpartition("/")[2]


def _example(layout: str) -> str:
    return layout[0].join(("01", "02", "2024" if layout[1:] == "4" else "03"))


def _frequent(names: set[str], sides: Iterable[ColumnScan]) -> list[str]:
    rows = dict.fromkeys(names, 0)
    for scan in sides:
        for name in names:
            rows[name] += scan.texts.get(name, 0) + scan.words.get(name, 0)
    return sorted(names, key=lambda name: (-rows[name], name))


def _list(words: list[str]) -> str:
    return ", ".join(map(repr, words[:_SHOWN])) + (", ..." if len(words) > _SHOWN else "")


def _counts(rows: list[int], sides: Iterable[ColumnScan]) -> str:
    before, now = (f"{n:,} of {scan.rows:,}" for n, scan in zip(rows, sides, strict=True))
    return f"{before} values in the reference, {now} now"
