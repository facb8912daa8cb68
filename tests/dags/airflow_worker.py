"""Run DAGs with ``dag.test()`` on request: one JSON line in, one JSON line out.

Airflow and the libraries take about 20 s to start, a task takes 0.1 s: the tests share one such process. The
fixture ``airflow`` starts it through ``operator_harness.Airflow``.
"""

import faulthandler
import json
import os
import sys
import time
import traceback
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from airflow.dag_processing.dagbag import DagBag
from airflow.models import dagrun
from airflow.models.asset import AssetEvent, AssetModel
from airflow.models.hitl import HITLDetail
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from sqlalchemy import select

#: After this many seconds the log shows the stack of a request that hangs.
HANG_SECONDS = 50


def run(dag, conf=None, at=None, logical=None, retries=0, mark_success=None, *, payloads=(), dags=None):
    """Run a DAG once; the run id is derived from ``at``: the same ``at`` is the same run.

    ``dags`` is a folder of DAG files, by default the project's. ``payloads`` are payloads of a watched
    asset's trigger: the run consumes one event for each.
    """
    parsed = DagBag(dags).dags[dag]
    callbacks, backoff = [], {task.retry_exponential_backoff for task in parsed.tasks}
    for task in parsed.tasks:
        task.retries, task.retry_delay, task.retry_exponential_backoff = retries, timedelta(0), 0
        for kind in ("failure", "retry"):
            setattr(task, f"on_{kind}_callback", [record_callback(callbacks, task.task_id, kind)])
    run_after = datetime.fromisoformat(at) if at else datetime.now(UTC)
    with _consuming(payloads):
        dag_run = parsed.test(
            run_after=run_after,
            logical_date=datetime.fromisoformat(logical) if logical else run_after,
            run_conf=conf or {},
            mark_success_pattern=mark_success,
        )
    with create_session() as session:
        ids = {"dag_id": dag, "run_id": dag_run.run_id}
        tasks = session.scalars(select(TaskInstance).filter_by(**ids)).all()
        xcoms = session.scalars(select(XComModel).filter_by(**ids)).all()
        events = session.scalars(
            select(AssetEvent).filter_by(source_dag_id=dag, source_run_id=dag_run.run_id)
        )
        questions = session.scalars(select(HITLDetail).where(HITLDetail.ti_id.in_([ti.id for ti in tasks])))
        return {
            "run_id": dag_run.run_id,
            "state": str(dag_run.state),
            "note": session.get(dagrun.DagRun, dag_run.id).note,
            "tasks": {_name(ti): str(ti.state) for ti in tasks},
            "tries": {_name(ti): ti.try_number for ti in tasks},
            "xcoms": {_name(row): row.value for row in xcoms if row.key == "return_value"},
            "map_labels": {_name(ti): ti.rendered_map_index for ti in tasks if ti.map_index >= 0},
            "task_notes": {_name(ti): ti.note for ti in tasks if ti.note},
            "shown": {_name(ti): ti.rendered_map_index for ti in tasks if ti.rendered_map_index},
            "links": {_name(row): row.value for row in xcoms if row.key == "_link_RetrainLink"},
            "refused": {_name(row): row.value for row in xcoms if row.key in ("gate", "rollout")},
            "skipped": {_name(row): row.value for row in xcoms if row.key == "skipped"},
            "events": [event.extra for event in events],
            "questions": [{"subject": q.subject, "options": q.options, "body": q.body} for q in questions],
            "callbacks": callbacks,
            "backoff": sorted(backoff),
        }


def _name(row):
    """Return the task's id, with the map index of a mapped task."""
    return row.task_id if row.map_index < 0 else f"{row.task_id}[{row.map_index}]"


@contextmanager
def _consuming(payloads):
    """Attach asset events with these payloads to the next DAG run."""
    original = dagrun.get_or_create_dagrun

    def with_events(*, session, **arguments):
        created = original(session=session, **arguments)
        asset = arguments["dag"].timetable.asset_condition.objects[0]
        row = session.scalars(select(AssetModel).filter_by(name=asset.name, uri=asset.uri)).one()
        for payload in payloads:
            extra = {"from_trigger": True, "payload": payload}
            created.consumed_asset_events.append(AssetEvent(asset_id=row.id, extra=extra))
        session.commit()
        return created

    if payloads:
        dagrun.get_or_create_dagrun = with_events
    try:
        yield
    finally:
        dagrun.get_or_create_dagrun = original


def runs(dag):
    """Return the runs of a DAG, oldest first."""
    with create_session() as session:
        found = session.scalars(select(dagrun.DagRun).filter_by(dag_id=dag).order_by(dagrun.DagRun.id))
        return [
            {"run_id": each.run_id, "conf": each.conf, "state": str(each.state), "note": each.note}
            for each in found
        ]


