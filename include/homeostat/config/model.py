"""The schema of model.yaml as frozen, validated types, with the names that its users write."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PrivateAttr, field_validator, model_validator

from homeostat.config.airflow_options import AirflowOptions
from homeostat.config.check_times import has_fixed_times, spread_delay
from homeostat.config.date_format import date_format_of
from homeostat.config.duration import Duration
from homeostat.config.label_text import class_name, label_text
from homeostat.config.notices import Notices
from homeostat.config.positive_class import metric_title
from homeostat.config.redaction import redact_secrets
from homeostat.config.section import Section
from homeostat.config.slices import SliceBy, bound_problem, slice_problems
from homeostat.config.type_names import type_names

Share = Annotated[float, Field(ge=0.0, le=1.0)]
PositiveShare = Annotated[float, Field(gt=0.0, le=1.0)]
PositiveDuration = Annotated[Duration, Field(gt=timedelta(0))]
Count = Annotated[int, Field(ge=1)]


class Source(Section):
    """The source of labelled rows: ``csv``, ``parquet``, ``sql``, ``engine``, ``predictions`` or ``loader``.

    ``engine`` is a table, a query or files of an engine, at a URL or an Airflow connection.
    ``predictions`` is the gateway's prediction log with its labels. ``history`` is the source of the rows
    from before: the file, query or loader that the model began with.
    """

    kind: Literal["csv", "parquet", "sql", "engine", "predictions", "loader"]
    uri: str | None = None
    connection: str | None = None
    table: str | None = None
    query: str | None = None
    loader: str | None = None
    history: Source | None = None
    _key: str = PrivateAttr(default="source")

    @property
    def key(self) -> str:
        """Return the place of this block in model.yaml, for messages: ``source`` or ``source.history``."""
        return self._key

    @property
    def description(self) -> str:
        """Return in words where the rows come from, without secrets: ``csv rows.csv``."""
        log = "the gateway's log"
        if self.kind == "predictions":
            return f"{self.history.description} and {log}" if self.history else log
        return "the SQL query" if self.kind == "sql" else f"{self.kind} {redact_secrets(self._place)}"

    @property
    def as_history(self) -> str:
        """Return the ``source`` block that adds the gateway's log to this one, without secrets."""
        name = "loader" if self.kind == "loader" else "connection" if self.connection else "uri"
        place = "..." if self.kind == "sql" else f"{name}: {redact_secrets(self._place)}"
        return f"source: {{kind: predictions, history: {{kind: {self.kind}, {place}}}}}"

    @property
    def _place(self) -> str:
        return (self.loader if self.kind == "loader" else self.uri or self.connection) or ""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        needs = {"csv": "uri", "parquet": "uri", "loader": "loader", "sql": "query"}.get(self.kind)
        if needs and not getattr(self, needs):
            msg = f"kind: {self.kind} needs '{needs}', for example {_SOURCE_EXAMPLES[self.kind]}"
            raise ValueError(msg)
        if self.kind == "sql" and not self.uri:
            msg = f"kind: sql needs 'uri', a SQLAlchemy URL, for example {_SOURCE_EXAMPLES['sql']}"
            raise ValueError(msg)
        self._check_engine()
        if self.history is not None:
            self._check_history(self.history)
            self.history._key = "source.history"  # noqa: SLF001  # set once, where it is read
        return self

    def _check_engine(self) -> None:
        example = f"for example {_SOURCE_EXAMPLES['engine']}"
        if self.kind != "engine":
            other = next((name for name in ("connection", "table") if getattr(self, name)), "")
            if other:
                msg = f"only kind: engine has a '{other}', {example}"
                raise ValueError(msg)
        elif bool(self.uri) == bool(self.connection):
            msg = f"kind: engine needs 'uri' or 'connection', one of them, {example}"
            raise ValueError(msg)
        elif self.table and self.query:
            msg = f"kind: engine has 'table' or 'query', not both, {example}"
            raise ValueError(msg)

    def _check_history(self, history: Source) -> None:
        if self.kind != "predictions":
            msg = (
                f"only kind: predictions has a 'history': remove it, or write "
                f"{_SOURCE_EXAMPLES['predictions']} to add the gateway's log to it"
            )
            raise ValueError(msg)
        if history.kind == "predictions":
            msg = f"'history' is a file, a query or a loader, for example {_SOURCE_EXAMPLES['predictions']}"
            raise ValueError(msg)


