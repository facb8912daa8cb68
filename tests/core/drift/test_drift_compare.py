"""The report: correction, effects, missing and unseen values; without evidence it never passes."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.config.model import Monitor
from homeostat.core.drift import DriftReport, SchemaFinding, compare_profiles
from homeostat.core.profile import FeatureKind, Reference, count_dataframe

N, M = 2000, 600
KINDS: dict[str, FeatureKind] = {f"x{i}": "number" for i in range(7)}
KINDS |= {f"c{i}": "category" for i in range(3)}
OUTPUTS: dict[str, FeatureKind] = {"prediction": "category", "confidence": "number"}


def rows_of(seed, n):
    rng = np.random.default_rng(seed)
    columns = {f"x{i}": rng.normal(size=n) for i in range(7)}
    columns |= {f"c{i}": rng.choice(list("abc"), n, p=[0.5, 0.3, 0.2]) for i in range(3)}
    return pd.DataFrame(
        columns | {"prediction": rng.choice(["0", "1"], n), "confidence": rng.uniform(0.5, 1, n)}
    )


REFERENCE = Reference.fit(rows_of(0, N), KINDS | OUTPUTS)


def check(rows, reference=REFERENCE, **monitor):
    return compare_profiles(reference.profile, count_dataframe(reference.edges, rows), Monitor(**monitor))


def by_name(report):
    return {verdict.name: verdict for verdict in (*report.features, *report.outputs)}


def test_rows_without_drift_pass():
    for seed in range(1, 12):
        report = check(rows_of(seed, M))
        assert (report.verdict, report.drifted_share) == ("pass", 0.0)
        assert {verdict.verdict for verdict in report.features} == {"pass"}


def test_drift_of_enough_features_is_an_alert_that_names_them():
    rows = rows_of(1, M).assign(x0=lambda r: r.x0 + 1, x1=60.0, c0="c")
    report = check(rows)
    assert report.verdict == "alert"
    assert report.drifted_share == pytest.approx(0.3)
    assert "x0, x1, c0" in report.reason
    assert {name for name, verdict in by_name(report).items() if verdict.drifted} == {"x0", "x1", "c0"}
    assert check(rows, drifted_share=0.31).verdict == "pass"


def test_significance_without_an_effect_is_no_drift():
    rng = np.random.default_rng(0)
    reference = Reference.fit(pd.DataFrame({"x": rng.normal(size=200_000)}), {"x": "number"})
    report = check(pd.DataFrame({"x": rng.normal(0.05, size=100_000)}), reference)
    assert report.features[0].p_adjusted < 1e-6
    assert report.verdict == "pass"


def test_an_effect_without_significance_is_no_drift():
    report = check(rows_of(3, 40), min_rows=30)
    assert max(verdict.effect for verdict in report.features) >= 0.1
    assert report.verdict == "pass"


@pytest.mark.parametrize(
    ("rows", "says"),
    [(rows_of(1, 0), "empty"), (rows_of(1, 199), "199 rows, monitor.min_rows requires 200")],
    ids=["empty", "too-few"],
)
def test_too_few_rows_are_not_computable(rows, says):
    report = check(rows, min_rows=200)
    assert (report.verdict, report.drifted_share) == ("not_computable", None)
    assert says in report.reason


def test_an_empty_reference_is_not_computable():
    report = check(rows_of(1, M), Reference.fit(rows_of(0, 0), KINDS))
    assert report.verdict == "not_computable"


def test_a_column_all_missing_is_an_alert_and_no_drift():
    report = check(rows_of(1, M).assign(x3=np.nan))
    verdict = by_name(report)["x3"]
    assert (verdict.verdict, verdict.drifted, verdict.ks) == ("alert", None, None)
    assert "missing rate rose from 0.0% to 100.0%" in verdict.reason
    assert SchemaFinding(
        "x3", "missing_rate", "100.0% of the rows have no value, 0.0% in the reference", "critical"
    ) in (report.schema)
    assert (report.verdict, report.drifted_share) == ("pass", 0.0)


def test_missing_values_do_not_change_the_statistics():
    rows = rows_of(1, 4 * M)
    holes = rows.copy()
    holes.loc[: 2 * M, ["x0", "c0"]] = None
    kept = by_name(check(rows.iloc[2 * M + 1 :]))
    for name in ("x0", "c0"):
        verdict = by_name(check(holes))[name]
        assert verdict.verdict == "alert"
        assert verdict.drifted is False
        assert (verdict.psi, verdict.effect) == (kept[name].psi, kept[name].effect)


def test_the_missing_rate_is_compared_with_that_of_the_reference():
    half = rows_of(0, N)
    half.loc[::2, "x0"] = np.nan
    reference = Reference.fit(half, KINDS)
    again = rows_of(1, M)
    again.loc[::2, "x0"] = np.nan
    assert by_name(check(again, reference))["x0"].verdict == "pass"


def test_never_seen_categories_are_an_alert_and_drift():
    rows = rows_of(1, M)
    rows.loc[:60, "c1"] = "new-site"
    verdict = by_name(check(rows))["c1"]
    assert (verdict.verdict, verdict.drifted) == ("alert", True)
    assert "never seen in the reference" in verdict.reason
    assert verdict.cramers_v < 0.1
    assert by_name(check(rows, max_unseen=0.2))["c1"].verdict == "pass"


def test_text_in_a_column_of_numbers_is_a_schema_finding_and_no_drift():
    rows = rows_of(1, M).astype({"x1": object})
    rows.loc[:100, "x1"] = "n/a?"
    report = check(rows)
    verdict = by_name(report)["x1"]
    assert (verdict.verdict, verdict.drifted) == ("alert", False)
    assert [finding.kind for finding in report.schema] == ["retyped"]


def test_too_many_features_that_cannot_be_computed_are_not_healthy():
    gone = {f"x{i}": np.nan for i in range(3)}
    report = check(rows_of(1, M).assign(**gone))
    assert report.verdict == "not_computable"
    assert "x0, x1, x2" in report.reason
    shifted = check(rows_of(1, M).assign(**gone, x3=9.0, x4=9.0, c0="c"))
    assert shifted.verdict == "alert"


def test_a_feature_without_reference_values_does_not_block_the_report():
    reference = Reference.fit(rows_of(0, N).assign(x0=np.nan, x1=np.nan, x2=np.nan), KINDS)
    report = check(rows_of(1, M).assign(x0=np.nan, x1=np.nan), reference)
    assert report.verdict == "pass"
    assert by_name(report)["x0"].verdict == "not_computable"
    assert by_name(report)["x2"].verdict == "not_computable"


def test_a_handful_of_values_is_not_computable():
    rows = rows_of(1, M)
    rows.loc[5:, "x0"] = np.nan
    verdict = by_name(check(rows, max_missing=1.0))["x0"]
    assert verdict.verdict == "not_computable"
    assert "only 5 values of 600 rows" in verdict.reason


def test_outputs_do_not_count_in_the_drifted_share():
    report = check(rows_of(1, M).assign(prediction="1", confidence=0.5))
    assert {verdict.name: verdict.drifted for verdict in report.outputs} == {
        "prediction": True,
        "confidence": True,
    }
    assert (report.verdict, report.drifted_share) == ("pass", 0.0)


@pytest.mark.parametrize("value", [0.0, 5.0, -1e300])
def test_a_constant_is_compared_with_a_constant(value):
    reference = Reference.fit(pd.DataFrame({"x": [5.0] * N}), {"x": "number"})
    report = check(pd.DataFrame({"x": [value] * M}), reference)
    assert report.verdict == ("pass" if value == 5.0 else "alert")


def test_a_fully_shifted_feature_is_not_empty():
    report = check(rows_of(1, M).assign(x0=np.inf, x1=1e9))
    for name in ("x0", "x1"):
        assert by_name(report)[name].ks == pytest.approx(1)
        assert by_name(report)[name].psi > 5


def test_profiles_on_different_edges_are_refused():
    other = Reference.fit(rows_of(5, N), KINDS)
    with pytest.raises(ValueError, match="different edges"):
        compare_profiles(REFERENCE.profile, other.profile, Monitor())


DEGENERATE = {
    "all-missing": lambda n: np.full(n, np.nan),
    "constant": np.ones,
    "infinite": lambda n: np.where(np.arange(n) % 2, np.inf, -np.inf),
    "boolean": lambda n: np.arange(n) % 2 == 0,
    "text": lambda n: np.array([f"v{i}" for i in range(n)], dtype=object),
    "mixed": lambda n: np.array([(1, "a", None, 2.5, True)[i % 5] for i in range(n)], dtype=object),
    "huge": lambda n: np.array([10 ** (300 + i % 20) for i in range(n)], dtype=object),
    "normal": lambda n: np.linspace(-1, 1, n),
}


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(["number", "category"]),
    before=st.sampled_from(sorted(DEGENERATE)),
    now=st.sampled_from(sorted(DEGENERATE)),
    n=st.sampled_from([0, 1, 25, 300]),
    m=st.sampled_from([0, 1, 25, 300]),
)
def test_every_degenerate_pair_gets_a_verdict_with_a_reason_that_survives_json(kind, before, now, n, m):
    reference = Reference.fit(pd.DataFrame({"v": DEGENERATE[before](n)}), {"v": kind})
    report = check(pd.DataFrame({"v": DEGENERATE[now](m)}), reference, min_rows=20)
    assert report.reason
    assert all(verdict.reason for verdict in report.features)
    assert DriftReport.from_json(json.loads(json.dumps(report.to_json(), allow_nan=False))) == report
    if m < 20 or n == 0:
        assert report.verdict == "not_computable"
