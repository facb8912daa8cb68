"""Labels that the reference lacks are those that count as unseen, with their rows."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.core.profile.binning import bin_labels
from homeostat.core.profile.fit_edges import fit_label_edges
from homeostat.core.profile.unseen import MAX_UNSEEN, NAMED, UnseenLabels

LABELS = st.dictionaries(st.text(max_size=3), st.integers(1, 50), max_size=30)


@settings(max_examples=100, deadline=None)
@given(LABELS, st.lists(LABELS, max_size=4))
def test_they_are_the_rows_that_count_as_unseen(reference, batches):
    edges = fit_label_edges(np.array(list(reference.values()), dtype=np.int64), list(reference))
    found, unseen = UnseenLabels(), 0
    for batch in batches:
        found.add(edges, batch)
        counts = bin_labels(edges, np.array(list(batch.values()), dtype=np.int64), list(batch), missing=0)
        unseen += counts.unseen
    assert sum(found.rows.values()) == unseen
    total = sum((Counter(batch) for batch in batches), Counter())
    if not edges.open:
        assert found.rows == {label: rows for label, rows in total.items() if label not in reference}
    assert len(found.most_frequent()) == min(NAMED, len(found.rows))
    assert list(found.most_frequent().values()) == sorted(found.rows.values(), reverse=True)[:NAMED]


def test_memory_is_bounded():
    edges = fit_label_edges(np.array([5]), ["a"])
    found = UnseenLabels()
    for start in range(0, 20_000, 500):
        found.add(edges, {str(at): 1 for at in range(start, start + 500)})
    assert len(found.rows) == MAX_UNSEEN
