"""Replays of small histories with known results."""

import json
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from backtest.small_history import MODEL, PIPELINE, T0, WINDOW, rows_of, run
from homeostat import backtesting
from homeostat.backtesting import baseline_policy, grid
from homeostat.backtesting.policy_run import PolicyRun, Promotion, WindowResult
from homeostat.backtesting.prediction_cache import LabelledPredictions, PredictionCache
from homeostat.backtesting.promotion_effects import PromotionEffect, promotion_effects
from homeostat.backtesting.replay_ports import ReplayClock, ReplaySource, replay_config
from homeostat.backtesting.version_fitter import BuiltVersion
from homeostat.backtesting.windows import split_history
from homeostat.bundle.predictor import Predictor
from homeostat.config import load_model
from homeostat.config.errors import ConfigError, DataError
from homeostat.config.model import Window
from homeostat.core import training_data
from homeostat.core.performance import score
from homeostat.retraining.recipes import fit_version


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    def make(task="classification", estimator="LogisticRegression"):
        folder = tmp_path_factory.mktemp("models") / "small"
        folder.mkdir()
        (folder / "model.yaml").write_text(MODEL.format(task=task))
        (folder / "pipeline.py").write_text(PIPELINE.format(name=estimator))
        return load_model(folder)

    return make


@pytest.fixture(scope="module")
def config(model):
    return model()


@pytest.fixture(scope="module")
def flipped(config):
    """Return a backtest of twelve windows in which the labels are inverted from the fourth on."""
    return run(config, rows_of(12, flip=3))


# What each policy does


def test_fixed_schedules_retrain_as_often_as_their_names_say(flipped):
    counts = {name: outcome.run.retrains for name, outcome in flipped.outcomes.items()}
    assert (counts["frozen"], counts["always"], counts["every_4"]) == (0, 12, 3)
    assert {name: len(outcome.run.results) for name, outcome in flipped.outcomes.items()} == dict.fromkeys(
        backtesting.POLICIES, 12
    )
    assert [t.window.index for t in flipped.outcomes["every_4"].run.results if t.promoted] == [3, 7, 11]


def test_all_policies_start_with_the_same_version(flipped):
    frozen = [result.score for result in flipped.outcomes["frozen"].run.results]
    for outcome in flipped.outcomes.values():
        results = outcome.run.results
        # Homeostat's candidate serves a part of the window in which it is promoted, and of those before.
        first_event = next((result.window.index for result in results if result.event), len(results) - 1)
        last = next((result.window.index for result in results if result.promoted), len(results) - 1)
        last = min(first_event, last)
        assert [result.score for result in results[: last + 1]] == frozen[: last + 1]
        assert {result.version for result in results[: last + 1]} == {"1"}


def test_a_window_is_scored_before_it_is_used_for_training(flipped):
    """The fourth window is the first inverted one; its labels arrive at the end of the fifth."""
    always = [result.score for result in flipped.outcomes["always"].run.results]
    assert max(always[3:5]) < 0.3
    assert min(flipped.outcomes["frozen"].run.results[k].score for k in range(3)) > 0.8


def test_homeostat_recovers_from_inverted_labels(flipped):
    frozen, own = flipped.outcomes["frozen"], flipped.outcomes["homeostat"]
    assert own.score > frozen.score + 0.2
    assert 1 <= own.run.retrains <= 8
    fired = next(result for result in own.run.results if result.event == "retrain")
    assert fired.window.index >= 4  # the labels of window 3 are known at the end of window 4
    assert "decay" in fired.sentence.lower()


def test_the_score_is_over_all_rows_and_the_frozen_score_equals_a_plain_fit(config, flipped):
    history = flipped.history
    replayed = replay_config(config, history)
    snapshot = training_data.assemble(history.rows[:240], replayed, history.reference_end)
    fitted = fit_version(replayed, snapshot.train, snapshot.holdout, history.reference_end)
    rest = history.rows[240:]
    typed = rest.assign(kind=rest["kind"].astype("str"))
    predicted = Predictor.of(replayed, fitted.estimator).predict(typed).prediction
    assert flipped.outcomes["frozen"].score == pytest.approx(
        (predicted == rest["y"].to_numpy()).mean(), abs=1e-12
    )


