"""Take dates that are text apart: their layout, their fields, and their time of day."""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from homeostat.core.values.digits import even_digits
from homeostat.core.values.numbers import Floats, Ints

#: The orders in which day, month and year may stand, with a year of four digits and of two.
_LONG_ORDERS, _SHORT_ORDERS = ("dmy", "mdy"), ("dmy", "mdy", "ymd")

_HALF_AND_ZONE = (
    r" ?(?P<half>(?:[AaPp]\.?[Mm]\.?)?) ?"
    r"(?:[Zz]|UTC|GMT|(?P<sign>[-+])(?P<shift_hours>[0-9]{2})(?::?(?P<shift_minutes>[0-9]{2}))?)?"
)
_TIME = (
    r"(?:(?:[Tt]|,? +)(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})"
    r"(?:[.,](?P<fraction>[0-9]{1,9}))?)?" + _HALF_AND_ZONE + r"(?:\[[A-Za-z_/+-]+\])?)?$"
)  # Java writes the zone's name after its offset
#: Oracle writes 12.00.00.000000 AM, DB2 2024-01-31-12.00.00.000000.
_POINT_TIME = (
    r"[- ](?P<hour>[0-9]{1,2})\.(?P<minute>[0-9]{2})(?:\.(?P<second>[0-9]{2})"
    r"(?:[.,](?P<fraction>[0-9]{1,12}))?)?" + _HALF_AND_ZONE + "$"
)
_LOG_TIME = _TIME.replace("[Tt]|", "[Tt]|:|").replace("$", r"\]?$")  # SAS, Apache: 31/Jan/2024:10:30:00
_DAY_NAME = r"^(?:(?i:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?i:day)?\.?,? +)?"
_YEAR_FIRST = (
    r"^(?P<y>[0-9]{4})(?:(?:-(?P<m>[0-9]{1,2})-|/(?P<m2>[0-9]{1,2})/|\.(?P<m3>[0-9]{1,2})\.)(?P<d>[0-9]{1,2})"
)
_BY_NAME = r"(?P<d>[0-9]{1,2})(?:-|/|\.? ?)(?P<name>[A-Za-z]{3,9})\.?(?:-|/|,? ?)(?P<y>[0-9]{4}|[0-9]{2})"
_PATTERNS = (
    _YEAR_FIRST + r")" + _TIME,
    _YEAR_FIRST + r")" + _POINT_TIME,
    r"^(?P<y>[0-9]{4})[-/](?P<m>[0-9]{2})$",
    r"^(?P<y>[0-9]{4})(?P<m>[0-9]{2})(?P<d>[0-9]{2})T(?P<hour>[0-9]{2})(?P<minute>[0-9]{2})(?P<second>[0-9]{2})?Z?$",
    *(
        rf"^(?P<a>[0-9]{{1,2}})(?P<mark>{mark})(?P<b>[0-9]{{1,2}}){mark}(?P<c>[0-9]{{4}}|[0-9]{{2}})" + time
        for mark in ("-", "/", r"\.")
        for time in (_TIME, _POINT_TIME)
    ),
    _DAY_NAME.replace("^", r"^\[?") + _BY_NAME + _LOG_TIME,
    "^" + _BY_NAME + _POINT_TIME,
    _DAY_NAME + r"(?P<name>[A-Za-z]{3}) +(?P<d>[0-9]{1,2}) "
    r"(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2}) (?:(?:UTC|GMT|Z) )?(?P<y>[0-9]{4})$",
    _DAY_NAME + r"(?P<name>[A-Za-z]{3,9})\.? +(?P<d>[0-9]{1,2})(?:st|nd|rd|th)?,? +(?P<y>[0-9]{4})" + _TIME,
)
_COMPILED = tuple(re.compile(each) for each in _PATTERNS)
_ANY = "|".join(re.sub(r"\?P<\w+>", "?:", each) for each in _PATTERNS)
_SIGNS = (
    (r"([0-9]{4}) ?[年년] ?([0-9]{1,2}) ?[月월] ?([0-9]{1,2}) ?[日일] ?", r"\1-\2-\3 "),
    (r"([0-9]{1,2}) ?[时時시] ?([0-9]{2}) ?[分분]", r"\1:\2"),
    (r"(:[0-9]{2}) ?([0-9]{2}) ?[秒초]", r"\1:\2"),
)
MONTHS = {
    name.lower(): at for names in (calendar.month_name, calendar.month_abbr) for at, name in enumerate(names)
}
MONTHS |= {"sept": 9}