def receive(pause):
    """Return the next payload of the queue's trigger, after storing and rebuilding it as Airflow does."""
    import asyncio

    from airflow.sdk._shared.module_loading import import_string

    from homeostat_airflow import sqs_consumer

    dag = DagBag().dags["consume_retrain_triggers"]
    ((path, arguments),) = [
        watcher.trigger.serialize()
        for asset in dag.timetable.asset_condition.objects
        for watcher in asset.watchers
    ]
    rebuilt = import_string(path)(**json.loads(json.dumps(arguments)))

    sqs_consumer.PAUSE_UNAVAILABLE = pause

    async def first():
        return await anext(rebuilt.run())

    return asyncio.run(first()).payload


def record_callback(callbacks, task_id, kind):
    def callback(context):
        error = context.get("exception")
        callbacks.append({"task": task_id, "kind": kind, "error": type(error).__name__, "text": str(error)})

    return callback


def respond(dag, run_id, option):
    """Run ``canary`` to its request for approval, respond through Airflow's API, and resume the task."""
    from airflow.api_fastapi.app import create_app
    from airflow.sdk.definitions.dag import _run_task
    from fastapi.testclient import TestClient

    os.environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS"] = "True"
    task = DagBag().dags[dag].task_dict["canary"]
    callbacks = []
    task.on_failure_callback = [record_callback(callbacks, "canary", "failure")]

    def instance():
        with create_session() as session:
            return session.scalars(
                select(TaskInstance).filter_by(dag_id=dag, run_id=run_id, task_id="canary")
            ).one()

    _run_task(ti=instance(), task=task, run_triggerer=False)
    deferred = str(instance().state)
    client = TestClient(create_app(apps="core"))
    token = client.get("/auth/token").json()["access_token"]
    page = f"/api/v2/dags/{dag}/dagRuns/{run_id}/taskInstances/canary/-1/hitlDetails"
    client.headers["Authorization"] = f"Bearer {token}"
    question = client.get(page).json()
    client.patch(page, json={"chosen_options": [option], "params_input": {}}).raise_for_status()
    resumable = str(instance().state)
    _run_task(ti=instance(), task=task, run_triggerer=False)
    return {
        "states": [deferred, resumable, str(instance().state)],
        "subject": question["subject"],
        "body": question["body"],
        "callbacks": callbacks,
    }


def trigger(model, run_key, phases):
    """Return the event of a RolloutTrigger, after storing and rebuilding it as Airflow does."""
    import asyncio

    from airflow.sdk._shared.module_loading import import_string

    from homeostat_airflow.rollout_trigger import RolloutTrigger

    path, arguments = RolloutTrigger(model, run_key, phases, poll=0.1).serialize()
    rebuilt = import_string(path)(**json.loads(json.dumps(arguments)))

    async def first():
        return await anext(rebuilt.run())

    return {"path": path, "event": asyncio.run(first()).payload}


def notify(targets, title, body):
    """Send one notice."""
    from homeostat.ports import Notice, NoticeKind
    from homeostat_airflow.notifier import AirflowNotifier

    AirflowNotifier().notify(targets, Notice(NoticeKind.PROMOTED, "sample", title, body))


def end_callback(dag, run_id, dags):
    """Run the callback of a DAG run's end as the DAG processor does, from the scheduler's stored request.

    ``dag.test()`` cannot: it gives a notifier the serialized DAG, which has no templates.
    """
    import structlog
    from airflow.callbacks.callback_requests import DagCallbackRequest
    from airflow.dag_processing.processor import _execute_dag_callbacks

    bag = DagBag(dags)
    with create_session() as session:
        found = session.scalars(select(dagrun.DagRun).filter_by(dag_id=dag, run_id=run_id)).one()
        success, task = str(found.state) == "success", found.get_task_instances(session=session)[0]
        request = found.produce_dag_callback(bag.dags[dag], success, task, "over", execute=False)
        stored = request.to_json()
    _execute_dag_callbacks(bag, DagCallbackRequest.from_json(stored), structlog.get_logger())


def _short_sleep(seconds, sleep=time.sleep):
    """Sleep, but only briefly in ``dag.test()``, which sleeps one second for every skipped task."""
    caller = sys._getframe(1).f_globals["__name__"]
    sleep(0.05 if caller == "airflow.sdk.definitions.dag" else seconds)


def main():
    """Serve requests until the input ends."""
    time.sleep = _short_sleep
    lines = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # output of Airflow goes to the log
    base = dict(os.environ)
    calls = (run, respond, trigger, notify, runs, receive, end_callback)
    known = {function.__name__: function for function in calls}
    for line in sys.stdin:
        request = json.loads(line)
        os.environ.clear()
        os.environ.update({**base, **request["env"]})
        faulthandler.dump_traceback_later(HANG_SECONDS)
        try:
            reply = {"result": known[request["call"]](**request["arguments"])}
        except Exception:  # noqa: BLE001  # raised in the test
            reply = {"error": traceback.format_exc()}
        faulthandler.cancel_dump_traceback_later()
        lines.write(json.dumps(reply) + "\n")


if __name__ == "__main__":
    main()
