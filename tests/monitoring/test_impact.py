"""Harmful drift is retrained for; harmless drift and failing retrains are notified once."""

import json
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from homeostat.config import load_model
from homeostat.core.performance import BatchScore, Estimate, PerformanceReport
from homeostat.core.trigger import WindowRecord
from homeostat.monitoring import drift_check
from homeostat.monitoring.drift_check import check_drift
from homeostat.monitoring.drift_impact import drift_impact
from homeostat.monitoring.version_ageing import VersionAgeing
from sample_model import T0, notices, retrain, rows_between, serve

pytestmark = pytest.mark.usefixtures("quick")
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def no_probe(monkeypatch):
    """Nothing is known of the champion's age, so that drift and decay decide alone."""
    monkeypatch.setattr(drift_check, "version_ageing", lambda *_: VersionAgeing())


def shifted(hours, *, wrong=0.0, start=0):
    """Both features shift, and their sum, on which the label depends, does not."""
    rows = rows_between(T0 + start * HOUR, T0 + hours * HOUR)
    rows["a"] += 2.0
    rows["b"] -= 2.0
    turned = np.random.default_rng(0).random(len(rows)) < wrong
    rows["y"] = np.where(turned, 1 - rows["y"], rows["y"])
    return rows


def check(config, ports, hours):
    return check_drift(config, ports, T0 + hours * HOUR)


def fired_before(ports, *hours, **more):
    """Retrains that the history knows, each of the window that ended at this hour."""
    for hour in hours:
        found = WindowRecord(T0 + hour * HOUR, "1", 240, "alert", 0.67, "pass", 0.98, 0.0)
        found = replace(found, fired=True, reason="harmful_drift", **more)
        ports.history.record("sample", found, metrics={}, artifacts={})


def test_harmless_drift_is_notified_once_and_does_not_fire(config, ports, champion):
    serve(config, ports, shifted(10))
    answers = [check(config, ports, hours) for hours in range(4, 11)]
    assert {a["verdict"] for a in answers} == {"alert"}
    assert not any(a["fired"] for a in answers)
    assert [a["reason"] for a in answers] == ["building"] + ["harmless_drift"] * 6
    assert notices(ports) == ["harmless_drift"]
    assert {r.impact for r in ports.history.windows("sample")[1:]} == {"not_shown"}


def test_harmless_drift_that_comes_back_is_notified_again(config, ports, champion):
    serve(config, ports, shifted(7))
    serve(config, ports, rows_between(T0 + 7 * HOUR, T0 + 12 * HOUR), gateway="g2")
    serve(config, ports, shifted(18, start=12), gateway="g3")
    for hours in range(4, 19):
        check(config, ports, hours)
    assert notices(ports) == ["harmless_drift", "resolved", "harmless_drift"]


def test_drift_whose_impact_labels_show_fires_before_it_is_decay(config, ports, champion):
    serve(config, ports, shifted(10, wrong=0.09))
    answers = [check(config, ports, hours) for hours in range(4, 11)]
    (fired,) = [a for a in answers if a["fired"]]
    assert fired["reason"] == "harmful_drift"
    assert "predictions have become worse" in fired["sentence"]
    assert {a["performance"] for a in answers} == {"pass"}, "less than trigger.decay is lost"
    assert notices(ports)[-1] == "trigger_fired"


def test_the_same_loss_without_drift_does_not_fire(config, ports, champion):
    rows = shifted(10, wrong=0.09)
    rows["a"] -= 2.0
    rows["b"] += 2.0
    serve(config, ports, rows)
    answers = [check(config, ports, hours) for hours in range(4, 11)]
    assert [a["fired"] for a in answers] == [False] * 7
    assert notices(ports) == []


def test_labels_from_before_the_drift_do_not_count(config, ports, champion):
    """Wrong predictions before the inputs drifted show no impact of the drift."""
    early = rows_between(T0, T0 + 4 * HOUR)
    early.loc[:59, "y"] = 1 - early.loc[:59, "y"]
    serve(config, ports, early)
    serve(config, ports, shifted(11, start=4), gateway="g2")
    for hours in range(2, 12):
        check(config, ports, hours)
    drifted = [r for r in ports.history.windows("sample") if r.drift == "alert"]
    assert "shown" not in {r.impact for r in drifted}


