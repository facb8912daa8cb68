"""Replays of small streams whose right answers are known."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from homeostat import backtest as room
from homeostat.adapters import fake_ports
from homeostat.backtest import baseline_policy as article
from homeostat.backtest import grid
from homeostat.backtest import promotion_effects as judged
from homeostat.backtest.policy_run import Played, Promotion, Turn
from homeostat.backtest.prediction_cache import Bench, Said
from homeostat.backtest.replay_ports import ReplayClock, ReplaySource, replay_config
from homeostat.backtest.version_builder import Made
from homeostat.backtest.windows import cut
from homeostat.bundle.predictor import Predictor
from homeostat.config import load_model
from homeostat.config.errors import ConfigError, DataError
from homeostat.core import training_data as assemble
from homeostat.core.performance import score
from homeostat.retraining.recipes import fit_version

T0 = datetime(2026, 1, 5, tzinfo=UTC)
WINDOW = 60

MODEL = """
name: small
task: {task}
pipeline: pipeline.py:build
source: {{kind: csv, uri: rows.csv}}
schema:
  timestamp: at
  label: {{name: y, delay: 1h}}
  features:
    a: {{type: number}}
    b: {{type: number}}
    kind: {{type: category}}
monitor: {{every: 1h, window: 24h, min_rows: 30}}
training: {{window: {{kind: auto, length: 10d}}, min_rows: 100}}
gate: {{min_training_rows: 100, p99_latency_ms: 10000}}
"""

PIPELINE = """
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import {name}
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder


def build():
    columns = ColumnTransformer([("n", "passthrough", ["a", "b"]), ("c", OneHotEncoder(
        handle_unknown="ignore"), ["kind"])])
    return make_pipeline(columns, {name}())
