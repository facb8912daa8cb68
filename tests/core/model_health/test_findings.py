"""The state of a model in one word and one sentence."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from health_story import END, HOUR, NOW, PLAN, estimated, record, report, summary
from homeostat.core.model_health import (
    LEVELS,
    AlertRuns,
    EndedRetrain,
    FeatureEffect,
    HealthState,
    Level,
    ModelFacts,
    WindowSummary,
    findings,
    upcoming,
)
from homeostat.core.model_health.series import slice_map
from homeostat.core.rollout import Phase, Rollout, Traffic, VersionRef
from homeostat.core.rollout.served import Served, ServedState
from homeostat.core.slices import SliceDrift, SliceResult, SliceScore, SlicesReport

CHAMPION = Traffic("pump", 3, VersionRef("2", "b"), VersionRef("1", "a"), promoted_at=END - 9 * HOUR)


def facts(newest=None, traffic=CHAMPION, **more):
    return ModelFacts("pump", NOW, traffic, newest, **more)


def rollout(phase, step=0, **more):
    return Rollout("run3", VersionRef("3", "c"), phase, step, END - 2 * HOUR, PLAN, **more)


def worst(*args, **more):
    return findings(facts(*args, **more))[0]


def test_a_quiet_model_is_healthy_by_its_figures():
    found = worst(summary())
    assert (found.state, found.left) == (HealthState.HEALTHY, "")
    assert found.sentence == (
        "Inputs are as in the reference; accuracy 0.75 over the last 10 checks, newest 0.74, expected 0.76."
    )
    assert LEVELS[found.state] is Level.GOOD


def test_a_score_far_below_the_baseline_is_failing_since_the_first_alert():
    runs = AlertRuns(decay_since=END - 5 * HOUR, scored_at=END, scored_verdict="alert")
    found = worst(summary(record(performance="alert", score=0.46), report("alert", 0.46), runs=runs))
    assert found.state is HealthState.FAILING
    assert found.sentence == (
        "Predictions have become worse: accuracy 0.46 over the last 10 checks, newest 0.46, expected 0.76."
    )
    assert found.since == END - 5 * HOUR
    assert "trigger.decay" in found.settings


def sliced(**more):
    """A window in which one slice is worse, and the whole is well."""
    made = record(decayed_slices={"region=north": 0.3}, **more)
    worse = SliceScore("alert", "accuracy 0.6 over 90 rows", 0.6, 0.9, 0.3, 1e-6, 90)
    well = SliceScore("pass", "accuracy 0.9 over 90 rows", 0.9, 0.9, 0.0, 0.5, 90)
    results = [
        SliceResult(name, SliceDrift("pass", "0 of 2 features drifted", 200, 0.0), score)
        for name, score in (("region=south", well), ("region=north", worse))
    ]
    return summary(made, slices=SlicesReport("accuracy", tuple(results)))


def test_a_slice_that_is_worse_while_the_whole_is_well_is_a_state_of_its_own():
    found = worst(sliced())
    assert found.state is HealthState.FAILING_SLICE
    assert found.sentence == (
        "Predictions have become worse in a part of the rows: region=north (accuracy 0.6, expected 0.9)."
    )
    assert found.since == END
    assert found.why == ("Region=north: accuracy 0.6 over 90 rows.",)
    assert LEVELS[found.state] is Level.WARNING
    assert HealthState.FAILING_SLICE not in [f.state for f in findings(facts(sliced(performance="alert")))]


def test_the_slices_of_a_window_are_shown_the_worst_first():
    found = slice_map([summary(), sliced()])
    assert [row["name"] for row in found["slices"]] == ["region=north", "region=south"]
    assert found["slices"][0]["effects"] == [None, 0.3]
    assert found["slices"][0]["verdicts"] == "-a"
    assert (found["metric"], slice_map([summary()])["slices"]) == ("accuracy", [])
    read = WindowSummary.from_json(json.loads(json.dumps(sliced().to_json(), allow_nan=False)))
    assert read == sliced()


def test_an_alert_stays_while_the_next_labels_are_pending():
    runs = AlertRuns(decay_since=END - 5 * HOUR, scored_at=END - HOUR, scored_verdict="alert")
    pending = summary(record(performance="pending", score=None), report("pending", 0.46), runs=runs)
    assert worst(pending).state is HealthState.FAILING


def test_a_window_of_the_former_champion_says_nothing_about_the_new_one():
    old = summary(record(version="1", performance="alert"), report("alert", 0.46))
    found = worst(old)
    assert found.state is HealthState.UNPROVEN
    assert (
        found.sentence == "Version 2 has not been checked since it became champion at 2026-03-10 03:00 UTC."
    )


@pytest.mark.parametrize(("hours", "unchecked"), [(2, False), (4, True)])
def test_missing_checks_are_bad_whatever_the_last_one_said(hours, unchecked):
    late = summary(checked_at=NOW - timedelta(hours=hours))
    assert (worst(late).state is HealthState.UNCHECKED) == unchecked


@pytest.mark.parametrize(("minutes", "unchecked"), [(1.1, False), (9.9, False), (10.1, True)])
def test_checks_of_seconds_are_missing_after_ten_minutes(minutes, unchecked):
    late = summary(every=timedelta(seconds=20), checked_at=NOW - timedelta(minutes=minutes))
    found = worst(late)
    assert (found.state is HealthState.UNCHECKED) == unchecked
    if unchecked:
        assert "every 20 seconds" in found.why[0]
        assert found.why[1] == "Checks count as stopped after 10 minutes."


def test_a_champion_that_was_never_checked_is_unchecked_three_hours_after_its_promotion():
    assert worst(None).state is HealthState.UNCHECKED
    assert worst(None, replace(CHAMPION, promoted_at=NOW - HOUR)).state is HealthState.UNPROVEN


@pytest.mark.parametrize(("high", "state"), [(0.69, HealthState.SUSPECT), (0.71, HealthState.HEALTHY)])
def test_an_estimate_whose_interval_is_below_the_baseline_by_decay_is_suspect(high, state):
    performance = report("pending", None, estimate=estimated(0.6, 0.5, high))
    found = worst(
        summary(record(performance="pending", score=None, decay=None), performance, runs=AlertRuns())
    )
    assert found.state is state
    assert "0.6" in found.sentence


def test_without_a_label_and_without_an_estimate_nothing_is_proven():
    performance = report("pending", None)
    found = worst(summary(record(performance="pending", score=None), performance, runs=AlertRuns()))
    assert found.state is HealthState.UNPROVEN
    assert found.since == CHAMPION.promoted_at


def test_a_version_that_is_champion_again_says_since_when_no_label_has_arrived():
    pending = summary(record(performance="pending", score=None), report("pending", None))
    found = worst(pending)
    assert found.state is HealthState.UNPROVEN
    assert found.sentence == (
        "No label of version 2 has arrived since it became champion at 2026-03-10 03:00 UTC: "
        "how well it predicts now is not known."
    )
    first = worst(pending, replace(CHAMPION, promoted_at=None))
    assert first.sentence.startswith("No label of version 2 has arrived yet:")


@pytest.mark.parametrize("impact", ["shown", "not_shown", "unknown"])
def test_drift_names_the_features_that_moved_most(impact):
    features = {
        "small": FeatureEffect(0.2, "alert", "KS 0.2"),
        "large": FeatureEffect(0.7, "alert", "KS 0.7"),
        "none": FeatureEffect(0.9, "pass"),
    }
    newest = summary(record(drift="alert", drifted_share=0.67, impact=impact), features=features)
    found = worst(newest)
    assert found.state is HealthState.DRIFTING
    assert "(large, small)" in found.sentence
    assert ("have not become worse" in found.sentence) == (impact == "not_shown")
    assert found.why[1:] == ("large: KS 0.7.", "small: KS 0.2.")


def test_a_broken_schema_is_not_left_to_a_retrain():
    found = worst(summary(findings=("temp: missing in 40 % of the rows", "hum: missing")))
    assert found.state is HealthState.BROKEN_INPUT
    assert "temp: missing in 40 % of the rows, and 1 more" in found.sentence
    assert "A retrain does not help" in found.left


@pytest.mark.parametrize("verdict", ["drift", "performance"])
def test_what_could_not_be_computed_is_neither_good_nor_bad(verdict):
    newest = summary(record(**{verdict: "not_computable"}))
    assert worst(newest).state is HealthState.NOT_COMPUTABLE


def test_a_failed_retrain_needs_a_person_until_another_one_runs_or_a_version_is_promoted():
    failed = EndedRetrain(END, "failed", "train", "a library is missing")
    assert worst(summary(), retrain=failed).state is HealthState.STUCK
    assert worst(summary(), retrain=failed, holder="r2").state is HealthState.RETRAINING
    later = replace(CHAMPION, promoted_at=END + timedelta(minutes=1))
    assert worst(summary(), later, retrain=failed).state is HealthState.HEALTHY


def test_a_retrain_that_was_not_allowed_to_train_needs_a_person_too():
    refused = EndedRetrain(END, "refused", "environment", "pump: training.parity is enforce")
    found = worst(summary(record(performance="alert")), retrain=refused)
    assert found.state is HealthState.FAILING
    assert found.left == "", "the next finding says what to do"
    found = worst(summary(), retrain=refused)
    assert (found.state, found.sentence) == (
        HealthState.STUCK,
        "The last retrain was refused before its training.",
    )
    assert found.why == ("training.parity is enforce.",)


@pytest.mark.parametrize(
    ("traffic", "retrain", "said"),
    [
        (replace(CHAMPION, rollout=rollout(Phase.CHAMPION)), None, "version 3 became champion"),
        (replace(CHAMPION, rollout=rollout(Phase.ROLLED_BACK)), None, "version 3 was rolled back"),
        (
            CHAMPION,
            EndedRetrain(END, "not_worthwhile", "probe", "no", run_key="run3"),
            "it was not worthwhile",
        ),
    ],
)
def test_a_run_that_still_ends_is_no_retrain(traffic, retrain, said):
    present = facts(summary(), traffic, holder="run3", retrain=retrain)
    assert findings(present)[0].state is HealthState.HEALTHY
    (run,) = [each for each in upcoming(present) if "run" in each.sentence and each.at is None]
    assert run.sentence == f"The run of the last retrain ends in a moment; {said}."


@pytest.mark.parametrize(
    "traffic",
    [
        CHAMPION,
        replace(CHAMPION, rollout=replace(rollout(Phase.CHAMPION), id="run2")),
    ],
    ids=["no rollout", "rollout of an earlier retrain"],
)
def test_a_retrain_at_work_is_retraining(traffic):
    earlier = EndedRetrain(END, "refused", "gate", "no", run_key="run2")
    found = worst(summary(), traffic, holder="run3", retrain=earlier)
    assert (found.state, found.sentence) == (HealthState.RETRAINING, "A retrain is running.")


def test_a_candidate_that_waits_names_both_commands():
    found = worst(summary(), replace(CHAMPION, rollout=rollout(Phase.WAITING)))
    assert found.state is HealthState.WAITING
    assert "homeostat promote pump" in found.left
    assert "homeostat rollback pump" in found.left


@pytest.mark.parametrize(
    ("phase", "step", "sentence"),
    [
        (Phase.REGISTERED, 0, "Version 3 is registered and waits until a gateway has loaded it."),
        (Phase.SHADOW, 0, "Version 3 is in shadow."),
        (Phase.CANARY, 1, "Version 3 is in canary step 2 of 2 with 50% of the traffic."),
    ],
)
def test_a_candidate_under_way_is_where_it_is(phase, step, sentence):
    found = worst(summary(), replace(CHAMPION, rollout=rollout(phase, step)))
    assert (found.state, found.sentence) == (HealthState.ROLLING_OUT, sentence)


def test_what_no_version_serves_is_down():
    not_loaded = Served(ServedState.NOT_LOADED, "version 2 is champion but is not loaded")
    assert worst(summary(), served=not_loaded).state is HealthState.DOWN
    refused = Traffic("pump", 1, rollout=rollout(Phase.ROLLED_BACK, reason="evil.Type"))
    found = worst(None, refused)
    assert (found.state, found.why) == (HealthState.DOWN, ("evil.Type.",))


def test_a_model_without_a_version_says_how_to_make_one():
    found = worst(None, Traffic("pump"))
    assert found.state is HealthState.EMPTY
    assert "homeostat retrain pump" in found.left


def test_everything_that_holds_is_listed_the_worst_first():
    newest = summary(
        record(drift="alert", performance="alert"), report("alert", 0.46), findings=("a: missing",)
    )
    states = [
        found.state for found in findings(facts(newest, replace(CHAMPION, rollout=rollout(Phase.SHADOW))))
    ]
    assert states == ["failing", "broken_input", "drifting", "rolling_out"]


@pytest.mark.parametrize(
    ("phase", "step", "follows", "after"),
    [
        (Phase.SHADOW, 0, "gets 10% of the traffic", PLAN.shadow),
        (Phase.CANARY, 0, "gets 50% of the traffic", PLAN.step_duration),
        (Phase.CANARY, 1, "becomes champion", PLAN.step_duration),
    ],
)
def test_the_next_phase_comes_after_the_duration_of_this_one(phase, step, follows, after):
    found = upcoming(facts(summary(), replace(CHAMPION, rollout=rollout(phase, step))))
    moves = next(each for each in found if "Version 3" in each.sentence)
    assert follows in moves.sentence
    assert moves.at == END - 2 * HOUR + after


def test_the_next_check_and_the_end_of_the_cooldown_are_named_with_their_times():
    found = upcoming(facts(summary(held_until=END + 5 * HOUR)))
    assert [each.at for each in found] == [END + HOUR, END + 5 * HOUR]
