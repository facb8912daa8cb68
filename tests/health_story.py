"""A model with a past, written to a ledger: for the tests of its view, its API and its pages."""

from datetime import UTC, datetime, timedelta

from homeostat.core.model_health import AlertRuns, FeatureEffect, StepTraffic, WindowSummary
from homeostat.core.performance import Estimate, PerformanceReport
from homeostat.core.rollout import Phase, Plan, VersionRef, begin, promote
from homeostat.core.rollout.transitions import default_plan, enter
from homeostat.core.slices import SliceDrift, SliceResult, SliceScore, SlicesReport
from homeostat.core.trigger import WindowRecord
from homeostat.ports import HealthRecord, RecordKind

NOW = datetime(2026, 3, 10, 12, 30, tzinfo=UTC)
END = NOW.replace(minute=0)
HOUR = timedelta(hours=1)
SETTINGS = {
    "monitor.every": "1h",
    "monitor.drifted_share": "0.3",
    "trigger.decay": "0.1",
    "trigger.critical_decay": "0.15",
    "trigger.cooldown": "1d",
    "rollback.p99_latency_ms": "200",
    "approval": "none",
}
PLAN: Plan = default_plan()


def report(verdict="pass", score=0.75, baseline=0.76, **more):
    """A performance report of the accuracy; ``decay`` follows from score and baseline."""
    decay = None if verdict == "pending" or score is None else baseline - score
    reason = f"accuracy {score} over 10 batches, baseline {baseline}"
    fields = {"batches": 10, "rows": 1000, "error": 0.01, "metric_title": "accuracy"}
    return PerformanceReport(verdict, reason, "accuracy", score, baseline, decay, **fields | more)


def record(end=END, version="2", **more):
    """A quiet window, unless ``more`` says otherwise."""
    fields = {"rows": 500, "drift": "pass", "drifted_share": 0.0, "performance": "pass", "score": 0.74}
    fields |= {"decay": 0.01, "reason": "within_tolerance", "labelled_rows": 100}
    return WindowRecord(window_end=end, version=version, **fields | more)


def summary(record_=None, performance=None, *, history=(), **more):
    """The summary of a window, quiet by default."""
    made = record_ or record()
    fields = {
        "sentence": "Drift and performance are within tolerance.",
        "drift_reason": "0 of 2 features drifted",
        "features": {"a": FeatureEffect(0.02, "pass"), "b": FeatureEffect(0.05, "pass")},
        "outputs": {"prediction": FeatureEffect(0.03, "pass")},
        "findings": (),
        "settings": SETTINGS,
        "every": HOUR,
        "checked_at": made.window_end + timedelta(minutes=5),
        "score_error": 0.01,
        "traffic": StepTraffic(40, 20, 3.0, 9.0),
        "url": "http://mlflow.test/#/experiments/1/runs/abc?q=1",
    }
    report_ = performance or report(made.performance)
    runs = more.pop("runs", None) or AlertRuns.of(history, made)
    return WindowSummary(record=made, performance=report_, runs=runs, **fields | more)


def save_window(ledger, model, found):
    """Write a summary as a check does."""
    end = found.record.window_end
    ledger.save_record(
        HealthRecord(model, RecordKind.WINDOW, end.isoformat(), end, found.to_json(), rank=found.rank)
    )


def write(ledger, step, at, by="gateway-1"):
    """Write a transition to the ledger."""
    return ledger.write(step.traffic, kind=step.kind, reason=step.reason, by=by, at=at)


def promoted(ledger, model, version, at):
    """Make a version champion by hand."""
    ref = VersionRef(version, f"{int(version):064x}")
    return write(ledger, promote(ledger.read(model), ref, at, "first version"), at)


def failing_model(ledger, model="pump", *, hours=48):
    """Version 2 replaces version 1 by a canary, its inputs drift, its score falls, a retrain is refused."""
    start = END - hours * HOUR
    promoted(ledger, model, "1", start - HOUR)
    change = start + hours // 4 * HOUR
    ref = VersionRef("2", f"{2:064x}")
    write(ledger, begin(ledger.read(model), ref, "run2", PLAN, change - 3 * HOUR), change - 3 * HOUR)
    for phase, at in (
        (Phase.SHADOW, change - 2 * HOUR),
        (Phase.CANARY, change - HOUR),
        (Phase.CHAMPION, change),
    ):
        traffic = ledger.read(model)
        write(ledger, enter(traffic, traffic.rollout, phase, at, "all checks pass"), at)
    _windows(ledger, model, start, change, hours)
    refused = END - 2 * HOUR
    body = {"at": refused.isoformat(), "outcome": "refused", "stage": "gate", "dag_run": "asset__1"}
    body |= {"sentence": "the candidate is worse than the champion", "url": "http://mlflow.test/#/runs/r1"}
    ledger.save_record(HealthRecord(model, RecordKind.RETRAIN, "r1", refused, body))
    for version, at in (("1", start - HOUR), ("2", change)):
        body = {"version": version, "at": at.isoformat(), "metrics": {"accuracy": 0.76}, "rows": 800}
        body |= {"slices": {"colour=red": {"rows": 300, "score": 0.7}}, "dag_run": f"manual__{version}"}
        ledger.save_record(HealthRecord(model, RecordKind.VERSION, version, at, body))


_FIRED = "Decay 0.300 reached trigger.critical_decay (0.15)."
_COOLING = "The window that ended at 2026-03-10 04:00 UTC fired: in cooldown for a day (trigger.cooldown)."


def _windows(ledger, model, start, change, hours):
    bad_from = END - 8 * HOUR
    history = []
    for number in range(1, hours + 1):
        end = start + number * HOUR
        bad = end >= bad_from
        score = 0.46 if bad else 0.75
        made = record(
            end,
            "1" if end < change else "2",
            drift="alert" if bad else "pass",
            drifted_share=0.5 if bad else 0.0,
            performance="alert" if bad else "pass",
            score=score,
            decay=0.76 - score,
            impact="shown" if bad else "unknown",
            fired=end == bad_from,
        )
        effects = {"a": FeatureEffect(0.6, "alert", "KS 0.60 is above 0.1"), "b": FeatureEffect(0.05, "pass")}
        found = summary(
            made,
            report(made.performance, score),
            history=history,
            **({"features": effects, "drift_reason": "1 of 2 features drifted"} if bad else {}),
            slices=_slices(bad=bad),
            **({"sentence": _FIRED if made.fired else _COOLING} if bad else {}),
        )
        save_window(ledger, model, found)
        history.append(made)


def _slices(*, bad):
    """One slice of two is worse since the inputs drifted."""
    scores = {
        "colour=red": SliceScore("alert", "accuracy 0.31 over 90 rows", 0.31, 0.7, 0.39, 1e-9, 90),
        "colour (rest)": SliceScore("pending", "no labelled rows yet"),
    }
    if not bad:
        scores["colour=red"] = SliceScore("pass", "accuracy 0.7 over 90 rows", 0.7, 0.7, 0.0, 0.5, 90)
    drift = SliceDrift("alert", "1 of 2 features drifted (a)", 200, 0.5, ("a",))
    return SlicesReport("accuracy", tuple(SliceResult(name, drift, score) for name, score in scores.items()))


def estimated(value, low, high, baseline=0.8):
    """An estimate of the accuracy."""
    return Estimate(value, low, high, "from the confidence of 400 predictions", 400, baseline)
