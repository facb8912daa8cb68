"""Where many rows do not fit the column names, the error counts them and names the likely cause."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest

from homeostat.adapters.tables import open_table
from homeostat.config.errors import DataError

N = 40


def rows(*cells):
    """Return N lines; a cell may use its row's number."""
    return "".join(
        ",".join(cell(n) if callable(cell) else cell for cell in cells) + "\n" for n in range(1, N + 1)
    )


def fraction(n):
    return f"{n % 7},{n % 89 + 10}"


def eighth(n):
    return str(n / 8)


def some(n):
    return "a, b" if n % 3 else "a"


R_HEADER, R_ROWS = '"x","g"\n', rows(lambda n: f'"{n}"', eighth, '"a"')
UNNAMED = "all rows have 3 fields, the names 2; has the first column no name, .*row.names = FALSE"
CASES = {
    "R, row names": (R_HEADER + R_ROWS, UNNAMED),
    "R, words as row names": ('"mpg","g"\n' + rows(lambda n: f'"Mazda {n}"', "21", '"a"'), UNNAMED),
    "R, tabs": (R_HEADER.replace(",", "\t") + R_ROWS.replace(",", "\t"), r"separator '\\t'.*" + UNNAMED),
    "R, blanks": ('"x" "g"\n' + R_ROWS.replace(",", " "), UNNAMED),
    "R, blanks, no quotes": ("x g\n" + R_ROWS.replace(",", " ").replace('"', ""), UNNAMED),
    "R, whole numbers": (
        '"x","g"\n' + rows(str, "5", lambda n: str(n + 20)),
        UNNAMED + ".*; or are decimal commas meant",
    ),
    "separator at the end of rows": (
        "x,g\n" + rows(eighth, "a", ""),
        "all rows have 3 fields, .* rows end with a separator, the names do not",
    ),
    "separator at the end of names": (
        "x,g,\n" + rows(eighth, "a"),
        "all rows have 2 fields, the names 3; the line of names ends with a separator",
    ),
    "decimal commas": (
        "g,price\n" + rows("a", fraction),
        "all rows have 3 fields, .* decimal commas meant, as in 1,11.* semicolons",
    ),
    "decimal commas in front": ("price,n\n" + rows(fraction, "5"), "decimal commas meant, as in 1,11"),
    "decimal commas after an id": ("id,x\n" + rows(str, fraction), "decimal commas meant, as in 1,11"),
    "two columns of decimal commas": (
        "g,x,y\n" + rows("a", fraction, fraction),
        "all rows have 5 fields, the names 3; are decimal commas meant, as in 1,11",
    ),
    "some decimal commas": (
        "g,price\n" + rows("a", lambda n: fraction(n) if n % 4 else str(n)),
        "30 of 40 rows have 3 fields, .* decimal commas meant",
    ),
    "backslashes": (
        "g,x\n" + rows(lambda n: r'"say \"a, b\""', "1"),
        r"are double quotes in a text written as \\\"\?",
    ),
    "separators after a backslash": (
        "g,x\n" + rows(r"Smith\, John", eighth),
        r"are separators \(,\) in a text written with a backslash .*MySQL and Hive .*in double quotes",
    ),
    "tabs after a backslash": (
        "g\tx\n" + rows("Smith\\,John", eighth).replace(",", "\t"),
        "are tabs in a text written with a backslash",
    ),
    "all of them after a backslash": (
        "g,x\n" + rows(r'"a \"b\", c\, d"', eighth),
        "are double quotes and separators .*double quotes in it as two",
    ),
    "single quotes": ("x,g\n" + rows(eighth, "'a, b'"), "are texts in single quotes"),
    "a column of texts": (
        "g\n" + rows("bad, really"),
        "the names 1; put each text that holds .* in double quotes",
    ),
    "blanks before quotes": (
        "x,g\n" + rows("1", ' "a, b"'),
        "all rows have 3 fields, .*blank between separator and double quotes",
    ),
    "texts with separators": (
        "x,g\n" + rows(eighth, some),
        "27 of 40 rows have 3 fields, .*put each text",
    ),
    "names with separators": (
        "temp, C,g\n" + rows(eighth, "a"),
        "all rows have 2 fields, the names 3; put each name",
    ),
    "missing separators": (
        "x,g,h\n" + rows("1", lambda n: "a,b" if n % 3 else "a"),
        "13 of 40 rows have 2 fields, .*write a separator for each missing",
    ),
    "a title": (
        "Sales, report\n" + "".join(f"town {n},colour {n},shape {n},size {n}\n" for n in range(N)),
        "all rows have 4 fields, the names 2; is line 1 a title or a comment",
    ),
}


