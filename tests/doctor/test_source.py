"""doctor says where the rows of the next retrain come from, and warns when they are not new."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from doctor.conftest import run_unhurried, write_model
from homeostat.adapters import open_ledger, open_store
from homeostat.config import Settings
from homeostat.core.rollout import Traffic, VersionRef
from homeostat.doctor import Deployment, build_probes
from homeostat.storage.prediction_log import write_predictions
from homeostat.storage.version_info import save_version_info
from serving.gateway_harness import model_config

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
DAY = timedelta(days=1)
FILE = {"kind": "csv", "uri": "rows.csv"}


@pytest.fixture
def settings(tmp_path):
    (tmp_path / "store").mkdir()
    env = {
        "HOMEOSTAT_HOME": str(tmp_path),
        "HOMEOSTAT_STORE": f"file://{tmp_path / 'store'}",
        "HOMEOSTAT_LEDGER": f"sqlite:///{tmp_path / 'ledger.db'}",
    }
    return Settings.from_env(env)


@pytest.fixture
def check(settings, tmp_path):
    """Check a model with this source, whose file has these times, with traffic of these times."""

    def check(source, *, rows=(), traffic=(), champion=True, trained_until=NOW - 3 * DAY, **more):
        config = write_model(tmp_path / "models", model_config(source=source, **more))
        at = [time.isoformat() for time in rows]
        frame = pd.DataFrame({"timestamp": at, "a": 1.0, "b": 1.0, "colour": "red", "y": 1})
        frame.to_csv(config.folder / "rows.csv", index=False)
        store, ledger = open_store(settings.store), open_ledger(settings.ledger)
        for number, time in enumerate(traffic):
            row = {"prediction_id": [str(number)], "at": [time], "version": ["1"], "variant": ["champion"]}
            write_predictions(store, config, "g", number, row)
        if champion:
            serving = replace(Traffic(config.name), champion=VersionRef("1", "d1"))
            ledger.write(serving, kind="promoted", reason="", by="test", at=NOW)
            save_version_info(store, config.name, "d1", {"trained_until": trained_until.isoformat()})
        ledger.close()
        deployment = Deployment(settings, (config,), env={}, now=lambda: NOW)
        (found,) = run_unhurried([probe for probe in build_probes(deployment) if probe.name == "source"])
        return found

    return check


def test_a_model_that_learns_from_its_log_is_fine(check):
    found = check({"kind": "predictions", "history": FILE}, traffic=[NOW - DAY])
    assert (found.state, found.about) == ("ok", "pump")
    assert found.sentence == "rows for retraining come from csv rows.csv and the gateway's log"
    assert found.remedy == ""


def test_a_static_file_beside_traffic_is_a_warning_with_the_source_to_write(check):
    found = check(FILE, rows=[NOW - 9 * DAY], traffic=[NOW - DAY])
    assert found.state == "warning"
    assert found.sentence == (
        "a retrain would learn the same rows again: csv rows.csv has no row with a label since 2026-03-07 "
        "12:00 UTC, the end of the champion's training data; the gateway has logged requests since. To "
        "learn from them: source: {kind: predictions, history: {kind: csv, uri: rows.csv}}"
    )
    assert "model.yaml" in found.remedy


def test_a_file_that_ended_after_the_training_is_named_with_its_newest_row(check):
    found = check(FILE, rows=[NOW - 2 * DAY], traffic=[NOW - timedelta(hours=2)])
    assert found.state == "warning"
    assert found.sentence.startswith(
        "the newest row of csv rows.csv is of 2026-03-08 12:00 UTC; the gateway has"
    )


@pytest.mark.parametrize(
    "more",
    [
        {"rows": [NOW - 9 * DAY], "traffic": []},
        {"rows": [NOW - timedelta(hours=12)], "traffic": [NOW - timedelta(hours=2)]},
        {
            "rows": [NOW - 9 * DAY],
            "traffic": [NOW - timedelta(hours=2)],
            "trained_until": NOW - timedelta(hours=9),
        },
        {"rows": [NOW - 9 * DAY], "traffic": [NOW - DAY], "serve": "none"},
    ],
    ids=["no traffic", "a file that grows daily", "trained today", "batch"],
)
def test_a_source_with_new_rows_or_without_traffic_is_fine(check, more):
    found = check(FILE, **more)
    assert (found.state, found.sentence) == ("ok", "rows for retraining come from csv rows.csv")


def test_a_log_that_nothing_is_written_to_is_a_warning(check):
    found = check({"kind": "predictions", "history": FILE}, serve="none")
    assert found.state == "warning"
    assert "serve: none has no log" in found.sentence
    assert "`source.history`" in found.remedy


def test_without_a_champion_nothing_is_repeated(check, settings):
    assert check(FILE, champion=False).state == "skipped"


def test_a_source_that_cannot_be_read_here_is_a_warning(check):
    found = check({"kind": "csv", "uri": "gone.csv"}, traffic=[NOW - DAY])
    assert found.state == "warning"
    assert "cannot be read on this machine" in found.sentence
    assert "gone.csv does not exist" in found.sentence
