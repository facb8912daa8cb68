"""The trigger fires once per episode, never within a cooldown, and never without evidence."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from homeostat.config.model import Trigger
from homeostat.core.trigger import (
    MAX_BACKOFF_FACTOR,
    TriggerReason,
    WindowRecord,
    decide_trigger,
    drifting_since,
    tenure,
)

START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
SETTINGS = Trigger(consecutive=3, cooldown=timedelta(hours=5))
VERDICT = {"P": "pass", "A": "alert", "?": "not_computable", ".": "pending"}


def record(hour, drift="P", performance=".", decay=None, version="1", *, fired=False, **more):
    return WindowRecord(
        window_end=START + hour * HOUR,
        version=version,
        rows=500,
        drift=VERDICT[drift],
        drifted_share=None if drift == "?" else 0.5,
        performance=VERDICT[performance],
        score=None,
        decay=decay,
        fired=fired,
        **more,
    )


def run(drift, setting=SETTINGS, promotions=(), min_retrain_interval=0, **others):
    """Check the windows one after the other as the DAG would: ``A-A`` has a gap in the middle.

    ``others`` are fields of the records, one value an hour; ``min_retrain_interval`` is in hours.
    """
    history, decisions = [], {}
    for hour, letter in enumerate(drift):
        if letter == "-":
            continue
        now = record(hour, letter, **{name: values[hour] for name, values in others.items()})
        promoted = max((START + at * HOUR for at in promotions if at < hour), default=None)
        decisions[hour] = decide_trigger(
            history, now, setting, promoted_at=promoted, min_retrain_interval=min_retrain_interval * HOUR
        )
        history.append(replace(now, fired=decisions[hour].fire, reason=decisions[hour].reason))
    return decisions


def fires(*args, **kwargs):
    return [hour for hour, decision in run(*args, **kwargs).items() if decision.fire]


@pytest.mark.parametrize(
    ("drift", "expected"),
    [
        ("PPPPPP", []),
        ("AAA", [2]),
        ("AAPAA", []),
        ("APAPAPAPA", []),
        ("AA?A", [3]),
        ("AA-A", [3]),
        ("AA--------A", [10]),
        ("A?-?-?", []),
        ("???????", []),
        ("AAAA", [2]),
        ("AAAAAAAAAAAAA", [2, 7, 12]),
        ("AAAPPPPPP", [2]),
        ("AAAPPPPAAA", [2, 9]),
        ("AAA???????", [2]),
        ("AAA????A", [2, 7]),
    ],
)
def test_sustained_drift_fires_once_per_cooldown(drift, expected):
    assert fires(drift) == expected


def test_critical_decay_fires_at_once_and_soft_decay_must_hold():
    worse = {"performance": "AAAA", "decay": [0.2] * 4}
    soft = {"performance": "AAAA", "decay": [0.12] * 4}
    assert fires("PPPP", **worse) == [0]
    assert run("PPPP", **worse)[0].reason == "performance_decay_critical"
    assert fires("PPPP", **soft) == [2]
    assert run("PPPP", **soft)[2].reason == "sustained_decay"
    assert fires("PPPP", performance="AA.A", decay=[0.12, 0.12, None, 0.12]) == [3]


def test_runs_of_drift_and_decay_are_counted_separately():
    assert fires("APA", performance="PAP", decay=[0, 0.12, 0]) == []


def test_critical_decay_waits_for_the_cooldown_too():
    assert fires("P" * 7, performance="A" * 7, decay=[0.9] * 7) == [0, 5]


@pytest.mark.parametrize(("drift", "expected"), [("AAAAAAAAA", [2]), ("AAAPAAA", [2, 6]), ("AAA?AAA", [2])])
def test_without_a_cooldown_one_episode_still_fires_once(drift, expected):
    assert fires(drift, Trigger(cooldown=timedelta(0))) == expected


def test_a_promotion_starts_afresh():
    no_cooldown = Trigger(cooldown=timedelta(0))
    assert fires("AAAAAAA", no_cooldown, promotions=[3]) == [2, 6]
    assert fires("AAPPAAAA", promotions=[5]) == []
    late = decide_trigger(
        [record(0, "A"), record(1, "A")], record(2, "A"), SETTINGS, promoted_at=START + 5 * HOUR
    )
    assert (late.fire, late.reason) == (False, "before_promotion")


def test_a_promotion_does_not_end_the_cooldown():
    assert fires("AAAAAAAAAA", promotions=[3]) == [2, 7]


def test_alerts_of_another_version_are_no_evidence():
    history = [record(0, "A", version="1"), record(1, "A", version="1")]
    assert not decide_trigger(history, record(2, "A", version="2"), SETTINGS).fire
    assert decide_trigger(history, record(2, "A", version="1"), SETTINGS).fire


@pytest.mark.parametrize(
    ("current", "state", "reason"),
    [
        (record(9, "P", "P", 0.0), "quiet", "within_tolerance"),
        (record(9, "P", "."), "pending", "labels_pending"),
        (record(9, "?", "?"), "pending", "no_evidence"),
        (record(9, "A", "."), "building", "building"),
        (record(9, "P", "?"), "quiet", "within_tolerance"),
    ],
)
def test_every_decision_has_a_state_and_a_reason(current, state, reason):
    decision = decide_trigger([], current, SETTINGS)
    assert (decision.state, decision.reason, decision.fire) == (state, reason, False)
    assert decision.sentence
    json.dumps(decision.to_json(), allow_nan=False)


def test_the_cooldown_says_until_when_and_what_it_holds_back():
    decision = run("AAAA")[3]
    assert (decision.state, decision.reason) == ("cooldown", "cooldown_active")
    assert decision.cooldown_until == START + 7 * HOUR
    assert "Without it: Drift lasted 4 windows" in decision.sentence


def test_a_window_that_fired_stays_fired_when_it_is_checked_again():
    history = [record(0, "A"), record(1, "A"), replace(record(2, "A"), fired=True, reason="sustained_drift")]
    for again in (record(2, "A"), record(2, "P"), record(2, "?")):
        decision = decide_trigger(history, again, SETTINGS)
        assert (decision.fire, decision.repeated, decision.reason) == (True, True, "sustained_drift")


def test_a_window_of_the_past_does_not_fire_once_a_later_one_has():
    history = [record(0, "A"), record(1, "A"), record(3, "A"), record(50, "A", fired=True)]
    decision = decide_trigger(history, record(2, "A"), SETTINGS)
    assert (decision.fire, decision.reason) == (False, "cooldown_active")


# Impact: whether drift makes predictions worse


@pytest.mark.parametrize("consecutive", [1, 2, 4])
@pytest.mark.parametrize(("impact", "reason"), [("unknown", "sustained_drift"), ("shown", "harmful_drift")])
def test_drift_fires_after_consecutive_windows_when_its_impact_is_shown_or_unknown(
    consecutive, impact, reason
):
    found = run("A" * 4, Trigger(consecutive=consecutive), impact=[impact] * 4)
    assert [hour for hour, decision in found.items() if decision.fire] == [consecutive - 1]
    assert found[consecutive - 1].reason == reason


def test_drift_without_impact_is_a_notice_and_does_not_fire():
    found = run("A" * 9, impact=["not_shown"] * 9)
    assert [decision.state for decision in found.values()] == ["building"] * 2 + ["notice"] * 7
    assert found[8].reason == "harmless_drift"
    assert "9 windows" in found[8].sentence


def test_drift_fires_as_soon_as_its_impact_is_shown():
    impact = ["not_shown"] * 5 + ["shown"] * 2
    assert fires("A" * 7, impact=impact) == [5]


def test_significant_decay_fires_at_once():
    soft = {"performance": "AAAA", "decay": [0.12] * 4}
    assert fires("PPPP", **soft, significant=[True] * 4) == [0]
    assert run("PPPP", **soft, significant=[True] * 4)[0].reason == "performance_decay"
    assert fires("PPPP", **soft, significant=[False] * 4) == [2]


def test_a_champion_below_the_best_baseline_is_replaced_although_it_meets_its_own():
    found = run("PPPP", below_best=[False, True, True, True], performance="PPPP", decay=[0.0] * 4)
    assert [hour for hour, decision in found.items() if decision.fire] == [1]
    assert found[1].reason == "below_best"
    both = {"performance": "A", "decay": [0.5]}
    assert run("P", below_best=[True], **both)[0].reason == "performance_decay_critical"
    assert run("P", below_best=[True], reinstate=["3"], **both)[0].reason == TriggerReason.FORMER_VERSION_FITS


def test_a_former_champion_that_fits_is_reinstated_before_a_retrain():
    found = run("P", performance="A", decay=[0.5], reinstate=["4"])[0]
    assert (found.fire, found.reason, found.reinstate) == (True, TriggerReason.FORMER_VERSION_FITS, "4")
    assert "Version 4" in found.sentence
    waits = run("AAAPPP", reinstate=[""] * 4 + ["4", "4"])
    assert (waits[4].state, waits[4].reinstate) == ("cooldown", "")
    assert "Without it: Version 4" in waits[4].sentence


def test_a_window_that_fired_names_the_same_version_when_it_is_checked_again():
    history = [record(0, fired=True, reason=TriggerReason.FORMER_VERSION_FITS, reinstate="4")]
    for today in ("", "7"):
        again = decide_trigger(history, record(0, reinstate=today), SETTINGS)
        assert (again.repeated, again.reason, again.reinstate) == (
            True,
            TriggerReason.FORMER_VERSION_FITS,
            "4",
        )
    drifted = decide_trigger(
        [record(0, "A", fired=True, reason="sustained_drift")], record(0, reinstate="7"), SETTINGS
    )
    assert (drifted.reason, drifted.reinstate) == ("sustained_drift", "")


# Back-off: the wait doubles while retraining does not help

EAGER = Trigger(consecutive=1, cooldown=HOUR)


def retrained(hours, min_retrain_interval, *, promoted, reason="harmful_drift", reinstate=""):
    """Hours of the fires while every window asks for a retrain, each of which ends in the same way."""
    history, version, fired = [], 1, []
    for hour in range(hours):
        more = {"impact": "shown"} if reason == "harmful_drift" else {"performance": "A", "decay": 0.12}
        more |= {"significant": True, "reinstate": reinstate}
        now = record(hour, "A" if reason == "harmful_drift" else "P", version=str(version), **more)
        decision = decide_trigger(history, now, EAGER, min_retrain_interval=min_retrain_interval * HOUR)
        if decision.fire:
            assert decision.reason in (reason, TriggerReason.FORMER_VERSION_FITS)
            fired.append(hour)
            version += promoted
        history.append(replace(now, fired=decision.fire, reason=decision.reason))
    return fired


def doubling(first, waits):
    found = [first]
    for wait in waits:
        found.append(found[-1] + wait)
    return found


@pytest.mark.parametrize("reason", ["harmful_drift", "performance_decay"])
def test_each_refused_retrain_doubles_the_wait_up_to_eight_times(reason):
    expected = doubling(0, [3, 6, 12, 24, 24, 24])
    assert MAX_BACKOFF_FACTOR * 3 == 24
    assert retrained(94, 3, promoted=False, reason=reason) == expected


def test_a_promotion_keeps_the_min_retrain_interval():
    assert retrained(20, 3, promoted=True) == list(range(0, 20, 3))


def test_decay_does_not_wait_after_a_retrain_that_was_promoted():
    assert retrained(5, 3, promoted=True, reason="performance_decay") == [0, 1, 2, 3, 4]


def test_a_reinstatement_does_not_back_off_and_counts_against_retraining():
    assert retrained(4, 3, promoted=True, reinstate="9") == [0, 1, 2, 3]
    replaced = [
        record(hour, "A", fired=True, reason=TriggerReason.FORMER_VERSION_FITS, version=str(hour))
        for hour in (0, 1, 2)
    ]
    waits = decide_trigger(
        replaced, record(8, "A", version="3", impact="shown"), EAGER, min_retrain_interval=3 * HOUR
    )
    assert (waits.reason, waits.cooldown_until) == ("backing_off", START + (2 + 12) * HOUR)


def test_after_a_refused_reinstatement_training_comes_first_and_the_next_try_waits():
    tried = record(0, fired=True, reason=TriggerReason.FORMER_VERSION_FITS, reinstate="9")
    wants = record(1, performance="A", decay=0.5, reinstate="9")
    assert (
        decide_trigger([tried], wants, EAGER, min_retrain_interval=3 * HOUR).reason
        == "performance_decay_critical"
    )
    assert retrained(8, 3, promoted=False, reinstate="9", reason="performance_decay")[:2] == [0, 1]
    calm = [
        decide_trigger([tried], record(hour, reinstate="9"), EAGER, min_retrain_interval=3 * HOUR)
        for hour in (1, 2, 3)
    ]
    assert [found.reason for found in calm] == ["too_early", "too_early", TriggerReason.FORMER_VERSION_FITS]
    unread = decide_trigger(
        [tried], record(1, version="8", reinstate="9"), EAGER, min_retrain_interval=3 * HOUR
    )
    assert (unread.fire, unread.reinstate) == (True, "9"), "another version is champion: it was not refused"


def test_a_promotion_ends_the_back_off():
    history = [record(hour, "A", fired=True, reason="harmful_drift") for hour in (0, 3, 9, 21)]
    asks = {"impact": "shown"}
    assert not decide_trigger(history, record(24, "A", **asks), EAGER, min_retrain_interval=3 * HOUR).fire
    promoted = record(24, "A", version="2", **asks)
    assert decide_trigger(history, promoted, EAGER, min_retrain_interval=3 * HOUR).fire


@pytest.mark.parametrize(
    ("times", "says"),
    [(1, "last retrain brought no new champion"), (2, "last 2 retrains brought no new champion")],
)
def test_backing_off_says_why_and_until_when(times, says):
    history = [record(hour, "A", fired=True, reason="harmful_drift") for hour in range(times)]
    waits = decide_trigger(
        history, record(times + 1, "A", impact="shown"), EAGER, min_retrain_interval=9 * HOUR
    )
    assert (waits.state, waits.reason) == ("cooldown", "backing_off")
    assert says in waits.sentence
    assert "predictions have become worse" in waits.sentence


# Tenure, and since when the inputs drift


def test_a_tenure_is_the_uninterrupted_windows_of_one_version():
    history = [record(hour, version=version) for hour, version in enumerate("112111")]
    assert [found.window_end for found in tenure(history, record(5))] == [START + 3 * HOUR, START + 4 * HOUR]
    assert tenure(history, record(9, version="2")) == []
    assert tenure([], record(0)) == []


@pytest.mark.parametrize(
    ("drift", "since"),
    [("A", 0), ("P", None), ("PAA", 1), ("APAA", 2), ("A?A", 0), ("AA?", None), ("A--A", 0), ("?A?A", 1)],
)
def test_drift_began_at_the_first_alert_of_the_run(drift, since):
    *before, now = [record(hour, letter) for hour, letter in enumerate(drift) if letter != "-"]
    assert drifting_since(before, now) == (None if since is None else START + since * HOUR)


def test_drift_under_another_champion_does_not_count():
    history = [record(0, "A"), record(1, "A", version="2"), record(2, "A")]
    assert drifting_since(history, record(3, "A")) == START + 2 * HOUR


def test_records_survive_json_and_records_of_older_releases_are_read():
    full = record(
        3,
        "A",
        "A",
        0.2,
        fired=True,
        significant=True,
        labelled_rows=60,
        impact="shown",
        below_best=True,
        reinstate="2",
        unlearned=3.5,
        probe_after=START,
        ageing_rate=0.01,
        ageing_z=2.5,
        ageing_cusum=0.5,
    )
    raw = json.loads(json.dumps(full.to_json(), allow_nan=False))
    assert WindowRecord.from_json(raw | {"unknown": 1}) == full
    old = {
        "significant": "sure",
        "labelled_rows": "labelled",
        "impact": "harm",
        "below_best": "short",
        "reinstate": "recall",
    }
    written_by_0_1 = {old.get(name, name): value for name, value in raw.items()}
    assert WindowRecord.from_json(written_by_0_1) == full
    assert WindowRecord.from_json(raw | {"gain": -1.5}) == full, "written by release 0.2"
    optional = (*old, "unlearned", "probe_after", "ageing_rate", "ageing_z", "ageing_cusum")
    before_0_1 = {name: raw[name] for name in raw if name not in optional}
    read = WindowRecord.from_json(before_0_1)
    assert [getattr(read, name) for name in optional] == [False, 0, "unknown", False, "", *[None] * 5]


# Properties that hold for every history

WINDOWS = st.lists(
    st.fixed_dictionaries(
        {
            "drift": st.sampled_from("PA?-"),
            "performance": st.sampled_from("PA?."),
            "decay": st.sampled_from([0.0, 0.12, 0.5]),
            "significant": st.booleans(),
            "impact": st.sampled_from(["unknown", "shown", "not_shown"]),
            "unlearned": st.sampled_from([None, None, 1.0, 4.0]),
            "ageing_z": st.sampled_from([None, 0.0, 9.0]),
            "below_best": st.sampled_from([False, False, True]),
            "reinstate": st.sampled_from(["", "", "", "7"]),
            "version": st.sampled_from(["1", "1", "1", "2"]),
        }
    ),
    max_size=30,
)
TRIGGERS = st.builds(
    lambda consecutive, cooldown: Trigger(consecutive=consecutive, cooldown=timedelta(hours=cooldown)),
    st.integers(1, 4),
    st.integers(0, 8),
)
INTERVALS = st.builds(timedelta, hours=st.integers(0, 6))


def windows(drawn, **same):
    return [record(hour, **(one | same)) for hour, one in enumerate(drawn) if one["drift"] != "-"]


def arrive(order, setting, min_retrain_interval=0 * HOUR, history=()):
    """Check windows as they arrive; the history keeps one record per window end."""
    history = {found.window_end: found for found in history}
    for now in order:
        decision = decide_trigger(
            list(history.values()), now, setting, min_retrain_interval=min_retrain_interval
        )
        history[now.window_end] = replace(now, fired=decision.fire, reason=decision.reason)
    return history


def fired_in(history):
    return [found for _, found in sorted(history.items()) if found.fired]


def calm(found):
    return "pass" in (found.drift, found.performance) and "alert" not in (found.drift, found.performance)


def seen(found):
    return not {"pass", "alert"}.isdisjoint((found.drift, found.performance))


@settings(max_examples=100, deadline=None)
@given(
    drawn=WINDOWS, setting=TRIGGERS, min_retrain_interval=INTERVALS, shuffle=st.randoms(), late=st.booleans()
)
def test_never_inside_the_cooldown_in_whatever_order_windows_arrive(
    drawn, setting, min_retrain_interval, shuffle, late
):
    order = windows(drawn)
    if late:
        shuffle.shuffle(order)
    for earlier, later in pairwise(fired_in(arrive(order, setting, min_retrain_interval))):
        assert later.window_end - earlier.window_end >= setting.cooldown


@settings(max_examples=100, deadline=None)
@given(drawn=WINDOWS, setting=TRIGGERS, min_retrain_interval=INTERVALS)
def test_drift_never_fires_within_the_min_retrain_interval(drawn, setting, min_retrain_interval):
    for earlier, later in pairwise(fired_in(arrive(windows(drawn), setting, min_retrain_interval))):
        drift = later.reason in ("sustained_drift", "harmful_drift", "below_best")
        if drift and later.unlearned is None:
            assert later.window_end - earlier.window_end >= min_retrain_interval


@settings(max_examples=100, deadline=None)
@given(drawn=WINDOWS, setting=TRIGGERS, min_retrain_interval=INTERVALS)
def test_never_twice_for_one_episode(drawn, setting, min_retrain_interval):
    history = arrive(windows(drawn), setting, min_retrain_interval)
    for earlier, later in pairwise(fired_in(history)):
        between = [found for end, found in history.items() if earlier.window_end < end < later.window_end]
        cooled = bool(setting.cooldown) and later.window_end >= earlier.window_end + setting.cooldown
        assert cooled or any(map(calm, [*between, later]))


@settings(max_examples=100, deadline=None)
@given(drawn=WINDOWS, setting=TRIGGERS, min_retrain_interval=INTERVALS, data=st.data())
def test_checking_a_window_again_changes_nothing(drawn, setting, min_retrain_interval, data):
    order = windows(drawn)
    once = arrive(order, setting, min_retrain_interval)
    if order:
        at = data.draw(st.integers(0, len(order) - 1))
        assert arrive([*order[: at + 1], order[at], *order[at + 1 :]], setting, min_retrain_interval) == once
        assert arrive([*order, order[-1]], setting, min_retrain_interval) == once


@settings(max_examples=100, deadline=None)
@given(drawn=WINDOWS, setting=TRIGGERS, min_retrain_interval=INTERVALS, shuffle=st.randoms())
def test_the_order_of_the_history_does_not_matter(drawn, setting, min_retrain_interval, shuffle):
    history = list(arrive(windows(drawn), setting, min_retrain_interval).values())
    current = record(len(drawn), "A", "A", 0.12)
    mixed = history * 2
    shuffle.shuffle(mixed)
    assert decide_trigger(
        mixed, current, setting, min_retrain_interval=min_retrain_interval
    ) == decide_trigger(history, current, setting, min_retrain_interval=min_retrain_interval)


@settings(max_examples=100, deadline=None)
@given(drawn=WINDOWS, setting=TRIGGERS, min_retrain_interval=INTERVALS, data=st.data())
def test_late_windows_may_come_in_any_order(drawn, setting, min_retrain_interval, data):
    order = windows(drawn)
    late = data.draw(st.lists(st.sampled_from(order), unique_by=lambda w: w.window_end)) if order else []
    known = [found for found in order if found not in late]
    fired = record(len(drawn), "A", "A", 0.5, fired=True, reason="performance_decay_critical")
    history = [*arrive(known, setting, min_retrain_interval).values(), fired]
    one, other = (
        arrive(some, setting, min_retrain_interval, history)
        for some in (late, data.draw(st.permutations(late)))
    )
    assert one == other
    assert fired_in(one) == [found for found in history if found.fired]


@settings(max_examples=100, deadline=None)
@given(drawn=WINDOWS, setting=TRIGGERS, min_retrain_interval=INTERVALS)
def test_gaps_and_windows_that_could_not_be_computed_are_no_evidence(drawn, setting, min_retrain_interval):
    order = [
        found if seen(found) else replace(found, unlearned=None, below_best=False, reinstate="")
        for found in windows(drawn, version="1")
    ]
    with_them = arrive(order, setting, min_retrain_interval)
    assert fired_in(with_them) == fired_in(arrive(filter(seen, order), setting, min_retrain_interval))
    for found in fired_in(with_them):
        assert found.reason in (TriggerReason.FORMER_VERSION_FITS, "below_best", "probe_due") or "alert" in (
            found.drift,
            found.performance,
        )


@settings(max_examples=100, deadline=None)
@given(before=WINDOWS, drawn=WINDOWS, setting=TRIGGERS, min_retrain_interval=INTERVALS)
def test_an_earlier_tenure_of_the_same_version_is_no_evidence(before, drawn, setting, min_retrain_interval):
    order = [replace(found, window_end=found.window_end + 40 * HOUR) for found in windows(drawn, version="1")]
    former = [*windows(before, version="1"), record(39, "A", "A", 0.5, version="2")]
    with_them, alone = (
        arrive(order, setting, min_retrain_interval, former),
        arrive(order, setting, min_retrain_interval),
    )
    assert fired_in(with_them) == fired_in(alone)


@settings(max_examples=100, deadline=None)
@given(drawn=WINDOWS, setting=TRIGGERS, min_retrain_interval=INTERVALS)
def test_drift_without_impact_never_fires(drawn, setting, min_retrain_interval):
    order = [
        replace(found, performance="pass" if found.performance == "alert" else found.performance)
        for found in windows(drawn, impact="not_shown", unlearned=None, below_best=False, reinstate="")
    ]
    assert fired_in(arrive(order, setting, min_retrain_interval)) == []


@settings(max_examples=100, deadline=None)
@given(drawn=WINDOWS, setting=TRIGGERS, min_retrain_interval=INTERVALS)
def test_nothing_but_a_cooldown_or_its_own_refusal_holds_a_reinstatement_back(
    drawn, setting, min_retrain_interval
):
    history = arrive(windows(drawn), setting, min_retrain_interval)
    assume(all(found.reason != TriggerReason.FORMER_VERSION_FITS for found in history.values()))
    decision = decide_trigger(
        history.values(),
        record(len(drawn), "A", "A", 0.5, reinstate="7"),
        setting,
        min_retrain_interval=min_retrain_interval,
    )
    if decision.fire:
        assert (decision.reason, decision.reinstate) == (TriggerReason.FORMER_VERSION_FITS, "7")
    else:
        last = fired_in(history)[-1].window_end
        inside = START + len(drawn) * HOUR < last + setting.cooldown
        assert decision.reason == ("cooldown_active" if inside else "same_episode")
        assert inside or not setting.cooldown


@settings(max_examples=100, deadline=None)
@given(drawn=WINDOWS, setting=TRIGGERS, min_retrain_interval=INTERVALS)
def test_a_fire_has_the_evidence_that_it_names(drawn, setting, min_retrain_interval):
    order = windows(drawn, version="1")
    for at, found in enumerate(arrive(order, setting, min_retrain_interval).values()):
        past = order[: at + 1]
        verdicts = [w.performance if found.reason == "sustained_decay" else w.drift for w in past]
        in_a_row = [one for one in verdicts if one in ("pass", "alert")][-setting.consecutive :]
        if not found.fired:
            assert found.reason not in (
                "sustained_drift",
                "harmful_drift",
                "sustained_decay",
                TriggerReason.FORMER_VERSION_FITS,
            )
        elif found.reason in ("sustained_drift", "harmful_drift", "sustained_decay"):
            assert in_a_row == ["alert"] * setting.consecutive
            assert found.impact == {"sustained_drift": "unknown", "harmful_drift": "shown"}.get(
                found.reason, found.impact
            )
        elif found.reason == "probe_due":
            assert found.unlearned >= 2
        elif found.reason == "below_best":
            assert found.below_best
        elif found.reason == "performance_decay":
            assert (found.performance, found.significant) == ("alert", True)
        else:
            assert found.reason in (TriggerReason.FORMER_VERSION_FITS, "performance_decay_critical")
