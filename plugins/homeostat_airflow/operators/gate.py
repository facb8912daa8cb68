"""The gate: of a retrain's candidate, or of a model that another team's pipeline registered in MLflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from homeostat_airflow.operators.base import OnRefusal, checked_choice, settle
from homeostat_airflow.operators.retrain import RetrainOperator
from homeostat_airflow.operators.run_link import run_page, run_url

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context

    from homeostat.config import ModelConfig
    from homeostat.ports import Ports
    from homeostat.storage.retrain_request import RetrainRequest


class GateOperator(RetrainOperator):
    """Apply the gate of model.yaml: in ``retrain__<model>`` to its candidate, with ``model_uri`` in any DAG.

    With ``model_uri`` it evaluates that model and the champion on the same labelled rows, which neither has
    learned. When the gate passes, the model becomes a new version under the model's name, the candidate that
    :class:`~homeostat_airflow.operators.RolloutOperator` rolls out. Returns ``verdict`` (``passed`` or
    ``refused``; ``superseded`` while a retrain of the model runs), ``reasons``, ``checks``, ``metrics``,
    ``holdout`` (rows), ``model_uri``, ``version`` ("" unless it passed), ``champion_version``, ``sentence``
    and ``url``. A model that cannot be loaded safely, or that takes other inputs than model.yaml, fails the
    task.

    Parameters
    ----------
    model_uri
        ``models:/NAME/7``, ``models:/NAME@ALIAS``, ``models:/m-ID`` or ``runs:/RUN_ID/NAME``. A Jinja
        template.
    trained_until
        The model has learned no row of this time or later, such as ``{{ macros.ds_add(ds, -7) }}``: the rows
        of the model's ``source`` since then are the holdout. Default: the version's tag
        ``homeostat.trained_until``. A Jinja template.
    holdout
        Instead of the source's rows: a path or ``s3://`` address of CSV or Parquet, of labelled rows that the
        model has not learned. A Jinja template.
    training_rows
        How many rows it has learned, for ``gate.min_training_rows``. Default: the datasets that its run
        logged in MLflow with the context ``training``, or the tag ``homeostat.training_rows``.
    classes
        The label of each class 0, 1, ..., for a model that was trained on these numbers.
    on_refusal
        What happens unless the gate passes: ``fail`` fails the task without a retry, ``skip`` skips it and
        the tasks after it, ``pass`` only returns the result.
    model, models, homeostat_conn_id
        See :class:`~homeostat_airflow.operators.HomeostatOperator`.
    """

    template_fields: Sequence[str] = ("model", "model_uri", "trained_until", "holdout", "training_rows")

    def __init__(
        self,
        *,
        model_uri: str = "",
        trained_until: str = "",
        holdout: str = "",
        training_rows: int | str | None = None,
        classes: Sequence[str] = (),
        on_refusal: OnRefusal = "fail",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model_uri = model_uri
        self.trained_until = trained_until
        self.holdout = holdout
        self.training_rows = training_rows
        self.classes = tuple(classes)
        self.on_refusal = checked_choice(on_refusal)

    def execute(self, context: Context) -> Any:
        """Run the gate; see the class for what is returned."""
        if not self.model_uri:
            return super().execute(context)  # a refusal skips the retrain's next steps, and is no failure
        try:
            result = super().execute(context)
        except AirflowSkipException as error:
            result = {"verdict": "superseded", "reasons": [str(error)], "version": "", "sentence": str(error)}
        return settle(self, context, result, "gate", refused=result["verdict"] != "passed")

    def perform(self, config: ModelConfig, ports: Ports, context: Context) -> dict[str, Any]:
        """Decide and record."""
        from homeostat.retraining.gate import gate
        from homeostat.retraining.gate_model import gate_model

        if not self.model_uri:
            return gate(config, self.run_key(context), ports)
        return gate_model(config, self._request(context), ports)

    def run_key(self, context: Context) -> str:
        """Return the key of this evaluation: of the task, since another DAG may have a run of the same id."""
        from homeostat.storage.retrain_request import run_key

        if not self.model_uri:
            return super().run_key(context)
        ti = context["ti"]
        return run_key(self.model, f"{ti.dag_id}/{ti.run_id}/{ti.task_id}/{ti.map_index}")

    def brief(self, result: Mapping[str, Any]) -> str:
        """See :meth:`HomeostatOperator.brief`."""
        passed = "passed" if result.get("passed") else "refused"
        return str(result.get("verdict") or ("forced" if result.get("forced") else passed))

    def _request(self, context: Context) -> RetrainRequest:
        from homeostat.config.errors import ConfigError
        from homeostat.storage.retrain_request import ImportedModel, RetrainRequest

        rows = None if self.training_rows in (None, "", "None") else str(self.training_rows)
        if rows is not None and not rows.isdecimal():
            msg = f"training_rows is {rows!r}: write a whole number"
            raise ConfigError(msg)
        imported = ImportedModel(
            uri=self.model_uri,
            trained_until=self.trained_until,
            training_rows=None if rows is None else int(rows),
            holdout=self.holdout,
            classes=self.classes,
        )
        key, ti = self.run_key(context), context["ti"]
        run = f"{ti.dag_id}/{ti.run_id}"
        return RetrainRequest(
            run_key=key,
            trigger_id=f"import/{key}",
            dag_run=run,
            imported=imported,
            airflow_url=run_url(context),
            airflow_page=run_page(context),
        )
