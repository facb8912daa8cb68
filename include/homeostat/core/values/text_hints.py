"""Say what a column of text looks like that is neither numbers nor dates, and what to do."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from itertools import islice

from homeostat.core.values.date_layouts import MONTHS

#: So many texts are looked at, and this share of them must look alike.
_LOOKED_AT, _MOST = 1_000, 0.9

_CLOCK = r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]+)?)?"
_ZONE_NAME = re.compile(
    rf".*[0-9].*[ T]{_CLOCK} ?(?P<zone>[A-Za-z]{{2,5}}|[A-Z][a-z]+/[A-Za-z_]+)(?: [0-9]{{4}})?"
)
_TIME_OF_DAY = re.compile(rf"(?:{_CLOCK}|[0-9]{{1,2}}:[0-9]{{2}}\.[0-9]+)(?: ?[AaPp]\.?[Mm]\.?)?")
_DURATION = re.compile(rf"-?[0-9]+ days?,? [-+]?{_CLOCK}|P(?:[0-9.]+[DWHMSTY]|T)+")
_WEEK = re.compile(r"[0-9]{4}-?W[0-9]{1,2}(?:-?[1-7])?")
_MONTH = re.compile(r"[0-9]{1,2}\.? ?-?(?P<month>[^\W\d_]{3,10})\.?[ -]?[0-9]{2,4}(?:[ T,].*)?")
_ENGLISH = re.compile(_MONTH.pattern.replace(r"[^\W\d_]{3,10}", f"(?i:{'|'.join(filter(None, MONTHS))})"))
_UNIT = re.compile(r"[-+]?[0-9][0-9.,' ]*? ?(?P<unit>°|°?[^\W\d_]{1,5}[²³0-9]?(?:/[^\W\d_]{1,4}[²³0-9]?)?)")
_NUMERAL = r"[-+]?[0-9][0-9.,]*(?:[eE][-+]?[0-9]+)?"
_BRACKETS = re.compile(
    rf"(?:\[ ?{_NUMERAL} ?\]|\{{ ?{_NUMERAL} ?\}}|<{_NUMERAL}>|\"{_NUMERAL}\"|'{_NUMERAL}')"
)
_LIST = re.compile(rf"[\[({{] ?{_NUMERAL}(?:[,;] ?{_NUMERAL}| +{_NUMERAL})+ ?[\])}}]")
_PARTS = re.compile(r"[^:]+(?:::[^:]+){2,}")
_CODE = re.compile(r"[0-9A-Za-z]+(?:[-_:/ ][0-9A-Za-z]+)*")


_LOOKS: tuple[tuple[re.Pattern[str], str], ...] = (
    (_ZONE_NAME, "name a zone, which may mean several: write its offset, such as +01:00"),
    (_TIME_OF_DAY, "are times of day: keep them as a number, such as seconds since midnight"),
    (_DURATION, "are durations: keep them as a number of seconds"),
    (_BRACKETS, "are numbers in brackets or quotes: write the number alone"),
    (_LIST, "are lists of numbers: give each its own column"),
    (_PARTS, "have parts with :: between them: if it separates columns, replace it by a comma"),
    (_WEEK, "are weeks: write the date of their first day"),
    (
        _ENGLISH,
        "look like dates in a form that is not known: write 2024-01-31T10:30:00, or give their format",
    ),
    (_MONTH, "look like dates with a month that is not English: write 2024-01-31"),
)


def text_hint(distinct: Iterable[str]) -> str:
    """Return what the texts of a column look like, and what to do about it; empty when nothing is known."""
    texts = [text.strip() for text in islice(distinct, _LOOKED_AT)]
    for pattern, words in _LOOKS:
        if _share(pattern, texts) >= _MOST:
            return f"values such as {texts[0]!r} {words}"
    units = {found["unit"] for text in texts if (found := _UNIT.fullmatch(text))}
    if _share(_UNIT, texts) < _MOST or len(units) > len(texts) / 10:
        return ""
    shown = ", ".join(map(repr, sorted(units)[:3]))
    return (
        f"values such as {texts[0]!r} are numbers with a unit ({shown}): keep the number alone, in one unit"
    )


def are_codes(distinct: Iterable[str]) -> bool:
    """Return whether the texts of a column look like ids and codes, of which some happen to be numbers."""
    texts = list(islice(distinct, _LOOKED_AT))
    words = [text for text in texts if not text.isdecimal()]
    with_digits = sum(any(map(str.isdigit, text)) for text in words)
    return _share(_CODE, texts) >= _MOST and 2 * with_digits >= len(words)


def _share(pattern: re.Pattern[str], texts: Collection[str]) -> float:
    return sum(bool(pattern.fullmatch(text)) for text in texts) / max(1, len(texts))
