"""doctor says whether a rollout gets its rows in time."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from doctor.conftest import record, run_unhurried
from homeostat.adapters.history_memory import MemoryHistory
from homeostat.config import Settings
from homeostat.core.rollout import TrafficRate
from homeostat.doctor import Deployment, build_probes, check_freshness
from serving.gateway_harness import model_config

DEFAULT: dict[str, dict[str, object]] = {"shadow": {}, "canary": {}}


@pytest.fixture
def check(tmp_path, monkeypatch):
    """Check a model whose newest window has so many rows; None: it has no window."""

    def check(rows, rate=None, **more):
        config, history = model_config(**{**DEFAULT, **more}), MemoryHistory()
        if rows is not None:
            window = replace(record(timedelta(minutes=15)), rows=rows)
            history.record(config.name, window, metrics={}, artifacts={})
        monkeypatch.setattr(check_freshness, "_history", lambda *_: history)
        settings = Settings.from_env({"HOMEOSTAT_HOME": str(tmp_path)})
        deployment = Deployment(settings, (config,), env={}, rate=rate)
        probes = [probe for probe in build_probes(deployment) if probe.name == "rollout pace"]
        (found,) = run_unhurried(probes)
        return found

    return check


def test_much_traffic_fits(check):
    found = check(240_000)
    assert (found.state, found.about) == ("ok", "pump")
    assert found.sentence.startswith("at 10,000 rows an hour (in the window of 1 day to 2")
    assert found.sentence.endswith(
        "UTC): shadow 1 day, canary step 1 (10%) 1 hour, canary step 2 (50%) 1 hour; about 26 hours in all"
    )


def test_39_rows_a_day_fit_with_the_defaults(check):
    found = check(39)
    assert found.state == "ok"
    assert "about 3 days in all. So little traffic has no canary" in found.sentence


def test_a_window_is_not_always_a_day(check):
    found = check(39, monitor={"window": "7d"})
    assert found.sentence.startswith("at 0.232 rows an hour (in the window of 7 days to 2")


def test_a_phase_that_does_not_fit_is_a_warning_with_the_settings(check):
    found = check(2)
    assert found.state == "ok"
    assert "shadow 15 days (shadow.wait_for_samples; 200 rows would take 100 days)" in found.sentence
    found = check(1, monitor={"window": "2d"})
    assert found.state == "warning"
    assert "shadow would end as inconclusive (30 rows take 60 days" in found.sentence
    assert found.remedy == ("lower shadow.min_samples to 15 or raise shadow.max_duration to 60d")


def test_a_given_traffic_counts_instead(check):
    found = check(2, TrafficRate(10_000, "--rows-per-hour"))
    assert found.state == "ok"
    assert found.sentence.startswith("at 10,000 rows an hour (--rows-per-hour): shadow 1 day")


@pytest.mark.parametrize("rows", [None, 0])
def test_without_traffic_it_is_skipped(check, rows):
    found = check(rows)
    assert (found.state, found.sentence) == ("skipped", "no traffic known yet: give --rows-per-hour")


def test_a_batch_model_is_skipped(check):
    assert check(2, serve="none").state == "skipped"