_SOURCE_EXAMPLES = {
    "csv": "{kind: csv, uri: data/rows.csv}",
    "parquet": "{kind: parquet, uri: s3://bucket/rows/}",
    "sql": "{kind: sql, uri: 'postgresql+psycopg2://host/db', query: 'select * from rows'}",
    "engine": "{kind: engine, uri: 'postgresql://host/db', table: rows}",
    "loader": "{kind: loader, loader: pipeline.py:load}",
    "predictions": "{kind: predictions, history: {kind: csv, uri: data/rows.csv}}",
}


class Feature(Section):
    """One input column: its type and its valid values."""

    type: Literal["number", "category"]
    range: tuple[float, float] | None = None
    categories: tuple[str, ...] | None = None
    required: bool = True

    @field_validator("categories", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return [class_name(item) for item in value] if isinstance(value, (list, tuple)) else value

    @model_validator(mode="after")
    def _fits_its_type(self) -> Self:
        if self.type == "number" and self.categories is not None:
            msg = "a number has 'range', not 'categories': write type: category to list its values"
            raise ValueError(msg)
        if self.type == "category" and self.range is not None:
            msg = "a category has 'categories', not 'range': write type: number to give a range"
            raise ValueError(msg)
        if self.range is not None and not self.range[0] < self.range[1]:
            msg = f"range {list(self.range)} is empty: write [lowest, highest]"
            raise ValueError(msg)
        return self


class Label(Section):
    """The column that is predicted, and how long after the prediction its value is known.

    ``classes`` are all classes that a label may have (classification). ``positive`` is the one that F1 is
    computed of. ``mapping`` turns other spellings into classes. All hold the text of
    :func:`homeostat.config.label_text.label_text`.
    """

    name: str
    delay: Duration = timedelta(0)
    classes: tuple[str, ...] | None = None
    positive: str | None = None
    mapping: dict[str, str] = Field(default_factory=dict)

    def to_class(self, value: Any) -> str | None:
        """Return the class that a label of a file, a database or a client means; None when it is missing.

        Idempotent, so that it does not matter how often a label is read and stored.
        """
        text = label_text(value)
        return text if text is None else self.mapping.get(text, text)

    @field_validator("classes", mode="before")
    @classmethod
    def _class_names(cls, value: Any) -> Any:
        if not isinstance(value, (list, tuple)):
            return value
        names = [class_name(item) for item in value]
        if len(names) < 2:
            msg = "list all classes, at least two"
            raise ValueError(msg)
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            msg = f"'{twice}' is listed twice: keep one of them"
            raise ValueError(msg)
        return names

    @field_validator("positive", mode="before")
    @classmethod
    def _positive_name(cls, value: Any) -> Any:
        return value if value is None else class_name(value)

    @model_validator(mode="after")
    def _positive_is_a_class(self) -> Self:
        meant = self.mapping.get(self.positive or "", self.positive)
        if meant != self.positive:
            fix = f"write positive: '{meant}'"
            msg = f"mapping turns positive: '{self.positive}' into the class '{meant}': {fix}"
            raise ValueError(msg)
        if self.positive is not None and self.classes is not None and self.positive not in self.classes:
            shown = ", ".join(f"'{name}'" for name in self.classes)
            msg = f"positive: '{self.positive}' is not in classes: choose one of {shown}"
            raise ValueError(msg)
        return self

    @field_validator("mapping", mode="before")
    @classmethod
    def _spellings(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        mapping: dict[str, str] = {}
        for spelling, meant in value.items():
            text = class_name(spelling)
            if text in mapping:
                msg = f"'{text}' is mapped twice: keep one of them"
                raise ValueError(msg)
            mapping[text] = class_name(meant)
        return mapping

    @model_validator(mode="after")
    def _mapping_fits_the_classes(self) -> Self:
        for spelling, meant in self.mapping.items():
            if self.mapping.get(meant, meant) != meant:
                msg = (
                    f"mapping turns '{spelling}' into '{meant}', and '{meant}' into '{self.mapping[meant]}': "
                    "map every spelling to the class itself"
                )
                raise ValueError(msg)
            if self.classes is not None and meant not in self.classes:
                msg = f"mapping turns '{spelling}' into '{meant}', which is not in classes: add it there"
                raise ValueError(msg)
            if self.classes is not None and spelling in self.classes and spelling != meant:
                msg = f"'{spelling}' is in classes, but mapping turns it into '{meant}': remove one of them"
                raise ValueError(msg)
        return self


class Columns(Section):
    """The ``schema`` block: the role and type of each column.

    ``timestamp_format`` is the format of timestamps that are text, or the unit of numeric ones.
    """

    timestamp: str = "timestamp"
    timestamp_format: str | None = None
    key: str | None = None
    label: Label
    features: Annotated[dict[str, Feature], Field(min_length=1)]

    @field_validator("timestamp_format")
    @classmethod
    def _format_of_dates(cls, value: str | None) -> str | None:
        return value if value is None else date_format_of(value)

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        taken = {"timestamp": self.timestamp, "label": self.label.name}
        for role, name in taken.items():
            if name in self.features:
                msg = f"'{name}' is the {role} column: remove it from schema.features"
                raise ValueError(msg)
        return self


class Monitor(Section):
    """How often to check for drift, over which window, with which limits.

    With ``runs_on: lambda`` an AWS Lambda function runs the checks and sends triggers to Airflow, see
    docs/aws.md.

    ``delay`` is how long after a window's end its check runs in Airflow: ``auto`` spreads the models over the
    period, at most an hour, see :mod:`homeostat.config.check_times`.

    ``slices`` are watched one by one, at most ``max_slices`` of them besides each feature's rest.

    ``keep`` is how long what checks found is kept, see :mod:`homeostat.monitoring.retention`.
    """

    every: PositiveDuration = timedelta(hours=1)
    delay: Literal["auto"] | Duration = "auto"
    window: PositiveDuration = timedelta(hours=24)
    min_rows: Count = 100
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.05
    min_effect: PositiveShare = 0.1
    drifted_share: PositiveShare = 0.3
    max_missing: Share = 0.1
    max_unseen: Share = 0.05
    season: Literal["none", "hour_of_day", "hour_of_week"] = "none"
    slices: tuple[SliceBy, ...] = ()
    max_slices: Annotated[int, Field(ge=1, le=50)] = 20
    keep: PositiveDuration = timedelta(days=400)
    runs_on: Literal["airflow", "lambda"] = "airflow"

    @model_validator(mode="after")
    def _window_holds_whole_steps(self) -> Self:
        if self.window < self.every:
            msg = "window must be at least as long as 'every', or some rows would never be checked"
            raise ValueError(msg)
        if self.window % self.every:
            msg = "window must be a whole number of 'every', for example every: 1h and window: 24h"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _delay_fits_every(self) -> Self:
        if self.delay == "auto" or not self.delay:
            return self
        if not has_fixed_times(self.every):
            msg = (
                "delay needs an 'every' that is whole minutes and divides an hour, a day or a week, such as "
                "15m, 1h or 1d: change 'every', or remove 'delay'"
            )
            raise ValueError(msg)
        if self.delay % timedelta(minutes=1) or not timedelta(0) <= self.delay < self.every:
            msg = "delay must be whole minutes and shorter than 'every', for example every: 1h and delay: 10m"
            raise ValueError(msg)
        return self


class Trigger(Section):
    """How much drift or decay, for how long, starts a retrain, and what a retrain may cost.

    ``retrain_cost`` is in points of the metric over one window (relative, for errors). Without ``probes``
    only drift, decay and people start a retrain.
    """

    consecutive: Count = 3
    cooldown: Duration = timedelta(hours=24)
    decay: PositiveShare = 0.10
    critical_decay: PositiveShare = 0.15
    retrain_cost: Annotated[float, Field(ge=0)] = 0.005
    probes: bool = True

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.critical_decay < self.decay:
            msg = "critical_decay must be at least as large as decay"
            raise ValueError(msg)
        return self


class BadPeriod(Section):
    """An interval of known bad data, including its start, excluding its end."""

    start: datetime
    end: datetime
    reason: str = ""

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if not self.start < self.end:
            msg = f"end {self.end} must be after start {self.start}"
            raise ValueError(msg)
        return self


class Window(Section):
    """The training window.

    ``sliding``: the last ``length``. ``expanding``: all rows. ``recency``: all rows, recent ones with larger
    weights. ``auto``: several fits, on all rows (of the last ``length``, if there is one) and on recent ones,
    see :mod:`homeostat.core.training_data.members`.
    """

    kind: Literal["auto", "sliding", "expanding", "recency"] = "auto"
    length: PositiveDuration | None = None
    half_life: PositiveDuration | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.kind == "sliding" and self.length is None:
            msg = "kind: sliding needs 'length', for example {kind: sliding, length: 180d}"
            raise ValueError(msg)
        if self.kind == "recency" and self.half_life is None:
            msg = "kind: recency needs 'half_life', for example {kind: recency, half_life: 90d}"
            raise ValueError(msg)
        return self


#: Values of ``training.parity`` in model.yaml files of release 0.1, and their names now.
_OLD_PARITY = {"told": "warn", "required": "enforce"}


class Training(Section):
    """The training window, the holdout, limits of the data quality, and where to fit.

    ``parity`` decides what happens when the environment (lock file, image) differs from the champion's:
    ``warn`` reports it in the gate's report, ``enforce`` stops the retrain before the fit. With
    ``early_stopping`` is the newest share of a fit's rows on which a booster stops early, if it does.
    ``max_rows`` is the limit of a retrain's rows of ``kind: engine``: of more, a stratified sample is read.
    ``serving_format: onnx`` stores a version as ONNX where that predicts the same. With
    ``window.kind: auto``, ``recipes`` are what may be learnt from, a fit each, and ``committee`` whether
    those fits serve together.
    """

    window: Window = Window()
    recipes: Annotated[tuple[Literal["all", "middle", "short"], ...], Field(min_length=1)] = (
        "all",
        "middle",
        "short",
    )
    committee: bool = True
    bad_periods: tuple[BadPeriod, ...] = ()
    min_rows: Count = 1000
    max_rows: Count = 5_000_000
    holdout: Annotated[float, Field(gt=0, lt=1)] = 0.125
    refit: bool = True
    early_stopping: Annotated[float, Field(gt=0, lt=1)] = 0.1
    max_quarantined: Share = 0.1
    expectations: tuple[dict[str, Any], ...] = ()
    runs_on: Literal["airflow", "ecs"] = "airflow"
    serving_format: Literal["skops", "onnx"] = "skops"
    parity: Literal["warn", "enforce"] = "warn"

    @field_validator("parity", mode="before")
    @classmethod
    def _renamed(cls, value: Any) -> Any:
        return _OLD_PARITY.get(value, value) if isinstance(value, str) else value


class Gate(Section):
    """The checks that a candidate must pass before it gets traffic.

    ``max_slowdown`` is how many times as long as the champion it may take for a row. ``slices`` None: those
    of ``monitor.slices``, see :attr:`ModelConfig.gate_slices`.
    """

    metric: (
        Literal["accuracy", "balanced_accuracy", "f1", "roc_auc", "log_loss", "mae", "rmse", "r2"] | None
    ) = None
    max_regression: Annotated[float, Field(ge=0)] = 0.02
    p99_latency_ms: Annotated[float, Field(gt=0)] = 200.0
    max_slowdown: Annotated[float, Field(ge=1)] = 1.5
    min_training_rows: Count = 1000
    max_nan_rate: Share = 0.0
    slices: tuple[SliceBy, ...] | None = None
    max_slice_regression: Annotated[float, Field(ge=0)] = 0.1


class Shadow(Section):
    """How long a candidate runs in shadow, and how much more it may disagree than its holdout showed.

    ``max_divergence`` is a share of predictions beyond the expected disagreement with the champion. A shadow
    that lacks ``min_samples`` rows after ``duration`` continues until it has them. After ``wait_for_samples``
    30 rows are enough; with fewer it ends after ``max_duration``.
    """

    duration: Duration = timedelta(hours=24)
    max_divergence: Share = 0.1
    min_samples: Count = 200
    wait_for_samples: Duration = timedelta(days=3)
    max_duration: Duration = timedelta(days=30)


#: The default of ``canary.reverse_shadow`` is one label delay, at most this.
MAX_REVERSE_SHADOW = timedelta(days=7)


class Canary(Section):
    """The shares of traffic that a candidate gets, step by step, and the shadow of the former champion.

    A step that lacks ``min_samples`` rows after ``step_duration`` goes on until it has them, at most
    ``max_step_duration``. A step that would take longer than ``skip_longer_than`` at the shadow's traffic is
    skipped; where all are, the reverse shadow takes the canary's place. ``reverse_shadow`` is how long the
    former champion stays in shadow after a promotion; None: ``schema.label.delay``, at most
    :data:`MAX_REVERSE_SHADOW`.
    """

    steps: Annotated[tuple[PositiveShare, ...], Field(min_length=1)] = (0.1, 0.5)
    step_duration: Duration = timedelta(hours=1)
    min_samples: Count = 200
    max_step_duration: Duration = timedelta(days=30)
    skip_longer_than: Duration = timedelta(days=3)
    reverse_shadow: Duration | None = None

    @field_validator("steps")
    @classmethod
    def _rising(cls, steps: tuple[float, ...]) -> tuple[float, ...]:
        if list(steps) != sorted(set(steps)):
            msg = f"steps {list(steps)} must rise, for example [0.1, 0.5]"
            raise ValueError(msg)
        return steps


class Rollback(Section):
    """The limits at which a version that serves traffic is rolled back."""

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
    approvers: dict[str, str] = Field(default_factory=dict)
    notify: tuple[str, ...] = ()
    notices: Notices = Notices()
    trusted_types: tuple[str, ...] = ()
    threshold: Annotated[float, Field(gt=0, lt=1)] | None = None
    airflow: AirflowOptions = AirflowOptions()
    _folder: Path = PrivateAttr(default=Path())

    @property
    def folder(self) -> Path:
        """Return the folder of model.yaml; relative paths in it start here."""
        return self._folder

    def history_only(self) -> Self:
        """Return the configuration whose source is ``source.history`` alone; unchanged without one."""
        return self.model_copy(update={"source": self.source.history}) if self.source.history else self

    @property
    def check_delay(self) -> timedelta:
        """Return how long after a window's end its check runs; 0 for checks in a Lambda function."""
        if self.monitor.runs_on == "lambda":
            return timedelta(0)
        delay = self.monitor.delay
        return spread_delay(self.name, self.monitor.every) if delay == "auto" else delay

    @property
    def metric(self) -> str:
        """Return ``gate.metric``, or by default accuracy / mean absolute error."""
        return self.gate.metric or ("accuracy" if self.task == "classification" else "mae")

    @property
    def served_metric(self) -> str:
        """Return the metric of served predictions: the gate's, or accuracy where that needs probabilities.

        The prediction log has the prediction and its confidence, not the probability of every class.
        """
        return "accuracy" if self.metric in ("roc_auc", "log_loss") else self.metric

    @property
    def slice_metric(self) -> Literal["accuracy", "mae"]:
        """Return the metric of watched slices, accuracy or mean absolute error: both add up over rows."""
        return "accuracy" if self.task == "classification" else "mae"

    @property
    def metric_title(self) -> str:
        """Return :attr:`metric` for people, with the class that it is of where that is known."""
        return metric_title(self.metric, self.columns.label.positive)

    @property
    def served_metric_title(self) -> str:
        """Return :attr:`served_metric` for people, with the class that it is of where that is known."""
        return metric_title(self.served_metric, self.columns.label.positive)

    def with_positive(self, positive: str | None) -> Self:
        """Return the configuration with another ``schema.label.positive``."""
        label = self.columns.label.model_copy(update={"positive": positive})
        return self.model_copy(update={"columns": self.columns.model_copy(update={"label": label})})

    @property
    def reverse_shadow(self) -> timedelta:
        """Return how long the former champion stays in shadow after a promotion."""
        own = self.canary.reverse_shadow
        return min(self.columns.label.delay, MAX_REVERSE_SHADOW) if own is None else own

    @property
    def gate_slices(self) -> tuple[SliceBy, ...]:
        """Return what divides the holdout for the gate: ``gate.slices``, or by default the watched slices."""
        return self.monitor.slices if self.gate.slices is None else self.gate.slices

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Return the input columns in the order of model.yaml, which is the order of every matrix."""
        return tuple(self.columns.features)

    @field_validator("trusted_types", mode="before")
    @classmethod
    def _type_names(cls, value: Any) -> tuple[str, ...]:
        return type_names(value)

    @field_validator("approvers", mode="before")
    @classmethod
    def _approvers_by_name(cls, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return dict.fromkeys((str(name) for name in value), "")
        if isinstance(value, dict):
            return {str(name): connection or "" for name, connection in value.items()}
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        classification = ("accuracy", "balanced_accuracy", "f1", "roc_auc", "log_loss")
        if self.gate.metric and (self.gate.metric in classification) != (self.task == "classification"):
            fits = classification if self.task == "classification" else ("mae", "rmse", "r2")
            msg = f"gate.metric {self.gate.metric} does not fit task {self.task}: choose {', '.join(fits)}"
            raise ValueError(msg)
        label = self.columns.label
        of_classes = {"classes": label.classes, "mapping": label.mapping, "positive": label.positive}
        if self.task == "regression" and any(of_classes.values()):
            key = next(name for name, value in of_classes.items() if value)
            msg = f"schema.label.{key} is for classification: remove it, a regression's label is a number"
            raise ValueError(msg)
        if self.threshold is not None and self.task == "regression":
            raise ValueError(
                "threshold is for classification: remove it, a regression's prediction is a number"
            )
        if self.threshold is not None and len(label.classes or (1, 2)) != 2:
            raise ValueError("threshold is for two classes: remove it, or list two in schema.label.classes")
        if self.approvers and self.approval == "none":
            msg = "approvers need an approval: set approval: required, or remove them"
            raise ValueError(msg)
        if self.monitor.runs_on == "lambda" and self.serve == "none":
            msg = "monitor.runs_on: lambda reads the gateway's prediction log: set serve: gateway"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _slices_fit(self) -> Self:
        features = self.columns.features
        for key, slices in (("monitor.slices", self.monitor.slices), ("gate.slices", self.gate.slices or ())):
            for problem in slice_problems(key, slices, features):
                raise ValueError(problem)
        if problem := bound_problem(self.monitor.slices, self.monitor.max_slices, features):
            raise ValueError(problem)
        return self