def test_a_stationary_stream_is_left_alone(config):
    found = run(config, rows_of(12, seed=5))
    own = found.outcomes["homeostat"].run
    assert own.retrains <= 1
    assert "0 windows" not in backtesting.summarize(found)[0]


def test_harmless_input_shift_does_not_retrain_every_window(config):
    found = run(config, rows_of(12, shift=4))  # a + b stays what it was, and so does the label
    assert found.outcomes["frozen"].score > 0.8
    assert found.outcomes["homeostat"].run.retrains <= 2
    fired = [result.window.index for result in found.outcomes["baseline"].run.results if result.event]
    assert fired == [6, 9]  # every third signal in a row


def test_regression_is_scored_by_its_mean_absolute_error(model):
    config = model("regression", "LinearRegression")
    found = run(config, rows_of(8, flip=2, task="regression"))
    assert found.score_name == "mae"
    frozen, always = found.outcomes["frozen"], found.outcomes["always"]
    assert always.score < frozen.score
    assert backtesting.gain(found, always) == pytest.approx(frozen.score - always.score)
    window = frozen.run.results[0]
    assert 0.1 < window.score < 0.6
    assert backtesting.to_json(found)["higher_is_better"] is False


def test_a_failed_retrain_is_recorded_and_the_champion_stays(config):
    rows = rows_of(12)
    rows.loc[240:, "y"] = 1  # one class from here on; the training window is ten days
    found = run(config, rows)
    last = found.outcomes["always"].run.results[-1]
    assert (last.event, last.promoted, last.fitted) == ("retrain", False, False)
    assert "have one class" in last.sentence
    assert found.outcomes["always"].run.retrains < 12
    assert found.outcomes["always"].run.refused == 12 - found.outcomes["always"].run.promoted


# No look-ahead


@pytest.mark.parametrize("known", [3, 7])
def test_unknown_labels_change_no_earlier_score_and_no_decision(config, flipped, known):
    rows = rows_of(12, flip=3)
    later = rows.index >= 240 + WINDOW * known
    rows.loc[later, "y"] = 1 - rows.loc[later, "y"]
    changed = backtesting.to_json(run(config, rows))
    for name, policy in backtesting.to_json(flipped)["policies"].items():
        before, after = policy["per_window"], changed["policies"][name]["per_window"]
        assert after[:known] == before[:known]
        assert {**after[known], "score": 0} == {**before[known], "score": 0}  # decided without its own labels
        assert after[known]["score"] != before[known]["score"]


def test_later_rows_change_nothing(config, flipped):
    short = run(config, rows_of(12, flip=3)[: 240 + WINDOW * 6], reference_share=240.5 / (240 + WINDOW * 6))
    for name, outcome in short.outcomes.items():
        assert outcome.run.results == flipped.outcomes[name].run.results[:6]


@settings(max_examples=60, deadline=None)
@given(hour=st.integers(0, 700), back=st.integers(1, 700), ahead=st.integers(-100, 900))
def test_the_source_returns_no_future_row_and_no_label_before_its_delay(hour, back, ahead):
    rows = rows_of(8)
    history = split_history(rows, "at", WINDOW, 240.5 / len(rows))
    config = SimpleNamespace(
        columns=SimpleNamespace(label=SimpleNamespace(name="y", delay=timedelta(hours=WINDOW)))
    )
    clock = ReplayClock(T0 + timedelta(hours=hour))
    source = ReplaySource(history, clock)
    start, end = clock.now() - timedelta(hours=back), clock.now() + timedelta(hours=ahead)
    found = source.read(config, start, end)
    assert (found["at"] < min(end, clock.now())).all()
    assert (found["at"] >= start).all()
    known = found["at"] < max(clock.now() - timedelta(hours=WINDOW), history.reference_end)
    assert found["y"].notna().equals(known)
    assert not rows["y"].isna().any()  # the history itself is unchanged


