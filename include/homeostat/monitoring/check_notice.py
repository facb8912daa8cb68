"""The sentence of a drift check, and the notice that it sends."""

from __future__ import annotations

from homeostat.config import ModelConfig
from homeostat.core.drift import DriftReport
from homeostat.core.trigger import TriggerDecision, TriggerReason
from homeostat.monitoring.labelled_performance import Labelled
from homeostat.ports import Notice, NoticeKind

#: So many contract findings are named in a sentence.
_NAMED = 3


def check_sentence(
    config: ModelConfig, report: DriftReport, labelled: Labelled, decision: TriggerDecision
) -> str:
    """Return the whole check in one line: inputs, performance, labels, and whether to retrain."""
    action = "RETRAIN" if decision.fire else "no retrain"
    ids = f" ({labelled.ids.sentence})" if labelled.ids and labelled.ids.sentence else ""
    performance = f"performance {labelled.report.verdict}{ids}"
    return f"{config.name}: {_inputs(report)}; {performance}; {action}: {decision.sentence}"


def check_notice(
    config: ModelConfig, report: DriftReport, decision: TriggerDecision, sentence: str, last_reason: str
) -> Notice | None:
    """Return the notice of a check, or None.

    A fire and a check that could not be computed are notified every time. A lasting condition is notified
    once: not when ``last_reason``, the reason of the window before, is the same.
    """
    name, new = config.name, decision.reason != last_reason
    if decision.fire and decision.reinstate:
        kind = NoticeKind.TRIGGER_FIRED
        title = f"{name}: reinstating version {decision.reinstate}, which fits better today"
        action = f"It goes through gate, shadow and canary first: follow retrain__{name} in Airflow."
    elif decision.fire and decision.reason == TriggerReason.PROBE_DUE:
        return None  # work by the clock: its retrain is notified if it pays
    elif decision.fire:
        kind, title = NoticeKind.TRIGGER_FIRED, f"{name}: retraining has started"
        action = f"No action needed: follow retrain__{name} in Airflow."
    elif report.verdict == "not_computable":
        kind, title = NoticeKind.NOT_COMPUTABLE, f"{name}: the drift check could not be computed"
        action = (
            "Check that requests reach the gateway and that its prediction log is written; monitor.min_rows "
            "sets how many rows a window needs."
        )
    elif new and decision.reason == TriggerReason.HARMLESS_DRIFT:
        kind, title = NoticeKind.HARMLESS_DRIFT, f"{name}: the inputs drifted, predictions are still good"
        action = "No action needed, unless a data source is broken: see the drifted features in MLflow."
    elif new and decision.reason == TriggerReason.BACKING_OFF:
        kind, title = NoticeKind.BACKING_OFF, f"{name}: retrains bring no improvement, the next one waits"
        action = (
            f"Read in the last runs of retrain__{name} in Airflow why. To retrain anyway, start one there or "
            f"run: homeostat retrain {name}"
        )
    else:
        return None
    return Notice(kind, name, title, f"{sentence} {action}")


def _inputs(report: DriftReport) -> str:
    drifted = [verdict.name for verdict in report.features if verdict.verdict == "alert"]
    broken = [f"{found.column}: {found.detail}" for found in report.schema if found.severity != "info"]
    inputs = {
        "alert": f"inputs have drifted ({', '.join(drifted)})",
        "pass": "no drift of the inputs",
        "not_computable": f"inputs not computable ({report.reason})",
    }[report.verdict]
    if broken:
        more = f" and {len(broken) - _NAMED} more" if len(broken) > _NAMED else ""
        inputs += f", but the contract is broken ({'; '.join(broken[:_NAMED])}{more})"
    return inputs
