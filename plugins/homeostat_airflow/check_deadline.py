"""The deadline of a drift check: checks that do not end, or fail again and again, are notified.

Airflow makes a deadline with each run, the scheduler finds those that have passed, and the triggerer, which
Homeostat needs for rollouts anyway, calls :func:`notify_late_check`. A deadline of a run that succeeded in
time is deleted; that of a failed one stays. Without a run there is no deadline: a paused DAG, and a scheduler
that is down, are seen by Prometheus' alerts, the pages of model health and ``homeostat doctor``.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG

from homeostat_airflow.connection import DEFAULT_CONN_ID, read_settings_async

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from apprise import Apprise

    from homeostat.config import ModelConfig, Settings
    from homeostat.notices import Message
    from homeostat.ports import Notice, Store
    from homeostat_airflow.dag_options import DagOptions

logger = logging.getLogger(__name__)


class CheckDag(DAG):
    """A DAG whose deadline counts for the scheduler only."""

    def test(self, *args: Any, **kwargs: Any) -> Any:
        """Run it in this process, see :meth:`airflow.sdk.DAG.test`, without its deadline.

        At the end of a run Airflow 3.3 looks its deadlines up by the ids that the DAG processor gave them.
        Here they have none, and it would fail with "'dict' object has no attribute 'replace'".
        """
        deadline, self.deadline = self.deadline, None
        try:
            return super().test(*args, **kwargs)
        finally:
            self.deadline = deadline


def check_deadline(model: ModelConfig, options: DagOptions) -> Any:
    """Return the DeadlineAlert of a model's checks; None where nobody is notified."""
    # The stub of airflow.sdk lacks them.
    from airflow.sdk import AsyncCallback, DeadlineAlert, DeadlineReference  # type: ignore[attr-defined]

    from homeostat.core.trigger import silent_after

    if not model.notify:
        return None
    arguments = {
        "model": model.name,
        "models": options.models,
        "homeostat_conn_id": options.homeostat_conn_id,
    }
    return DeadlineAlert(
        name="drift check",
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=silent_after(model.monitor.every),
        callback=AsyncCallback(f"{__name__}.notify_late_check", arguments),
    )


async def notify_late_check(
    model: str,
    models: str = "",
    homeostat_conn_id: str = DEFAULT_CONN_ID,
    context: Mapping[str, Any] | None = None,
) -> None:
    """Notify that checks are late, unless one has ended since; Airflow's triggerer calls it, by this name.

    ``context["dag_run"]`` is the run as Airflow's API describes it.
    """
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

    store, airflow = open_store(settings.store), settings.airflow_public_url or settings.airflow
    notice = late_check(config, run, store, airflow)
    if notice is None:
        logger.info("%s: a drift check has ended since %s was queued", config.name, run.get("dag_run_id"))
        return
    delivery = Delivery(_Prepared(services), config, store, SystemClock())
    delivery.notify(config.notify, notice)


def late_check(config: ModelConfig, run: Mapping[str, Any], store: Store, airflow: str) -> Notice | None:
    """Return the notice of a check that is late; None where this run, or one after it, has ended well."""
    from homeostat.config import format_duration
    from homeostat.config.duration import describe_duration
    from homeostat.config.notices import NoticeKind
    from homeostat.core.trigger import silent_after
    from homeostat.ports import Notice
    from homeostat.storage.latest_check import load_latest_check

    newest = load_latest_check(store, config.name)
    queued = datetime.fromisoformat(run["queued_at"]) if run.get("queued_at") else None
    state = str(run.get("state") or "not known")
    if state == "success" or (newest is not None and queued is not None and newest.checked_at >= queued):
        return None
    last = f"The last one ended at {newest.checked_at:%Y-%m-%d %H:%M} UTC" if newest else "There was none yet"
    since = f", queued at {queued:%Y-%m-%d %H:%M} UTC" if queued else ""
    every = config.monitor.every
    return Notice(
        NoticeKind.CHECKS_STOPPED,
        config.name,
        f"{config.name}: drift checks have stopped",
        f"No drift check has ended for {describe_duration(silent_after(every))}, and monitor.every is"
        f" {format_duration(every)}. {last}. The"
        f" run{since}, is {state}. The model serves without being watched.",
        "See in Airflow why the run failed, or what it waits for: the scheduler, a worker, a slot of its"
        " pool, or a service that does not respond. Then run: homeostat doctor",
        links=_links(airflow, run),
        story="checks_stopped",
        part="begin",
    )


def _links(airflow: str, run: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    from urllib.parse import quote

    if not airflow or not run.get("dag_id"):
        return ()
    dag, run_id = (quote(str(run.get(name) or ""), safe="") for name in ("dag_id", "dag_run_id"))
    return (("Airflow", f"{airflow.rstrip('/')}/dags/{dag}/runs/{run_id}"),)


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

    def __init__(self, services: Mapping[str, Apprise]) -> None:
        self._services = services

    def send(self, targets: Sequence[str], message: Message) -> Mapping[str, str]:
        """See :meth:`homeostat.notices.Transport`."""
        from homeostat.adapters.notifier_apprise import REFUSED, hand_over

        problems = {}
        for target in targets:
            services = self._services.get(target)
            if services is None or not len(services) or not hand_over(services, message):
                logger.error("the notice %r did not reach %s", message.title, target)
                problems[target] = REFUSED
        return problems

    def links(self, notice: Notice) -> Sequence[tuple[str, str]]:  # noqa: ARG002  # the notice has its own
        """See :class:`homeostat.notices.Transport`."""
        return ()