# Determinism


def test_the_same_data_gives_the_same_json(config, flipped):
    again = run(config, rows_of(12, flip=3))
    assert json.dumps(backtesting.to_json(again)) == json.dumps(backtesting.to_json(flipped))


# Windows


def test_windows_of_rows_are_evenly_spaced_despite_gaps_and_keep_their_original_times():
    rows = rows_of(4)
    rows["at"] += pd.to_timedelta(np.where(np.arange(len(rows)) >= 300, 500, 0), unit="h")  # a gap of weeks
    history = split_history(rows, "at", WINDOW, 0.5)
    assert history.length == timedelta(hours=WINDOW)
    assert (history.rows["at"].diff().dropna() == pd.Timedelta("1h")).all()
    assert len({window.end - window.start for window in history.windows}) == 1
    assert history.windows[1].start == history.windows[0].end
    first = history.windows[0]
    assert first.actual_start == rows["at"].iloc[240].to_pydatetime()
    assert first.actual_end == rows["at"].iloc[300].to_pydatetime()
    assert (first.end - first.start, first.actual_end - first.actual_start) == (
        timedelta(hours=60),
        timedelta(hours=560),
    )


def test_windows_of_time_hold_the_rows_of_their_period():
    rows = rows_of(4).drop(index=range(250, 290))
    history = split_history(rows, "at", timedelta(hours=60), 240.5 / len(rows))
    times = history.rows["at"]
    counts = [int(((times >= s.start) & (times < s.end)).sum()) for s in history.windows]
    assert counts == [20, 60, 60, 60]
    assert [w.actual_start for w in history.windows] == [w.start for w in history.windows]


def test_an_incomplete_last_window_is_dropped_and_counted():
    history = split_history(rows_of(4)[:-7], "at", WINDOW, 0.51)
    assert (len(history.windows), history.dropped_rows, history.reference_rows) == (
        3,
        473 - 241 - 3 * WINDOW,
        241,
    )


def test_rows_with_equal_times_are_spaced_by_an_hour():
    rows = rows_of(4).assign(at=pd.Timestamp(T0))
    assert split_history(rows, "at", WINDOW, 0.5).length == timedelta(hours=WINDOW)


@pytest.mark.parametrize("last", ["2300-01-01", "9999-12-31 23:59:59"])
def test_thousands_of_windows_without_a_row_are_refused_with_the_gap(last):
    rows = rows_of(4)
    rows.loc[rows.index[-20:], "at"] = pd.Timestamp(last, tz="UTC").as_unit("us")
    gap = f"between {rows['at'].iloc[-21]:%Y-%m-%d} and {last[:10]} 'at' has no time"
    with pytest.raises(DataError, match=rf"of [\d,]+ windows of 7d would have no row: {gap}"):
        split_history(rows, "at", timedelta(days=7), 0.5)


def test_times_at_the_end_of_the_calendar_are_an_error():
    rows = rows_of(4)
    rows["at"] += pd.Timestamp("9999-12-31 23:00", tz="UTC") - rows["at"].max()
    with pytest.raises(DataError, match="'at' goes on until 9999-12-31"):
        split_history(rows, "at", timedelta(hours=60), 0.5)


@pytest.mark.parametrize("text", ["", "7", "rows", "0rows", "-3rows", "7 weeks", "0d"])
def test_an_invalid_window_length_is_refused_with_an_example(text):
    with pytest.raises(ConfigError, match="168rows"):
        backtesting.parse_windows(text)


