"""Writes how a run ended as its note, which Airflow shows in lists and on the run's page.

A task cannot write its run's note: the Task SDK has no call for it, and the REST API needs a user's login.
So a task leaves the outcome as an XCom, and this listener (see ``plugin.py``), which the
scheduler calls when a run ends, writes the note in the transaction that ends the run.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.listeners import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow.models.dagrun import DagRun
    from sqlalchemy.orm import Session

logger = logging.getLogger(__name__)

#: The key of the XCom with the outcome.
OUTCOME = "outcome"
#: The DAGs whose runs get a note.
_NOTED = ("retrain__", "drift_check__")
#: How a note of an earlier end begins.
_OWN = ("**Retrain ", "**No retrain", "**Drift check ")
#: Characters that fit into Airflow's database.
MAX_NOTE = 1000


@hookimpl
def on_dag_run_success(dag_run: DagRun, msg: str) -> None:  # noqa: ARG001  # Airflow's names
    """Note the outcome."""
    _write_note(dag_run)


@hookimpl
def on_dag_run_failed(dag_run: DagRun, msg: str) -> None:  # noqa: ARG001  # Airflow's names
    """Note the error."""
    _write_note(dag_run)


def _write_note(dag_run: DagRun) -> None:
    """Write the note; a failure is logged and leaves the run as it is."""
    if not any(kind in dag_run.dag_id for kind in _NOTED):  # before it is the prefix of homeostat_dags
        return
    try:
        with _attached(dag_run) as (session, run):
            outcome = _last_outcome(run, session)
            if outcome is not None:
                run.note = note(outcome, run.note or "")
                _note_task(run, outcome, session)
    except Exception:
        logger.exception("no note for %s of %s", dag_run.run_id, dag_run.dag_id)


def _note_task(run: DagRun, outcome: dict[str, Any], session: Session) -> None:
    """Note the outcome at the task that decided it, too: the grid marks the square of a task with a note."""
    task = run.get_task_instance(str(outcome["task"]), session=session) if outcome.get("task") else None
    if task is not None:
        task.note = note(outcome, task.note or "")


@contextmanager
def _attached(dag_run: DagRun) -> Iterator[tuple[Session, DagRun]]:
    """Yield the session of the run, or for the detached run of ``dag.test()`` a new one."""
    from airflow.utils.session import create_session
    from sqlalchemy.orm import object_session

    session = object_session(dag_run)
    if session is not None:
        yield session, dag_run
        return
    with create_session(scoped=False) as own:
        yield own, own.get_one(type(dag_run), dag_run.id)


def note(outcome: dict[str, Any], before: str) -> str:
    """Return the note: the outcome, and below it what was noted before, without an earlier outcome."""
    kept = [part for part in before.split("\n\n") if part and not part.startswith(_OWN)]
    said = str(outcome["sentence"]).replace("\x00", "").replace("\n\n", "\n")
    title = outcome.get("title") or f"Retrain {str(outcome['outcome']).replace('_', ' ')}"
    head = f"**{title}.** {said}"[:MAX_NOTE]
    return "\n\n".join([head, *kept])[:MAX_NOTE]


def _last_outcome(dag_run: DagRun, session: Session) -> dict[str, Any] | None:
    """Return the newest outcome that a task of the run has left; None without one."""
    from airflow.models.xcom import XComModel
    from sqlalchemy import select

    query = (
        select(XComModel.value)
        .where(XComModel.dag_run_id == dag_run.id, XComModel.key == OUTCOME)
        .order_by(XComModel.timestamp.desc())
        .limit(1)
    )
    found = session.scalar(query)
    return found if isinstance(found, dict) and "sentence" in found else None
