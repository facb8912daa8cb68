"""Season and estimate through the whole check: retrain, serve and check, with and without labels."""

import json
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from homeostat.adapters import fake_ports
from homeostat.config import load_model
from homeostat.core.performance import PerformanceReport
from homeostat.core.profile import Profile, Reference
from homeostat.monitoring import window
from homeostat.monitoring.context import CheckContext
from homeostat.monitoring.drift_check import check_drift
from homeostat.monitoring.estimated_performance import estimate_accuracy
from homeostat.storage.bundles import load_reference
from sample_model import MODEL, PIPELINE, T0, retrain, serve

HOUR = timedelta(hours=1)


def rows_between(start, end, *, per_hour=60, seed=0, shift=0.0, sure=1.0, flip=False, cycle=2.0):
    """Inputs with a daily cycle; the further a row is from the boundary, the more often the rule is right."""
    n = int((end - start).total_seconds() // 3600 * per_hour)
    rng = np.random.default_rng([seed, int(start.timestamp())])
    at = [start + timedelta(hours=i / per_hour) for i in range(n)]
    a, b = rng.normal(scale=sure, size=n), rng.normal(size=n)
    likely = 1 / (1 + np.exp(-2 * a))
    hour = np.array([when.hour for when in at])
    return pd.DataFrame(
        {
            "at": at,
            "unit": [f"u{i % 20}" for i in range(n)],
            "a": a,
            "b": b + cycle * np.sin(2 * np.pi * hour / 24) + shift,
            "kind": rng.choice(["red", "blue"], size=n),
            "y": ((rng.random(n) < likely) != flip).astype(int),
        }
    )


@pytest.fixture
def make(tmp_path):
    """A model with this monitor, its champion, and its rows from ten days before T0 on."""

    def build(ask, more="", first=10, **rows):
        home = tmp_path / "sample"
        home.mkdir(exist_ok=True)
        (home / "model.yaml").write_text(MODEL.replace("min_rows: 60}", f"min_rows: 60{more}}}", 1))
        (home / "pipeline.py").write_text(PIPELINE)
        rows_between(T0 - timedelta(days=first), T0, **rows).to_csv(home / "rows.csv", index=False)
        config, ports = load_model(home), fake_ports(start=T0)
        retrain(config, ports, ask())
        return config, ports

    return build


def reference_of(config, ports):
    return load_reference(ports, "sample", ports.ledger.read("sample").champion.digest)


def report_of(ports, end):
    return json.loads(ports.history.written["sample", end].artifacts["report.json"])


def verdicts_of(config, ports, hours):
    return [check_drift(config, ports, T0 + h * HOUR)["verdict"] for h in hours]


SEASON = ", season: hour_of_day, drifted_share: 0.2"


def test_a_daily_cycle_is_drift_without_a_season_and_none_with_it(make, ask):
    verdicts = {}
    for more in (", drifted_share: 0.2", SEASON):
        config, ports = make(ask, more, per_hour=150)
        serve(config, ports, rows_between(T0, T0 + 24 * HOUR, seed=1, per_hour=150), labels=False)
        verdicts[more] = verdicts_of(config, ports, range(4, 25, 2))
    plain, seasonal = (found.count("alert") for found in verdicts.values())
    assert plain >= 10
    assert seasonal <= plain / 10


def test_a_shift_is_found_at_every_hour(make, ask):
    config, ports = make(ask, SEASON)
    serve(config, ports, rows_between(T0, T0 + 24 * HOUR, shift=0.8), labels=False)
    assert verdicts_of(config, ports, range(4, 25, 4)) == ["alert"] * 6


def test_the_bundles_reference_has_the_season_and_a_second_check_counts_nothing_again(make, ask, monkeypatch):
    config, ports = make(ask, SEASON)
    reference = reference_of(config, ports)
    assert reference.season.kind == "hour_of_day"
    assert reference.season.rows.sum() == reference.profile.rows
    serve(config, ports, rows_between(T0, T0 + 5 * HOUR))
    first = report_of_after(config, ports)
    monkeypatch.setattr(window, "count_dataframe", pytest.fail)
    assert report_of_after(config, ports) == first


def report_of_after(config, ports):
    check_drift(config, ports, T0 + 4 * HOUR)
    return report_of(ports, T0 + 4 * HOUR)["drift"]


def test_hours_that_the_reference_never_saw_are_left_out_and_reported(make, ask):
    # Two days of rows, a fifth of them held out: the last nine hours of the day before.
    config, ports = make(ask, SEASON, first=2)
    serve(config, ports, rows_between(T0, T0 + 24 * HOUR))
    assert verdicts_of(config, ports, [10, 24]) == ["not_computable", "pass"]
    unseen = report_of(ports, T0 + 10 * HOUR)["drift"]
    assert "240 rows left out: the reference has no rows of their hours" in unseen["reason"]
    assert unseen["rows"] == 0
    assert report_of(ports, T0 + 24 * HOUR)["drift"]["rows"] == 240


def test_a_champion_without_a_season_is_compared_with_its_whole_reference(make, ask):
    config, ports = make(ask, cycle=0.0)
    (config.folder / "model.yaml").write_text(
        MODEL.replace("min_rows: 60}", "min_rows: 60" + SEASON + "}", 1)
    )
    config = load_model(config.folder)
    serve(config, ports, rows_between(T0, T0 + 4 * HOUR, cycle=0.0))
    assert verdicts_of(config, ports, [4]) == ["pass"]
    assert "registered without a season" in report_of(ports, T0 + 4 * HOUR)["drift"]["reason"]


def estimates(config, ports, hours):
    found = []
    for h in hours:
        check_drift(config, ports, T0 + h * HOUR)
        found.append(PerformanceReport.from_json(report_of(ports, T0 + h * HOUR)["performance"]))
    return found


def test_while_labels_are_pending_the_estimate_follows_the_confidence(make, ask):
    config, ports = make(ask)
    rows = rows_between(T0, T0 + 4 * HOUR, seed=2, sure=0.5)
    serve(config, ports, rows, labels=False)
    (report,) = estimates(config, ports, [4])
    assert report.verdict == "pending"
    truth = rows["y"] == (rows["a"] > 0)
    assert report.estimate.low <= truth.mean() <= report.estimate.high
    assert report.estimate.high < report.estimate.baseline


def test_labels_that_contradict_the_estimate_make_it_abstain(make, ask):
    config, ports = make(ask)
    serve(config, ports, rows_between(T0, T0 + 3 * HOUR))
    serve(config, ports, rows_between(T0 + 3 * HOUR, T0 + 8 * HOUR, flip=True), gateway="g2")
    before, *after = estimates(config, ports, [3, 5, 6, 7])
    assert before.estimate.value is not None
    assert all("labels contradict the estimate" in report.estimate.reason for report in after)


def test_each_reason_to_abstain_has_its_sentence(make, ask):
    config, ports = make(ask)
    reference, champion = reference_of(config, ports), ports.ledger.read("sample").champion
    context = CheckContext(config, ports, champion, reference)
    blind = Reference.fit(pd.DataFrame({"a": [1.0]}), {"a": "number"}).profile
    regression = replace(context, config=config.model_copy(update={"task": "regression"}))
    old = replace(context, reference=Reference(reference.edges, reference.profile))
    for asked, answers, says in (
        (regression, reference.profile, "a regression model gives no confidence to estimate from"),
        (context, blind, "this model gives no probabilities to estimate from"),
        (
            old,
            reference.profile,
            f"version {champion.version} was registered without its holdout's calibration counts",
        ),
        (context, Profile.empty(reference.edges), "0 predictions of this window have a confidence"),
    ):
        found = estimate_accuracy(asked, answers, pd.DataFrame(), T0)
        assert found.value is None
        assert says in found.reason
