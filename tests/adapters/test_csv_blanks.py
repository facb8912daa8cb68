"""Files separated by blanks or a rare character are read; the words of a single column stay together."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.adapters import rewritten_stream
from homeostat.adapters.csv_blanks import SqueezedStream, squeeze
from homeostat.adapters.tables import open_table
from homeostat.config.errors import DataError

ROWS = [[f"{n / 8}", "abc"[n % 3], f"{n * 7 % 100}"] for n in range(1, 60)]


def read(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    table = open_table(str(path))
    return table.names, [
        list(row.values()) for batch in table.batches(table.names) for row in batch.to_pylist()
    ]


def aligned(rows):
    return "".join("".join(f"{cell:>9}" for cell in row) + "\n" for row in rows)


@pytest.mark.quick
@pytest.mark.parametrize("separator", [" ", "   ", "^", "~", "\x01", "\x1f"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_fields_separated_by_blanks_or_a_rare_character(tmp_path, separator, newline):
    text = newline.join(separator.join(row) for row in [["x", "g", "n"], *ROWS]) + newline
    assert read(tmp_path / "t.csv", text) == (("x", "g", "n"), ROWS)


def test_aligned_columns(tmp_path):
    assert read(tmp_path / "t.txt", aligned([["x", "g", "n"], *ROWS])) == (("x", "g", "n"), ROWS)
    frame = pd.DataFrame(ROWS, columns=["x", "g", "n"])
    assert read(tmp_path / "u.txt", frame.to_string(index=False)) == (("x", "g", "n"), ROWS)


@pytest.mark.parametrize("header", ["x y", "x y z w", "# x y z w"])
def test_numbers_as_numpy_writes_them(tmp_path, header):
    numbers = np.arange(2.0 * len(header.strip("# ").split())).reshape(2, -1) / 8
    out = io.StringIO()
    np.savetxt(out, numbers, header=header.strip("# "), comments="# " if "#" in header else "")
    names, rows = read(tmp_path / "t.dat", out.getvalue())
    assert names == tuple(header.strip("# ").split())
    assert np.array_equal(np.array(rows, dtype=float), numbers)


@pytest.mark.parametrize("mark", ["", ", 2024", "; 2024", "\t2024"])
def test_a_comment_above_names_separated_by_blanks(tmp_path, mark):
    text = f"# made by me{mark}\n# x g n\n" + "".join(" ".join(row) + "\n" for row in ROWS)
    assert read(tmp_path / "t.dat", text) == (("x", "g", "n"), ROWS)


def test_words_in_many_rows_of_the_same_number_of_fields(tmp_path):
    rows = [["low", "abcd"[n % 4] + "x", "unacc"] for n in range(40)]
    text = "".join(" ".join(row) + "\n" for row in [["price", "doors", "class"], *rows])
    assert read(tmp_path / "t.data", text) == (("price", "doors", "class"), rows)


def test_blanks_and_tabs_may_be_mixed(tmp_path):
    text = "x   g n\n" + "".join(f"{x}  \t{g}\t{n} \n" for x, g, n in ROWS)
    assert read(tmp_path / "t.data", text) == (("x", "g", "n"), ROWS)


def test_quoted_fields_keep_their_blanks(tmp_path):
    text = '"a b"  "g"\n1.5 "x  y"\n2.5\t"p ""q""  r"\n3.5 "two\n  lines"\n'
    rows = [["1.5", "x  y"], ["2.5", 'p "q"  r'], ["3.5", "two\n  lines"]]
    assert read(tmp_path / "t.txt", text) == (("a b", "g"), rows)


@pytest.mark.parametrize(
    "lines",
    [
        ["first name", "John Smith", "Ann Lee", "Bo Li"],
        ["created at", "2024-01-01 10:00:00", "2024-01-02 11:30:00"],
        ["created at utc", *(f"2024-01-{n:02} 10:00:00 UTC" for n in range(1, 29))],
        ["total amount", "1 234", "5 678", "2 345"],
        ["street and number", "Long Street 5", "Short Street 6", "12 Main St"],
        ["note", "all is well", "no", "not at all"],
        ["size kg", "5 kg", "6 kg", "7 kg"],
        ["home address", "Mainstreet 5", "Sidestreet 12"],
        ["2024-01-01 2024-01-02", "2024-01-03 2024-01-04"],
        ["a^b", "c", "d^e"],
        ["path", "~/x", "~/y"],
        ["a~b", "1~2", "3"],
        ["x", "1 2", "3 4"],
        ["one two three"],
    ],
)
def test_the_words_of_a_single_column_stay_together(tmp_path, lines):
    names, rows = read(tmp_path / "t.csv", "\n".join(lines) + "\n")
    assert (names, rows) == ((lines[0],), [[line] for line in lines[1:]])


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_blanks_beside_another_separator_are_part_of_the_fields(tmp_path, separator):
    rows = [[f" {n}", "a b", "1 2"] for n in range(30)]
    text = "".join(separator.join(row) + "\n" for row in [["x y", "g h", "i j"], *rows])
    assert read(tmp_path / "t.csv", text) == (("x y", "g h", "i j"), rows)


def test_the_error_on_a_row_names_its_line(tmp_path):
    text = aligned([["x", "g", "n"], *ROWS]) + "1 a\n"
    with pytest.raises(DataError, match=r"t\.txt, line 61: 2 fields where .* has 3"):
        read(tmp_path / "t.txt", text + aligned(ROWS) * 4)


CELL = st.from_regex(r'[a-z0-9.]{1,5}|"[a-z \t\n]{0,5}(?:""[a-z ]{0,3})?"', fullmatch=True)


@given(
    st.lists(st.lists(CELL, min_size=1, max_size=4), min_size=1),
    st.integers(1, 9),
    st.sampled_from([1, 7, 2**20]),
)
def test_blocks_do_not_change_what_is_read(rows, blanks, size):
    text = "".join((" " * blanks).join(row) + "\n" for row in rows).encode()
    expected = "".join(" ".join(row) + "\n" for row in rows).encode()
    assert squeeze(text) == expected
    read = rewritten_stream.READ
    try:
        rewritten_stream.READ = size
        assert io.BufferedReader(SqueezedStream(io.BytesIO(text))).read() == expected
    finally:
        rewritten_stream.READ = read
