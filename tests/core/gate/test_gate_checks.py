import json
import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from homeostat.config.slices import SliceBy
from homeostat.core.gate import CHECKS, GateEvidence, decide_gate
from homeostat.core.gate.score_drop import ERRORS, score_drop
from homeostat.core.performance import METRICS, higher_is_better

scores = st.floats(0, 1)
errors = st.floats(1e-6, 1e6)
allowed = st.floats(0, 0.5)


def verdict(config, evidence, metric, candidate, champion, most=0.02):
    task = "regression" if metric in METRICS["regression"] else "classification"
    found = evidence(candidate={metric: candidate}, champion={metric: champion})
    return CHECKS["metric"](found, config(metric, task, max_regression=most, slices=[])).verdict


def test_the_directions_are_those_of_the_metrics_themselves():
    every = [name for names in METRICS.values() for name in names]
    assert {name for name in every if not higher_is_better(name)} == set(ERRORS)


@settings(max_examples=100)
@given(scores, scores, allowed)
def test_worse_by_more_than_allowed_never_passes(config, evidence, candidate, champion, most):
    assume(champion - candidate > most + 1e-6)
    assert verdict(config, evidence, "accuracy", candidate, champion, most) == "alert"


@settings(max_examples=100)
@given(errors, errors, allowed)
def test_a_larger_error_by_more_than_allowed_never_passes(config, evidence, candidate, champion, most):
    assume(candidate > champion * (1 + most + 1e-6))
    assert verdict(config, evidence, "mae", candidate, champion, most) == "alert"


@settings(max_examples=100)
@given(scores, scores, allowed)
def test_better_always_passes(config, evidence, one, other, most):
    assert verdict(config, evidence, "accuracy", max(one, other), min(one, other), most) == "pass"
    assert verdict(config, evidence, "mae", min(one, other), max(one, other), most) == "pass"


@pytest.mark.parametrize("metric", ["accuracy", "r2", "log_loss", "mae", "rmse"])
def test_the_same_passes_even_when_no_regression_is_allowed(config, evidence, metric):
    assert verdict(config, evidence, metric, 0.9, 0.9, 0.0) == "pass"


def test_exactly_the_allowed_regression_passes_whatever_the_last_bits_say(config, evidence):
    assert 0.92 - 0.90 > 0.02
    assert verdict(config, evidence, "accuracy", 0.90, 0.92, 0.02) == "pass"
    assert verdict(config, evidence, "mae", 102, 100, 0.02) == "pass"
    assert verdict(config, evidence, "accuracy", 0.8999, 0.92, 0.02) == "alert"
    assert verdict(config, evidence, "mae", 102.1, 100, 0.02) == "alert"


@settings(max_examples=100)
@given(scores, scores, allowed, st.floats(0, 0.2))
def test_what_is_worse_must_be_significantly_worse_to_be_refused(
    config, evidence, candidate, champion, most, error
):
    found = evidence(candidate={"accuracy": candidate}, champion={"accuracy": champion}, drop_error=error)
    result = CHECKS["metric"](found, config("accuracy", "classification", max_regression=most, slices=[]))
    plain = verdict(config, evidence, "accuracy", candidate, champion, most)
    if plain == "alert" and champion - candidate < 1.64 * error:
        assert result.verdict == "pass"
        assert "may be chance" in result.reason
    else:
        assert result.verdict == plain


def test_an_unknown_standard_error_decides_as_without_one(config, evidence):
    for error in (None, math.nan, 0.0):
        found = evidence(candidate={"accuracy": 0.8}, champion={"accuracy": 0.9}, drop_error=error)
        assert CHECKS["metric"](found, config("accuracy", slices=[])).verdict == "alert"


def test_against_an_error_of_zero_anything_else_is_worse(config, evidence):
    assert verdict(config, evidence, "mae", 0.0, 0.0) == "pass"
    assert verdict(config, evidence, "mae", 1e-9, 0.0, 100.0) == "alert"
    assert math.isinf(score_drop("mae", 1e-9, 0.0))


