"""Consumes the SQS queue of retrain triggers: each trigger starts one run of ``retrain__<model>``.

A message stays on the queue, invisible, until its run exists; then it is deleted. The run's id is derived
from the trigger's id, so a redelivered message finds its run.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from typing import TYPE_CHECKING, Any, cast

from airflow.providers.amazon.aws.triggers.sqs import SqsSensorTrigger
from airflow.providers.standard.operators.trigger_dagrun import (
    XCOM_RUN_ID,
    TriggerDagRunLink,
    TriggerDagRunOperator,
)
from airflow.sdk import Asset, AssetWatcher, BaseOperator, TriggerRule
from airflow.sdk.exceptions import AirflowFailException
from airflow.triggers.base import TriggerEvent

from homeostat_airflow.connection import DEFAULT_CONN_ID, read_settings
from homeostat_airflow.operators import TRIGGER_FIELDS, skip

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from airflow.sdk import BaseOperatorLink, Context
    from airflow.sdk.types import TaskInstanceKey

    from homeostat.ports import TriggerMessage

#: Seconds that a receive call waits for a message; the longest that SQS allows.
LONG_POLL = 20
#: Seconds between two receive calls; and while SQS is unavailable.
PAUSE, PAUSE_UNAVAILABLE = 1, 30
#: Characters kept of a message; message_of refuses more than 8,192.
MAX_BODY = 10_000
#: Characters of a note that fit into Airflow's database.
MAX_NOTE = 1000
#: Shown in the grid instead of the map index, see ``_read_message``.
_NAME = "homeostat_message"
_NAMED = "{{ homeostat_message }}"


class QueueTrigger(SqsSensorTrigger):
    """The trigger behind ``MessageQueueTrigger(scheme="sqs")``, with three differences.

    It reports how often a message was delivered. It waits while SQS is unavailable; the original fails and
    restarts every second. It keeps one connection while the queue is empty.
    """

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Fire once with all messages received; Airflow restarts it."""
        while True:
            try:
                async with await self.hook.get_async_conn() as client:
                    while not (found := await self.poke(client)):  # noqa: ASYNC110  # SQS has no event to await
                        await asyncio.sleep(self.waiter_delay)
            except Exception as error:  # noqa: BLE001  # logged on every attempt until it works
                self.log.warning("cannot receive from %s, retrying: %s", self.sqs_queue, error)
                await asyncio.sleep(PAUSE_UNAVAILABLE)
            else:
                yield TriggerEvent({"messages": [_delivered(message) for message in found]})
                return

    async def poll_sqs(self, client: Any) -> dict[str, Any]:
        """Receive messages; they stay on the queue, invisible for the queue's visibility timeout."""
        received: dict[str, Any] = await client.receive_message(
            QueueUrl=self.sqs_queue,
            MaxNumberOfMessages=self.max_messages,
            WaitTimeSeconds=self.wait_time_seconds,
            MessageSystemAttributeNames=["ApproximateReceiveCount"],
        )
        return received


def _delivered(message: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": message["MessageId"],
        "body": message["Body"][:MAX_BODY],
        "receipt": message["ReceiptHandle"],
        "attempt": int(message.get("Attributes", {}).get("ApproximateReceiveCount", 1)),
    }


def retrain_triggers_asset(url: str, prefix: str = "") -> Asset:
    """Return the asset whose events are the messages of the queue at ``url``."""
    region = re.search(r"\bsqs\.([a-z]{2}(?:-[a-z]+)+-\d+)\.", url)
    trigger = QueueTrigger(
        sqs_queue=url,
        aws_conn_id=None,  # boto3's default credentials, as for the store's bucket
        region_name=region.group(1) if region else None,
        max_messages=10,
        wait_time_seconds=LONG_POLL,
        waiter_delay=PAUSE,
        delete_message_on_reception=False,
    )
    watcher = AssetWatcher(name="retrain_triggers", trigger=trigger)
    uri = f"homeostat://{prefix}triggers"
    return Asset(f"{prefix}retrain_triggers", uri=uri, group="homeostat", watchers=[watcher])


class ReceiveOperator(BaseOperator):
    """Return the messages that started this run; events that arrive together share one run."""

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Return one entry per message, with the receipt of its last delivery."""
        groups = (context.get("triggering_asset_events") or {}).values()
        events = sorted((event for group in groups for event in group), key=lambda event: event.timestamp)
        # A person can create an event on the asset's page; it has no message.
        payloads = [event.extra.get("payload") or {} for event in events]
        found = [message for payload in payloads for message in payload.get("messages", ())]
        if not found:
            raise skip(context, "no message: the queue starts this DAG, a manual run has nothing to do")
        return list({message["id"]: message for message in found}.values())


class RetrainLink(TriggerDagRunLink):
    """Opens the run that a message started."""

    name = "Retrain"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the run's URL; empty when there is no run."""
        from airflow.sdk.execution_time.xcom import XCom

        there = XCom.get_value(ti_key=ti_key, key=XCOM_RUN_ID)
        return super().get_link(operator, ti_key=ti_key) if there else ""


