"""A scan of many small files keeps totals, and what it does for a file does not grow with the others."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.core.profile.scan import ColumnScan
from homeostat.core.values.dates import DateEvidence
from homeostat.core.values.numbers import NumberEvidence

DATES = ["2024-01-31", "01/02/2024", "31/01/2024"]
CELLS = st.sampled_from(["1", "1.5", "1,5", "1,234", "12%", *DATES, "word", ""])
PARTS = st.lists(st.tuples(st.integers(0, 3), st.lists(CELLS, max_size=6)), max_size=12)


@settings(deadline=None)
@given(PARTS)
def test_the_totals_are_those_of_all_files(parts):
    scan = ColumnScan()
    for file, cells in parts:
        scan.add(pa.array(cells, pa.string()), file)
    assert scan.number_cells == sum(each.readable for each in scan.number_evidence.values())
    assert scan.date_cells == sum(each.readable for each in scan.date_evidence.values())


def test_each_file_is_asked_equally_often_however_many_there_are(monkeypatch):
    asked = []

    def counting(kind):
        readable = kind.readable.fget
        return property(lambda self: asked.append(1) or readable(self))

    for kind in (NumberEvidence, DateEvidence):
        monkeypatch.setattr(kind, "readable", counting(kind))

    def times(cells, files):
        asked.clear()
        scan = ColumnScan()
        for file in range(files):
            scan.add(pa.array(cells), file)
        return len(asked)

    for cells in (["1.5", "2"], ["1,5"], ["1,234"], ["31/01/2024"], ["01/02/2024"], ["word"]):
        assert times(cells, 80) <= 2 * times(cells, 40)