def test_window_lengths_are_parsed():
    assert (
        backtesting.parse_windows("168rows"),
        backtesting.parse_windows("168 rows"),
        backtesting.parse_windows("7d"),
    ) == (
        168,
        168,
        timedelta(days=7),
    )


@pytest.mark.parametrize(("rows", "message"), [(10, "not one whole window of"), (119, "1 whole window of")])
def test_fewer_than_two_windows_are_refused(rows, message):
    with pytest.raises(DataError, match=f"{message}.* --reference-share"):
        split_history(rows_of(2)[: 240 + rows], "at", WINDOW, 240.5 / (240 + rows))


def test_a_share_without_a_row_for_the_reference_is_refused():
    with pytest.raises(DataError, match="--reference-share"):
        split_history(rows_of(2)[:3], "at", WINDOW, 0.1)


def test_the_replay_keeps_the_models_trigger_and_gate_settings(config):
    history = split_history(rows_of(4), "at", WINDOW, 0.5)
    period = {"start": T0 + timedelta(hours=100), "end": T0 + timedelta(hours=130)}
    bad = config.training.__class__.model_validate({**config.training.model_dump(), "bad_periods": [period]})
    own = config.model_copy(update={"training": bad, "notify": ("people",), "approval": "required"})
    found = replay_config(own, history)
    assert (found.serve, found.approval, found.notify) == ("none", "none", ())
    assert found.monitor.every == found.monitor.window == found.columns.label.delay == history.length
    assert (found.trigger, found.gate) == (own.trigger, own.gate)
    assert found.folder == config.folder
    assert found.training.bad_periods[0].start == period["start"]


def test_bad_periods_move_with_their_rows(config):
    rows = rows_of(4)
    rows["at"] += pd.to_timedelta(np.where(np.arange(len(rows)) >= 50, 24, 0), unit="h")
    history = split_history(rows, "at", WINDOW, 0.5)
    assert history.to_replay_time(rows["at"].iloc[70].to_pydatetime()) == history.rows["at"].iloc[70]


def test_unreachable_min_rows_are_lowered_with_a_note(config):
    monitor = config.monitor.model_copy(update={"min_rows": 200})
    training = config.training.model_copy(update={"window": Window(kind="expanding")})
    found = run(config.model_copy(update={"monitor": monitor, "training": training}), rows_of(4))
    assert any("fewer than monitor.min_rows (200)" in note for note in found.notes)
    drift = [result.sentence for result in found.outcomes["homeostat"].run.results]
    assert not any("not computable" in sentence for sentence in drift)


# The baseline policy


def test_the_baseline_trigger_fires_at_the_third_signal_and_starts_again():
    trigger = baseline_policy.BaselineTrigger()
    fired = [trigger.evaluate(0.5, None, T0 + timedelta(days=7 * k))[0] for k in range(7)]
    assert fired == [False, False, True, False, False, True, False]


def test_the_baselines_critical_decay_fires_at_once_and_keeps_the_signal_count():
    trigger = baseline_policy.BaselineTrigger()
    trigger.evaluate(0.5, 0.0, T0)
    trigger.evaluate(0.5, 0.0, T0 + timedelta(days=7))
    assert trigger.evaluate(0.5, 0.151, T0 + timedelta(days=14)) == (True, "performance_decay_critical")
    assert trigger.signals == 2
    assert trigger.evaluate(0.5, 0.15, T0 + timedelta(days=21)) == (True, "sustained_drift")


def test_the_baselines_cooldown_is_a_day_and_drift_is_more_than_thirty_percent():
    trigger = baseline_policy.BaselineTrigger()
    assert trigger.evaluate(0.0, 0.2, T0)[0]
    assert trigger.evaluate(0.0, 0.2, T0 + timedelta(hours=23)) == (False, "cooldown_active")
    assert trigger.evaluate(0.0, 0.2, T0 + timedelta(hours=24))[0]
    assert baseline_policy.BaselineTrigger().evaluate(0.3, None, T0)[1] == "within_tolerance"


