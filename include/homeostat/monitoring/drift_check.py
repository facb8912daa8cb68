"""Check one window: contract, inputs, predictions, performance, and whether to retrain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from homeostat.config import ModelConfig
from homeostat.core.drift import DriftReport
from homeostat.core.rollout import Phase, Traffic
from homeostat.core.rollout.served import describe_served
from homeostat.core.slices import SlicesReport
from homeostat.core.trigger import (
    TriggerDecision,
    TriggerReason,
    WindowRecord,
    decide_trigger,
    drifting_since,
    sentence_for,
    tenure,
)
from homeostat.monitoring.check_notice import check_notice, check_sentence
from homeostat.monitoring.check_report import check_artifacts, check_metrics, save_report
from homeostat.monitoring.context import CheckContext, check_context, history_lookback, min_retrain_interval
from homeostat.monitoring.labelled_performance import Labelled, measure_performance
from homeostat.monitoring.latest_verdict import latest_verdict
from homeostat.monitoring.slices import check_slices, newest_losses
from homeostat.monitoring.version_ageing import VersionAgeing, version_ageing
from homeostat.monitoring.version_comparison import version_to_reinstate
from homeostat.monitoring.window import WindowCounts, window_start
from homeostat.monitoring.window_drift import drift_report
from homeostat.monitoring.window_summary import save_summary, score_error, summarise
from homeostat.ports import Ports
from homeostat.storage.latest_check import LatestCheck, save_latest_check
from homeostat.storage.retrain_request import parse_time
from homeostat.storage.trigger_outbox import trigger_id
from homeostat.storage.trigger_outcomes import past_retrains
from homeostat.storage.version_info import load_version_info


@dataclass(frozen=True, slots=True)
class WindowCheck:
    """What one window showed.

    ``slices`` is None without ``monitor.slices``. ``record`` carries no decision yet; ``history`` are the
    windows before, ``info`` what is stored about the champion.
    """

    window: WindowCounts
    report: DriftReport
    labelled: Labelled
    slices: SlicesReport | None
    aged: VersionAgeing
    record: WindowRecord
    history: Sequence[WindowRecord]
    info: Mapping[str, Any]


def window_end_of(config: ModelConfig, requested: datetime | str) -> datetime:
    """Return the end of the window to check.

    A string (the time that a person gives) is taken as it is; a datetime is rounded down to
    ``monitor.every``.
    """
    if isinstance(requested, str):
        return parse_time(requested, "window_end")
    epoch = datetime(1970, 1, 5, tzinfo=UTC)  # a Monday, so that weekly windows begin with the week
    return requested - (requested - epoch) % config.monitor.every


def check_drift(
    config: ModelConfig,
    ports: Ports,
    window_end: datetime,
    *,
    airflow_url: str = "",
    airflow_page: str = "",
    scheduled: bool = True,
) -> dict[str, Any]:
    """Check the window that ends at ``window_end``; a second check of it replaces the first.

    Only the history needs MLflow. A caller that can reach MLflow synchronises its aliases first, see
    :mod:`homeostat.rollouts.alias_sync`. ``airflow_url`` is the page of the DAG run, for MLflow's page of the
    window; ``airflow_page`` is its path, for the pages of the model's health. ``scheduled`` says whether
    checks run when model.yaml says, not at a schedule of the DAG file.

    Returns
    -------
    Small, plain JSON: ``model``, ``window_end``, ``trigger_id``, ``verdict`` (of drift), ``rows``,
    ``drifted_share``, ``performance``, ``decayed_slices``, ``unlogged_labels``, ``unlearned_windows``,
    ``expected_gain``, ``probes``, ``fired``, ``reason``, ``reinstate``, ``sentence`` and ``url``.
    """
    traffic = ports.ledger.read(config.name)
    champion = traffic.champion
    if champion is None:
        served = describe_served(traffic, f"see homeostat status {config.name}")
        sentence = f"{config.name}: nothing to check; {served.sentence}"
        save_latest_check(ports.store, config.name, LatestCheck(window_end, ports.clock.now()))
        return _result(config, window_end, verdict="not_computable", sentence=sentence)
    context = check_context(config, ports, champion, airflow_url, airflow_page, scheduled=scheduled)
    checked = _measure(context, window_end)
    decision = _decide(context, checked)
    record = _with_decision(checked, decision)
    url = _write(context, checked, record, decision)
    sentence = check_sentence(config, checked.report, checked.labelled, decision, checked.slices)
    _notify(context, checked, decision, url)
    return _result(
        config,
        window_end,
        verdict=checked.report.verdict,
        rows=checked.report.rows,
        drifted_share=checked.report.drifted_share,
        performance=checked.labelled.report.verdict,
        decayed_slices=list(record.decayed_slices),
        unlogged_labels=record.unlogged_labels,
        unlearned_windows=record.unlearned,
        expected_gain=checked.aged.expected_gain,
        probes=checked.aged.probed,
        fired=decision.fire,
        reason=str(decision.reason),
        reinstate=decision.reinstate,
        sentence=sentence,
        url=url,
    )


def _measure(context: CheckContext, end: datetime) -> WindowCheck:
    """Measure drift, performance and how former champions compare."""
    config, ports, champion = context.config, context.ports, context.champion
    history = ports.history.windows(config.name, since=end - history_lookback(config))
    info = load_version_info(ports.store, config.name, champion.digest)
    window = WindowCounts(context, window_start(config, info, end), end)
    report = drift_report(context, window)
    record = WindowRecord(
        window_end=end,
        version=champion.version,
        rows=report.rows,
        drift=report.verdict,
        drifted_share=report.drifted_share,
        performance="pending",
        score=None,
        decay=None,
    )
    before = tenure(history, record)
    labelled = measure_performance(context, info, end, before, window, drifting_since(history, record))
    losses = newest_losses(context, labelled.rows)
    slices = check_slices(context, info, window, losses, before, end)
    aged = version_ageing(context, info, labelled.rows, end)
    promoted_at = ports.ledger.read(config.name).promoted_at
    record = replace(
        record,
        performance=labelled.report.verdict,
        score=labelled.batch.score if labelled.batch else None,
        labelled_rows=labelled.batch.rows if labelled.batch else 0,
        decay=labelled.report.decay,
        significant=labelled.report.error is not None,
        impact=labelled.impact,
        below_best=labelled.report.below_best,
        reinstate=version_to_reinstate(context, labelled.rows, end, promoted_at),
        unlogged_labels=labelled.ids.unlogged if labelled.ids else None,
        unlearned=aged.unlearned,
        probe_after=aged.probe_after,
        ageing_rate=aged.rate,
        ageing_z=aged.z,
        ageing_cusum=aged.cusum,
        slice_losses={name: sums.to_json() for name, sums in losses.items()},
        decayed_slices=slices.decayed if slices else {},
    )
    return WindowCheck(window, report, labelled, slices, aged, record, history, info)


def _decide(context: CheckContext, checked: WindowCheck) -> TriggerDecision:
    """Decide on the trigger; a retrain that is already running may fix this drift, so it blocks another."""
    config, ports = context.config, context.ports
    decision = decide_trigger(
        checked.history,
        checked.record,
        config.trigger,
        min_retrain_interval=min_retrain_interval(config),
        retrains=past_retrains(ports, config.name, checked.history),
    )
    wants_retrain = decision.fire or decision.reason == TriggerReason.BACKING_OFF
    if decision.repeated or not wants_retrain:
        return decision
    traffic = ports.ledger.read(config.name)
    holder = ports.ledger.lease_holder(config.name, ports.clock.now()) or _rollout_under_way(traffic)
    if holder is None:
        return decision if traffic.champion == context.champion else _promoted_meanwhile(decision, traffic)
    running = sentence_for(TriggerReason.RETRAIN_UNDER_WAY, holder=holder)
    # The back-off counts the retrain under way as one without a new champion, which is not known yet.
    without = "" if decision.reason == TriggerReason.BACKING_OFF else f" Without it: {decision.sentence}"
    return replace(
        decision,
        fire=False,
        reason=TriggerReason.RETRAIN_UNDER_WAY,
        state="building",
        sentence=f"{running}{without}",
        reinstate="",
    )


def _rollout_under_way(traffic: Traffic) -> str | None:
    """Return the retrain whose candidate is in its rollout: with little traffic, longer than its lease."""
    active = traffic.active
    return None if active is None or active.phase is Phase.WAITING else active.id


def _promoted_meanwhile(decision: TriggerDecision, traffic: Traffic) -> TriggerDecision:
    """Do not fire for a version that lost its place while it was checked."""
    reason = TriggerReason.BEFORE_PROMOTION
    sentence = sentence_for(reason, promoted_at=traffic.promoted_at)
    return replace(decision, fire=False, reason=reason, state="quiet", sentence=sentence, reinstate="")


def _with_decision(checked: WindowCheck, decision: TriggerDecision) -> WindowRecord:
    """Return the record with its decision. A window that fired before keeps the champion of that time."""
    record = replace(checked.record, fired=decision.fire, reason=str(decision.reason))
    if not decision.repeated:
        return record
    known = next(r for r in checked.history if r.fired and r.window_end == record.window_end)
    return replace(
        record, version=known.version, reinstate=decision.reinstate, decayed_slices=known.decayed_slices
    )


def _write(
    context: CheckContext, checked: WindowCheck, record: WindowRecord, decision: TriggerDecision
) -> str:
    """Write the report and the window's metrics; return the page of the day's run in MLflow."""
    config, ports = context.config, context.ports
    labelled = checked.labelled
    save_report(context, checked.report, labelled, record, decision, checked.slices)
    now = ports.clock.now()
    newest = latest_verdict(config, checked.report, labelled, record, decision, now, slices=checked.slices)
    save_latest_check(ports.store, config.name, newest)
    run_id = ports.history.record(
        config.name,
        record,
        metrics=check_metrics(
            checked.report, labelled.report, checked.aged, record, decision, checked.slices
        ),
        artifacts=check_artifacts(
            context,
            checked.window,
            record.window_end,
            checked.report,
            labelled,
            decision,
            slices=checked.slices,
            draw=record.has_figures(config.monitor.every),
        ),
    )
    url = ports.registry.url(run_id=run_id)
    summary = summarise(
        config,
        record,
        checked.report,
        labelled.report,
        decision,
        history=checked.history,
        checked_at=ports.clock.now(),
        score_error=score_error(checked.info, labelled.report),
        traffic=checked.window.traffic,
        slices=checked.slices,
        url=url,
        delay=config.check_delay if context.scheduled else None,
        airflow_page=context.airflow_page,
    )
    save_summary(ports, config.name, summary)
    return url


def _notify(context: CheckContext, checked: WindowCheck, decision: TriggerDecision, url: str) -> None:
    config = context.config
    before = tenure(checked.history, checked.record)
    notice = check_notice(
        config,
        checked.report,
        checked.labelled,
        decision,
        before[-1] if before else None,
        trigger=trigger_id(config.name, checked.record.window_end),
        url=url,
        slices=checked.slices,
    )
    if notice is not None:
        context.ports.notifier.notify(config.notify, notice)


def _result(config: ModelConfig, window_end: datetime, **found: Any) -> dict[str, Any]:
    defaults: dict[str, Any] = {
        "rows": 0,
        "drifted_share": None,
        "performance": "pending",
        "decayed_slices": [],
        "unlogged_labels": None,
        "unlearned_windows": None,
        "expected_gain": None,
        "probes": 0,
        "fired": False,
        "reason": "",
        "reinstate": "",
        "url": "",
    }
    return {
        "model": config.name,
        "window_end": window_end.isoformat(),
        "trigger_id": trigger_id(config.name, window_end),
        **defaults,
        **found,
    }