def test_drift_with_unknown_impact_fires(config, ports, champion):
    serve(config, ports, shifted(6), labels=False)
    answers = [check(config, ports, hours) for hours in (4, 5)]
    assert [(a["fired"], a["reason"]) for a in answers] == [(False, "building"), (True, "sustained_drift")]


def test_backing_off_is_notified_once_and_ends(config, ports, champion):
    fired_before(ports, -8, -1)  # two in a row that were refused: twelve hours from the last one on
    serve(config, ports, shifted(14, wrong=0.09))
    answers = {hours: check(config, ports, hours) for hours in range(4, 13)}
    reasons = [answers[hours]["reason"] for hours in range(4, 13)]
    assert reasons[0] == "cooldown_active"
    assert set(reasons[2:7]) == {"backing_off"}
    assert notices(ports).count("backing_off") == 1
    assert "The next retrain may start from 2026-03-02 11:00 UTC" in answers[8]["sentence"]
    assert [hours for hours, a in answers.items() if a["fired"]] == [11]
    assert notices(ports) == ["backing_off", "trigger_fired"]


def test_a_step_that_allows_no_score_is_no_evidence_and_no_crash(folder, ports, ask):
    """Without a positive row, and none that is called so, there is no f1; and the labels are not pending."""
    path = folder / "model.yaml"
    path.write_text(path.read_text().replace("gate: {", "gate: {metric: f1, ", 1))
    config = load_model(folder)
    retrain(config, ports, ask())
    rows = rows_between(T0, T0 + 6 * HOUR)
    rows[["a", "b"]] = -rows[["a", "b"]].abs()
    rows["y"] = 0
    serve(config, ports, rows)
    assert check(config, ports, 5)["performance"] == "not_computable"
    (record,) = ports.history.windows("sample")
    assert (record.score, record.labelled_rows) == (None, 0)


def test_the_report_has_the_impact(config, ports, champion):
    serve(config, ports, shifted(10, wrong=0.09))
    for hours in range(4, 9):
        check(config, ports, hours)
    written = ports.history.written["sample", T0 + 8 * HOUR].artifacts["report.json"]
    found = json.loads(written, parse_constant=pytest.fail)["performance"]
    assert found["degraded"] is True
    assert found["error"] > 0


# Labels take precedence over the estimate


def batches(*rows):
    return [BatchScore(T0 + n * HOUR, 0.9, count) for n, count in enumerate(rows)]


def said(*, degraded=False, low=None, high=None):
    """A report whose estimate lies between these, of a model that was right in nine of ten."""
    guess = (
        Estimate(None, None, None, "it abstains") if low is None else Estimate(0.5, low, high, "", 500, 0.9)
    )
    return PerformanceReport("pending", "", "accuracy", 0.9, 0.9, None, degraded=degraded, estimate=guess)


@pytest.mark.parametrize(
    ("report", "before", "since", "impact"),
    [
        (said(degraded=True), [], batches(500), "shown"),
        (said(degraded=True, low=0.89, high=0.95), [], batches(500), "shown"),
        (said(low=0.5, high=0.6), [], batches(500), "not_shown"),
        (said(), batches(500), batches(59), "unknown"),
        (said(), [], batches(30, 30), "not_shown"),
        (said(low=0.7, high=0.87), [], [], "shown"),
        (said(low=0.7, high=0.89), batches(500), [], "unknown"),
        (said(low=0.85, high=0.95), batches(500), [], "not_shown"),
        (said(low=0.85, high=0.95), batches(59), [], "unknown"),
    ],
    ids=[
        "labels show it",
        "labels before the estimate",
        "labels against the estimate",
        "unknown",
        "labels of two steps",
        "the estimate shows it",
        "the estimate is not sure",
        "the estimate, borne out",
        "the estimate, not borne out",
    ],
)
def test_labels_take_precedence_over_the_estimate(config, report, before, since, impact):
    assert drift_impact(config, report, [*before, *since], since) == impact
