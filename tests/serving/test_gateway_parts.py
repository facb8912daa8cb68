"""Known labels, recent predictions and options."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.config.errors import ConfigError
from homeostat.serving.options import Options
from homeostat.serving.recorder.labels import KnownLabels, Label, RecentPredictions
from homeostat.serving.recorder.prediction_log import prediction_ids

NOW = datetime(2026, 1, 5, tzinfo=UTC)


def test_known_labels_are_bounded_and_the_first_label_of_an_id_is_kept():
    known = KnownLabels(3)

    def take(*pairs):
        done = known.accept([Label(i, v, NOW, NOW) for i, v in pairs])
        return len(done.new), done.duplicates, len(done.conflicting)

    assert take(("a", "1"), ("a", "1"), ("a", "0"), ("b", "1")) == (2, 1, 1)
    assert take(("c", "1"), ("d", "1"), ("a", "0")) == (3, 0, 0), "a was forgotten; the reader drops it again"
    assert len(known._known) == 3


@given(st.lists(st.tuples(st.text("ab-0", min_size=1, max_size=4), st.integers(1, 12)), max_size=8))
def test_an_id_is_recent_only_if_a_remembered_request_had_it(requests):
    recent, capacity = RecentPredictions(3), 3
    for request_id, rows in requests:
        recent.add(request_id, rows)
    made = {i for request_id, rows in requests for i in prediction_ids(request_id, rows)}
    asked = made | {
        f"{name}{end}" for name, _ in requests for end in ("", "-", "-0", "-00", "-12", "-x", "-²")
    }
    assert {i for i in asked if i in recent} <= made
    if len({name for name, _ in requests}) == len(requests) <= capacity:
        assert all(i in recent for i in made)


def test_options_come_from_the_environment_and_an_invalid_one_is_named():
    options = Options.from_env({"HOMEOSTAT_GATEWAY_MAX_ROWS": "7", "HOMEOSTAT_GATEWAY_FLUSH_SECONDS": "0.5"})
    assert (options.max_rows, options.flush_seconds) == (7, 0.5)
    assert Options.from_env({}).gateway != Options.from_env({}).gateway
    with pytest.raises(ConfigError, match="HOMEOSTAT_GATEWAY_MAX_ROWS: found 'many'"):
        Options.from_env({"HOMEOSTAT_GATEWAY_MAX_ROWS": "many"})
    with pytest.raises(ConfigError, match="more than 0"):
        Options.from_env({"HOMEOSTAT_GATEWAY_THREADS": "0"})
