"""The request of one retrain, in the Store: ``retrain/<model>/<run_key>/request.json``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Self
from urllib.parse import quote

from homeostat.config import ModelConfig, parse_duration
from homeostat.config.errors import ConfigError
from homeostat.config.model import Window
from homeostat.config.times import parse_utc
from homeostat.ports import Store
from homeostat.storage.step_results import result_key

#: The reason of a retrain that a person started without giving one.
MANUAL = "manual"
#: The tag with the address of the DAG run in Airflow.
AIRFLOW_URL = "homeostat.airflow"
_REQUEST = "request"
#: Keys that release 0.1 wrote (in the Store, and in Airflow's events, XComs and runs), and their names now.
_OLD_NAMES = {"recall": "reinstate"}


def run_key(model: str, run_id: str) -> str:
    """Return the key of one retrain: short, safe in paths and tags, the same for every try of the run."""
    return hashlib.sha256(f"{model}/{run_id}".encode()).hexdigest()[:12]


def parse_time(text: str, name: str, *, or_else: str = "") -> datetime:
    """Parse an ISO time; without an offset it is in UTC. Raises ConfigError naming ``name``.

    ``or_else`` is what may be written instead of a time.
    """
    try:
        return parse_utc(text)
    except (ValueError, OverflowError):
        more = f", or {or_else}" if or_else else ""
        msg = f"{name} {text!r} is not a time: write it like 2026-01-05T07:00Z{more}"
        raise ConfigError(msg) from None


@dataclass(frozen=True, slots=True)
class ImportedModel:
    """A model that another pipeline logged in MLflow, which takes the place of a fit.

    Parameters
    ----------
    uri
        Its address in MLflow.
    trained_until
        It has learned no row of this time (ISO) or later; "" where that is not known.
    training_rows
        How many rows it has learned; None where that is not known.
    holdout
        A table of labelled rows that it has not learned; "" for the model's source since ``trained_until``.
    classes
        The label of each class 0, 1, ..., for a model that predicts these numbers.
    """

    uri: str
    trained_until: str = ""
    training_rows: int | None = None
    holdout: str = ""
    classes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RetrainRequest:
    """Why and how to retrain. ``trigger_id`` names the cause: the same cause retrains once.

    ``reinstate`` is the version number of a former champion to promote again instead of fitting a new
    version: it takes every step of a retrain except for the fit. So does an ``imported`` model.
    ``airflow_url`` is the DAG run's page; "" where Airflow's address is not known. ``airflow_page`` is its
    path below that address, such as ``/dags/retrain__m/runs/1``; "" outside of Airflow.
    """

    run_key: str
    trigger_id: str
    dag_run: str = ""
    reason: str = MANUAL
    until: str = ""
    training_window: str = ""
    pipeline: str = ""
    skip_shadow: bool = False
    force: bool = False
    reinstate: str = ""
    imported: ImportedModel | None = None
    airflow_url: str = ""
    airflow_page: str = ""

    @classmethod
    def of(
        cls,
        *,
        run_key: str,
        dag_run: str,
        params: Mapping[str, Any],
        event: Mapping[str, Any],
        airflow_url: str = "",
        airflow_page: str = "",
    ) -> Self:
        """Build it from a drift event, or from the form of a manual run (``event`` is empty)."""
        event, params = with_new_names(event), with_new_names(params)
        return cls(
            run_key=run_key,
            dag_run=dag_run,
            trigger_id=event.get("trigger_id") or f"manual/{run_key}",
            reason=event.get("reason") or params.get("reason") or MANUAL,
            until=event.get("window_end") or params.get("until") or "",
            training_window=params.get("training_window") or "",
            pipeline=params.get("pipeline") or "",
            skip_shadow=bool(params.get("skip_shadow")),
            force=bool(params.get("force")),
            reinstate=event.get("reinstate") or params.get("reinstate") or "",
            airflow_url=airflow_url,
            airflow_page=airflow_page,
        )

    def end(self, now: datetime) -> datetime:
        """Return the end of the training data: ``until``, or ``now`` where the request has none."""
        return parse_time(self.until, "until") if self.until else now

    def tags(self) -> dict[str, str]:
        """Return the MLflow tags of the training run and of the version."""
        return {
            "homeostat.run_key": self.run_key,
            "homeostat.dag_run": self.dag_run or "-",
            "homeostat.trigger": self.trigger_id,
            "homeostat.reason": self.reason,
            **({AIRFLOW_URL: self.airflow_url} if self.airflow_url else {}),
        }

    def apply_to(self, config: ModelConfig) -> ModelConfig:
        """Return the configuration with the training window of this request."""
        if not self.training_window:
            return config
        try:
            window = Window(kind="sliding", length=parse_duration(self.training_window))
        except ValueError as error:
            msg = f"training_window: {error}"
            raise ConfigError(msg) from None
        return config.model_copy(update={"training": config.training.model_copy(update={"window": window})})


def save_request(store: Store, model: str, request: RetrainRequest) -> None:
    """Store the request beside the results of its steps."""
    data = json.dumps(asdict(request), indent=1, allow_nan=False).encode()
    store.put(result_key(model, request.run_key, _REQUEST), data, overwrite=True)


def load_request(store: Store, model: str, run_key: str) -> RetrainRequest:
    """Return the request of a retrain that has started; raises NotFound before it has."""
    raw = with_new_names(json.loads(store.get(result_key(model, run_key, _REQUEST))))
    if raw.get("imported"):
        raw["imported"] = ImportedModel(**raw["imported"] | {"classes": tuple(raw["imported"]["classes"])})
    return RetrainRequest(**raw)


def with_new_names(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request, or the trigger that it is made from, with the keys of release 0.1 renamed."""
    return {_OLD_NAMES.get(name, name): value for name, value in raw.items()}


def with_links(text: str, tags: Mapping[str, str], model: str) -> str:
    """Return a description with links to the DAG run and the model's health, where the tags have the run."""
    url = tags.get(AIRFLOW_URL, "")
    return f"{text}\n\n[Run in Airflow]({url}) | [Model health]({health_url(url, model)})" if url else text


def health_url(run_url: str, model: str) -> str:
    """Return the page of a model's health in the Airflow in which this run is."""
    return f"{run_url.partition('/dags/')[0]}/homeostat/health?model={quote(model, safe='')}"