def test_a_negative_log_of_a_negative_r2_is_still_compared_the_right_way(config, evidence):
    assert verdict(config, evidence, "r2", -2.0, -1.0) == "alert"
    assert verdict(config, evidence, "r2", -1.0, -2.0) == "pass"


def test_the_first_version_passes_and_says_why(config, evidence):
    result = CHECKS["metric"](evidence(champion=None), config())
    assert result.verdict == "pass"
    assert "first version" in result.reason


def test_the_champions_score_on_another_holdout_is_not_taken_for_one_on_this(config, evidence):
    result = CHECKS["metric"](evidence(champion={}), config())
    assert result.verdict == "not_computable"
    assert "champion" in result.reason


@pytest.mark.parametrize(
    ("name", "field", "good", "bad"),
    [
        ("latency", "p99_latency_ms", 200.0, 200.1),
        ("training_rows", "training_rows", 1000, 999),
        ("nan_rate", "nan_rate", 0.0, 1e-9),
        ("output_sanity", "distinct_predictions", 2, 1),
    ],
)
def test_a_limit_itself_is_allowed_and_beyond_it_is_not(config, evidence, name, field, good, bad):
    assert CHECKS[name](evidence(**{field: good}), config()).verdict == "pass"
    assert CHECKS[name](evidence(**{field: bad}), config()).verdict == "alert"


@pytest.mark.parametrize(
    ("field", "value"), [("p99_latency_ms", -1.0), ("nan_rate", 1.5), ("nan_rate", -0.1)]
)
def test_an_impossible_value_is_not_computable(config, evidence, field, value):
    name = "latency" if field == "p99_latency_ms" else field
    assert CHECKS[name](evidence(**{field: value}), config()).verdict == "not_computable"


def by_kind(**points):
    return {f"kind={name}": {"rows": 50, "score": value} for name, value in points.items()}


def test_the_worst_slice_decides_and_is_named(config, evidence):
    found = evidence(slices=by_kind(x=0.95, y=0.6), champion_slices=by_kind(x=0.9, y=0.8))
    result = CHECKS["slices"](found, config())
    assert result.verdict == "alert"
    assert result.value == pytest.approx(0.2)
    assert "kind=y" in result.reason


def test_a_slice_that_only_one_version_has_is_skipped(config, evidence):
    found = evidence(slices=by_kind(x=0.9, new=0.1), champion_slices=by_kind(x=0.9, old=0.9))
    assert CHECKS["slices"](found, config()).verdict == "pass"


def test_slices_of_errors_are_compared_in_their_direction(config, evidence):
    settings_ = config("mae", "regression")
    worse = evidence(slices=by_kind(x=120), champion_slices=by_kind(x=100))
    better = evidence(slices=by_kind(x=80), champion_slices=by_kind(x=100))
    assert CHECKS["slices"](worse, settings_).verdict == "alert"
    assert CHECKS["slices"](better, settings_).verdict == "pass"


def test_no_slices_asked_for_is_nothing_to_check(config):
    assert CHECKS["slices"](GateEvidence(champion={}), config(slices=[])).verdict == "pass"


def watching(config, **gate):
    """A configuration whose gate compares the slices of ``monitor.slices``."""
    made = config(**{"slices": None} | gate)
    monitor = made.monitor.model_copy(update={"slices": (SliceBy(feature="kind"),)})
    return made.model_copy(update={"monitor": monitor})


@pytest.mark.parametrize(("error", "verdict"), [(0.01, "alert"), (0.2, "pass"), (None, "alert")])
def test_a_watched_slice_refuses_only_what_is_more_than_chance(config, evidence, error, verdict):
    found = evidence(
        slices=by_kind(x=0.95, y=0.6),
        champion_slices=by_kind(x=0.9, y=0.8),
        slice_errors={"kind=x": 0.01, "kind=y": error},
    )
    result = CHECKS["slices"](found, watching(config))
    assert result.verdict == verdict
    assert "kind=y" in result.reason
    assert ("may be chance" in result.reason) == (verdict == "pass")


