"""The deadline of a drift check: a run that is not through after three periods is notified.

Airflow creates a deadline with each run, the scheduler finds those that have passed, and the triggerer runs
the callback, which Homeostat needs for rollouts anyway. Without a run, of a paused DAG or without a
scheduler, there is no deadline: Prometheus' alerts and ``homeostat doctor`` see that.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from homeostat_airflow.connection import DEFAULT_CONN_ID, read_settings_async

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from apprise import Apprise

    from homeostat.config import ModelConfig, Settings
    from homeostat.notices import Message
    from homeostat.ports import Notice
    from homeostat_airflow.dag_options import DagOptions

logger = logging.getLogger(__name__)

#: A busy machine may delay a check of every minute for so long.
_LEAST = timedelta(minutes=10)


def check_deadline(model: ModelConfig, options: DagOptions) -> Any:
    """Return the DeadlineAlert of a model's checks; None where nobody is notified."""
    # The stub of airflow.sdk lacks them.
    from airflow.sdk import AsyncCallback, DeadlineAlert, DeadlineReference  # type: ignore[attr-defined]

    from homeostat.core.trigger import SILENT_AFTER_PERIODS

    if not model.notify:
        return None
    arguments = {
        "model": model.name,
        "models": options.models,
        "homeostat_conn_id": options.homeostat_conn_id,
    }
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=max(SILENT_AFTER_PERIODS * model.monitor.every, _LEAST),
        callback=AsyncCallback(f"{__name__}.notify_late_check", arguments),
    )


async def notify_late_check(
    model: str,
    models: str = "",
    homeostat_conn_id: str = DEFAULT_CONN_ID,
    context: Mapping[str, Any] | None = None,
) -> None:
    """Notify that a check is late; Airflow's triggerer calls it, by this name."""
    settings = await read_settings_async(homeostat_conn_id, models)
    config = await asyncio.to_thread(settings.load_model, model)
    services = {connection: await _services(connection) for connection in config.notify}
    run = dict((context or {}).get("dag_run") or {})
    await asyncio.to_thread(_deliver, settings, config, services, run)


def _deliver(
    settings: Settings, config: ModelConfig, services: Mapping[str, Apprise], run: Mapping[str, Any]
) -> None:
    from homeostat.adapters import open_store
    from homeostat.adapters.clock import SystemClock
    from homeostat.notices import Delivery

    transport = _Prepared(services, settings.airflow)
    delivery = Delivery(transport, config, open_store(settings.store), SystemClock())
    delivery.notify(config.notify, late_check(config, run, settings.airflow))


def late_check(config: ModelConfig, run: Mapping[str, Any], airflow: str) -> Notice:
    """Return the notice of a check that is late; ``run`` is the DAG run as Airflow's API describes it."""
    from homeostat.config import format_duration
    from homeostat.config.notices import NoticeKind
    from homeostat.core.trigger import SILENT_AFTER_PERIODS
    from homeostat.ports import Notice

    every = format_duration(config.monitor.every)
    queued = str(run.get("queued_at") or "")[:16].replace("T", " ")
    since = f", queued at {queued} UTC," if queued else ""
    dag, run_id = run.get("dag_id", ""), run.get("dag_run_id", "")
    return Notice(
        NoticeKind.CHECKS_STOPPED,
        config.name,
        f"{config.name}: a drift check does not end",
        f"The check of {config.name}{since} has not ended after {SILENT_AFTER_PERIODS} periods of"
        f" monitor.every ({every}). The model serves without being watched.",
        "See in Airflow what the run waits for: the scheduler, a worker, a slot of its pool, or a service"
        " that does not respond. Then run: homeostat doctor",
        links=(("Airflow", f"{airflow}/dags/{dag}/runs/{run_id}"),) if airflow and dag else (),
        story="checks_stopped",
        part="begin",
    )


async def _services(connection: str) -> Apprise:
    """Return the services of a connection; none where it cannot be read, which is logged."""
    from airflow.providers.apprise.hooks.apprise import AppriseHook
    from airflow.sdk import BaseHook
    from apprise import Apprise

    services = Apprise()
    try:
        found = await BaseHook.aget_connection(connection)
        AppriseHook(connection).set_config_from_conn(found, services)
    except Exception:
        logger.exception("the connection %s cannot be read", connection)
    return services


class _Prepared:
    """Hands messages to services that were made before: a thread of the triggerer reads no connections."""

    def __init__(self, services: Mapping[str, Apprise], airflow: str) -> None:
        self._services, self._airflow = services, airflow

    def send(self, targets: Sequence[str], message: Message) -> None:
        """See :class:`homeostat.notices.Transport`."""
        from homeostat_airflow.notifier import hand_over

        for target in targets:
            services = self._services.get(target)
            if services is None or not len(services) or not hand_over(services, message):
                logger.error("the notice %r did not reach %s", message.title, target)

    def links(self, notice: Notice) -> Sequence[tuple[str, str]]:  # noqa: ARG002  # the notice has its own
        """See :class:`homeostat.notices.Transport`."""
        return ()
