"""A backtest takes its candidates through shadow and canary on the history's own rows."""

from __future__ import annotations

from datetime import timedelta

import pytest

from backtest.small_history import MODEL, PIPELINE, T0, WINDOW, rows_of, run
from homeostat import backtesting
from homeostat.config import load_model


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "small"
    folder.mkdir()
    (folder / "model.yaml").write_text(MODEL.format(task="classification"))
    (folder / "pipeline.py").write_text(PIPELINE.format(name="LogisticRegression"))
    return load_model(folder)


def back_and_forth(windows, first, last):
    """Return rows whose labels are inverted from window ``first`` to the end of window ``last``."""
    rows = rows_of(windows)
    inverted = (rows.index >= 240 + WINDOW * first) & (rows.index < 240 + WINDOW * (last + 1))
    rows.loc[inverted, "y"] = 1 - rows.loc[inverted, "y"]
    return rows


def test_a_right_candidate_goes_through_shadow_and_canary(config):
    found = run(config, rows_of(14, flip=3)).outcomes["homeostat"]
    fired = next(result for result in found.run.results if result.event == "retrain")
    promoted = next(result for result in found.run.results if result.promoted)
    # One row an hour: a day in shadow at least, and 30 rows of a half of the traffic.
    assert 1 <= promoted.window.index - fired.window.index <= 4
    assert found.run.rolled_back == []
    assert found.run.results[-1].version != "1"
    assert found.promotions[0].verdict == "better"
    outcome = backtesting.event_outcome(found, fired)
    assert (outcome.word, outcome.effect) == ("promoted", found.promotions[0])


def test_in_the_canary_a_part_of_the_rows_is_served_by_the_candidate(config):
    found = run(config, rows_of(14, flip=3)).outcomes["homeostat"]
    keys = found.run.keys
    mixed = [n for n, key in enumerate(keys) if key.startswith("mixed ")]
    promoted = next(result.window.index for result in found.run.results if result.promoted)
    assert mixed
    assert promoted in mixed
    assert found.run.results[max(mixed)].version != found.run.results[min(mixed) - 1].version


def test_a_candidate_that_labels_show_to_be_worse_is_rolled_back(config):
    # The labels are inverted just long enough for a retrain, and turn back when its candidate is in shadow.
    result = run(config, back_and_forth(10, 3, 4))
    found = result.outcomes["homeostat"]
    first = found.run.rolled_back[0]
    assert first.stage == "shadow"
    assert first.reason.startswith("labels failed: on ")
    assert "significantly worse than gate.max_regression (0.02) allows" in first.reason
    row = next(each for each in found.run.results if each.rolled_back)
    assert row.version != first.version, "the champion serves on"
    assert "would have been rolled back (" in " ".join(backtesting.summarize(result))
    raw = backtesting.to_json(result)["policies"]["homeostat"]
    assert raw["rolled_back"][0]["stage"] == "shadow"
    fired = next(each for each in found.run.results if each.candidate == first.version)
    assert backtesting.event_outcome(found, fired).word == "rolled back in shadow"


def test_a_model_that_no_gateway_serves_has_no_rollout(config):
    batch = config.model_copy(update={"serve": "none"})
    found = run(batch, rows_of(14, flip=3)).outcomes["homeostat"]
    fired = next(result for result in found.run.results if result.event == "retrain")
    assert fired.promoted
    assert not any(key.startswith("mixed ") for key in found.run.keys)


def test_labels_after_the_promotion_bring_the_former_champion_back(config):
    # Labels come 60 hours late: the candidate is promoted on its expected divergence before that, and they
    # show that the world has turned back.
    label = config.columns.label.model_copy(update={"delay": timedelta(hours=60)})
    late = config.model_copy(
        update={
            "columns": config.columns.model_copy(update={"label": label}),
            "shadow": config.shadow.model_copy(update={"min_samples": 20}),
            "canary": config.canary.model_copy(update={"min_samples": 1}),
        }
    )
    result = run(late, back_and_forth(10, 3, 4))
    found = result.outcomes["homeostat"].run
    assert found.promoted
    back = [each for each in found.rolled_back if each.stage == "reverse shadow"]
    assert back
    assert back[0].reason.startswith("champion failed: on ")
    assert back[0].at > T0


def test_a_replay_is_deterministic(config):
    rows = rows_of(10, flip=3)
    assert backtesting.to_json(run(config, rows)) == backtesting.to_json(run(config, rows))
