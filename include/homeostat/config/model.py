"""model.yaml as frozen, validated types. The words are the ones that its users write."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator, model_validator

from homeostat.config.duration import Duration

Share = Annotated[float, Field(ge=0.0, le=1.0)]
PositiveShare = Annotated[float, Field(gt=0.0, le=1.0)]
PositiveDuration = Annotated[Duration, Field(gt=timedelta(0))]
Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """One block of model.yaml: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Source(Section):
    """Where rows with labels come from: ``csv``, ``parquet``, ``sql``, ``predictions`` or ``loader``."""

    kind: Literal["csv", "parquet", "sql", "predictions", "loader"]
    uri: str | None = None
    query: str | None = None
    loader: str | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        needs = {"csv": "uri", "parquet": "uri", "loader": "loader", "sql": "query"}.get(self.kind)
        if needs and not getattr(self, needs):
            msg = f"kind: {self.kind} needs '{needs}', for example {_SOURCE_EXAMPLES[self.kind]}"
            raise ValueError(msg)
        if self.kind == "sql" and not self.uri:
            msg = f"kind: sql needs 'uri', a SQLAlchemy URL, for example {_SOURCE_EXAMPLES['sql']}"
            raise ValueError(msg)
        return self


_SOURCE_EXAMPLES = {
    "csv": "{kind: csv, uri: data/rows.csv}",
    "parquet": "{kind: parquet, uri: s3://bucket/rows/}",
    "sql": "{kind: sql, uri: 'postgresql+psycopg2://host/db', query: 'select * from rows'}",
    "loader": "{kind: loader, loader: pipeline.py:load}",
}


