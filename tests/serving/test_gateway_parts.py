"""Known labels and options."""

from datetime import UTC, datetime

import pytest

from homeostat.config.errors import ConfigError
from homeostat.serving.options import Options
from homeostat.serving.recorder.labels import KnownLabels, Label

NOW = datetime(2026, 1, 5, tzinfo=UTC)


def test_known_labels_are_bounded_and_the_first_label_of_an_id_is_kept():
    known = KnownLabels(3)

    def take(*pairs):
        done = known.accept([Label(i, v, NOW, NOW) for i, v in pairs])
        return len(done.new), done.duplicates, len(done.conflicting)

    assert take(("a", "1"), ("a", "1"), ("a", "0"), ("b", "1")) == (2, 1, 1)
    assert take(("c", "1"), ("d", "1"), ("a", "0")) == (3, 0, 0), "a was forgotten; the reader drops it again"
    assert len(known._known) == 3


def test_options_come_from_the_environment_and_an_invalid_one_is_named():
    options = Options.from_env({"HOMEOSTAT_GATEWAY_MAX_ROWS": "7", "HOMEOSTAT_GATEWAY_FLUSH_SECONDS": "0.5"})
    assert (options.max_rows, options.flush_seconds) == (7, 0.5)
    assert Options.from_env({}).gateway != Options.from_env({}).gateway
    with pytest.raises(ConfigError, match="HOMEOSTAT_GATEWAY_MAX_ROWS: found 'many'"):
        Options.from_env({"HOMEOSTAT_GATEWAY_MAX_ROWS": "many"})
    with pytest.raises(ConfigError, match="more than 0"):
        Options.from_env({"HOMEOSTAT_GATEWAY_THREADS": "0"})
