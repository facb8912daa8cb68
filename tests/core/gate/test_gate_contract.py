"""The contract of every gate check in CHECKS."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.core.gate import CHECKS, GateEvidence, decide_gate

NOTHING = [None, math.nan, math.inf, -math.inf, np.nan, "no number"]
NEEDS = {
    "metric": ["candidate", "champion"],
    "latency": ["p99_latency_ms"],
    "training_rows": ["training_rows"],
    "nan_rate": ["nan_rate"],
    "slices": ["slices", "champion_slices"],
    "output_sanity": ["distinct_predictions"],
}

every_check = pytest.mark.parametrize("name", CHECKS)


def test_the_suite_knows_what_every_check_needs():
    assert set(NEEDS) == set(CHECKS)


@every_check
def test_good_evidence_passes(config, evidence, name):
    result = CHECKS[name](evidence(), config())
    assert (result.name, result.verdict) == (name, "pass")


@every_check
def test_no_evidence_at_all_is_not_computable(config, name):
    assert CHECKS[name](GateEvidence(), config()).verdict == "not_computable"


@every_check
@pytest.mark.parametrize("nothing", NOTHING, ids=str)
def test_none_nan_and_infinities_are_no_evidence(config, evidence, name, nothing):
    for field in NEEDS[name]:
        whole = getattr(evidence(), field)
        if field.endswith("slices"):
            changed = {"kind=x": {"rows": 50, "score": nothing}}
        else:
            changed = dict.fromkeys(whole, nothing) if isinstance(whole, dict) else nothing
        result = CHECKS[name](evidence(**{field: changed}), config())
        assert result.verdict == "not_computable", field
        assert result.reason


@every_check
def test_what_it_needs_left_empty_is_not_computable(config, evidence, name):
    for field in NEEDS[name]:
        empty = {} if isinstance(getattr(evidence(), field), dict) else None
        assert CHECKS[name](evidence(**{field: empty}), config()).verdict == "not_computable", field


@every_check
def test_without_a_champion_a_check_still_needs_the_candidates_own_evidence(config, evidence, name):
    first = evidence(champion=None, champion_slices={})
    assert CHECKS[name](first, config()).verdict == "pass"
    own = NEEDS[name][0]
    empty = {} if isinstance(getattr(first, own), dict) else None
    bare = evidence(champion=None, champion_slices={}, **{own: empty})
    assert CHECKS[name](bare, config()).verdict == "not_computable"


numbers = st.one_of(
    st.none(), st.floats(), st.integers(-(10**20), 10**20), st.floats().map(np.float64), st.just(np.int64(3))
)


@every_check
@settings(max_examples=40)
@given(data=st.data())
def test_every_result_is_plain_json_with_a_reason(config, name, data):
    slices = st.dictionaries(st.sampled_from(["kind=x", "kind=y"]), st.fixed_dictionaries({"score": numbers}))
    found = GateEvidence(
        candidate={"accuracy": data.draw(numbers)},
        champion=data.draw(st.none() | st.fixed_dictionaries({"accuracy": numbers})),
        training_rows=data.draw(numbers),
        p99_latency_ms=data.draw(numbers),
        nan_rate=data.draw(numbers),
        distinct_predictions=data.draw(numbers),
        slices=data.draw(slices),
        champion_slices=data.draw(slices),
    )
    result = CHECKS[name](found, config())
    assert result.verdict in ("pass", "alert", "not_computable")
    raw = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert all(type(raw[key]) in (str, int, float, type(None)) for key in raw)
    assert result.reason
    if result.verdict == "not_computable":
        assert result.value is None


@every_check
def test_one_check_that_does_not_pass_fails_the_gate(config, evidence, name):
    for field in NEEDS[name]:
        empty = {} if isinstance(getattr(evidence(), field), dict) else None
        report = decide_gate(evidence(**{field: empty}), config())
        assert not report.passed
        assert name in report.sentence()
