"""The back-off counts each retrain as what became of it; without stored outcomes it decides as before."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.config.model import Trigger
from homeostat.core.trigger import (
    MAX_BACKOFF_FACTOR,
    RetrainEnd,
    RetrainResult,
    TriggerReason,
    WindowRecord,
    decide_trigger,
)
from homeostat.core.trigger.backoff import backoff
from homeostat.core.trigger.causes import Cause
from homeostat.core.trigger.evidence import Evidence
from homeostat.core.trigger.retrain_end import NO_NEW_CHAMPION, NOT_JUDGED

START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
INTERVAL = 3 * HOUR
EAGER = Trigger(consecutive=1, cooldown=HOUR)
GATE, SHADOW, CANARY, DECLINED, ROLLED_BACK, _ = (each for each in RetrainResult if each in NO_NEW_CHAMPION)
FAILED, ENVIRONMENT, NOT_LOADED, INCONCLUSIVE = (each for each in RetrainResult if each in NOT_JUDGED)
PROMOTED, SUPERSEDED = RetrainResult.PROMOTED, RetrainResult.SUPERSEDED
CAUSES = {
    "decay": {"performance": "alert", "decay": 0.12, "significant": True},
    "drift": {"drift": "alert", "impact": "shown"},
}


def record(hour, version="1", **more):
    fields = {"drift": "pass", "performance": "pass", "decay": 0.0} | more
    return WindowRecord(START + hour * HOUR, version, 500, drifted_share=0.5, score=None, **fields)


def fire(hour, version="1", reason="harmful_drift", **more):
    return record(hour, version, drift="alert", fired=True, reason=reason, **more)


def ended(result, at=None, **more):
    return RetrainEnd(result, None if at is None else START + at * HOUR, **more)


def decide(results, cause="decay", *, since=1, version="1", **more):
    """Decide ``since`` hours after the last of retrains that were fired for an hour apart."""
    history = [fire(hour) for hour in range(len(results))]
    retrains = {found.window_end: ended(each) for found, each in zip(history, results, strict=True) if each}
    now = record(len(results) - 1 + since, version, **CAUSES[cause], **more)
    return decide_trigger(history, now, EAGER, min_retrain_interval=INTERVAL, retrains=retrains)


def wait(results, cause="decay"):
    """How many intervals after the last retrain the next may start; 0 when nothing holds it back."""
    until = decide(results, cause).cooldown_until
    found = decide(results, cause)
    return 0 if found.fire else (until - START - (len(results) - 1) * HOUR) / INTERVAL


# What each result counts for


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("result", [GATE, SHADOW, CANARY, DECLINED, ROLLED_BACK])
def test_each_refusal_doubles_the_wait(result, cause):
    assert [wait([result] * times, cause) for times in range(1, 7)] == [1, 2, 4, 8, 8, 8]


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("result", [GATE, SHADOW, CANARY, DECLINED, ROLLED_BACK])
def test_with_labels_the_first_refusal_waits_as_probes_do(result, cause):
    def waits(times, **more):
        found = decide([result] * times, cause, unlearned=2.0, **more)
        return 0 if found.fire else (found.cooldown_until - START - (times - 1) * HOUR) / HOUR

    assert [waits(times) for times in range(1, 7)] == [0, 3, 6, 12, 24, 24]
    two_windows = START + 2 * HOUR
    assert waits(1, probe_after=two_windows) == 2


@pytest.mark.parametrize("result", [GATE, FAILED])
def test_critical_decay_waits_after_the_first_refusal_with_labels_too(result):
    history = [fire(0)]
    now = record(1, performance="alert", decay=0.5, unlearned=2.0)
    retrains = {START: ended(result)}
    found = decide_trigger(history, now, EAGER, min_retrain_interval=INTERVAL, retrains=retrains)
    assert (found.reason, found.cooldown_until) == ("backing_off", START + INTERVAL)


@pytest.mark.parametrize("cause", CAUSES)
def test_what_failed_waits_with_labels_too(cause):
    found = decide([FAILED], cause, unlearned=2.0)
    assert (found.reason, found.cooldown_until) == ("backing_off", START + INTERVAL)


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("result", sorted(NOT_JUDGED))
def test_what_was_not_judged_counts_only_while_it_is_what_happened_last(result, cause):
    assert [wait([result] * times, cause) for times in range(1, 6)] == [1, 2, 4, 8, 8]
    assert wait([result] * 4 + [GATE], cause) == 1
    assert wait([GATE, GATE, result], cause) == 2, "as after two refusals"
    assert wait([GATE, result, result, result], cause) == 4
    assert wait([GATE, result, SHADOW, result], cause) == 2


def test_superseded_retrains_do_not_count():
    assert wait([SUPERSEDED] * 3) == 0
    assert wait([SUPERSEDED] * 3, "drift") == 1, "drift waits one interval after any retrain"
    assert decide([SUPERSEDED] * 3, "drift").reason == "too_early"
    for cause in CAUSES:
        assert wait([GATE, SUPERSEDED, GATE, SUPERSEDED], cause) == 2
        assert wait([FAILED, SUPERSEDED, FAILED, SUPERSEDED], cause) == 2


def test_a_promotion_ends_the_wait_for_decay_though_no_window_shows_the_version_yet():
    assert wait([GATE, GATE, PROMOTED]) == 0
    assert wait([GATE, PROMOTED, GATE]) == 1


@pytest.mark.parametrize("cause", CAUSES)
def test_refusals_count_from_the_last_new_champion_on(cause):
    history = [fire(0), fire(1), fire(2), fire(3, "2"), fire(4, "2")]
    results = [GATE, GATE, PROMOTED, GATE, GATE]
    retrains = {found.window_end: ended(each) for found, each in zip(history, results, strict=True)}
    now = record(5, "2", **CAUSES[cause])
    found = decide_trigger(history, now, EAGER, min_retrain_interval=INTERVAL, retrains=retrains)
    assert found.cooldown_until == START + 4 * HOUR + 2 * INTERVAL
    assert "The last 2 retrains brought no new champion: 2 refused by the gate." in found.sentence


def test_a_persons_promotion_ends_the_wait_for_decay():
    assert decide([GATE, GATE, SHADOW], version="2").fire
    held = decide([GATE, GATE, SHADOW], "drift", version="2")
    assert (held.reason, held.cooldown_until) == ("too_early", START + 2 * HOUR + INTERVAL)


def test_a_rollback_after_the_promotion_counts_from_when_it_happened():
    history = [fire(0), record(1, "2"), record(2, "2"), record(3)]
    retrains = {START: ended(PROMOTED, 1, version="2", rolled_back_at=START + 3 * HOUR)}

    def at(hour, version):
        now = record(hour, version, **CAUSES["decay"])
        known = [each for each in history if each.window_end < now.window_end]
        return decide_trigger(known, now, EAGER, min_retrain_interval=4 * HOUR, retrains=retrains)

    assert at(2, "2").fire, "version 2 serves, and decays"
    assert at(3, "1").sentence.startswith(
        "The last retrain brought no champion that stayed: rolled back after"
    )
    assert at(3, "1").cooldown_until == START + 4 * HOUR
    assert decide_trigger(
        history[:3], record(3, **CAUSES["decay"]), EAGER, min_retrain_interval=4 * HOUR
    ).fire


def test_a_rollback_to_an_older_champion_is_no_success():
    history = [fire(0), fire(2, "2"), record(3, "1")]
    retrains = {
        START: ended(PROMOTED, 1, version="2", rolled_back_at=START + 3 * HOUR),
        START + 2 * HOUR: ended(GATE, 2),
    }
    now = record(4, **CAUSES["decay"])
    found = decide_trigger(history, now, EAGER, min_retrain_interval=INTERVAL, retrains=retrains)
    assert found.cooldown_until == START + 2 * HOUR + 2 * INTERVAL
    assert "1 refused by the gate, 1 rolled back after the promotion" in found.sentence


def test_a_reinstatement_says_what_became_of_it_and_is_no_retrain():
    tried = fire(0, reason=TriggerReason.FORMER_VERSION_FITS, reinstate="9")
    wants = record(1, reinstate="9")
    for result, says in [
        (None, "The last reinstatement brought no new champion."),
        (CANARY, "The last reinstatement brought no new champion: refused in canary."),
        (FAILED, "The last reinstatement could not be judged: failed with an error."),
    ]:
        known = {START: ended(result)} if result else {}
        found = decide_trigger([tried], wants, EAGER, min_retrain_interval=INTERVAL, retrains=known)
        assert (found.reason, found.cooldown_until) == ("too_early", START + INTERVAL)
        assert says in found.sentence
        decay = record(1, **CAUSES["decay"])
        assert decide_trigger([tried], decay, EAGER, min_retrain_interval=INTERVAL, retrains=known).fire
    back = {START: ended(PROMOTED, 1, version="9", rolled_back_at=START + HOUR)}
    found = decide_trigger(
        [tried, record(1, "9")], record(2, reinstate="9"), EAGER, min_retrain_interval=INTERVAL, retrains=back
    )
    assert found.reason == "too_early", "it is not reinstated again at once"


# The sentence says which


@pytest.mark.parametrize(
    ("results", "cause", "says"),
    [
        ([GATE], "decay", "The last retrain brought no new champion: refused by the gate."),
        (
            [SHADOW, GATE, GATE],
            "decay",
            "The last 3 retrains brought no new champion: 2 refused by the gate, 1 refused in shadow.",
        ),
        (
            [GATE, SUPERSEDED, DECLINED, CANARY],
            "drift",
            "The last 4 retrains brought no new champion: 1 refused by the gate, 1 refused in canary,",
        ),
        (
            [FAILED, INCONCLUSIVE, NOT_LOADED],
            "decay",
            "judged: 1 failed with an error, 1 refused before its shadow, 1 ended for lack of evidence.",
        ),
        ([ROLLED_BACK, GATE], "drift", "The last 2 retrains brought no champion that stayed: 1 refused"),
        ([DECLINED, SUPERSEDED], "decay", "new champion: 1 declined by a person, 1 superseded."),
        ([None, None], "decay", "The last 2 retrains brought no new champion. The next"),
        ([None, GATE], "decay", "brought no new champion: 1 refused by the gate, 1 not promoted."),
    ],
)
def test_the_sentence_says_how_many_ended_in_which_way(results, cause, says):
    assert says in decide(results, cause).sentence


def test_a_version_that_a_former_champion_replaced_is_said_to_be_replaced():
    history = [fire(0), fire(1, "2"), fire(2, "2", reason="former_version_fits", reinstate="1"), record(3)]
    retrains = {
        START: ended(PROMOTED, 0),
        START + HOUR: ended(GATE, 1),
        START + 2 * HOUR: ended(PROMOTED, 2),
    }
    now = record(4, **CAUSES["drift"])
    found = decide_trigger(history, now, EAGER, min_retrain_interval=INTERVAL, retrains=retrains)
    assert (
        "The last 2 retrains brought no champion that stayed: 1 refused by the gate, "
        "1 replaced by a former champion."
    ) in found.sentence


@pytest.mark.parametrize("unlearned", [None, 3.0])
@pytest.mark.parametrize("replacements", [1, 2, 3])
def test_with_labels_a_probe_follows_a_version_that_a_former_champion_replaced(replacements, unlearned):
    history, retrains = [], {}
    for n in range(replacements):
        at, version = 3 * n, str(n + 2)
        history += [
            fire(at, "1"),
            record(at + 1, version),
            fire(at + 2, version, reason="former_version_fits", reinstate="1"),
        ]
        retrains |= {START + hour * HOUR: ended(PROMOTED, hour) for hour in (at, at + 2)}
    now = record(3 * replacements + 1, **CAUSES["drift"], unlearned=unlearned)
    found = decide_trigger(history, now, EAGER, min_retrain_interval=INTERVAL, retrains=retrains)
    assert found.reason == ("backing_off" if unlearned is None else "harmful_drift")


def test_the_documentation_names_every_result():
    page = Path(__file__).resolve().parents[3] / "docs" / "how-homeostat-decides.md"
    text = " ".join(page.read_text(encoding="utf-8").split())
    assert [result for result in RetrainResult if f"| {result} |" not in text] == []


# Stored outcomes


@pytest.mark.parametrize(
    ("raw", "result"),
    [
        ({"outcome": "promoted", "stage": "canary"}, PROMOTED),
        ({"outcome": "refused", "stage": "gate"}, GATE),
        ({"outcome": "refused", "stage": "environment"}, ENVIRONMENT),
        ({"outcome": "refused", "stage": "load"}, NOT_LOADED),
        ({"outcome": "refused", "stage": "shadow"}, SHADOW),
        ({"outcome": "refused", "stage": "canary"}, CANARY),
        ({"outcome": "refused", "stage": "approval"}, DECLINED),
        ({"outcome": "refused", "stage": "shadow", "inconclusive": True}, INCONCLUSIVE),
        ({"outcome": "refused", "stage": "a stage of tomorrow"}, RetrainResult.NOT_PROMOTED),
        ({"outcome": "superseded", "stage": "lease"}, SUPERSEDED),
        ({"outcome": "failed", "stage": "train"}, FAILED),
    ],
)
def test_a_stored_outcome_is_read(raw, result):
    assert RetrainEnd.from_json(raw) == RetrainEnd(result)
    at = {"at": START.isoformat(), "version": "7"}
    assert RetrainEnd.from_json(raw | at) == RetrainEnd(result, START, "7")


def test_words_that_are_not_known_are_no_outcome():
    assert RetrainEnd.from_json({"outcome": "a word of tomorrow", "stage": "gate"}) is None
    assert RetrainEnd.from_json({}) is None


# Properties that hold for every history

ENDS = st.one_of(st.none(), st.sampled_from(list(RetrainResult)))
STORED = [GATE, SHADOW, CANARY, DECLINED, FAILED, NOT_LOADED, INCONCLUSIVE, SUPERSEDED, PROMOTED]
WINDOWS = st.lists(
    st.fixed_dictionaries(
        {
            "drift": st.sampled_from(["pass", "alert", "not_computable"]),
            "performance": st.sampled_from(["pass", "alert", "pending"]),
            "decay": st.sampled_from([0.0, 0.12, 0.5]),
            "significant": st.booleans(),
            "impact": st.sampled_from(["unknown", "shown"]),
            "unlearned": st.sampled_from([None, None, 1.0, 4.0]),
            "below_best": st.booleans(),
            "reinstate": st.sampled_from(["", "", "7"]),
            "version": st.sampled_from(["1", "1", "1", "2", "7"]),
        }
    ),
    min_size=1,
    max_size=25,
)
STORED_ENDS = st.lists(
    st.one_of(
        st.none(),
        st.builds(
            lambda result, after, version, rolled_back: (result, after, version, rolled_back),
            st.sampled_from(STORED),
            st.sampled_from([None, 0, 1, 3, 8]),
            st.sampled_from(["", "2"]),
            st.sampled_from([None, None, 2, 5]),
        ),
    ),
    min_size=25,
    max_size=25,
)
INTERVALS = st.builds(timedelta, hours=st.integers(0, 6))
SETTINGS = st.builds(
    lambda consecutive, cooldown: Trigger(consecutive=consecutive, cooldown=timedelta(hours=cooldown)),
    st.integers(1, 3),
    st.integers(0, 4),
)


def windows(drawn):
    return [record(hour, **one) for hour, one in enumerate(drawn)]


def retrains_of(stored):
    """The end of the retrain of each hour's window, had it fired."""
    found = {}
    for hour, one in enumerate(stored):
        if one is None:
            continue
        result, after, version, rolled_back = one
        back = START + (hour + rolled_back) * HOUR if rolled_back and result is PROMOTED else None
        at = None if after is None else hour + after
        found[START + hour * HOUR] = ended(result, at, version=version, rolled_back_at=back)
    return found