class Feature(Section):
    """One input column: its type, and what values it may take."""

    type: Literal["number", "category"]
    range: tuple[float, float] | None = None
    categories: tuple[str, ...] | None = None
    required: bool = True

    @field_validator("categories", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return [str(item) for item in value] if isinstance(value, (list, tuple)) else value

    @model_validator(mode="after")
    def _fits_its_type(self) -> Self:
        if self.type == "number" and self.categories is not None:
            msg = "a number has 'range', not 'categories'; write type: category to list its values"
            raise ValueError(msg)
        if self.type == "category" and self.range is not None:
            msg = "a category has 'categories', not 'range'; write type: number to give a range"
            raise ValueError(msg)
        if self.range is not None and not self.range[0] < self.range[1]:
            msg = f"range {list(self.range)} is empty: write [lowest, highest]"
            raise ValueError(msg)
        return self


class Label(Section):
    """What is predicted, and how long after the prediction the truth is known."""

    name: str
    delay: Duration = timedelta(0)


class Columns(Section):
    """The ``schema`` block: which column is what."""

    timestamp: str = "timestamp"
    key: str | None = None
    label: Label
    features: Annotated[dict[str, Feature], Field(min_length=1)]

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        taken = {"timestamp": self.timestamp, "label": self.label.name}
        for role, name in taken.items():
            if name in self.features:
                msg = f"'{name}' is the {role} column and cannot be a feature as well"
                raise ValueError(msg)
        return self


class Monitor(Section):
    """How often to look, at how much, and from when on it is called drift.

    ``runs_on: lambda`` has a function in AWS do it, see docs/aws.md; Airflow hears of its triggers.
    """

    every: PositiveDuration = timedelta(hours=1)
    window: PositiveDuration = timedelta(hours=24)
    min_rows: Count = 100
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.05
    min_effect: PositiveShare = 0.1
    drifted_share: PositiveShare = 0.3
    max_missing: Share = 0.1
    max_unseen: Share = 0.05
    season: Literal["none", "hour_of_day", "hour_of_week"] = "none"
    runs_on: Literal["airflow", "lambda"] = "airflow"

    @model_validator(mode="after")
    def _window_holds_whole_steps(self) -> Self:
        if self.window < self.every:
            msg = "window must be at least as long as 'every', or some rows would never be looked at"
            raise ValueError(msg)
        if self.window % self.every:
            msg = "window must be a whole number of 'every', for example every: 1h and window: 24h"
            raise ValueError(msg)
        return self


class Trigger(Section):
    """When drift or decay is bad enough, for long enough, to retrain."""

    consecutive: Count = 3
    cooldown: Duration = timedelta(hours=24)
    decay: PositiveShare = 0.10
    critical_decay: PositiveShare = 0.15

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.critical_decay < self.decay:
            msg = "critical_decay must be at least as large as decay"
            raise ValueError(msg)
        return self


class BadPeriod(Section):
    """An interval of known bad data, start included, end not."""

    start: datetime
    end: datetime
    reason: str = ""

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if not self.start < self.end:
            msg = f"end {self.end} must come after start {self.start}"
            raise ValueError(msg)
        return self


class Window(Section):
    """Which past is learnt from.

    ``sliding``: the last stretch. ``expanding``: all of it. ``recency``: all of it, the recent weighing more.
    ``auto``: of the last stretch, what did best on the holdout (see :mod:`homeostat.retraining.recipes`).
    """

    kind: Literal["auto", "sliding", "expanding", "recency"] = "auto"
    length: PositiveDuration | None = None
    half_life: PositiveDuration | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.kind in ("auto", "sliding") and self.length is None:
            msg = f"kind: {self.kind} needs 'length', for example {{kind: {self.kind}, length: 180d}}"
            raise ValueError(msg)
        if self.kind == "recency" and self.half_life is None:
            msg = "kind: recency needs 'half_life', for example {kind: recency, half_life: 90d}"
            raise ValueError(msg)
        return self


class Training(Section):
    """What to fit on, what to hold out, what makes data too bad to use, and where to fit.

    ``parity`` is what comes of an environment (lock file, image) that is not the champion's: ``told`` in the
    gate's report, or ``required``: the run stops before the fit.
    """

    window: Window = Window(kind="auto", length=timedelta(days=180))
    bad_periods: tuple[BadPeriod, ...] = ()
    min_rows: Count = 1000
    holdout: Annotated[float, Field(gt=0, lt=1)] = 0.125
    refit: bool = True
    max_quarantined: Share = 0.1
    expectations: tuple[dict[str, Any], ...] = ()
    runs_on: Literal["airflow", "ecs"] = "airflow"
    parity: Literal["told", "required"] = "told"


class Gate(Section):
    """What a candidate has to show before it may meet traffic."""

    metric: (
        Literal["accuracy", "balanced_accuracy", "f1", "roc_auc", "log_loss", "mae", "rmse", "r2"] | None
    ) = None
    max_regression: Annotated[float, Field(ge=0)] = 0.02
    p99_latency_ms: Annotated[float, Field(gt=0)] = 200.0
    min_training_rows: Count = 1000
    max_nan_rate: Share = 0.0
    slices: tuple[str, ...] = ()
    max_slice_regression: Annotated[float, Field(ge=0)] = 0.1


class Shadow(Section):
    """How long a candidate answers unseen, and how far its answers may lie from the champion's."""

    duration: Duration = timedelta(hours=24)
    max_divergence: Share = 0.1
    min_samples: Count = 200


class Canary(Section):
    """The shares of traffic that a candidate earns step by step."""

    steps: Annotated[tuple[PositiveShare, ...], Field(min_length=1)] = (0.1, 0.5)
    step_duration: Duration = timedelta(hours=1)
    min_samples: Count = 200

    @field_validator("steps")
    @classmethod
    def _rising(cls, steps: tuple[float, ...]) -> tuple[float, ...]:
        if list(steps) != sorted(set(steps)):
            msg = f"steps {list(steps)} must rise, for example [0.1, 0.5]"
            raise ValueError(msg)
        return steps


class Rollback(Section):
    """When a version that takes traffic is taken back."""

    error_rate: PositiveShare = 0.01
    p99_latency_ms: Annotated[float, Field(gt=0)] = 200.0
    window: Count = 100


class ModelConfig(Section):
    """One model, as its user writes it in ``include/models/<name>/model.yaml``."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
    task: Literal["classification", "regression"]
    pipeline: Annotated[str, Field(pattern=r"^[\w./-]+:[A-Za-z_]\w*$")]
    source: Source
    columns: Annotated[Columns, Field(alias="schema")]
    monitor: Monitor = Monitor()
    trigger: Trigger = Trigger()
    training: Training = Training()
    gate: Gate = Gate()
    shadow: Shadow = Shadow()
    canary: Canary = Canary()
    rollback: Rollback = Rollback()
    serve: Literal["gateway", "none"] = "gateway"
    approval: Literal["none", "required"] = "none"
    log: Literal["async", "sync"] = "async"
    notify: tuple[str, ...] = ()
    _folder: Path = PrivateAttr(default=Path())

    @property
    def folder(self) -> Path:
        """The folder that model.yaml lies in; its relative paths start here."""
        return self._folder

    @property
    def metric(self) -> str:
        """The gate's metric: the one asked for, or accuracy / mean absolute error."""
        return self.gate.metric or ("accuracy" if self.task == "classification" else "mae")

    @property
    def served_metric(self) -> str:
        """What served answers alone can give: the gate's metric, or accuracy where it needs probabilities.

        The log keeps the answer and its confidence, not every class's probability.
        """
        return "accuracy" if self.metric in ("roc_auc", "log_loss") else self.metric

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The input columns, in the order of model.yaml: the order of every matrix."""
        return tuple(self.columns.features)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        classification = ("accuracy", "balanced_accuracy", "f1", "roc_auc", "log_loss")
        if self.gate.metric and (self.gate.metric in classification) != (self.task == "classification"):
            fits = classification if self.task == "classification" else ("mae", "rmse", "r2")
            msg = f"gate.metric {self.gate.metric} does not fit task {self.task}: choose {', '.join(fits)}"
            raise ValueError(msg)
        if self.monitor.runs_on == "lambda" and self.serve == "none":
            msg = "monitor.runs_on: lambda reads a gateway's log and loads no model: it needs serve: gateway"
            raise ValueError(msg)
        strangers = [name for name in self.gate.slices if name not in self.columns.features]
        if strangers:
            msg = f"gate.slices names {strangers[0]!r}, which is not under schema.features"
            raise ValueError(msg)
        return self
