"""Quarantined rows name column, rule and a value, whatever the columns are called."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.core.training_data.quarantine_causes import (
    FAULTS,
    REASON,
    QuarantineCause,
    causes_in_words,
    coercion_causes,
    fault_reason,
)

NAMES = st.lists(st.sampled_from(["x", "y", "c: d", "a;b"]), min_size=1, unique=True)


@settings(max_examples=60, deadline=None)
@given(NAMES, st.data())
def test_every_fault_is_counted_for_its_column(names, data):
    rows = data.draw(
        st.lists(
            st.lists(
                st.tuples(st.sampled_from(names), st.sampled_from(list(FAULTS))), unique=True, min_size=1
            ),
            min_size=1,
            max_size=8,
        )
    )
    frame = pd.DataFrame({name: [f"{name} {at}" for at in range(len(rows))] for name in names})
    frame[REASON] = ["; ".join(fault_reason(*fault) for fault in row) for row in rows]
    found = coercion_causes(frame)
    assert sum(cause.rows for cause in found) >= len(rows)
    for name in names:
        for fault, meaning in FAULTS.items():
            expected = sum((name, fault) in row for row in rows)
            counted = sum(c.rows for c in found if c.rule.startswith(f"column '{name}' ({meaning}"))
            assert counted == expected


def test_three_causes_are_named_and_the_others_counted():
    causes = [QuarantineCause(f"rule {rows}", rows) for rows in (1, 4, 2, 3, 5)]
    assert causes_in_words(causes) == "5 by rule 5, 4 by rule 4, 3 by rule 3 and 2 more rules"
    assert causes_in_words(causes[:4]) == "4 by rule 4, 3 by rule 3, 2 by rule 2 and 1 more rule"
    assert causes_in_words([]) == ""


@pytest.mark.parametrize("value", ["x" * 500, "'", pytest.param(10**5000, id="a long one"), None])
def test_any_value_can_be_an_example(value):
    frame = pd.DataFrame({"x": pd.Series([value], dtype=object), REASON: ["x: mistyped"]})
    [cause] = coercion_causes(frame)
    assert cause.rows == 1
    assert len(cause.rule) < 120
