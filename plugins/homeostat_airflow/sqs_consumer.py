"""From the queue of retrain triggers to runs of ``retrain__<model>``: no trigger is lost, none counts twice.

A message stays on the queue, unseen, until the run that it asks for exists; only then is it deleted. The
run's id is made of the trigger's id, so that a message that comes again finds the run there already.
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

from homeostat_airflow.operators import EVENT, skipped

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from airflow.models.taskinstancekey import TaskInstanceKey
    from airflow.sdk import Context

    from homeostat.ports import TriggerMessage

#: Seconds that a call for messages waits for one to come, as long as SQS allows.
LONG_POLL = 20
#: Seconds between two calls; and from one to the next while SQS is away.
PAUSE, PAUSE_WHILE_AWAY = 1, 30
#: More is kept of no message; message_of refuses what is longer than 8,192 characters.
LONGEST = 10_000
#: So much of a note fits into Airflow's database.
LONGEST_NOTE = 1000
#: What pages show instead of a message's number, see ``_asked``.
_NAME = "homeostat_message"
_NAMED = "{{ homeostat_message }}"


class QueueTrigger(SqsSensorTrigger):
    """The trigger that ``MessageQueueTrigger(scheme="sqs")`` stands for, with three things of its own.

    It says how often a message was delivered; it waits for SQS to come back, where the original ends and is
    started anew each second; and it keeps one connection for as long as nothing comes.
    """

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Fire once, with all messages that are there; Airflow starts it again."""
        while True:
            try:
                async with await self.hook.get_async_conn() as client:
                    while not (found := await self.poke(client)):  # noqa: ASYNC110  # the queue tells no Event
                        await asyncio.sleep(self.waiter_delay)
            except Exception as error:  # noqa: BLE001  # whatever is wrong passes, or is said every time
                self.log.warning("no triggers from %s, waiting: %s", self.sqs_queue, error)
                await asyncio.sleep(PAUSE_WHILE_AWAY)
            else:
                yield TriggerEvent({"messages": [_delivered(message) for message in found]})
                return

    async def poll_sqs(self, client: Any) -> dict[str, Any]:
        """Take what is there; it stays on the queue, unseen for the queue's visibility timeout."""
        return await client.receive_message(
            QueueUrl=self.sqs_queue,
            MaxNumberOfMessages=self.max_messages,
            WaitTimeSeconds=self.wait_time_seconds,
            MessageSystemAttributeNames=["ApproximateReceiveCount"],
        )


def _delivered(message: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": message["MessageId"],
        "body": message["Body"][:LONGEST],
        "receipt": message["ReceiptHandle"],
        "attempt": int(message.get("Attributes", {}).get("ApproximateReceiveCount", 1)),
    }


def triggers_asset(url: str) -> Asset:
    """The asset whose events are the messages of the queue at ``url``."""
    region = re.search(r"\bsqs\.([a-z]{2}(?:-[a-z]+)+-\d+)\.", url)
    trigger = QueueTrigger(
        sqs_queue=url,
        aws_conn_id=None,  # the credentials that the store's bucket is read with: one way in, not two
        region_name=region.group(1) if region else None,
        max_messages=10,
        wait_time_seconds=LONG_POLL,
        waiter_delay=PAUSE,
        delete_message_on_reception=False,
    )
    watcher = AssetWatcher(name="retrain_triggers", trigger=trigger)
    return Asset("retrain_triggers", uri="homeostat://triggers", group="homeostat", watchers=[watcher])


class ReadOperator(BaseOperator):
    """The messages that this run was started for; events that came together share one run."""

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """One entry per message, with the receipt of its last delivery."""
        groups = (context.get("triggering_asset_events") or {}).values()
        events = sorted((event for group in groups for event in group), key=lambda event: event.timestamp)
        # A person may make an event of the asset as well, on its page; it brings no message.
        payloads = [event.extra.get("payload") or {} for event in events]
        found = [message for payload in payloads for message in payload.get("messages", ())]
        if not found:
            raise skipped(context, "no message: the queue starts this DAG, there is nothing to do by hand")
        return list({message["id"]: message for message in found}.values())


class RetrainLink(TriggerDagRunLink):
    """Opens the run that a message asks for."""

    name = "Retrain"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """The address, or nothing where there is no such run."""
        from airflow.sdk.execution_time.xcom import XCom

        there = XCom.get_value(ti_key=ti_key, key=XCOM_RUN_ID)
        return super().get_link(operator, ti_key=ti_key) if there else ""


