"""A drift check of any two tables, for anybody's DAG: it needs no model, no MLflow and no ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from homeostat_airflow.operators.base import checked_choice, skip

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context

#: Names of drifted columns in the result, at most.
MAX_NAMES = 50


class TableDriftOperator(BaseOperator):
    """Compare a table with a reference, as ``homeostat drift`` does.

    Returns ``verdict``, ``reason``, ``drifted_share`` (null where it is not known), ``rows`` of both tables,
    and ``columns``: the names of at most 50 columns that alert.

    Parameters
    ----------
    reference, current
        The data to compare with, and the data to check: a path or ``s3://`` address of CSV or Parquet, a file
        or a folder. Jinja templates.
    on_drift
        What happens unless the verdict is ``pass``: ``fail`` fails the task without a retry, ``skip`` skips
        it and the tasks after it, ``pass`` only returns the result.
    html
        Write the page with pictures to this file. A Jinja template.
    config
        A model.yaml or its folder: types, features and thresholds.
    date_formats
        How a column's dates are written, by its name.
    """

    template_fields: Sequence[str] = ("reference", "current", "html", "config")
    ui_color = "#e8f0f7"

    def __init__(
        self,
        *,
        reference: str,
        current: str,
        on_drift: Literal["fail", "skip", "pass"] = "fail",
        html: str = "",
        config: str = "",
        date_formats: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.reference = reference
        self.current = current
        self.on_drift = checked_choice(on_drift, "on_drift")
        self.html = html
        self.config = config
        self.date_formats = dict(date_formats or {})

    def execute(self, context: Context) -> dict[str, Any]:
        """Compare; see the class for what is returned and what happens on drift."""
        from pathlib import Path

        import homeostat
        from homeostat.config.errors import HomeostatError, Unavailable

        try:
            found = homeostat.drift(
                self.reference, self.current, model=self.config or None, date_formats=self.date_formats
            )
        except Unavailable:
            raise
        except HomeostatError as error:
            self.log.error("%s", error)  # noqa: TRY400  # the reason without a traceback
            raise AirflowFailException(str(error)) from None
        if self.html:
            Path(self.html).parent.mkdir(parents=True, exist_ok=True)
            Path(self.html).write_text(found.to_html(), encoding="utf-8")
        full = found.to_dict()
        result = {name: full[name] for name in ("verdict", "reason", "drifted_share", "rows")}
        result["columns"] = [name for name, each in found.columns.items() if each == "alert"][:MAX_NAMES]
        self.log.info("%s: %s", found.verdict, found.reason)
        if found.verdict == "pass" or self.on_drift == "pass":
            return result
        context["ti"].xcom_push(key="drift", value=result)
        if self.on_drift == "skip":
            raise skip(context, found.reason, logged=True)
        raise AirflowFailException(found.reason)