def test_watched_slices_that_cannot_be_compared_do_not_refuse(config, evidence):
    found = evidence(slices={}, champion_slices={})
    result = CHECKS["slices"](found, watching(config))
    assert result.verdict == "pass"
    assert "none was compared" in result.reason
    assert CHECKS["slices"](found, watching(config, slices=["kind"])).verdict == "not_computable"
    assert CHECKS["slices"](evidence(champion=None), watching(config)).verdict == "pass"


@pytest.mark.parametrize(
    ("candidate", "verdict", "said"),
    [
        (0.9, "pass", "mended slice kind=x: accuracy 0.9 against the champion's 0.5; "),
        (0.5, "alert", "the candidate is not better there (monitor.slices)"),
        (0.4, "alert", "the candidate is not better there (monitor.slices)"),
        (None, "not_computable", "too few of its rows (12, 30 are needed)"),
        (math.nan, "not_computable", "too few of its rows"),
    ],
)
@pytest.mark.parametrize("slices", [None, [], ["kind"]])
def test_a_slice_that_started_the_retrain_must_be_mended(config, evidence, slices, candidate, verdict, said):
    decayed = {"kind=x": {"rows": 12, "candidate": candidate, "champion": 0.5}}
    result = CHECKS["slices"](evidence(decayed_slices=decayed), watching(config, slices=slices))
    assert result.verdict == verdict
    assert said in result.reason


def test_a_decayed_slice_of_a_regression_is_mended_by_a_smaller_error(config, evidence):
    found = evidence(decayed_slices={"kind=x": {"rows": 50, "candidate": 3.0, "champion": 9.0}})
    assert CHECKS["slices"](found, config("mae", "regression", slices=[])).verdict == "pass"


def test_a_report_says_what_was_refused_and_why(config, evidence):
    report = decide_gate(evidence(candidate={"accuracy": 0.5}, p99_latency_ms=900.0), config())
    assert not report.passed
    assert report.sentence().startswith("The gate refused: metric: accuracy 0.5 against the champion's 0.9")
    assert "latency: p99 of single rows is 900 ms" in report.sentence()


def test_a_passing_report_says_how_they_compare(config, evidence):
    assert (
        decide_gate(evidence(), config()).sentence()
        == "The gate passed: accuracy 0.9 against the champion's 0.9"
    )


def test_environment_differences_are_notes_and_do_not_fail_the_gate(config, evidence):
    report = decide_gate(evidence(environment_differences=["numpy: 2.4 became 2.5"]), config())
    assert report.passed
    assert report.notes == ("environment: numpy: 2.4 became 2.5",)


def test_the_report_is_plain_json(config):
    raw = json.loads(json.dumps(decide_gate(GateEvidence(), config()).to_json(), allow_nan=False))
    assert raw["passed"] is False
    assert [check["name"] for check in raw["checks"]] == list(CHECKS)


def test_evidence_is_read_from_plain_evaluations(config):
    mine = {
        "metrics": {"accuracy": 0.9},
        "nan_rate": 0.0,
        "p99_latency_ms": 1.0,
        "slices": {"kind=x": {"rows": 40, "score": 0.9}},
        "distinct_predictions": 9,
    }
    assert decide_gate(GateEvidence.of(mine, mine, 5000, []), config()).passed
    assert decide_gate(GateEvidence.of(mine, None, 5000), config()).passed
    assert not decide_gate(GateEvidence.of({}, None, 5000), config()).passed
    assert not decide_gate(GateEvidence.of(mine, {}, 5000), config()).passed


def test_a_candidate_that_is_worse_within_the_limit_says_the_limit(config, evidence):
    said = decide_gate(evidence(candidate={"accuracy": 0.89}), config()).sentence()
    assert said == (
        "The gate passed: accuracy 0.89 against the champion's 0.9: worse by 0.01, "
        "gate.max_regression allows 0.02"
    )
