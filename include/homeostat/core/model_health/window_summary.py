"""One checked window, small enough that a page can read hundreds of them at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from homeostat.core.drift import DriftReport
from homeostat.core.performance import PerformanceReport
from homeostat.core.slices import SlicesReport
from homeostat.core.trigger import TriggerDecision, WindowRecord
from homeostat.core.trigger.tenure import alert_run, tenure

#: How bad a verdict is: of the windows that a long range merges, the worst is kept.
_RANKS = {"pass": 0, "pending": 1, "not_computable": 2, "alert": 3}
#: So many contract findings are kept.
_FINDINGS = 20


@dataclass(frozen=True, slots=True)
class FeatureEffect:
    """One feature in one window: its effect size (KS distance or Cramér's V), and the verdict.

    ``reason`` is kept for an alert only.
    """

    effect: float | None
    verdict: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class StepTraffic:
    """The requests of the newest step of a window (``monitor.every``), with their latency in milliseconds."""

    rows: int
    requests: int
    p50_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True, slots=True)
class AlertRuns:
    """When the alerts that still last began, and the last score with a verdict.

    All times are ends of windows of the same champion; None for none.
    """

    drift_since: datetime | None = None
    decay_since: datetime | None = None
    scored_at: datetime | None = None
    scored_verdict: str = ""
    slices_since: datetime | None = None

    @classmethod
    def of(cls, history: Sequence[WindowRecord], current: WindowRecord) -> AlertRuns:
        """Derive them from the windows before ``current``, in any order."""
        records = [*tenure(history, current), current]
        scored = [r for r in records if r.performance in ("pass", "alert")]
        return cls(
            _since(records, [r.drift for r in records]),
            _since(records, [r.performance for r in records]),
            scored[-1].window_end if scored else None,
            scored[-1].performance if scored else "",
            _since(records, ["alert" if r.decayed_slices else "pass" for r in records]),
        )


def _since(records: Sequence[WindowRecord], verdicts: Sequence[Any]) -> datetime | None:
    """Return the end of the first window of the alerts in a row; labels that are pending do not end them."""
    known = [verdict for verdict in verdicts if verdict in ("alert", "pass")]
    run = alert_run(known)
    alerts = [
        record.window_end for record, verdict in zip(records, verdicts, strict=True) if verdict == "alert"
    ]
    return alerts[-run] if run else None


@dataclass(frozen=True, slots=True)
class WindowSummary:
    """What a page shows of one window.

    Parameters
    ----------
    score_error
        Standard error of the mean score of the last batches, on the score's own scale; None where the
        variance of scores is not known.
    settings
        The settings of model.yaml that decided, by their full name, as text.
    every
        ``monitor.every`` at the check.
    delay
        How long after a window's end its check runs; None where a DAG file has a schedule of its own.
    slices
        Of every watched slice; None without ``monitor.slices``, and in windows of an earlier release.
    url
        The run of the window's day in MLflow, and ``checked_at`` when it was checked.
    airflow_page
        The path of the page of the DAG run that checked it; "" outside of Airflow.
    """

    record: WindowRecord
    sentence: str
    drift_reason: str
    performance: PerformanceReport
    runs: AlertRuns
    features: Mapping[str, FeatureEffect]
    outputs: Mapping[str, FeatureEffect]
    findings: tuple[str, ...]
    settings: Mapping[str, str]
    every: timedelta
    checked_at: datetime
    held_until: datetime | None = None
    score_error: float | None = None
    traffic: StepTraffic | None = None
    slices: SlicesReport | None = None
    url: str = ""
    airflow_page: str = ""
    delay: timedelta | None = timedelta(0)

    @property
    def next_check(self) -> datetime | None:
        """When the next window is checked; None where a DAG file has a schedule of its own."""
        return None if self.delay is None else self.record.window_end + self.every + self.delay

    @classmethod
    def of(
        cls,
        record: WindowRecord,
        drift: DriftReport,
        performance: PerformanceReport,
        decision: TriggerDecision | Mapping[str, Any],
        **more: Any,
    ) -> WindowSummary:
        """Summarise a check; ``more`` are the fields that none of the reports has."""
        made = decision.to_json() if isinstance(decision, TriggerDecision) else decision
        until = made.get("cooldown_until")
        return cls(
            record=record,
            sentence=str(made.get("sentence", "")),
            drift_reason=drift.reason,
            performance=performance,
            features={v.name: _effect(v) for v in drift.features},
            outputs={v.name: _effect(v) for v in drift.outputs},
            findings=tuple(f"{f.column}: {f.detail}" for f in drift.schema if f.severity != "info")[
                :_FINDINGS
            ],
            held_until=datetime.fromisoformat(until) if until else None,
            **more,
        )

    @property
    def rank(self) -> int:
        """How much the window matters, 0 to 31: one that fired most, then performance, then drift."""
        record = self.record
        return 16 * record.fired + 4 * _RANKS[record.performance] + _RANKS[record.drift]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON; :meth:`from_json` reads it back."""
        runs, traffic = self.runs, self.traffic
        return {
            "record": {name: value for name, value in self.record.to_json().items() if value is not None},
            "sentence": self.sentence,
            "drift_reason": self.drift_reason,
            "performance": self.performance.to_json(),
            "runs": [
                _iso(runs.drift_since),
                _iso(runs.decay_since),
                _iso(runs.scored_at),
                runs.scored_verdict,
                _iso(runs.slices_since),
            ],
            "features": _effects_json(self.features),
            "outputs": _effects_json(self.outputs),
            "findings": list(self.findings),
            "settings": dict(self.settings),
            "every_seconds": self.every.total_seconds(),
            "checked_at": self.checked_at.isoformat(),
            "held_until": _iso(self.held_until),
            "score_error": self.score_error,
            "traffic": traffic and [traffic.rows, traffic.requests, traffic.p50_ms, traffic.p99_ms],
            **({"slices": self.slices.to_json()} if self.slices is not None else {}),
            "url": self.url,
            "delay_seconds": None if self.delay is None else self.delay.total_seconds(),
            "airflow_page": self.airflow_page,
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> WindowSummary:
        """Read what :meth:`to_json` wrote; unknown keys are ignored."""
        empty = {"drifted_share": None, "score": None, "decay": None}
        drift_since, decay_since, scored_at, verdict, *slices = raw["runs"]  # an earlier release: no slices
        traffic = raw.get("traffic")
        return cls(
            record=WindowRecord.from_json({**empty, **raw["record"]}),
            sentence=raw["sentence"],
            drift_reason=raw["drift_reason"],
            performance=PerformanceReport.from_json(raw["performance"]),
            runs=AlertRuns(
                _time(drift_since),
                _time(decay_since),
                _time(scored_at),
                verdict,
                _time(slices[0]) if slices else None,
            ),
            features=_effects(raw["features"]),
            outputs=_effects(raw["outputs"]),
            findings=tuple(raw["findings"]),
            settings=dict(raw["settings"]),
            every=timedelta(seconds=raw["every_seconds"]),
            checked_at=datetime.fromisoformat(raw["checked_at"]),
            held_until=_time(raw.get("held_until")),
            score_error=raw.get("score_error"),
            traffic=StepTraffic(*traffic) if traffic else None,
            slices=SlicesReport.from_json(raw["slices"]) if raw.get("slices") else None,
            url=raw.get("url", ""),
            delay=_span(raw.get("delay_seconds", 0.0)),
            airflow_page=raw.get("airflow_page", ""),
        )

    def without_features(self) -> WindowSummary:
        """Return the same summary without features and slices, for a list of many models."""
        return replace(self, features={}, outputs={}, slices=None)


def _effect(verdict: Any) -> FeatureEffect:
    effect = None if verdict.effect is None else round(float(verdict.effect), 4)
    return FeatureEffect(effect, verdict.verdict, verdict.reason if verdict.verdict == "alert" else "")


def _effects_json(effects: Mapping[str, FeatureEffect]) -> dict[str, list[Any]]:
    return {
        name: [e.effect, e.verdict, e.reason] if e.reason else [e.effect, e.verdict]
        for name, e in effects.items()
    }


def _effects(raw: Mapping[str, Sequence[Any]]) -> dict[str, FeatureEffect]:
    return {name: FeatureEffect(*values) for name, values in raw.items()}


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def _span(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
