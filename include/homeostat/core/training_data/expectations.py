"""What the data has to fulfil, as Great Expectations: from the schema, and from the user's own list."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from homeostat.config import ModelConfig
from homeostat.config.errors import ConfigError

_SEVERITIES = ("critical", "warning", "info")
_SOME_VALUES = "expect_column_proportion_of_non_null_values_to_be_between"
_COLUMN_KEYS = ("column", "column_A", "column_B")


@dataclass(frozen=True, slots=True)
class Wish:
    """One expectation, before Great Expectations is imported.

    ``source`` is where a person finds it: the key in model.yaml.
    """

    type: str
    kwargs: Mapping[str, Any]
    severity: str
    source: str

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it speaks about, which have to be there before it can be asked."""
        named = [self.kwargs[key] for key in _COLUMN_KEYS if isinstance(self.kwargs.get(key), str)]
        return (*named, *map(str, self.kwargs.get("column_list", ())))


def wishes(config: ModelConfig) -> tuple[Wish, ...]:
    """List the expectations of a model: those of its schema first, then ``training.expectations``.

    Raises
    ------
    ConfigError
        An entry of ``training.expectations`` has no ``type`` or an impossible ``severity``.
    """
    return (*_of_schema(config), *_of_user(config))


def _of_schema(config: ModelConfig) -> Iterator[Wish]:
    columns = config.columns
    yield Wish(
        "expect_column_values_to_not_be_null", {"column": columns.label.name}, "critical", "schema.label"
    )
    for name, feature in columns.features.items():
        source = f"schema.features.{name}"
        if feature.range is not None:
            low, high = feature.range
            between = {"column": name, "min_value": low, "max_value": high}
            yield Wish("expect_column_values_to_be_between", between, "critical", f"{source}.range")
        if feature.categories is not None:
            within = {"column": name, "value_set": list(feature.categories)}
            yield Wish("expect_column_values_to_be_in_set", within, "critical", f"{source}.categories")
        if feature.required:
            # A column that is missing throughout cannot be learnt from, whatever the rest looks like.
            some = {"column": name, "min_value": 0.0, "strict_min": True}
            yield Wish(_SOME_VALUES, some, "critical", f"{source}.required")
        mostly = {"column": name, "mostly": round(1.0 - config.monitor.max_missing, 12)}
        yield Wish("expect_column_values_to_not_be_null", mostly, "warning", "monitor.max_missing")


def _of_user(config: ModelConfig) -> Iterator[Wish]:
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
        yield Wish(kind, {**rest, **inner}, severity, source)


_EXAMPLE = (
    "{type: expect_column_values_to_be_between, column: temp, min_value: 0, max_value: 1, severity: critical}"
)


def _where(config: ModelConfig) -> str:
    return str(config.folder / "model.yaml")


def build(wish: Wish, config: ModelConfig) -> tuple[Any, bool]:
    """Make the Great Expectations object; also say whether it judges row by row.

    Raises
    ------
    ConfigError
        There is no such expectation (with the nearest that there is), or its arguments are wrong.
    """
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
        kind = get_expectation_impl(wish.type)
    except ExpectationNotFoundError:
        known = list_registered_expectation_implementations()
        near = difflib.get_close_matches(wish.type, known, n=1)
        cure = f"did you mean '{near[0]}'?" if near else "see the gallery of Great Expectations"
        msg = f"{_where(config)}, {wish.source}.type: there is no '{wish.type}'; {cure}"
        raise ConfigError(msg) from None
    try:
        built = kind(**wish.kwargs, severity=wish.severity)
    except (TypeError, ValueError) as error:  # pydantic's ValidationError is a ValueError
        said = " ".join(str(error).split())
        msg = f"{_where(config)}, {wish.source}: {wish.type} does not take these arguments: {said}"
        raise ConfigError(msg) from None
    return built, issubclass(
        kind, (ColumnMapExpectation, ColumnPairMapExpectation, MulticolumnMapExpectation)
    )
