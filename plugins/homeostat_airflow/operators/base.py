"""What all operators share: run one step for one model, and sort its errors.

Temporary errors (a service that does not respond) are raised unchanged, and Airflow retries the task.
Permanent ones (configuration, data, a refusal) fail the task at once: a retry would give the same result.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from homeostat.config.errors import HomeostatError, StaleRevision, Superseded, Unavailable
from homeostat_airflow.connection import DEFAULT_CONN_ID, read_settings
from homeostat_airflow.links import HealthLink, MLflowLink
from homeostat_airflow.run_note import OUTCOME
from homeostat_airflow.shown_result import show_result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from airflow.sdk import BaseOperatorLink, Context

    from homeostat.config import ModelConfig, Settings
    from homeostat.ports import Ports

logger = logging.getLogger(__name__)

#: What happens unless a version passes.
OnRefusal = Literal["fail", "skip", "pass"]


class HomeostatOperator(BaseOperator):
    """Runs one step for one model.

    Parameters
    ----------
    model
        The model's name, which is the name of its folder.
    models
        The folder of model folders, or an S3 prefix. Default: HOMEOSTAT_MODELS.
    homeostat_conn_id
        The Airflow connection with ledger, store, MLflow and gateway. Where it does not exist or leaves a
        field empty, the environment variable counts.
    **kwargs
        Those of Airflow's operators.
    """

    operator_extra_links: tuple[BaseOperatorLink, ...] = (MLflowLink(), HealthLink())
    ui_color = "#e8f0f7"

    def __init__(
        self, *, model: str, models: str = "", homeostat_conn_id: str = DEFAULT_CONN_ID, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.models = models
        self.homeostat_conn_id = homeostat_conn_id

    def read_settings(self) -> Settings:
        """Return the environment's settings, with the connection's over them."""
        return read_settings(self.homeostat_conn_id, self.models, self.model)

    def perform(self, config: ModelConfig, ports: Ports, context: Context) -> dict[str, Any]:
        """Run the step of this operator."""
        raise NotImplementedError

    def execute(self, context: Context) -> Any:
        """Run the step; see the module's docstring for what is retried."""
        return self._run(self.perform, context)

    def brief(self, result: Mapping[str, Any]) -> str:  # noqa: ARG002  # for subclasses
        """Return the result in a few words; "" for none. See :mod:`homeostat_airflow.shown_result`."""
        return ""

    def failure_note(self, text: str) -> tuple[str, str]:  # noqa: ARG002  # for subclasses
        """Return title and sentence of the run's note when this step fails; ("", "") for none."""
        return "", ""

    def _run(self, step: Callable[[ModelConfig, Ports, Context], dict[str, Any]], context: Context) -> Any:
        """Run the step; an error is left for the note of the DAG run."""
        from homeostat.config.redaction import secret_redactor

        try:
            return self._step(step, context)
        except AirflowSkipException:
            raise
        except Exception as error:
            title, sentence = self.failure_note(secret_redactor()(str(error) or type(error).__name__))
            if title:
                leave_for_note(context, "failed", sentence, title, task=self.task_id)
            raise

    def _step(self, step: Callable[[ModelConfig, Ports, Context], dict[str, Any]], context: Context) -> Any:
        from homeostat.adapters import build_ports
        from homeostat.config.extras import optional_libraries

        try:
            settings = self.read_settings()
            config = settings.load_model(self.model)
            with optional_libraries():
                ports = with_delivery(build_ports(settings, service="homeostat-airflow"), config)
                with traced_task(ports, context) as traced:
                    result = step(config, traced, context)
        except Superseded as error:
            raise skip(context, str(error)) from error
        except (Unavailable, StaleRevision):
            raise
        except HomeostatError as error:
            # The reason is the first line of the log. Its traceback says nothing to who has to act on it.
            self.log.error("%s", error)  # noqa: TRY400
            raise AirflowFailException(str(error)) from None
        notable = result.get("checks_stopped") or result.get("refusal")
        level = logging.WARNING if notable else logging.INFO
        self.log.log(level, "%s", result.get("sentence", result))
        show_result(context, self.brief(result))
        self.after(config, ports)
        return result

    def after(self, config: ModelConfig, ports: Ports) -> None:
        """Run after a successful step; does nothing by default."""


@contextmanager
def traced_task(ports: Ports, context: Context) -> Iterator[Ports]:
    """Yield the ports with the trace that Airflow gave the task; send what was recorded in the end."""
    if ports.tracer is None:
        yield ports
        return
    from homeostat_airflow.trace_context import task_trace

    try:
        yield replace(ports, tracer=ports.tracer.started_in(task_trace(context)))
    finally:
        ports.tracer.flush()  # a task's process ends without the exit handlers that would do it


def with_delivery(ports: Ports, config: ModelConfig) -> Ports:
    """Return the ports with a notifier that sends the model's notices as its model.yaml says."""
    from homeostat.notices import Delivery
    from homeostat_airflow.notifier import AppriseTransport

    return replace(ports, notifier=Delivery(AppriseTransport(), config, ports.store, ports.clock))


def leave_for_note(context: Context, outcome: str, sentence: str, title: str = "", task: str = "") -> None:
    """Leave the outcome where the listener of :mod:`homeostat_airflow.run_note` reads it.

    ``title`` begins the note; by default *Retrain* and the outcome. ``task`` is the id of a task that gets
    the note too; "" for none.
    """
    try:
        value = {"outcome": outcome, "sentence": sentence, "title": title, "task": task}
        context["ti"].xcom_push(key=OUTCOME, value=value)
    except Exception:
        logger.exception("the DAG run gets no note")


def skip(context: Context, sentence: str, *, logged: bool = False) -> AirflowSkipException:
    """Return the exception that skips the task; the reason goes to XCom, which a skipped task shows.

    ``logged``: the task's log has the sentence already.
    """
    context["ti"].xcom_push(key="skipped", value=sentence)
    if not logged:
        logger.info("skipped: %s", sentence)  # Airflow logs it too, in a collapsed section
    return AirflowSkipException(sentence)


def checked_choice(choice: Any, name: str = "on_refusal") -> Any:
    """Return what to do unless a check passes; ValueError unless it is ``fail``, ``skip`` or ``pass``."""
    if choice not in ("fail", "skip", "pass"):
        msg = f"{name} is {choice!r}: write 'fail', 'skip' or 'pass'"
        raise ValueError(msg)
    return choice


def settle(
    operator: Any, context: Context, result: dict[str, Any], key: str, *, refused: bool
) -> dict[str, Any]:
    """Return the result, or end the task as its ``on_refusal`` says; then the result is the XCom ``key``."""
    if not refused or operator.on_refusal == "pass":
        return result
    context["ti"].xcom_push(key=key, value=result)
    if operator.on_refusal == "skip":
        raise skip(context, result["sentence"], logged=True)
    raise AirflowFailException(result["sentence"])
