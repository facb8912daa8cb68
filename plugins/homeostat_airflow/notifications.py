"""A notifier for anybody's DAG: says what a model serves, through the connections that model.yaml names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseNotifier

from homeostat_airflow.connection import DEFAULT_CONN_ID, read_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context


class HomeostatNotifier(BaseNotifier):
    """Sends which version of a model serves now; for ``on_success_callback`` and ``on_failure_callback``.

    Parameters
    ----------
    model
        The model's name.
    title
        The title, a Jinja template.
    targets
        Apprise connections. Default: those under ``notify`` in model.yaml.
    models, homeostat_conn_id
        See :class:`~homeostat_airflow.operators.HomeostatOperator`.
    """

    template_fields = ("model", "title")

    def __init__(
        self,
        *,
        model: str,
        title: str = "{{ dag.dag_id }} has ended: {{ run_id }}",
        targets: Sequence[str] = (),
        models: str = "",
        homeostat_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.title = title
        self.targets = tuple(targets)
        self.models = models
        self.homeostat_conn_id = homeostat_conn_id

    def notify(self, context: Context) -> None:  # noqa: ARG002  # the fields are rendered already
        """Send the notice; a destination that does not respond is logged."""
        from homeostat.adapters import open_ledger
        from homeostat.adapters.gateway_client import read_gateway
        from homeostat.core.rollout.served import describe_served
        from homeostat.ports import Notice, NoticeKind
        from homeostat_airflow.notifier import AirflowNotifier

        settings = read_settings(self.homeostat_conn_id, self.models)
        targets = self.targets or settings.load_model(self.model).notify
        served = describe_served(
            open_ledger(settings.ledger).read(self.model), read_gateway(settings).of(self.model)
        )
        notice = Notice(NoticeKind.STATUS, self.model, self.title, served.sentence)
        AirflowNotifier().notify(targets, notice)
