"""Expectations on training data: from the schema and from ``training.expectations``."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from homeostat.config import ModelConfig
from homeostat.config.errors import ConfigError
from homeostat.config.label_text import label_texts

_SEVERITIES = ("critical", "warning", "info")
_NOT_ALL_NULL = "expect_column_proportion_of_non_null_values_to_be_between"
_COLUMN_KEYS = ("column", "column_A", "column_B")


@dataclass(frozen=True, slots=True)
class ExpectationSpec:
    """One expectation, before Great Expectations is imported.

    ``source`` is its key in model.yaml.
    """

    type: str
    kwargs: Mapping[str, Any]
    severity: str
    source: str

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it needs."""
        named = [self.kwargs[key] for key in _COLUMN_KEYS if isinstance(self.kwargs.get(key), str)]
        return (*named, *map(str, self.kwargs.get("column_list", ())))


@dataclass(frozen=True, slots=True)
class BuiltExpectation:
    """An expectation as a Great Expectations object; ``by_row`` says that it checks row by row."""

    spec: ExpectationSpec
    built: Any
    by_row: bool


def expectation_specs(config: ModelConfig) -> tuple[ExpectationSpec, ...]:
    """Return the expectations of a model: those of its schema, then ``training.expectations``.

    Raises
    ------
    ConfigError
        An entry of ``training.expectations`` has no ``type`` or an impossible ``severity``.
    """
    return (*_of_schema(config), *_of_user(config))


def _of_schema(config: ModelConfig) -> Iterator[ExpectationSpec]:
    columns = config.columns
    yield ExpectationSpec(
        "expect_column_values_to_not_be_null", {"column": columns.label.name}, "critical", "schema.label"
    )
    for name, feature in columns.features.items():
        source = f"schema.features.{name}"
        if feature.range is not None:
            low, high = feature.range
            between = {"column": name, "min_value": low, "max_value": high}
            yield ExpectationSpec(
                "expect_column_values_to_be_between", between, "critical", f"{source}.range"
            )
        if feature.categories is not None:
            within = {"column": name, "value_set": list(feature.categories)}
            yield ExpectationSpec(
                "expect_column_values_to_be_in_set", within, "critical", f"{source}.categories"
            )
        if feature.required:
            # A column without any value is no use for training.
            some = {"column": name, "min_value": 0.0, "strict_min": True}
            yield ExpectationSpec(_NOT_ALL_NULL, some, "critical", f"{source}.required")
        mostly = {"column": name, "mostly": round(1.0 - config.monitor.max_missing, 12)}
        yield ExpectationSpec("expect_column_values_to_not_be_null", mostly, "warning", "monitor.max_missing")


def _of_user(config: ModelConfig) -> Iterator[ExpectationSpec]:
    for index, raw in enumerate(config.training.expectations):
        source = f"training.expectations[{index}]"
        rest = {key: value for key, value in raw.items() if key not in ("type", "kwargs", "severity")}
        inner = raw.get("kwargs") or {}
        kind, severity = raw.get("type"), raw.get("severity", "critical")
        if not isinstance(kind, str) or not isinstance(inner, Mapping):
            msg = f"{_where(config)}, {source}: write for example {_EXAMPLE}"
            raise ConfigError(msg)
        if severity not in _SEVERITIES:
            msg = (
                f"{_where(config)}, {source}.severity: found {severity!r}, expected {', '.join(_SEVERITIES)}"
            )
            raise ConfigError(msg)
        yield ExpectationSpec(kind, _spelled({**rest, **inner}, config), severity, source)


def _spelled(kwargs: dict[str, Any], config: ModelConfig) -> dict[str, Any]:
    """Return the arguments with the values of a category as the rows spell them."""
    feature, values = config.columns.features.get(str(kwargs.get("column"))), kwargs.get("value_set")
    if feature is None or feature.type != "category" or not isinstance(values, list):
        return kwargs
    return {**kwargs, "value_set": label_texts(values)}


_EXAMPLE = (
    "{type: expect_column_values_to_be_between, column: temp, min_value: 0, max_value: 1, severity: critical}"
)


def _where(config: ModelConfig) -> str:
    return str(config.folder / "model.yaml")


def build_expectation(spec: ExpectationSpec, config: ModelConfig) -> BuiltExpectation:
    """Create the Great Expectations object.

    Raises
    ------
    ConfigError
        There is no such expectation (the message names the nearest), or its arguments are wrong.
    """
    import homeostat.core.training_data.great_expectations_import  # noqa: F401, I001  # before the library
    from great_expectations.exceptions import ExpectationNotFoundError
    from great_expectations.expectations.expectation import (
        ColumnMapExpectation,
        ColumnPairMapExpectation,
        MulticolumnMapExpectation,
    )
    from great_expectations.expectations.registry import (
        get_expectation_impl,
        list_registered_expectation_implementations,
    )

    try:
        kind = get_expectation_impl(spec.type)
    except ExpectationNotFoundError:
        known = list_registered_expectation_implementations()
        near = difflib.get_close_matches(spec.type, known, n=1)
        fix = f"did you mean '{near[0]}'?" if near else "see https://greatexpectations.io/expectations"
        msg = f"{_where(config)}, {spec.source}.type: there is no '{spec.type}'; {fix}"
        raise ConfigError(msg) from None
    try:
        built = kind(**spec.kwargs, severity=spec.severity)
    except (TypeError, ValueError) as error:  # pydantic's ValidationError is a ValueError
        message = " ".join(str(error).split())
        msg = f"{_where(config)}, {spec.source}: {spec.type} does not take these arguments: {message}"
        raise ConfigError(msg) from None
    row_level = (ColumnMapExpectation, ColumnPairMapExpectation, MulticolumnMapExpectation)
    return BuiltExpectation(spec, built, by_row=issubclass(kind, row_level))
