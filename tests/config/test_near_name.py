"""The name that was probably meant is found whatever its case, blanks and marks."""

import pytest

from homeostat.config.near_name import near_name


@pytest.mark.parametrize(
    ("name", "others", "found"),
    [
        ("x", ["X", "y"], "X"),
        ("timestamp", ["Late", "Timestamp"], "Timestamp"),
        ("late", [" late ", "x"], " late "),
        ("temp_c", ["humidity", "Temp C"], "Temp C"),
        ("temp", ["temp_c", "zone"], "temp_c"),
        ("x", ["y"], ""),
        ("at", ["temp", "season"], ""),
        ("%", ["%"], "%"),
        ("größe", ["GRÖSSE"], "GRÖSSE"),
        ("x", [], ""),
    ],
)
def test_the_most_similar_name_is_found(name, others, found):
    assert near_name(name, others) == found