"""


def rows_of(windows, *, flip=None, shift=None, seed=0, task="classification"):
    """A reference of 240 rows, an hour a row, and so many windows; ``flip``, ``shift``: from which on."""
    n = 240 + WINDOW * windows
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=n), rng.normal(size=n)
    at = np.arange(n)
    wanted = a + b + 0.3 * rng.normal(size=n)
    if flip is not None:
        wanted = np.where(at < 240 + WINDOW * flip, wanted, -wanted)
    moved = 0.0 if shift is None else np.where(at < 240 + WINDOW * shift, 0.0, 2.0)
    return pd.DataFrame(
        {
            "at": pd.date_range(T0, periods=n, freq="1h"),
            "a": a + moved,
            "b": b - moved,
            "kind": rng.choice(["red", "blue"], size=n),
            "y": wanted if task == "regression" else (wanted > 0).astype(int),
        }
    )


def in_memory(clock, source):
    return replace(fake_ports(clock=clock, source=source), pictures=False, loaded={})


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


def run(config, rows, **more):
    share = more.pop("reference_share", 240.5 / len(rows))
    return room.backtest(config, rows, in_memory, windows=WINDOW, reference_share=share, **more)


@pytest.fixture(scope="module")
def flipped(config):
    """The truth turns round in the fourth of twelve windows."""
    return run(config, rows_of(12, flip=3))


# What each policy does


def test_policies_that_ask_nothing_retrain_as_often_as_their_names_say(flipped):
    counts = {name: outcome.played.retrains for name, outcome in flipped.outcomes.items()}
    assert (counts["frozen"], counts["always"], counts["every_4"]) == (0, 12, 3)
    assert {name: len(outcome.played.turns) for name, outcome in flipped.outcomes.items()} == dict.fromkeys(
        room.POLICIES, 12
    )
    assert [t.span.number for t in flipped.outcomes["every_4"].played.turns if t.promoted] == [3, 7, 11]


def test_all_policies_begin_with_the_same_version(flipped):
    frozen = [turn.score for turn in flipped.outcomes["frozen"].played.turns]
    for outcome in flipped.outcomes.values():
        turns = outcome.played.turns
        last = next((turn.span.number for turn in turns if turn.promoted), len(turns) - 1)
        assert [turn.score for turn in turns[: last + 1]] == frozen[: last + 1]
        assert {turn.version for turn in turns[: last + 1]} == {"1"}


def test_what_is_served_is_scored_before_the_window_is_learnt_from(flipped):
    """The fourth window is the first one turned round; its labels come at the end of the fifth."""
    always = [turn.score for turn in flipped.outcomes["always"].played.turns]
    assert max(always[3:5]) < 0.3
    assert min(flipped.outcomes["frozen"].played.turns[k].score for k in range(3)) > 0.8


def test_homeostat_cures_a_model_whose_truth_turned_round(flipped):
    frozen, own = flipped.outcomes["frozen"], flipped.outcomes["homeostat"]
    assert own.score > frozen.score + 0.2
    assert 1 <= own.played.retrains <= 8
    fired = next(turn for turn in own.played.turns if turn.event)
    assert fired.span.number >= 4  # the labels of window 3 are known at the end of window 4
    assert "decay" in fired.sentence.lower()


def test_the_score_is_over_all_rows_together_and_the_frozen_one_is_what_a_plain_fit_gives(config, flipped):
    stream = flipped.stream
    replayed = replay_config(config, stream)
    snapshot = assemble.assemble(stream.rows[:240], replayed, stream.reference_end)
    fitted = fit_version(replayed, snapshot.train, snapshot.holdout, stream.reference_end)
    rest = stream.rows[240:]
    typed = rest.assign(kind=rest["kind"].astype("str"))
    said = Predictor.of(replayed, fitted.estimator).predict(typed).prediction
    assert flipped.outcomes["frozen"].score == pytest.approx((said == rest["y"].to_numpy()).mean(), abs=1e-12)


def test_a_stationary_stream_is_left_alone(config):
    found = run(config, rows_of(12, seed=5))
    own = found.outcomes["homeostat"].played
    assert own.retrains <= 1
    assert "0 windows" not in room.sentences(found)[0]


def test_inputs_that_shift_without_hurting_are_no_reason_to_retrain_every_window(config):
    found = run(config, rows_of(12, shift=4))  # a + b stays what it was, and so does the label
    assert found.outcomes["frozen"].score > 0.8
    assert found.outcomes["homeostat"].played.retrains <= 2
    fired = [turn.span.number for turn in found.outcomes["article"].played.turns if turn.event]
    assert fired == [6, 9]  # every third signal in a row


def test_regression_is_scored_by_its_mean_absolute_error(model):
    config = model("regression", "LinearRegression")
    found = run(config, rows_of(8, flip=2, task="regression"))
    assert found.score_name == "mae"
    frozen, always = found.outcomes["frozen"], found.outcomes["always"]
    assert always.score < frozen.score
    assert room.gain(found, always) == pytest.approx(frozen.score - always.score)
    window = frozen.played.turns[0]
    assert 0.1 < window.score < 0.6
    assert room.to_json(found)["higher_is_better"] is False


def test_a_retrain_that_cannot_learn_is_recorded_and_the_champion_stays(config):
    rows = rows_of(12)
    rows.loc[240:, "y"] = 1  # from here on there is one class, and ten days are looked back
    found = run(config, rows)
    last = found.outcomes["always"].played.turns[-1]
    assert (last.event, last.promoted, last.fitted) == ("retrain", False, False)
    assert "hold one class" in last.sentence
    assert found.outcomes["always"].played.retrains < 12
    assert found.outcomes["always"].played.refused == 12 - found.outcomes["always"].played.promoted


# No look into the future


@pytest.mark.parametrize("known", [3, 7])
def test_labels_that_are_not_known_yet_change_no_earlier_answer_and_no_decision(config, flipped, known):
    rows = rows_of(12, flip=3)
    later = rows.index >= 240 + WINDOW * known
    rows.loc[later, "y"] = 1 - rows.loc[later, "y"]
    changed = room.to_json(run(config, rows))
    for name, policy in room.to_json(flipped)["policies"].items():
        turns, others = policy["per_window"], changed["policies"][name]["per_window"]
        assert others[:known] == turns[:known]
        assert {**others[known], "score": 0} == {**turns[known], "score": 0}  # decided without its own labels
        assert others[known]["score"] != turns[known]["score"]


def test_rows_that_have_not_come_yet_change_nothing(config, flipped):
    short = run(config, rows_of(12, flip=3)[: 240 + WINDOW * 6], reference_share=240.5 / (240 + WINDOW * 6))
    for name, outcome in short.outcomes.items():
        assert outcome.played.turns == flipped.outcomes[name].played.turns[:6]


@settings(max_examples=60, deadline=None)
@given(hour=st.integers(0, 700), back=st.integers(1, 700), ahead=st.integers(-100, 900))
def test_the_source_hands_out_no_row_before_its_time_and_no_label_before_its_delay(hour, back, ahead):
    rows = rows_of(8)
    stream = cut(rows, "at", WINDOW, 240.5 / len(rows))
    config = SimpleNamespace(
        columns=SimpleNamespace(label=SimpleNamespace(name="y", delay=timedelta(hours=WINDOW)))
    )
    clock = ReplayClock(T0 + timedelta(hours=hour))
    source = ReplaySource(stream, clock)
    start, end = clock.now() - timedelta(hours=back), clock.now() + timedelta(hours=ahead)
    found = source.read(config, start, end)
    assert (found["at"] < min(end, clock.now())).all()
    assert (found["at"] >= start).all()
    known = found["at"] < max(clock.now() - timedelta(hours=WINDOW), stream.reference_end)
    assert found["y"].notna().equals(known)
    assert not rows["y"].isna().any()  # the stream's own rows are as they were


# The same again


def test_the_same_data_twice_give_the_same_json(config, flipped):
    again = run(config, rows_of(12, flip=3))
    assert json.dumps(room.to_json(again)) == json.dumps(room.to_json(flipped))


# Windows


def test_windows_of_rows_are_even_whatever_gaps_there_are_and_keep_their_true_times():
    rows = rows_of(4)
    rows["at"] += pd.to_timedelta(np.where(np.arange(len(rows)) >= 300, 500, 0), unit="h")  # a gap of weeks
    stream = cut(rows, "at", WINDOW, 0.5)
    assert stream.length == timedelta(hours=WINDOW)
    assert (stream.rows["at"].diff().dropna() == pd.Timedelta("1h")).all()
    assert len({span.end - span.start for span in stream.windows}) == 1
    assert stream.windows[1].start == stream.windows[0].end
    first = stream.windows[0]
    assert first.first == rows["at"].iloc[240].to_pydatetime()
    assert first.last == rows["at"].iloc[300].to_pydatetime()
    assert (first.end - first.start, first.last - first.first) == (
        timedelta(hours=60),
        timedelta(hours=560),
    )


def test_windows_of_time_hold_the_rows_of_their_time():
    rows = rows_of(4).drop(index=range(250, 290))
    stream = cut(rows, "at", timedelta(hours=60), 240.5 / len(rows))
    times = stream.rows["at"]
    counts = [int(((times >= s.start) & (times < s.end)).sum()) for s in stream.windows]
    assert counts == [20, 60, 60, 60]
    assert [span.first for span in stream.windows] == [span.start for span in stream.windows]


def test_an_incomplete_last_window_is_left_out_and_counted():
    stream = cut(rows_of(4)[:-7], "at", WINDOW, 0.51)
    assert (len(stream.windows), stream.left_out, stream.reference_rows) == (3, 473 - 241 - 3 * WINDOW, 241)


def test_rows_at_one_and_the_same_time_still_have_a_spacing():
    rows = rows_of(4).assign(at=pd.Timestamp(T0))
    assert cut(rows, "at", WINDOW, 0.5).length == timedelta(hours=WINDOW)


@pytest.mark.parametrize("text", ["", "7", "rows", "0rows", "-3rows", "7 weeks", "0d"])
def test_a_length_that_is_none_is_refused_with_an_example(text):
    with pytest.raises(ConfigError, match="168rows"):
        room.parse_windows(text)


def test_lengths_as_people_write_them():
    assert (room.parse_windows("168rows"), room.parse_windows("168 rows"), room.parse_windows("7d")) == (
        168,
        168,
        timedelta(days=7),
    )


@pytest.mark.parametrize(("rows", "said"), [(10, "not one whole window of"), (119, "1 whole window of")])
def test_fewer_than_two_windows_show_nothing_and_are_refused(rows, said):
    with pytest.raises(DataError, match=f"{said}.* --reference-share"):
        cut(rows_of(2)[: 240 + rows], "at", WINDOW, 240.5 / (240 + rows))


def test_a_share_that_leaves_no_row_for_the_first_version_is_refused():
    with pytest.raises(DataError, match="--reference-share"):
        cut(rows_of(2)[:3], "at", WINDOW, 0.1)


def test_the_model_keeps_its_own_settings_but_for_what_a_replay_has_not(config):
    stream = cut(rows_of(4), "at", WINDOW, 0.5)
    period = {"start": T0 + timedelta(hours=100), "end": T0 + timedelta(hours=130)}
    bad = config.training.__class__.model_validate({**config.training.model_dump(), "bad_periods": [period]})
    own = config.model_copy(update={"training": bad, "notify": ("people",), "approval": "required"})
    found = replay_config(own, stream)
    assert (found.serve, found.approval, found.notify) == ("none", "none", ())
    assert found.monitor.every == found.monitor.window == found.columns.label.delay == stream.length
    assert (found.trigger, found.gate) == (own.trigger, own.gate)
    assert found.folder == config.folder
    assert found.training.bad_periods[0].start == period["start"]


def test_bad_periods_move_with_the_rows_that_they_are_about(config):
    rows = rows_of(4)
    rows["at"] += pd.to_timedelta(np.where(np.arange(len(rows)) >= 50, 24, 0), unit="h")
    stream = cut(rows, "at", WINDOW, 0.5)
    assert stream.replayed(rows["at"].iloc[70].to_pydatetime()) == stream.rows["at"].iloc[70]


def test_min_rows_that_no_window_can_reach_is_lowered_and_said(config):
    monitor = config.monitor.model_copy(update={"min_rows": 200})
    found = run(config.model_copy(update={"monitor": monitor}), rows_of(4))
    assert any("monitor.min_rows asks for 200" in note for note in found.notes)
    drift = [turn.sentence for turn in found.outcomes["homeostat"].played.turns]
    assert not any("not computable" in sentence for sentence in drift)


# The article, as published


def test_the_articles_trigger_fires_at_the_third_signal_and_then_counts_anew():
    trigger = article.Trigger()
    fired = [trigger.evaluate(0.5, None, T0 + timedelta(days=7 * k))[0] for k in range(7)]
    assert fired == [False, False, True, False, False, True, False]


def test_the_articles_critical_decay_fires_at_once_and_leaves_the_count_of_signals():
    trigger = article.Trigger()
    trigger.evaluate(0.5, 0.0, T0)
    trigger.evaluate(0.5, 0.0, T0 + timedelta(days=7))
    assert trigger.evaluate(0.5, 0.151, T0 + timedelta(days=14)) == (True, "performance_decay_critical")
    assert trigger.signals == 2
    assert trigger.evaluate(0.5, 0.15, T0 + timedelta(days=21)) == (True, "sustained_drift")


def test_the_articles_cooldown_is_a_day_and_drift_is_more_than_thirty_percent():
    trigger = article.Trigger()
    assert trigger.evaluate(0.0, 0.2, T0)[0]
    assert trigger.evaluate(0.0, 0.2, T0 + timedelta(hours=23)) == (False, "cooldown_active")
    assert trigger.evaluate(0.0, 0.2, T0 + timedelta(hours=24))[0]
    assert article.Trigger().evaluate(0.3, None, T0)[1] == "within_tolerance"


def test_the_articles_share_of_drifted_features_is_scipys(config):
    rng = np.random.default_rng(1)
    before = pd.DataFrame(
        {"a": rng.normal(size=300), "b": rng.normal(size=300), "kind": ["x", "y", "z"] * 100}
    )
    now = pd.DataFrame({"a": rng.normal(1, 1, 80), "b": rng.normal(size=80), "kind": ["x"] * 70 + ["q"] * 10})
    code = {"q": 0, "x": 1, "y": 2, "z": 3}
    pairs = [(before[n], now[n]) for n in "ab"] + [(before["kind"].map(code), now["kind"].map(code))]
    expected = np.mean([ks_2samp(x, y).pvalue < 0.05 for x, y in pairs])
    assert article.drifted_share(before, now, config) == pytest.approx(expected)
    nothing = now.assign(a=np.nan)
    assert article.drifted_share(before, nothing, config) == pytest.approx(expected - 1 / 3)


def test_the_articles_gate_asks_the_stored_score_the_rows_and_the_answers(config):
    def made(stored, rows=2000, nan_rate=0.0):
        return Made("k", None, None, rows, stored, nan_rate)

    champion = made(0.90)
    assert article.gate(made(0.88), champion, config) == []
    assert article.gate(made(0.879), champion, config) == ["accuracy 0.879, stored with the champion 0.9"]
    assert len(article.gate(made(0.5, 1000, 0.01), champion, config)) == 3


# Harm


def test_a_promotion_is_held_against_the_version_before_on_the_rows_after_it():
    rng = np.random.default_rng(0)
    truth = [rng.integers(0, 2, 100).astype(object) for _ in range(4)]
    right = {("good", k): Said(t, t) for k, t in enumerate(truth)}
    wrong = {("bad", k): Said(t, np.where(np.arange(100) < 30, 1 - t, t)) for k, t in enumerate(truth)}
    spans = tuple(SimpleNamespace(number=k, last=T0 + timedelta(days=k)) for k in range(4))
    bench = SimpleNamespace(
        stream=SimpleNamespace(windows=spans),
        said=lambda key, number: {**right, **wrong}[key, number],
        losses=lambda said: (said.truth != said.answer).astype(float),
        score=lambda said: float(np.mean([np.mean(s.truth == s.answer) for s in said])) if said else None,
    )
    played = Played(
        promotions=[
            Promotion(0, "good", "bad", "1", "2"),
            Promotion(2, "bad", "good", "2", "3"),
            Promotion(3, "good", "bad", "3", "4"),
        ]
    )
    first, second, last = judged.judge_promotions(played, bench)
    assert (first.verdict, first.rows, first.score, first.score_before) == ("worse", 200, 0.7, 1.0)
    assert (second.verdict, second.rows, second.score, second.score_before) == ("better", 100, 1.0, 0.7)
    assert (last.verdict, last.rows, last.score) == ("not_computable", 0, None)


def test_harm_is_told_to_people(flipped):
    worse = judged.Judged(flipped.stream.windows[4], "2", "1", 300, 0.7, 0.9, "worse")
    own = flipped.outcomes["homeostat"]
    told = replace(flipped, outcomes={**flipped.outcomes, "homeostat": replace(own, promotions=[worse])})
    assert "1 of 1 promotions did harm" in " ".join(room.sentences(told))
    assert room.to_json(told)["harm"]["homeostat"][0]["score_before"] == 0.9
    frozen, always = flipped.outcomes["frozen"], flipped.outcomes["always"]
    swapped = {
        **flipped.outcomes,
        "frozen": replace(frozen, score=always.score),
        "always": replace(always, score=0.1),
    }
    assert "Retraining does harm here" in " ".join(room.sentences(replace(flipped, outcomes=swapped)))


# Other settings


def test_the_grid_has_the_models_own_settings_first_and_none_twice(config):
    found = grid.combinations(config.trigger, timedelta(days=7))
    assert found[0] == config.trigger
    assert len({repr(trigger) for trigger in found}) == len(found)
    assert 6 <= len(found) <= 9
    assert all(trigger.critical_decay >= trigger.decay for trigger in found)


def test_the_grid_chooses_on_the_first_part_and_is_scored_on_the_rest(config, monkeypatch):
    own = config.trigger
    others = [own.model_copy(update={"decay": 0.05}), own.model_copy(update={"cooldown": timedelta(days=60)})]
    monkeypatch.setattr(grid, "combinations", lambda trigger, length: [own, *others])
    found = run(config, rows_of(10, flip=2), grid=True)
    raw = room.to_json(found)["grid"]
    first = raw["first_part"]
    assert [tried["own"] for tried in first] == [True, False, False]
    best = max((tried["score"], -tried["retrains"]) for tried in first)
    equal = [tried for tried in first if (tried["score"], -tried["retrains"]) == best]
    assert raw["chosen"] in [tried["settings"] for tried in equal]
    assert raw["chosen_is_own"] or not any(tried["own"] for tried in equal)  # of equals the model's own
    assert raw["windows"] == {"first_part": 6, "rest": 4}
    turns = found.outcomes["homeostat"].played.turns
    assert first[0]["retrains"] == sum(turn.fitted for turn in turns[:6])
    right = sum(turn.score * turn.rows for turn in turns[6:]) / sum(turn.rows for turn in turns[6:])
    assert raw["rest"]["own"] == pytest.approx(right)
    assert raw["rest"]["chosen"] is not None


# Scores


def test_a_window_whose_rows_do_not_allow_a_score_has_none_and_the_whole_still_has(config):
    rows = rows_of(4)
    rows.loc[(rows.index >= 300) & (rows.index < 360), "y"] = np.nan  # nobody ever learnt what was right
    found = run(config, rows)
    turns = found.outcomes["frozen"].played.turns
    assert (turns[1].score, turns[1].rows) == (None, 0)
    assert found.outcomes["frozen"].score is not None
    json.dumps(room.to_json(found), allow_nan=False)


def test_the_score_is_the_gates_metric_where_answers_alone_give_it(config):
    stream = cut(rows_of(4), "at", WINDOW, 0.5)

    def asked(metric):
        gate = config.gate.model_copy(update={"metric": metric})
        return Bench(replay_config(config.model_copy(update={"gate": gate}), stream), stream).score_name

    assert [asked(metric) for metric in ("f1", "roc_auc", None)] == ["f1", "accuracy", "accuracy"]


def test_scores_of_parts_are_scored_together(config):
    stream = cut(rows_of(4), "at", WINDOW, 0.5)
    bench = Bench(replay_config(config, stream), stream)
    parts = [
        Said(np.array(["1", "0"], object), np.array(["1", "1"], object)),
        Said(np.array(["0"], object), np.array(["0"], object)),
    ]
    expected = score("classification", "accuracy", ["1", "0", "0"], ["1", "1", "0"])
    assert bench.score(parts) == pytest.approx(expected)
    assert bench.score([]) is None


def test_a_turn_is_plain_json():
    span = SimpleNamespace(first=T0, last=T0 + timedelta(days=7))
    raw = Turn(span, 3, None, "1").to_json()
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
    ]
    assert raw["event"] is None
