"""Properties of every health check."""

from __future__ import annotations

import json

import hypothesis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.core.rollout import HOLDOUT, LABELLED_PAIRS, RECENT, HealthVerdict, Tally
from homeostat.core.rollout.health import (
    ALPHA,
    CANARY_CHECKS,
    LABELS_PART,
    SHADOW_CHECKS,
    CandidateEvidence,
    HealthCheck,
    labels,
)
from rollout_plan import PLAN

LABELS: tuple[HealthCheck, float] = (labels, LABELS_PART)
CHECKS = [
    pytest.param(check, stage, id=f"{check.__name__}-{stage}")
    for checks, stages in ((SHADOW_CHECKS, ["shadow"]), (CANARY_CHECKS, ["canary:0", "canary:1"]))
    for check, _ in (LABELS, *checks)
    for stage in stages
]
every_check = pytest.mark.parametrize(("check", "stage"), CHECKS)

COUNTS = st.lists(st.integers(0, 300), max_size=12).map(tuple)


@st.composite
def tallies(draw):
    answers = draw(st.integers(0, 500))
    bad = st.integers(0, answers // 3)
    compared = draw(st.integers(0, answers))
    return Tally(
        rows=answers,
        errors=draw(bad),
        nan=draw(bad),
        out_of_range=draw(bad),
        compared=compared,
        diverged=draw(st.integers(0, compared)),
        predictions=draw(COUNTS),
        latency=draw(COUNTS),
        confidence=draw(COUNTS),
        compared_bins=draw(COUNTS),
        diverged_bins=draw(COUNTS),
        losses=draw(st.just(()) | st.tuples(*[st.integers(0, 300)] * 4) | COUNTS),
    )


KEYS = st.tuples(
    st.sampled_from(["shadow", "canary:0", "canary:1"]),
    st.sampled_from(["champion", "control", "candidate", "shadow"]),
) | st.sampled_from([HOLDOUT, RECENT, LABELLED_PAIRS])
EVIDENCE = st.dictionaries(KEYS, tallies(), max_size=8)


def healthy(stage: str, rows: int = 4000) -> dict[tuple[str, str], Tally]:
    tally = Tally(
        rows=rows,
        compared=rows,
        predictions=(rows // 2, rows // 2),
        latency=(0, 0, rows // 2, rows // 2),
        confidence=(0,) * 40 + (rows,),
    )
    stages = {"shadow", "canary:0", stage}
    variants = ("champion", "control", "candidate", "shadow")
    known = {HOLDOUT: Tally(compared=1000), LABELLED_PAIRS: Tally(rows=rows, losses=(rows, 0, 0, 0))}
    return {(name, variant): tally for name in stages for variant in variants} | known


@every_check
def test_no_evidence_is_never_a_pass_and_never_a_failure(check, stage):
    for evidence in ({}, {(stage, "candidate"): Tally(), (stage, "shadow"): Tally()}):
        assert check(CandidateEvidence(PLAN, stage, evidence, ALPHA)).verdict in (
            HealthVerdict.CONTINUE,
            HealthVerdict.INCONCLUSIVE,
        )


@every_check
def test_evidence_of_other_variants_does_not_count_for_the_candidate(check, stage):
    others = {key: tally for key, tally in healthy(stage).items() if key[1] in ("champion", "control")}
    assert check(CandidateEvidence(PLAN, stage, others, ALPHA)).verdict in (
        HealthVerdict.CONTINUE,
        HealthVerdict.INCONCLUSIVE,
    )


@every_check
def test_a_healthy_candidate_passes(check, stage):
    assert check(CandidateEvidence(PLAN, stage, healthy(stage), ALPHA)).verdict is HealthVerdict.PASS


@every_check
def test_too_few_healthy_rows_are_no_pass(check, stage):
    # Labels may never come: few of them do not hold a rollout.
    expected = HealthVerdict.INCONCLUSIVE if check is labels else HealthVerdict.CONTINUE
    assert check(CandidateEvidence(PLAN, stage, healthy(stage, rows=20), ALPHA)).verdict is expected


@every_check
@settings(max_examples=40)
@given(evidence=EVIDENCE)
def test_any_evidence_gives_a_result_in_plain_json(check, stage, evidence):
    result = check(CandidateEvidence(PLAN, stage, evidence, ALPHA))
    text = json.dumps(result.to_json(), allow_nan=False)
    assert json.loads(text)["verdict"] in {"PASS", "FAIL", "CONTINUE", "INCONCLUSIVE"}
    assert result.reason
    assert result == check(CandidateEvidence(PLAN, stage, evidence, ALPHA))


@every_check
@settings(max_examples=20, suppress_health_check=[hypothesis.HealthCheck.too_slow])
@given(evidence=EVIDENCE, more=EVIDENCE)
def test_evidence_of_two_gateways_adds_up(check, stage, evidence, more):
    both = {key: evidence.get(key, Tally()) + more.get(key, Tally()) for key in {*evidence, *more}}
    swapped = {key: more.get(key, Tally()) + evidence.get(key, Tally()) for key in {*evidence, *more}}
    assert check(CandidateEvidence(PLAN, stage, both, ALPHA)) == check(
        CandidateEvidence(PLAN, stage, swapped, ALPHA)
    )


def test_the_parts_of_alpha_add_up_to_at_most_one():
    parts = dict((LABELS, *SHADOW_CHECKS, *CANARY_CHECKS))
    assert sum(parts.values()) <= 1
    assert all(parts[check] == part for check, part in (*SHADOW_CHECKS, *CANARY_CHECKS))