class StartRetrainOperator(TriggerDagRunOperator):
    """Start the retrain of a message; skip with a reason when its run exists."""

    template_fields: Sequence[str] = ("message",)  # messages are data: no Jinja rendering
    operator_extra_links: list[BaseOperatorLink] = [RetrainLink()]
    ui_color = "#fdf1dc"

    def __init__(
        self,
        *,
        message: Any,
        prefix: str = "",
        models: str = "",
        homeostat_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            trigger_dag_id="retrain",
            logical_date=None,
            skip_when_already_exists=True,
            map_index_template=_NAMED,
            **kwargs,
        )
        self.message = message
        self.prefix = prefix
        self.models = models
        self.homeostat_conn_id = homeostat_conn_id

    def execute(self, context: Context) -> None:
        """Read the message and start the run under an id derived from the trigger's."""
        from homeostat.config.errors import DataError, HomeostatError

        settings = read_settings(self.homeostat_conn_id, self.models)
        try:
            retrain_trigger = _read_message(self.message, settings, context)
            settings.load_model(retrain_trigger.model)  # the DAG of an invalid model.yaml has no tasks
        except DataError as error:
            _refuse(self.message, settings, str(error))
            self.log.error(  # noqa: TRY400  # the message is enough, no traceback
                "delivery %d: returned to the queue; after its last delivery it becomes a dead letter",
                self.message["attempt"],
            )
            raise AirflowFailException(str(error)) from None
        except HomeostatError as error:
            msg = f"{error}. The message stays on the queue and is redelivered after its visibility timeout."
            raise AirflowFailException(msg) from None
        self.trigger_dag_id, self.trigger_run_id = run_of(retrain_trigger, self.prefix)
        self.conf = {name: getattr(retrain_trigger, name) for name in TRIGGER_FIELDS}
        self.note = _note(retrain_trigger, context)
        if _run_exists(context, retrain_trigger, self.prefix):
            run = f"{self.trigger_dag_id} {self.trigger_run_id}"
            context["ti"].xcom_push(key=XCOM_RUN_ID, value=self.trigger_run_id)
            raise skip(context, f"the run already exists: {run}")
        self.log.info(
            "%s is stale (%s): starting %s",
            retrain_trigger.model,
            retrain_trigger.reason,
            self.trigger_run_id,
        )
        super().execute(context)


class AckOperator(BaseOperator):
    """Delete a message from the queue once its run exists."""

    template_fields: Sequence[str] = ("message",)

    def __init__(
        self,
        *,
        message: Any,
        prefix: str = "",
        models: str = "",
        homeostat_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        # An existing run skips the start; its message is deleted all the same.
        super().__init__(trigger_rule=TriggerRule.NONE_FAILED, map_index_template=_NAMED, **kwargs)
        self.message = message
        self.prefix = prefix
        self.models = models
        self.homeostat_conn_id = homeostat_conn_id

    def execute(self, context: Context) -> str:
        """Delete the message; RuntimeError when its run does not exist."""
        from homeostat.adapters import open_trigger_queue

        settings = read_settings(self.homeostat_conn_id, self.models)
        retrain_trigger = _read_message(self.message, settings, context)
        if not _run_exists(context, retrain_trigger, self.prefix):
            run = " ".join(run_of(retrain_trigger, self.prefix))
            msg = f"run {run} does not exist: the message stays on the queue"
            raise RuntimeError(msg)
        open_trigger_queue(settings.triggers).delete(self.message["receipt"])
        return retrain_trigger.trigger_id


def run_of(retrain_trigger: TriggerMessage, prefix: str = "") -> tuple[str, str]:
    """Return the DAG id and the run id of a trigger: stable, readable, URL-safe."""
    readable = re.sub(r"[^A-Za-z0-9_.-]+", "-", retrain_trigger.trigger_id)[:150]
    digest = hashlib.sha256(retrain_trigger.trigger_id.encode()).hexdigest()[:8]
    return f"{prefix}retrain__{retrain_trigger.model}", f"trigger__{readable}__{digest}"


def _read_message(message: dict[str, Any], settings: Any, context: Context) -> TriggerMessage:
    """Parse a message, and label its task instance with the model's name."""
    from homeostat.storage.trigger_message import decode_trigger

    names = cast("dict[str, Any]", context)
    names[_NAME] = "unreadable"
    retrain_trigger = decode_trigger(message["body"], settings.model_names())
    names[_NAME] = retrain_trigger.model
    return retrain_trigger


def _note(retrain_trigger: TriggerMessage, context: Context) -> str:
    """Return the run's note: why it was started, with a link to this run."""
    from airflow.utils.helpers import build_airflow_dagrun_url

    run = context["dag_run"]
    link = f" ([received here]({build_airflow_dagrun_url(run.dag_id, run.run_id)}))"
    return f"{retrain_trigger.reason}: {retrain_trigger.trigger_id}"[: MAX_NOTE - len(link)] + link


def _run_exists(context: Context, retrain_trigger: TriggerMessage, prefix: str) -> bool:
    dag_id, run_id = run_of(retrain_trigger, prefix)
    return context["ti"].get_dr_count(dag_id=dag_id, run_ids=[run_id]) > 0


def _refuse(message: dict[str, Any], settings: Any, problem: str) -> None:
    """Return the message to the queue at once; notify on its first delivery only."""
    from homeostat.adapters import open_trigger_queue
    from homeostat.ports import Notice, NoticeKind
    from homeostat_airflow.notifier import AirflowNotifier

    if message["attempt"] == 1:
        models = (model for model in settings.each_model() if not isinstance(model, tuple))
        targets = sorted({connection for model in models for connection in model.notify})
        title = "A retrain trigger on the queue cannot be read"
        AirflowNotifier().notify(targets, Notice(NoticeKind.TRIGGER_REFUSED, "", title, problem))
    open_trigger_queue(settings.triggers).release(message["receipt"])
