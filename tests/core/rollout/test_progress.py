"""How long the rollout under way still takes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from homeostat.core.rollout import (
    LABELLED_PAIRS,
    PairLosses,
    Phase,
    Rollout,
    Tally,
    VersionRef,
    rollout_progress,
    served_rows,
)
from rollout_plan import PLAN

T0 = datetime(2026, 3, 1, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
DEFAULT = replace(
    PLAN, shadow=DAY, shadow_min_samples=200, min_samples=200, max_shadow=30 * DAY, max_step=30 * DAY
)


def rollout(phase=Phase.SHADOW, step=0, **more):
    return Rollout("run", VersionRef("2", "b"), phase, step, T0, replace(DEFAULT, **more))


def in_shadow(rows):
    return {("shadow", "shadow"): Tally(rows=rows, compared=rows), ("shadow", "champion"): Tally(rows=rows)}


def in_canary(candidate, rest, step=0):
    parts = {"candidate": candidate, "control": candidate, "champion": rest - candidate}
    return {(f"canary:{step}", name): Tally(rows=rows) for name, rows in parts.items()}


def progress(evidence, after, rows_per_hour=None, phase=Phase.SHADOW, step=0, **more):
    return rollout_progress(rollout(phase, step, **more), evidence, T0 + after, rows_per_hour)


def test_a_shadow_with_its_rows_lasts_its_duration():
    found = progress(in_shadow(6000), 6 * HOUR)
    assert found.remaining == 18 * HOUR
    assert found.sentence == (
        "shadow: has its 200 rows (6000 so far), takes 18 hours more; then canary step 1 (10%) 2 hours"
        " (200 rows; canary.step_duration is 1 hour), canary step 2 (50%) 1 hour; about 21 hours until the"
        " promotion"
    )


def test_a_shadow_that_lacks_rows_waits_for_them():
    found = progress(in_shadow(39), DAY)
    assert (found.rows, found.needed, found.elapsed, found.fits) == (39, 200, DAY, True)
    assert found.remaining / DAY == pytest.approx(161 / 39)
    assert found.sentence == (
        "shadow: 39 of 200 rows (shadow.min_samples) after 1 day, takes about 4.13 days more; then canary"
        " step 1 (10%) is skipped (200 rows take 51.3 days, canary.max_step_duration is 30 days), canary step"
        " 2 (50%) 10.3 days (200 rows; canary.step_duration is 1 hour); about 14.4 days until the promotion"
    )


def test_rows_that_come_too_late_are_said_with_the_settings():
    found = progress(in_shadow(20), 10 * DAY)
    assert (found.fits, found.remaining) == (False, 20 * DAY)
    assert found.sentence == (
        "shadow: 20 of 200 rows (shadow.min_samples) after 10 days. At this traffic the others take 90 days,"
        " but shadow.max_duration is 30 days: it will end as inconclusive in 20 days. Lower"
        " shadow.min_samples or raise shadow.max_duration for the next rollout"
    )


def test_without_rows_nothing_is_promised():
    found = progress({}, 2 * HOUR)
    assert (found.remaining, found.later) == (None, ())
    assert found.sentence == (
        "shadow: 0 of 200 rows (shadow.min_samples) after 2 hours, waits for requests (shadow.max_duration is"
        " 30 days)"
    )


def test_a_canary_step_counts_the_candidates_rows_and_the_traffic_of_all_variants():
    found = progress(in_canary(50, 450), HOUR, phase=Phase.CANARY)
    assert found.sentence == (
        "canary step 1 of 2: 50 of 200 rows (canary.min_samples) after 1 hour, takes about 3 hours more; then"
        " canary step 2 (50%) 1 hour; about 4 hours until the promotion"
    )


def test_a_last_step_has_nothing_after_it():
    found = progress(in_canary(100, 100, step=1), HOUR / 2, phase=Phase.CANARY, step=1, approval=True)
    assert found.sentence == (
        "canary step 2 of 2: 100 of 200 rows (canary.min_samples) after 30 minutes, takes about 30 minutes"
        " more; about 30 minutes until the approval"
    )


def test_a_doubt_holds_a_phase_for_twice_its_duration_at_most():
    found = progress(in_shadow(10_000), DAY + 6 * HOUR)
    assert found.remaining == timedelta(0)
    assert found.sentence.startswith(
        "shadow: has its 200 rows (10000 so far), ends when no check is in doubt, in 18 hours at most; then"
    )


def test_a_doubt_about_few_rows_holds_it_until_twice_the_rows():
    found = progress(in_shadow(200), 2 * DAY)
    assert "in 2 days at most" in found.sentence


def test_labels_that_show_a_better_candidate_need_fewer_rows():
    found = progress(in_shadow(39), DAY, shadow_min_samples=300)
    assert found.needed == 300
    better = PairLosses.of(DEFAULT).count((f"{n}", 1, 1, 0) for n in range(35))
    found = progress({**in_shadow(39), LABELLED_PAIRS: better}, DAY - HOUR)
    assert (found.needed, found.remaining) == (30, HOUR)
    assert found.sentence == (
        "shadow: has its 30 rows (39 so far), takes 1 hour more; then canary step 1 (10%) is skipped (30"
        " rows take 7.37 days), canary step 2 (50%) 35.4 hours (30 rows; canary.step_duration is 1 hour);"
        " about 36.4 hours until the promotion"
    )


def test_a_given_traffic_replaces_the_pace_so_far():
    found = progress(in_shadow(100), DAY, rows_per_hour=50)
    assert found.remaining == 2 * HOUR
    canary = progress(in_canary(100, 900), HOUR, phase=Phase.CANARY, rows_per_hour=50)
    assert canary.remaining == 20 * HOUR, "the candidate gets 10 %"


@pytest.mark.parametrize("phase", [Phase.REGISTERED, Phase.WAITING, Phase.CHAMPION, Phase.ROLLED_BACK])
def test_other_phases_wait_for_no_rows(phase):
    assert progress(in_shadow(10), HOUR, phase=phase) is None


def test_a_clock_that_was_set_back_gives_no_pace():
    assert progress(in_shadow(10), -HOUR).remaining is None


def test_traffic_is_counted_in_the_phase_under_way():
    evidence = {**in_shadow(500), **in_canary(50, 450)}
    assert served_rows(rollout(Phase.CANARY), evidence) == 500
    assert served_rows(rollout(Phase.SHADOW), evidence) == 500
    assert served_rows(rollout(Phase.CANARY, 1), evidence) == 0


def test_the_json_has_seconds():
    raw = progress(in_shadow(39), DAY).to_json()
    assert {key: raw[key] for key in ("stage", "rows", "needed", "elapsed_seconds", "fits")} == {
        "stage": "shadow",
        "rows": 39,
        "needed": 200,
        "elapsed_seconds": 86400.0,
        "fits": True,
    }
    assert [phase["skipped"] for phase in raw["later"]] == [True, False]