@dataclass(slots=True)
class DateLayout:
    """Texts of one layout: their positions, their fields, and the time of day in seconds.

    ``layout`` is ``iso``, ``name``, or the mark and the digits of the year: ``/4``, ``-2``. ``possible``
    are the orders in which the fields may stand.
    """

    layout: str
    possible: tuple[str, ...]
    at: Ints
    a: Ints
    b: Ints
    c: Ints
    time: Floats  # NaN where the time is none

    def seconds(self, order: str) -> Floats:
        """Return seconds since 1970 with the fields in this order, NaN where they are no date."""
        fields = dict(zip(order, (self.a, self.b, self.c), strict=True))
        year, month, day = fields["y"], fields["m"], fields["d"]
        if self.layout[1:] == "2":
            year = _full_year(year)
        valid = (month >= 1) & (month <= 12) & (day >= 1) & (year >= 1)
        months = (np.where(valid, year, 1970) - 1970) * 12 + np.where(valid, month, 1) - 1
        first = months.astype("M8[M]").astype("M8[D]")
        valid &= day <= ((months + 1).astype("M8[M]").astype("M8[D]") - first).astype(np.int64)
        days = first.astype(np.int64) + day - 1
        return np.where(valid, days * 86_400.0 + self.time, np.nan)


def date_layouts(texts: pa.Array) -> list[DateLayout]:
    """Sort the texts that look like dates into layouts: one for each shape that they have."""
    texts = pc.utf8_trim_whitespace(_without_signs(even_digits(texts)))
    at = np.flatnonzero(pc.match_substring_regex(texts, _ANY).to_numpy(zero_copy_only=False))
    likely = pa.array(texts.take(pa.array(at)), pa.string())
    parts = []
    for shape, rows, characters in _shapes(likely):
        found = next(filter(None, (pattern.match(shape) for pattern in _COMPILED)), None)
        if found:
            part = _read_shape(found, at[rows], characters)
            parts += [part] if part else []
    return parts


def _without_signs(texts: pa.Array) -> pa.Array:
    """Return dates as China, Japan and Korea write them (2024年1月31日 10时30分) in ISO form."""
    if pc.all(pc.string_is_ascii(texts)).as_py() is not False:
        return texts
    for written, iso in _SIGNS:
        texts = pc.replace_substring_regex(texts, written, iso)
    return texts


def _shapes(texts: pa.Array) -> Iterator[tuple[str, Ints, npt.NDArray[np.uint8]]]:
    """Yield each shape (the text with 0 for every digit), the positions of its texts, and their bytes."""
    lengths = pc.binary_length(texts).to_numpy(zero_copy_only=False)
    for length in np.unique(lengths).tolist():
        rows = np.flatnonzero(lengths == length)
        taken = texts.take(pa.array(rows))
        first = np.frombuffer(taken.buffers()[1], np.int32)[taken.offset]
        raw = np.frombuffer(taken.buffers()[2], np.uint8)[first : first + rows.size * length]
        characters = raw.reshape(rows.size, length)
        shapes = np.where((characters >= ord("0")) & (characters <= ord("9")), np.uint8(ord("0")), characters)
        _, start, group = np.unique(shapes.view(f"V{length}").ravel(), return_index=True, return_inverse=True)
        for each, at in enumerate(start.tolist()):
            mine = np.flatnonzero(group == each) if start.size > 1 else np.arange(rows.size)
            yield shapes[at].tobytes().decode("utf-8", "replace"), rows[mine], characters[mine]


def _read_shape(found: re.Match[str], at: Ints, characters: npt.NDArray[np.uint8]) -> DateLayout | None:
    groups = found.groupdict()

    def number(*names: str, default: int = 0) -> Ints:
        name = next((each for each in names if groups.get(each)), None)
        if name is None:
            return np.full(at.size, default, dtype=np.int64)
        digits = characters[:, slice(*found.span(name))].astype(np.int64) - ord("0")
        return np.asarray(digits @ 10 ** np.arange(digits.shape[1] - 1, -1, -1))

    hour, minute, second = number("hour"), number("minute"), number("second")
    valid = (hour < 24) & (minute < 60) & (second < 60)
    if groups.get("half"):
        valid &= (hour >= 1) & (hour <= 12)
        hour = hour % 12 + (12 if groups["half"].lower().startswith("p") else 0)
    shift = (number("shift_hours") * 60 + number("shift_minutes")) * (
        -60 if groups.get("sign") == "-" else 60
    )
    seconds = hour * 3600 + minute * 60 + second - shift
    if groups.get("fraction"):
        start, end = found.span("fraction")
        seconds = seconds + number("fraction") / 10.0 ** (end - start)
    time = np.where(valid, seconds, np.nan)
    if "mark" in groups:
        digits = len(groups["c"])
        orders = _LONG_ORDERS if digits == 4 else _SHORT_ORDERS
        return DateLayout(
            f"{groups['mark']}{digits}", orders, at, number("a"), number("b"), number("c"), time
        )
    year = number("y")
    if "name" not in groups:
        known = "d" in groups or (year.min() >= 1600 and year.max() < 2300)  # 9999-12 may be a part number
        day = number("d", default=1)
        return DateLayout("iso", ("ymd",), at, year, number("m", "m2", "m3"), day, time) if known else None
    month = MONTHS.get(groups["name"].lower(), 0)
    if len(groups["y"]) == 2:
        year = _full_year(year)
    return DateLayout("name", ("dmy",), at, number("d"), np.full(at.size, month), year, time)


def _full_year(year: Ints) -> Ints:
    return np.where(year < 69, year + 2000, year + 1900)
