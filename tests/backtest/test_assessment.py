"""Skill, regret and recommendation of small histories; fits in several processes."""

import json

import numpy as np
import pytest

from backtest.small_history import MODEL, PIPELINE, rows_of, run
from homeostat import backtesting
from homeostat.backtesting.schedule import objective
from homeostat.config import load_model


def made(tmp_path_factory, task="classification", estimator="LogisticRegression"):
    folder = tmp_path_factory.mktemp("models") / "small"
    folder.mkdir()
    (folder / "model.yaml").write_text(MODEL.format(task=task))
    (folder / "pipeline.py").write_text(PIPELINE.format(name=estimator))
    return load_model(folder)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return made(tmp_path_factory)


@pytest.fixture(scope="module")
def flipped(config):
    return run(config, rows_of(12, flip=3))


def test_fixed_policies_are_rows_of_the_matrix(flipped):
    matrix = flipped.assessment.matrix
    for name, schedule in {"frozen": (), "always": range(1, 12), "every_4": (4, 8)}.items():
        scores = [result.score for result in flipped.outcomes[name].run.results]
        assert 1 - matrix.window_losses(schedule) == pytest.approx(scores)
        assert 1 - matrix.loss(schedule) == pytest.approx(flipped.outcomes[name].score)


def test_hindsight_and_even_schedules_are_scored_over_all_rows(flipped):
    found, limit = flipped.assessment, flipped.assessment.limit
    assert limit.retrains == flipped.outcomes["homeostat"].run.retrains > 0
    assert 1 - limit.loss == pytest.approx(flipped.outcomes["homeostat"].score)
    assert found.hindsight_score == pytest.approx(1 - limit.hindsight_loss)
    assert found.even_score == pytest.approx(1 - limit.even_loss)
    assert found.hindsight_score >= max(found.even_score, flipped.outcomes["frozen"].score)
    # Windows 5 on are served best by a version that has learned the inverted labels.
    assert min(limit.hindsight) >= 5


def test_objectives_and_regret_count_the_cost_of_retrains(flipped):
    found, limit = flipped.assessment, flipped.assessment.limit
    always = flipped.outcomes["always"]
    assert found.objectives["always"] == pytest.approx(1 - always.score + 0.005 * 12 / 12)
    best = objective(limit.cheapest_loss, len(limit.cheapest), 12, 0.005)
    assert limit.regret == pytest.approx(found.objectives["homeostat"] - best)
    assert found.objectives["frozen"] >= best


def test_a_dear_retrain_never_pays(config):
    found = run(config, rows_of(12, flip=3), cost=50.0).assessment
    assert found.limit.cheapest == ()
    assert found.recommendation.verdict == "do_not"


def test_the_json_has_the_documented_keys(flipped):
    raw = json.loads(json.dumps(backtesting.to_json(flipped), allow_nan=False))
    assert set(raw["recommendation"]) == {"verdict", "sure", "sentence"}
    assert set(raw["limit"]) == {
        *("measure", "cost", "retrains", "homeostat", "even", "hindsight", "skill", "best_at_cost"),
        *("regret", "objectives", "later", "comparison", "unit", "worth"),
    }
    assert raw["summary"][0] == raw["recommendation"]["sentence"]


def test_a_regressions_cost_is_relative_to_the_first_versions_error(tmp_path_factory):
    config = made(tmp_path_factory, "regression", "LinearRegression")
    rows = rows_of(12, flip=3, task="regression")
    found = run(config, rows).assessment
    free = run(config, rows, cost=0.0).assessment
    error = found.limit.cost / 0.005
    assert 0.1 < error < 0.5  # the label's noise has a mean absolute value of 0.24
    assert found.unit == "% of the error"
    gain = free.objectives["frozen"] - free.objectives["always"]
    assert found.worth["always"].gain == pytest.approx(100 * gain / error)
    assert found.worth["always"].net.mean == pytest.approx(100 * gain / error - 0.5)


def test_policies_of_the_literature_run_on_the_same_versions(config, flipped):
    found = run(config, rows_of(12, flip=3), compare=["tuned_period", "cusum"])
    assert list(found.outcomes)[-2:] == ["tuned_period", "cusum"]
    assert found.outcomes["always"].score == flipped.outcomes["always"].score
    raw = backtesting.to_json(found)["limit"]
    assert [entry["cost"] for entry in raw["comparison"]] == [0.002, 0.005, 0.02]
    own = raw["comparison"][1]["policies"]["cusum"]
    assert own["net_score"] == pytest.approx(1 - raw["objectives"]["cusum"])
    assert own["retrains"] == found.outcomes["cusum"].run.retrains
    assert raw["later"]["first_window"] == 4


def test_the_result_does_not_depend_on_the_number_of_processes(config, flipped):
    two = run(config, rows_of(12, flip=3), jobs=2)
    assert backtesting.to_json(two) == backtesting.to_json(flipped)
    assert np.array_equal(two.assessment.matrix.losses, flipped.assessment.matrix.losses)