def arrive(order, setting, interval, retrains):
    """Check the windows in order, each with what was known by then."""
    history, decisions = [], []
    for now in order:
        decision = decide_trigger(history, now, setting, min_retrain_interval=interval, retrains=retrains)
        decisions.append(decision)
        history.append(replace(now, fired=decision.fire, reason=str(decision.reason)))
    return history, decisions


@settings(max_examples=150, deadline=None)
@given(drawn=WINDOWS, stored=STORED_ENDS, setting=SETTINGS, interval=INTERVALS, shuffle=st.randoms())
def test_neither_order_nor_repetition_matters(drawn, stored, setting, interval, shuffle):
    *order, now = windows(drawn)
    retrains = retrains_of(stored)
    history, _ = arrive(order, setting, interval, retrains)
    mixed, ends = history * 2, list(retrains.items())
    shuffle.shuffle(mixed)
    shuffle.shuffle(ends)
    once = decide_trigger(history, now, setting, min_retrain_interval=interval, retrains=retrains)
    again = decide_trigger(mixed, now, setting, min_retrain_interval=interval, retrains=dict(ends))
    assert once == again


@settings(max_examples=150, deadline=None)
@given(drawn=WINDOWS, stored=STORED_ENDS, setting=SETTINGS, interval=INTERVALS, data=st.data())
def test_a_window_checked_later_is_decided_by_what_was_known_at_its_end(
    drawn, stored, setting, interval, data
):
    retrains = retrains_of(stored)
    history, decisions = arrive(windows(drawn), setting, interval, retrains)
    at = data.draw(st.integers(0, len(history) - 1))
    now, was = history[at], decisions[at]
    known = {
        end: found
        for end, found in retrains.items()
        if end < now.window_end and (found.at is None or found.at <= now.window_end)
    }
    before = decide_trigger(history[:at], now, setting, min_retrain_interval=interval, retrains=known)
    assert before == was
    again = decide_trigger(history, now, setting, min_retrain_interval=interval, retrains=retrains)
    assert (again.fire, again.repeated) == (was.fire, was.fire)