def read(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    table = open_table(str(path))
    return [row for batch in table.batches(table.names) for row in batch.to_pylist()]


@pytest.mark.quick
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("what", CASES)
def test_rows_that_do_not_fit_are_counted_with_their_cause(tmp_path, what, end):
    text, message = CASES[what]
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path / "t.csv", text.replace("\n", end))
    assert "fix or delete the line" not in str(caught.value)
    assert r"t.csv, line " in str(caught.value)


@pytest.mark.parametrize("bad", [1, 2])
def test_few_lines_are_named_one_by_one(tmp_path, bad):
    text = "x,g\n" + 10 * rows(lambda n: str(n / 8), "a") + "1,2,3\n" * bad
    with pytest.raises(DataError, match=r"line 402: 3 fields where .* has 2 .*fix or delete the line"):
        read(tmp_path / "t.csv", text)


def test_the_rows_of_a_long_file_are_counted_to_a_limit(tmp_path):
    text = "x,g\n" + 300 * rows(lambda n: str(n / 8), "a", "")
    with pytest.raises(
        DataError, match="10,000 of the first 10,000 rows have 3 fields, the names 2; these rows end"
    ):
        read(tmp_path / "t.csv", text)


@pytest.mark.parametrize("first", ["utf-8", "cp1252"])
@pytest.mark.parametrize("lines", [3, 30_000])
def test_two_encodings_in_a_file_are_named(tmp_path, first, lines):
    second = {"utf-8": "cp1252", "cp1252": "utf-8"}[first]
    part = "1,Köln\n" * lines
    content = b"x,g\n" + part.encode(first) + part.encode(second)
    bad, good = (lines + 2, 2) if first == "utf-8" else (2, lines + 2)
    with pytest.raises(
        DataError, match=rf"in line {bad}: 0xf6.*; line {good} is UTF-8: .*two encodings"
    ) as caught:
        read(tmp_path / "t.csv", content)
    assert "iconv" not in str(caught.value)


def test_one_encoding_is_converted_as_a_whole(tmp_path):
    with pytest.raises(DataError, match="iconv -f WINDOWS-1252 -t UTF-8"):
        read(tmp_path / "t.csv", ("x,g\n" + "1,Köln ß\n" * 90).encode("cp1252"))


@pytest.mark.parametrize("seed", range(20))
def test_no_row_is_read_that_does_not_fit(tmp_path, seed):
    """Whatever the widths of the rows are, all are read or the file is refused with line and cause."""
    rng = np.random.default_rng(seed)
    widths = rng.choice([2, 3, 4], size=30, p=[0.2, 0.7, 0.1] if seed % 2 else [0.0, 1.0, 0.0])
    out = io.StringIO()
    csv.writer(out).writerows([["x", "y", "z"], *([str(n)] * width for n, width in enumerate(widths))])
    if (widths == 3).all():
        assert len(read(tmp_path / "t.csv", out.getvalue())) == 30
    else:
        with pytest.raises(
            DataError, match=rf"line {int(np.argmax(widths != 3)) + 2}: [24] fields where .* has 3"
        ):
            read(tmp_path / "t.csv", out.getvalue())


def test_line_breaks_after_a_backslash_are_named(tmp_path):
    content = "g,x\n" + rows("Smith\\\nJohn", eighth)
    with pytest.raises(DataError, match="are line breaks in a text written with a backslash"):
        read(tmp_path / "t.csv", content)
