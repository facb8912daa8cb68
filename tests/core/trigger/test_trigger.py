"""The trigger: never a storm, never twice for one episode, and nothing fires on no evidence."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from homeostat.config.model import Trigger
from homeostat.core.trigger import MAX_BACK_OFF, PAYS, RECALL, WindowRecord, decide, drifting_since, reign

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


def run(drift, setting=SETTINGS, promotions=(), pace=0, **others):
    """Check the windows one after the other as the DAG would: ``A-A`` has a gap in the middle.

    ``others`` are fields of the records, one value an hour; ``pace`` is in hours.
    """
    history, decisions = [], {}
    for hour, letter in enumerate(drift):
        if letter == "-":
            continue
        now = record(hour, letter, **{name: values[hour] for name, values in others.items()})
        promoted = max((START + at * HOUR for at in promotions if at < hour), default=None)
        decisions[hour] = decide(history, now, setting, promoted_at=promoted, pace=pace * HOUR)
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


def test_drift_and_decay_do_not_lend_each_other_windows():
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
    late = decide([record(0, "A"), record(1, "A")], record(2, "A"), SETTINGS, promoted_at=START + 5 * HOUR)
    assert (late.fire, late.reason) == (False, "before_promotion")


def test_a_promotion_does_not_end_the_cooldown():
    assert fires("AAAAAAAAAA", promotions=[3]) == [2, 7]


def test_alerts_of_another_version_are_no_evidence():
    history = [record(0, "A", version="1"), record(1, "A", version="1")]
    assert not decide(history, record(2, "A", version="2"), SETTINGS).fire
    assert decide(history, record(2, "A", version="1"), SETTINGS).fire


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
def test_every_answer_has_a_state_and_a_reason(current, state, reason):
    decision = decide([], current, SETTINGS)
    assert (decision.state, decision.reason, decision.fire) == (state, reason, False)
    assert decision.sentence
    json.dumps(decision.to_json(), allow_nan=False)


def test_the_cooldown_says_until_when_and_what_it_holds_back():
    decision = run("AAAA")[3]
    assert (decision.state, decision.reason) == ("cooldown", "cooldown_active")
    assert decision.cooldown_until == START + 7 * HOUR
    assert "Without it: Drift has held for 4 windows" in decision.sentence


def test_a_window_that_fired_stays_fired_when_it_is_looked_at_again():
    history = [record(0, "A"), record(1, "A"), replace(record(2, "A"), fired=True, reason="sustained_drift")]
    for again in (record(2, "A"), record(2, "P"), record(2, "?")):
        decision = decide(history, again, SETTINGS)
        assert (decision.fire, decision.repeated, decision.reason) == (True, True, "sustained_drift")


def test_a_window_of_the_past_does_not_fire_once_a_later_one_has():
    history = [record(0, "A"), record(1, "A"), record(3, "A"), record(50, "A", fired=True)]
    decision = decide(history, record(2, "A"), SETTINGS)
    assert (decision.fire, decision.reason) == (False, "cooldown_active")


# What is known of the answers decides whether drift is worth a retrain


@pytest.mark.parametrize("consecutive", [1, 2, 4])
@pytest.mark.parametrize(("harm", "reason"), [("unknown", "sustained_drift"), ("shown", "harmful_drift")])
def test_drift_fires_after_so_many_windows_where_it_harms_or_nobody_knows(consecutive, harm, reason):
    found = run("A" * 4, Trigger(consecutive=consecutive), harm=[harm] * 4)
    assert [hour for hour, decision in found.items() if decision.fire] == [consecutive - 1]
    assert found[consecutive - 1].reason == reason


def test_drift_that_harms_nothing_is_worth_a_notice():
    found = run("A" * 9, harm=["not_shown"] * 9)
    assert [decision.state for decision in found.values()] == ["building"] * 2 + ["notice"] * 7
    assert found[8].reason == "harmless_drift"
    assert "9 windows" in found[8].sentence


def test_harm_that_shows_late_fires_at_once():
    harm = ["not_shown"] * 5 + ["shown"] * 2
    assert fires("A" * 7, harm=harm) == [5]


def test_decay_that_is_more_than_chance_does_not_wait():
    soft = {"performance": "AAAA", "decay": [0.12] * 4}
    assert fires("PPPP", **soft, sure=[True] * 4) == [0]
    assert run("PPPP", **soft, sure=[True] * 4)[0].reason == "performance_decay"
    assert fires("PPPP", **soft, sure=[False] * 4) == [2]


def test_where_retraining_pays_any_drift_is_enough_but_not_before_its_outcome_can_be_told():
    pays = {"gain": [PAYS] * 14, "harm": ["not_shown"] * 14, "version": "11222222223333"}
    found = run("PA" + "A" * 12, pace=7, **pays)
    assert [hour for hour, decision in found.items() if decision.fire] == [1, 8]
    assert found[1].reason == "retraining_pays"
    assert [found[hour].reason for hour in (5, 6, 7)] == ["cooldown_active", "too_early", "too_early"]
    assert found[6].cooldown_until == START + 8 * HOUR
    assert fires("A" * 14, pace=7, gain=[PAYS - 0.01] * 14, harm=["not_shown"] * 14) == []
    assert fires("P" * 14, gain=[9.0] * 14) == []


def test_a_champion_made_in_bad_times_is_replaced_although_it_keeps_its_word():
    found = run("PPPP", short=[False, True, True, True], performance="PPPP", decay=[0.0] * 4)
    assert [hour for hour, decision in found.items() if decision.fire] == [1]
    assert found[1].reason == "below_best"
    both = {"performance": "A", "decay": [0.5]}
    assert run("P", short=[True], **both)[0].reason == "performance_decay_critical"
    assert run("P", short=[True], recall=["3"], **both)[0].reason == RECALL


def test_a_former_champion_that_fits_goes_before_a_retrain():
    found = run("P", performance="A", decay=[0.5], recall=["4"])[0]
    assert (found.fire, found.reason, found.recall) == (True, RECALL, "4")
    assert "Version 4" in found.sentence
    waits = run("AAAPPP", recall=[""] * 4 + ["4", "4"])
    assert (waits[4].state, waits[4].recall) == ("cooldown", "")
    assert "Without it: Version 4" in waits[4].sentence


def test_a_window_that_had_fired_names_the_same_version_when_it_is_looked_at_again():
    history = [record(0, fired=True, reason=RECALL, recall="4")]
    for today in ("", "7"):
        again = decide(history, record(0, recall=today), SETTINGS)
        assert (again.repeated, again.reason, again.recall) == (True, RECALL, "4")
    drifted = decide([record(0, "A", fired=True, reason="sustained_drift")], record(0, recall="7"), SETTINGS)
    assert (drifted.reason, drifted.recall) == ("sustained_drift", "")


# Retraining that brings nothing is tried less often

EAGER = Trigger(consecutive=1, cooldown=HOUR)


def retrained(hours, pace, *, promoted, gain=None, reason="harmful_drift", recall=""):
    """Hours of the fires while every window asks for a retrain, each of which ends in the same way."""
    history, version, fired = [], 1, []
    for hour in range(hours):
        more = {"harm": "shown"} if reason == "harmful_drift" else {"performance": "A", "decay": 0.12}
        more |= {"sure": True, "gain": gain if version > 1 else None, "recall": recall}
        now = record(hour, "A" if reason == "harmful_drift" else "P", version=str(version), **more)
        decision = decide(history, now, EAGER, pace=pace * HOUR)
        if decision.fire:
            assert decision.reason in (reason, "retraining_pays", RECALL)
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
def test_refused_twice_doubles_the_wait_up_to_eight_times(reason):
    expected = doubling(0, [3, 6, 12, 24, 24, 24])
    assert MAX_BACK_OFF * 3 == 24
    assert retrained(94, 3, promoted=False, reason=reason) == expected


def test_bringing_nothing_doubles_the_wait_too():
    assert retrained(80, 3, promoted=True, gain=-0.5) == doubling(0, [3, 3, 6, 12, 24, 24])


def test_a_gain_keeps_the_pace():
    assert retrained(20, 3, promoted=True, gain=PAYS) == list(range(0, 20, 3))
    assert retrained(20, 3, promoted=True, gain=0.5) == list(range(0, 20, 3)), "some gain, if not a sure one"


def test_decay_does_not_wait_for_the_outcome_of_a_retrain_that_was_promoted():
    assert retrained(5, 3, promoted=True, gain=-0.5, reason="performance_decay") == [0, 1, 2, 3, 4]


def test_a_recall_does_not_back_off_and_counts_against_retraining():
    assert retrained(4, 3, promoted=True, recall="9") == [0, 1, 2, 3]
    given_way = [record(hour, "A", fired=True, reason=RECALL, version=str(hour)) for hour in (0, 1, 2)]
    waits = decide(given_way, record(8, "A", version="3", harm="shown"), EAGER, pace=3 * HOUR)
    assert (waits.reason, waits.cooldown_until) == ("backing_off", START + (2 + 12) * HOUR)


def test_a_refused_recall_gives_way_to_training_and_is_tried_again_at_the_pace():
    tried = record(0, fired=True, reason=RECALL, recall="9")
    wants = record(1, performance="A", decay=0.5, recall="9")
    assert decide([tried], wants, EAGER, pace=3 * HOUR).reason == "performance_decay_critical"
    assert retrained(8, 3, promoted=False, recall="9", reason="performance_decay")[:2] == [0, 1]
    calm = [decide([tried], record(hour, recall="9"), EAGER, pace=3 * HOUR) for hour in (1, 2, 3)]
    assert [found.reason for found in calm] == ["too_early", "too_early", RECALL]
    unread = decide([tried], record(1, version="8", recall="9"), EAGER, pace=3 * HOUR)
    assert (unread.fire, unread.recall) == (True, "9"), "another version is champion: it was not refused"


def test_one_promotion_that_pays_ends_the_back_off():
    history = [record(hour, "A", fired=True, reason="harmful_drift") for hour in (0, 3, 9, 21)]
    asks = {"version": "2", "harm": "shown"}
    assert not decide(history, record(24, "A", **asks), EAGER, pace=3 * HOUR).fire
    assert decide(history, record(24, "A", **asks, gain=PAYS), EAGER, pace=3 * HOUR).fire


@pytest.mark.parametrize(("times", "says"), [(1, "has made no new champion"), (2, "2 times in a row")])
def test_backing_off_says_why_and_until_when(times, says):
    history = [record(hour, "A", fired=True, reason="harmful_drift") for hour in range(times)]
    waits = decide(history, record(times + 1, "A", harm="shown"), EAGER, pace=9 * HOUR)
    assert (waits.state, waits.reason) == ("cooldown", "backing_off")
    assert says in waits.sentence
    assert "the answers suffer" in waits.sentence


# Who was champion, and since when the inputs have drifted


def test_a_reign_is_what_lies_behind_without_a_break():
    history = [record(hour, version=version) for hour, version in enumerate("112111")]
    assert [found.window_end for found in reign(history, record(5))] == [START + 3 * HOUR, START + 4 * HOUR]
    assert reign(history, record(9, version="2")) == []
    assert reign([], record(0)) == []


@pytest.mark.parametrize(
    ("drift", "since"),
    [("A", 0), ("P", None), ("PAA", 1), ("APAA", 2), ("A?A", 0), ("AA?", None), ("A--A", 0), ("?A?A", 1)],
)
def test_drift_began_with_the_first_alert_of_the_run(drift, since):
    *before, now = [record(hour, letter) for hour, letter in enumerate(drift) if letter != "-"]
    assert drifting_since(before, now) == (None if since is None else START + since * HOUR)


def test_drift_under_another_champion_is_not_where_this_ones_began():
    history = [record(0, "A"), record(1, "A", version="2"), record(2, "A")]
    assert drifting_since(history, record(3, "A")) == START + 2 * HOUR


def test_records_survive_json_and_older_ones_are_read():
    whole = record(
        3, "A", "A", 0.2, fired=True, sure=True, labelled=60, harm="shown", short=True, gain=-1.5, recall="2"
    )
    raw = json.loads(json.dumps(whole.to_json(), allow_nan=False))
    assert WindowRecord.from_json(raw | {"unknown": 1}) == whole
    new = ("sure", "labelled", "harm", "short", "gain", "recall")
    old = {name: raw[name] for name in raw if name not in new}
    read = WindowRecord.from_json(old)
    assert [getattr(read, name) for name in new] == [False, 0, "unknown", False, None, ""]


# Whatever happens

WINDOWS = st.lists(
    st.fixed_dictionaries(
        {
            "drift": st.sampled_from("PA?-"),
            "performance": st.sampled_from("PA?."),
            "decay": st.sampled_from([0.0, 0.12, 0.5]),
            "sure": st.booleans(),
            "harm": st.sampled_from(["unknown", "shown", "not_shown"]),
            "gain": st.sampled_from([None, -2.0, 0.5, PAYS, 9.0]),
            "short": st.sampled_from([False, False, True]),
            "recall": st.sampled_from(["", "", "", "7"]),
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
PACES = st.builds(timedelta, hours=st.integers(0, 6))


def windows(drawn, **same):
    return [record(hour, **(one | same)) for hour, one in enumerate(drawn) if one["drift"] != "-"]


def arrive(order, setting, pace=0 * HOUR, history=()):
    """Check windows as they arrive; the history keeps one record per window end."""
    history = {found.window_end: found for found in history}
    for now in order:
        decision = decide(list(history.values()), now, setting, pace=pace)
        history[now.window_end] = replace(now, fired=decision.fire, reason=decision.reason)
    return history


def fired_in(history):
    return [found for _, found in sorted(history.items()) if found.fired]


def calm(found):
    return "pass" in (found.drift, found.performance) and "alert" not in (found.drift, found.performance)


def seen(found):
    return not {"pass", "alert"}.isdisjoint((found.drift, found.performance))


@settings(max_examples=100, deadline=None)
@given(drawn=WINDOWS, setting=TRIGGERS, pace=PACES, shuffle=st.randoms(), late=st.booleans())
def test_never_inside_the_cooldown_in_whatever_order_windows_arrive(drawn, setting, pace, shuffle, late):
    order = windows(drawn)
    if late:
        shuffle.shuffle(order)
    for earlier, later in pairwise(fired_in(arrive(order, setting, pace))):
        assert later.window_end - earlier.window_end >= setting.cooldown


@settings(max_examples=100, deadline=None)
@given(drawn=WINDOWS, setting=TRIGGERS, pace=PACES)
def test_drift_never_fires_before_the_last_retrains_outcome_can_be_told(drawn, setting, pace):
    for earlier, later in pairwise(fired_in(arrive(windows(drawn), setting, pace))):
        if later.reason in ("sustained_drift", "harmful_drift", "retraining_pays", "below_best"):
            assert later.window_end - earlier.window_end >= pace


@settings(max_examples=100, deadline=None)
@given(drawn=WINDOWS, setting=TRIGGERS, pace=PACES)
def test_never_twice_for_one_episode(drawn, setting, pace):
    history = arrive(windows(drawn), setting, pace)
    for earlier, later in pairwise(fired_in(history)):
        between = [found for end, found in history.items() if earlier.window_end < end < later.window_end]
        cooled = bool(setting.cooldown) and later.window_end >= earlier.window_end + setting.cooldown
        assert cooled or any(map(calm, [*between, later]))


@settings(max_examples=100, deadline=None)
@given(drawn=WINDOWS, setting=TRIGGERS, pace=PACES, data=st.data())
def test_checking_a_window_again_changes_nothing(drawn, setting, pace, data):
    order = windows(drawn)
    once = arrive(order, setting, pace)
    if order:
        at = data.draw(st.integers(0, len(order) - 1))
        assert arrive([*order[: at + 1], order[at], *order[at + 1 :]], setting, pace) == once
        assert arrive([*order, order[-1]], setting, pace) == once


@settings(max_examples=100, deadline=None)
@given(drawn=WINDOWS, setting=TRIGGERS, pace=PACES, shuffle=st.randoms())
def test_the_order_of_the_history_does_not_matter(drawn, setting, pace, shuffle):
    history = list(arrive(windows(drawn), setting, pace).values())
    current = record(len(drawn), "A", "A", 0.12)
    mixed = history * 2
    shuffle.shuffle(mixed)
    assert decide(mixed, current, setting, pace=pace) == decide(history, current, setting, pace=pace)


@settings(max_examples=100, deadline=None)
@given(drawn=WINDOWS, setting=TRIGGERS, pace=PACES, data=st.data())
def test_late_windows_may_come_in_any_order(drawn, setting, pace, data):
    order = windows(drawn)
    late = data.draw(st.lists(st.sampled_from(order), unique_by=lambda w: w.window_end)) if order else []
    known = [found for found in order if found not in late]
    fired = record(len(drawn), "A", "A", 0.5, fired=True, reason="performance_decay_critical")
    history = [*arrive(known, setting, pace).values(), fired]
    one, other = (arrive(some, setting, pace, history) for some in (late, data.draw(st.permutations(late))))
    assert one == other
    assert fired_in(one) == [found for found in history if found.fired]


@settings(max_examples=100, deadline=None)
@given(drawn=WINDOWS, setting=TRIGGERS, pace=PACES)
def test_gaps_and_windows_that_could_not_be_computed_are_no_evidence(drawn, setting, pace):
    order = [
        found if seen(found) else replace(found, gain=None, short=False, recall="")
        for found in windows(drawn, version="1")
    ]
    with_them = arrive(order, setting, pace)
    assert fired_in(with_them) == fired_in(arrive(filter(seen, order), setting, pace))
    for found in fired_in(with_them):
        assert found.reason in (RECALL, "below_best") or "alert" in (found.drift, found.performance)


@settings(max_examples=100, deadline=None)
@given(before=WINDOWS, drawn=WINDOWS, setting=TRIGGERS, pace=PACES)
def test_another_reign_of_the_same_version_is_no_evidence(before, drawn, setting, pace):
    order = [replace(found, window_end=found.window_end + 40 * HOUR) for found in windows(drawn, version="1")]
    former = [*windows(before, version="1"), record(39, "A", "A", 0.5, version="2")]
    with_them, alone = arrive(order, setting, pace, former), arrive(order, setting, pace)
    assert fired_in(with_them) == fired_in(alone)


@settings(max_examples=100, deadline=None)
@given(drawn=WINDOWS, setting=TRIGGERS, pace=PACES, gain=st.sampled_from([None, -2.0, 0.0, PAYS - 0.01]))
def test_drift_that_harms_nothing_never_fires(drawn, setting, pace, gain):
    order = [
        replace(found, performance="pass" if found.performance == "alert" else found.performance)
        for found in windows(drawn, harm="not_shown", gain=gain, short=False, recall="")
    ]
    assert fired_in(arrive(order, setting, pace)) == []


@settings(max_examples=100, deadline=None)
@given(drawn=WINDOWS, setting=TRIGGERS, pace=PACES)
def test_nothing_but_a_cooldown_or_its_own_refusal_holds_a_recall_back(drawn, setting, pace):
    history = arrive(windows(drawn), setting, pace)
    assume(all(found.reason != RECALL for found in history.values()))
    decision = decide(history.values(), record(len(drawn), "A", "A", 0.5, recall="7"), setting, pace=pace)
    if decision.fire:
        assert (decision.reason, decision.recall) == (RECALL, "7")
    else:
        last = fired_in(history)[-1].window_end
        inside = START + len(drawn) * HOUR < last + setting.cooldown
        assert decision.reason == ("cooldown_active" if inside else "same_episode")
        assert inside or not setting.cooldown


@settings(max_examples=100, deadline=None)
@given(drawn=WINDOWS, setting=TRIGGERS, pace=PACES)
def test_a_fire_has_the_evidence_that_it_names(drawn, setting, pace):
    order = windows(drawn, version="1")
    for at, found in enumerate(arrive(order, setting, pace).values()):
        past = order[: at + 1]
        verdicts = [w.performance if found.reason == "sustained_decay" else w.drift for w in past]
        in_a_row = [one for one in verdicts if one in ("pass", "alert")][-setting.consecutive :]
        if not found.fired:
            assert found.reason not in ("sustained_drift", "harmful_drift", "sustained_decay", RECALL)
        elif found.reason in ("sustained_drift", "harmful_drift", "sustained_decay"):
            assert in_a_row == ["alert"] * setting.consecutive
            assert found.harm == {"sustained_drift": "unknown", "harmful_drift": "shown"}.get(
                found.reason, found.harm
            )
        elif found.reason == "retraining_pays":
            assert (found.drift, found.gain >= PAYS) == ("alert", True)
        elif found.reason == "below_best":
            assert found.short
        elif found.reason == "performance_decay":
            assert (found.performance, found.sure) == ("alert", True)
        else:
            assert found.reason in (RECALL, "performance_decay_critical")