@settings(max_examples=200, deadline=None)
@given(results=st.lists(ENDS, min_size=1, max_size=7), more=ENDS, cause=st.sampled_from(list(CAUSES)))
def test_one_more_retrain_without_success_never_shortens_the_wait(results, more, cause):
    success = {PROMOTED, RetrainResult.REPLACED, RetrainResult.NOT_WORTHWHILE}
    results = [None if each in success else each for each in results]
    more = None if more in success else more
    before, after = wait(results, cause), wait([*results, more], cause)
    judged_again = more not in NOT_JUDGED and more is not SUPERSEDED
    if judged_again:  # ends a run that was not judged; refusals go on counting
        judged = [each for each in results if each not in NOT_JUDGED]
        before = wait(judged, cause) if judged else 0
        assert after == min(max(2 * before, 1), MAX_BACKOFF_FACTOR) or before == after == 1
    assert after >= before
    assert after <= MAX_BACKOFF_FACTOR


@settings(max_examples=150, deadline=None)
@given(results=st.lists(ENDS, max_size=6), cause=st.sampled_from(list(CAUSES)))
def test_a_promotion_starts_afresh(results, cause):
    history = [fire(hour) for hour in range(len(results))]
    retrains = {found.window_end: ended(each) for found, each in zip(history, results, strict=True) if each}
    at = len(results)
    history.append(fire(at))
    retrains[START + at * HOUR] = ended(PROMOTED, at + 1)
    now = record(at + 1, "2", **CAUSES[cause])
    found = decide_trigger(history, now, EAGER, min_retrain_interval=INTERVAL, retrains=retrains)
    assert found.reason == ("performance_decay" if cause == "decay" else "too_early")
    later = replace(now, window_end=START + at * HOUR + INTERVAL)
    assert decide_trigger(history, later, EAGER, min_retrain_interval=INTERVAL, retrains=retrains).fire