def test_the_baselines_drifted_share_matches_scipy(config):
    rng = np.random.default_rng(1)
    before = pd.DataFrame(
        {"a": rng.normal(size=300), "b": rng.normal(size=300), "kind": ["x", "y", "z"] * 100}
    )
    now = pd.DataFrame({"a": rng.normal(1, 1, 80), "b": rng.normal(size=80), "kind": ["x"] * 70 + ["q"] * 10})
    code = {"q": 0, "x": 1, "y": 2, "z": 3}
    pairs = [(before[n], now[n]) for n in "ab"] + [(before["kind"].map(code), now["kind"].map(code))]
    expected = np.mean([ks_2samp(x, y).pvalue < 0.05 for x, y in pairs])
    assert baseline_policy.drifted_share(before, now, config) == pytest.approx(expected)
    nothing = now.assign(a=np.nan)
    assert baseline_policy.drifted_share(before, nothing, config) == pytest.approx(expected - 1 / 3)


def test_the_baseline_gate_checks_stored_score_rows_and_predictions(config):
    def built(score, rows=2000, nan_rate=0.0):
        return BuiltVersion("k", rows, score, nan_rate, None, None, None, ())

    champion = built(0.90)
    assert baseline_policy.baseline_gate(built(0.88), champion, config) == []
    assert baseline_policy.baseline_gate(built(0.879), champion, config) == [
        "accuracy 0.879, stored with the champion 0.9"
    ]
    assert len(baseline_policy.baseline_gate(built(0.5, 1000, 0.01), champion, config)) == 3


# Effects of promotions


def test_a_promotion_is_compared_with_the_version_before_it_on_the_rows_that_it_served():
    rng = np.random.default_rng(0)
    truth = [rng.integers(0, 2, 100).astype(object) for _ in range(4)]
    right = {("good", k): LabelledPredictions(t, t) for k, t in enumerate(truth)}
    wrong = {
        ("bad", k): LabelledPredictions(t, np.where(np.arange(100) < 30, 1 - t, t))
        for k, t in enumerate(truth)
    }
    windows = tuple(SimpleNamespace(index=k, actual_end=T0 + timedelta(days=k)) for k in range(4))
    cache = SimpleNamespace(
        history=SimpleNamespace(windows=windows),
        predictions=lambda key, index: {**right, **wrong}[key, index],
        losses=lambda part: (part.truth != part.predicted).astype(float),
        score=lambda parts: (
            float(np.mean([np.mean(p.truth == p.predicted) for p in parts])) if parts else None
        ),
    )
    policy_run = PolicyRun(
        promotions=[
            Promotion(0, "good", "bad", "1", "2"),
            Promotion(2, "bad", "good", "2", "3"),
            Promotion(3, "good", "bad", "3", "4"),
        ]
    )
    first, second, last = promotion_effects(policy_run, cache)
    assert (first.verdict, first.rows, first.score, first.previous_score) == ("worse", 200, 0.7, 1.0)
    assert (second.verdict, second.rows, second.score, second.previous_score) == ("better", 100, 1.0, 0.7)
    assert (last.verdict, last.rows, last.score) == ("not_computable", 0, None)


def test_worse_promotions_are_reported(flipped):
    worse = PromotionEffect(flipped.history.windows[4], "2", "1", 300, 0.7, 0.9, "worse")
    own = flipped.outcomes["homeostat"]
    changed = replace(flipped, outcomes={**flipped.outcomes, "homeostat": replace(own, promotions=[worse])})
    assert "0 of 1 promotions improved predictions significantly, 1 made them worse" in " ".join(
        backtesting.summarize(changed)
    )
    assert backtesting.to_json(changed)["worse_promotions"]["homeostat"][0]["previous_score"] == 0.9
    frozen, always = flipped.outcomes["frozen"], flipped.outcomes["always"]
    swapped = {
        **flipped.outcomes,
        "frozen": replace(frozen, score=always.score),
        "always": replace(always, score=0.1),
    }
    assert "Retraining after every window does not help" in " ".join(
        backtesting.summarize(replace(flipped, outcomes=swapped))
    )


