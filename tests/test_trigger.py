"""The trigger: never a storm, never twice for one episode, and nothing fires on no evidence."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.config.model import Trigger
from homeostat.trigger import WindowRecord, decide

START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
SETTINGS = Trigger(consecutive=3, cooldown=timedelta(hours=5))
VERDICT = {"P": "pass", "A": "alert", "?": "not_computable", ".": "pending"}


def record(hour, drift="P", performance=".", decay=None, version="1", *, fired=False):
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
    )


def run(drift, setting=SETTINGS, promotions=(), **others):
    """Check the windows one after the other as the DAG would: ``A-A`` has a gap in the middle."""
    history, decisions = [], {}
    for hour, letter in enumerate(drift):
        if letter == "-":
            continue
        now = record(hour, letter, **{name: values[hour] for name, values in others.items()})
        promoted = max((START + at * HOUR for at in promotions if at < hour), default=None)
        decisions[hour] = decide(history, now, setting, promoted_at=promoted)
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


LETTERS = st.lists(
    st.tuples(st.sampled_from("PA?-"), st.sampled_from("PA?."), st.sampled_from([0.0, 0.12, 0.5])),
    max_size=30,
)
TRIGGERS = st.builds(
    lambda consecutive, cooldown: Trigger(consecutive=consecutive, cooldown=timedelta(hours=cooldown)),
    st.integers(1, 4),
    st.integers(0, 8),
)


def windows(letters):
    return [record(hour, d, p, decay) for hour, (d, p, decay) in enumerate(letters) if d != "-"]


def arrive(order, setting, promoted=None):
    """Check windows as they arrive; the history keeps one record per window end."""
    history = {}
    for now in order:
        decision = decide(list(history.values()), now, setting, promoted_at=promoted)
        history[now.window_end] = replace(now, fired=decision.fire, reason=decision.reason)
    return history


def calm(found):
    return "pass" in (found.drift, found.performance) and "alert" not in (found.drift, found.performance)


@settings(max_examples=100, deadline=None)
@given(letters=LETTERS, setting=TRIGGERS, shuffle=st.randoms(), late=st.booleans())
def test_never_inside_the_cooldown_in_whatever_order_windows_arrive(letters, setting, shuffle, late):
    order = windows(letters)
    if late:
        shuffle.shuffle(order)
    fired = sorted(end for end, found in arrive(order, setting).items() if found.fired)
    assert all(later - earlier >= setting.cooldown for earlier, later in pairwise(fired))


@settings(max_examples=100, deadline=None)
@given(letters=LETTERS, setting=TRIGGERS)
def test_never_twice_for_one_episode(letters, setting):
    history = arrive(windows(letters), setting)
    fired = sorted(end for end, found in history.items() if found.fired)
    for earlier, later in pairwise(fired):
        between = [found for end, found in history.items() if earlier < end < later]
        cooled = bool(setting.cooldown) and later >= earlier + setting.cooldown
        assert cooled or any(map(calm, between))


@settings(max_examples=100, deadline=None)
@given(letters=LETTERS, setting=TRIGGERS, data=st.data())
def test_checking_a_window_again_changes_nothing(letters, setting, data):
    order = windows(letters)
    once = arrive(order, setting)
    if order:
        at = data.draw(st.integers(0, len(order) - 1))
        twice = arrive([*order[: at + 1], order[at], *order[at + 1 :]], setting)
        assert twice == once
        assert arrive([*order, order[-1]], setting) == once


@settings(max_examples=100, deadline=None)
@given(letters=LETTERS, setting=TRIGGERS, shuffle=st.randoms())
def test_the_order_of_the_history_does_not_matter(letters, setting, shuffle):
    history = list(arrive(windows(letters), setting).values())
    current = record(len(letters), "A", "A", 0.12)
    mixed = history * 2
    shuffle.shuffle(mixed)
    assert decide(mixed, current, setting) == decide(history, current, setting)


@settings(max_examples=100, deadline=None)
@given(letters=LETTERS, setting=TRIGGERS)
def test_gaps_and_windows_that_could_not_be_computed_are_no_evidence(letters, setting):
    order = windows(letters)
    blind = [found for found in order if not {"pass", "alert"}.isdisjoint((found.drift, found.performance))]
    with_them, without = arrive(order, setting), arrive(blind, setting)
    assert [end for end, found in with_them.items() if found.fired] == [
        end for end, found in without.items() if found.fired
    ]
    for found in with_them.values():
        if found.fired:
            assert "alert" in (found.drift, found.performance)


@settings(max_examples=60, deadline=None)
@given(letters=LETTERS, setting=TRIGGERS)
def test_a_fire_has_its_alerts_in_a_row(letters, setting):
    order = windows(letters)
    for at, found in enumerate(arrive(order, setting).values()):
        if found.fired and found.reason == "sustained_drift":
            known = [w.drift for w in order[: at + 1] if w.drift in ("pass", "alert")]
            assert known[-setting.consecutive :] == ["alert"] * setting.consecutive