CAUSED = [
    TriggerReason.FORMER_VERSION_FITS,
    TriggerReason.PERFORMANCE_DECAY,
    TriggerReason.HARMFUL_DRIFT,
    TriggerReason.BELOW_BEST,
]


def hold_without_outcomes(history, now, reason, interval):
    """Return the reason and the end of the hold where no outcome is stored, computed another way."""
    past = sorted((each for each in history if each.window_end < now.window_end), key=lambda r: r.window_end)
    fires = [each for each in past if each.fired]
    if not fires or not interval:
        return None
    refused = replaced = 0
    for one, following in zip(fires, [*fires[1:], None], strict=True):
        end = following.window_end if following else now.window_end
        after = [each for each in (*past, now) if one.window_end < each.window_end <= end]
        same = all(each.version == one.version for each in after)
        if one.reason == TriggerReason.FORMER_VERSION_FITS:
            replaced += not same
        elif same:
            refused, replaced = refused + 1, replaced + 1
        else:
            refused = replaced = 0
    decay = reason == TriggerReason.PERFORMANCE_DECAY
    failures = refused if decay else replaced
    found = ("backing_off", interval * min(2 ** (failures - 1), MAX_BACKOFF_FACTOR)) if failures else None
    if not failures and not decay:
        found = ("too_early", interval)
    if reason == TriggerReason.FORMER_VERSION_FITS:  # same: of the last one that fired
        found = ("too_early", interval) if fires[-1].reason == reason and same else None
    until = found and fires[-1].window_end + found[1]
    return (found[0], until) if until and now.window_end < until else None


@settings(max_examples=300, deadline=None)
@given(drawn=WINDOWS, setting=SETTINGS, interval=INTERVALS)
def test_a_history_without_outcomes_is_decided_by_its_versions(drawn, setting, interval):
    *order, now = [replace(each, unlearned=None) for each in windows(drawn)]
    history, _ = arrive(order, setting, interval, {})
    evidence = Evidence.of(history, now, setting, None, interval, {})
    for reason in CAUSED:
        hold = backoff(evidence, Cause(reason, ""))
        assert (hold and (hold.reason, hold.until)) == hold_without_outcomes(history, now, reason, interval)