# Grid search


def test_the_grid_starts_with_the_models_settings_and_has_no_duplicates(config):
    found = grid.trigger_combinations(config.trigger, timedelta(days=7))
    assert found[0] == config.trigger
    assert len({repr(trigger) for trigger in found}) == len(found)
    assert 6 <= len(found) <= 9
    assert all(trigger.critical_decay >= trigger.decay for trigger in found)


def test_the_grid_selects_on_the_first_windows_and_tests_on_the_rest(config, monkeypatch):
    own = config.trigger
    others = [own.model_copy(update={"decay": 0.05}), own.model_copy(update={"cooldown": timedelta(days=60)})]
    monkeypatch.setattr(grid, "trigger_combinations", lambda trigger, length: [own, *others])
    found = run(config, rows_of(10, flip=2), grid=True)
    raw = backtesting.to_json(found)["grid"]
    trials = raw["trials"]
    assert [trial["current"] for trial in trials] == [True, False, False]
    best = max((trial["score"], -trial["retrains"]) for trial in trials)
    equal = [trial for trial in trials if (trial["score"], -trial["retrains"]) == best]
    assert raw["chosen"] in [trial["settings"] for trial in equal]
    assert raw["chosen_is_current"] or not any(trial["current"] for trial in equal)  # ties: the model's own
    assert raw["windows"] == {"selection": 6, "test": 4}
    results = found.outcomes["homeostat"].run.results
    assert trials[0]["retrains"] == sum(result.fitted for result in results[:6])
    test = results[6:]
    right = sum(result.score * result.rows for result in test) / sum(result.rows for result in test)
    assert raw["test_score"]["current"] == pytest.approx(right)
    assert raw["test_score"]["chosen"] is not None


# Scores


def test_a_window_without_labels_has_no_score_and_the_total_still_has(config):
    rows = rows_of(4)
    rows.loc[(rows.index >= 300) & (rows.index < 360), "y"] = np.nan  # labels that never arrive
    found = run(config, rows)
    results = found.outcomes["frozen"].run.results
    assert (results[1].score, results[1].rows) == (None, 0)
    assert found.outcomes["frozen"].score is not None
    json.dumps(backtesting.to_json(found), allow_nan=False)


def test_the_score_is_the_gates_metric_where_predictions_suffice(config):
    history = split_history(rows_of(4), "at", WINDOW, 0.5)

    def score_name(metric):
        gate = config.gate.model_copy(update={"metric": metric})
        own = config.model_copy(update={"gate": gate})
        return PredictionCache(replay_config(own, history), history).score_name

    assert [score_name(metric) for metric in ("f1", "roc_auc", None)] == ["f1", "accuracy", "accuracy"]


def test_parts_are_scored_together(config):
    history = split_history(rows_of(4), "at", WINDOW, 0.5)
    cache = PredictionCache(replay_config(config, history), history)
    parts = [
        LabelledPredictions(np.array(["1", "0"], object), np.array(["1", "1"], object)),
        LabelledPredictions(np.array(["0"], object), np.array(["0"], object)),
    ]
    expected = score("classification", "accuracy", ["1", "0", "0"], ["1", "1", "0"])
    assert cache.score(parts) == pytest.approx(expected)
    assert cache.score([]) is None


def test_a_window_result_is_plain_json():
    window = SimpleNamespace(actual_start=T0, actual_end=T0 + timedelta(days=7))
    raw = WindowResult(window, 3, None, "1").to_json()
    assert list(raw) == [
        "start",
        "end",
        "rows",
        "score",
        "version",
        "event",
        "reason",
        "promoted",
        "sentence",
        "refused",
        "rolled_back",
    ]
    assert raw["event"] is None