class StartRetrainOperator(TriggerDagRunOperator):
    """Start the retrain that a message asks for; one that is there already is left alone, visibly."""

    template_fields: Sequence[str] = ("message",)  # what the queue holds is data: nothing of it is rendered
    operator_extra_links = (RetrainLink(),)
    ui_color = "#fdf1dc"

    def __init__(self, *, message: Any, **kwargs: Any) -> None:
        super().__init__(
            trigger_dag_id="retrain",
            logical_date=None,
            skip_when_already_exists=True,
            map_index_template=_NAMED,
            **kwargs,
        )
        self.message = message

    def execute(self, context: Context) -> None:
        """Read the message and start the run under the trigger's own id."""
        from homeostat.config import Settings
        from homeostat.config.errors import DataError, HomeostatError

        settings = Settings.from_env()
        try:
            asked = _asked(self.message, settings, context)
            settings.load_model(
                asked.model
            )  # retrain__<model> of a model.yaml that cannot be read has no steps
        except DataError as error:
            _refuse(self.message, settings, str(error))
            self.log.error(  # noqa: TRY400  # the sentence says it all
                "delivery %d: given back to the queue, whose dead letters it joins after its last one",
                self.message["attempt"],
            )
            raise AirflowFailException(str(error)) from None
        except HomeostatError as error:
            msg = f"{error}. The message stays on the queue and comes again after its visibility timeout."
            raise AirflowFailException(msg) from None
        self.trigger_dag_id, self.trigger_run_id = run_of(asked)
        self.conf = {name: getattr(asked, name) for name in EVENT}
        self.note = _note(asked, context)
        if _is_there(context, asked):
            run = f"{self.trigger_dag_id} {self.trigger_run_id}"
            context["ti"].xcom_push(key=XCOM_RUN_ID, value=self.trigger_run_id)
            raise skipped(context, f"the run is there already: {run}")
        self.log.info("%s has gone stale (%s): %s", asked.model, asked.reason, self.trigger_run_id)
        super().execute(context)


class DoneOperator(BaseOperator):
    """Take a message off the queue, now that its run exists."""

    template_fields: Sequence[str] = ("message",)

    def __init__(self, *, message: Any, **kwargs: Any) -> None:
        # A run that was there already is skipped, and its message is done with all the same.
        super().__init__(trigger_rule=TriggerRule.NONE_FAILED, map_index_template=_NAMED, **kwargs)
        self.message = message

    def execute(self, context: Context) -> str:
        """Delete it; raises when there is no such run after all."""
        from homeostat.adapters import open_triggers
        from homeostat.config import Settings

        settings = Settings.from_env()
        asked = _asked(self.message, settings, context)
        if not _is_there(context, asked):
            msg = "there is no run {} {}: the message stays on the queue".format(*run_of(asked))
            raise RuntimeError(msg)
        open_triggers(settings.triggers).delete(self.message["receipt"])
        return asked.trigger_id


def run_of(asked: TriggerMessage) -> tuple[str, str]:
    """The DAG and the run id that a trigger stands for: always the same, readable, safe in a URL."""
    readable = re.sub(r"[^A-Za-z0-9_.-]+", "-", asked.trigger_id)[:150]
    digest = hashlib.sha256(asked.trigger_id.encode()).hexdigest()[:8]
    return f"retrain__{asked.model}", f"trigger__{readable}__{digest}"


def _asked(message: dict[str, Any], settings: Any, context: Context) -> TriggerMessage:
    """Read a message, and have Airflow's pages call it by its model."""
    from homeostat.storage.trigger_message import message_of

    told = cast("dict[str, Any]", context)
    told[_NAME] = "unreadable"
    asked = message_of(message["body"], settings.model_names())
    told[_NAME] = asked.model
    return asked


def _note(asked: TriggerMessage, context: Context) -> str:
    """What the run's page says: why it was started, with the way back to the run that heard of it."""
    from airflow.utils.helpers import build_airflow_dagrun_url

    run = context["dag_run"]
    heard = f" ([heard here]({build_airflow_dagrun_url(run.dag_id, run.run_id)}))"
    return f"{asked.reason}: {asked.trigger_id}"[: LONGEST_NOTE - len(heard)] + heard


def _is_there(context: Context, asked: TriggerMessage) -> bool:
    dag_id, run_id = run_of(asked)
    return context["ti"].get_dr_count(dag_id=dag_id, run_ids=[run_id]) > 0


def _refuse(message: dict[str, Any], settings: Any, problem: str) -> None:
    """Give it back at once, so that it becomes a dead letter soon; people are told the first time only."""
    from homeostat.adapters import open_triggers
    from homeostat.ports import Notice
    from homeostat_airflow.notifier import AirflowNotifier

    if message["attempt"] == 1:
        models = (model for model in settings.each_model() if not isinstance(model, tuple))
        told = sorted({connection for model in models for connection in model.notify})
        title = "a message on the queue of retrain triggers cannot be read"
        AirflowNotifier().notify(told, Notice("trigger_refused", "", title, problem))
    open_triggers(settings.triggers).give_back(message["receipt"])
