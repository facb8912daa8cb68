"""The steps of ``drift_check__<model>``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import SkipMixin

from homeostat.config.errors import ConfigError
from homeostat_airflow.operators.base import HomeostatOperator, leave_for_note, skip
from homeostat_airflow.operators.run_link import run_page, run_url
from homeostat_airflow.operators.trigger_event import drift_asset, trigger_fields
from homeostat_airflow.shown_result import show_result

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.sdk import Context

    from homeostat.config import ModelConfig
    from homeostat.ports import Ports


class NotedOperator(HomeostatOperator):
    """A check whose sentence becomes the note of its DAG run."""

    def execute(self, context: Context) -> Any:
        """Run the step and leave its sentence for the note."""
        result = super().execute(context)
        reason = f" ({result['reason']})" if result.get("reason") else ""
        title = f"{'Retrain started' if result.get('fired') else 'No retrain'}{reason}"
        leave_for_note(context, "checked", result["sentence"], title)
        return result

    def brief(self, result: Mapping[str, Any]) -> str:
        """See :meth:`HomeostatOperator.brief`."""
        action = "retrain" if result.get("fired") else "no retrain"
        return f"{action}: {result['reason'].replace('_', ' ')}" if result.get("reason") else ""

    def failure_note(self, text: str) -> tuple[str, str]:
        """See :meth:`HomeostatOperator.failure_note`."""
        return "Drift check failed", f"{self.model}: {text}"


class CheckDriftOperator(NotedOperator, SkipMixin):
    """Check one window: schema, inputs, predictions, performance; decide whether to retrain.

    Unless the check fires, the :class:`TriggerRetrainOperator` after it is skipped without a process of its
    own: that would cost a start, a parse of the DAG and several requests to Airflow.

    ``scheduled`` says whether the DAG runs when model.yaml says, so that pages can show the next check.
    """

    def __init__(self, *, scheduled: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scheduled = scheduled

    def execute(self, context: Context) -> Any:
        """Check, and skip the retrain's trigger unless the check fires."""
        result = super().execute(context)
        triggers = [task for task in self.downstream_list if isinstance(task, TriggerRetrainOperator)]
        if triggers and not result["fired"]:
            # Skipping ends the task by an exception, after which Airflow keeps no result.
            context["ti"].xcom_push(key="return_value", value=result)
            self.skip(context["ti"], triggers)
        return result

    def perform(self, config: ModelConfig, ports: Ports, context: Context) -> dict[str, Any]:
        """Check the window that ends at the ``window_end`` parameter, or at the run's logical date."""
        from homeostat.adapters import open_store_history
        from homeostat.monitoring.check_notice import checks_run_again
        from homeostat.monitoring.detector_records import send_notices
        from homeostat.monitoring.drift_check import check_drift, window_end_of
        from homeostat.monitoring.reclaim_checks import reclaim_checks
        from homeostat.rollouts.alias_sync import sync_aliases

        requested = context["params"].get("window_end") or None
        logical = context["dag_run"].logical_date
        send_held_notices(ports)
        send_notices(config, ports)
        sync_aliases(config, ports)
        reclaim_checks(config, ports, open_store_history(ports.store))
        end = window_end_of(config, requested or logical or ports.clock.now())
        result = check_drift(
            config,
            ports,
            end,
            airflow_url=run_url(context),
            airflow_page=run_page(context),
            scheduled=self.scheduled,
        )
        ports.notifier.notify(config.notify, checks_run_again(config, result["sentence"]))
        return result


class TriggerRetrainOperator(HomeostatOperator):
    """Emit the drift asset's event when the check fired; otherwise skip with the reason."""

    ui_color = "#fdf1dc"

    def __init__(self, *, model: str, prefix: str = "", **kwargs: Any) -> None:
        asset = drift_asset(model, prefix)
        super().__init__(model=model, outlets=[asset], **kwargs)
        self.asset = asset

    def execute(self, context: Context) -> dict[str, Any]:
        """Pass the check's reason to the retrain."""
        check = context["ti"].xcom_pull(task_ids="check")
        show_result(context, str(check.get("reason") or "").replace("_", " "))
        if not check["fired"]:
            raise skip(context, check["sentence"])
        event = trigger_fields(check)
        context["outlet_events"][self.asset].extra = event
        return event


class SyncDetectorOperator(NotedOperator):
    """For a model checked by the Lambda function: publish its state and import the function's checks."""

    def perform(self, config: ModelConfig, ports: Ports, context: Context) -> dict[str, Any]:  # noqa: ARG002  # no window
        """Synchronise both ways; ConfigError when HOMEOSTAT_TRIGGERS is missing: triggers would be lost."""
        from homeostat.adapters import open_store_history
        from homeostat.monitoring.detector_sync import sync_detector

        result = sync_detector(config, ports, open_store_history(ports.store))
        send_held_notices(ports)
        if not self.read_settings().triggers:
            msg = (
                f"{config.name}: model.yaml has monitor.runs_on: lambda, but HOMEOSTAT_TRIGGERS is not set: "
                "Airflow does not receive its retrain triggers. Set it to the queue's URL for every Airflow "
                "process (`terraform output -raw trigger_queue_url`), or set monitor.runs_on: airflow"
            )
            raise ConfigError(msg)
        return result


def send_held_notices(ports: Ports) -> None:
    """Send what did not arrive before, and what the quiet hours held back, if they are over."""
    from homeostat.notices import Delivery

    if isinstance(ports.notifier, Delivery):
        ports.notifier.retry()
        ports.notifier.flush()
