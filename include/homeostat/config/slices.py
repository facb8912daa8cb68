"""Slices in model.yaml: the features whose values divide the rows, as people write them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from homeostat.config.label_text import class_name
from homeostat.config.near_name import near_name
from homeostat.config.section import Section

#: A number is divided into so many parts.
NUMBER_PARTS = 4


class SliceBy(Section):
    """A feature that divides the rows into slices: ``region``, or ``{plan: [basic, plus]}``.

    Without ``values`` every value of a category is a slice, as far as the bound allows, and every quarter of
    a number. The rows of all other values, and those without a value, are the feature's rest.
    """

    feature: str
    values: Annotated[tuple[str, ...], Field(min_length=1)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"feature": value}
        if isinstance(value, Mapping) and isinstance(value.get("feature"), str):
            return value  # the long form, as it is stored
        if not isinstance(value, Mapping) or len(value) != 1:
            msg = "write the name of a feature, or {feature: [values]} as in {plan: [basic, plus]}"
            raise ValueError(msg)
        ((feature, values),) = value.items()
        return {"feature": feature, "values": values}

    @field_validator("values", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        if value is None:
            return None
        if not isinstance(value, (list, tuple)):
            msg = "list the values of the feature, as in {plan: [basic, plus]}"
            raise ValueError(msg)  # noqa: TRY004  # pydantic reports ValueErrors
        names = [class_name(item) for item in value]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            msg = f"'{twice}' is listed twice: keep one of them"
            raise ValueError(msg)
        return names

    def __str__(self) -> str:
        """Return it as people write it."""
        return self.feature if self.values is None else f"{{{self.feature}: [{', '.join(self.values)}]}}"

    def size(self, kind: Literal["number", "category"]) -> int:
        """Return how many slices it makes at least, without its rest."""
        if self.values is not None:
            return len(self.values)
        return NUMBER_PARTS if kind == "number" else 1


def slice_problems(key: str, slices: Sequence[SliceBy], features: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with a list of slices, one sentence each.

    Parameters
    ----------
    key
        Its place in model.yaml, such as ``monitor.slices``.
    features
        The features of the schema, by name.
    """
    names = [each.feature for each in slices]
    for name in names:
        if name not in features:
            near = near_name(name, features)
            fix = f"did you mean {near!r}?" if near else "add it under schema.features or remove it"
            yield f"{key}: {name!r} is not a feature: {fix}"
        elif "=" in name:
            yield f"{key}: {name!r} has a '=', which divides feature and value in a slice's name: rename it"
        if names.count(name) > 1:
            yield f"{key}: {name!r} is listed twice: keep one of them"
    for each in slices:
        feature = features.get(each.feature)
        if feature is None or each.values is None:
            continue
        if feature.type == "number":
            yield (
                f"{key}: {each.feature!r} is a number, its slices are the quarters of its values: "
                f"write {each.feature} without a list"
            )
        unknown = [value for value in each.values if value not in (feature.categories or each.values)]
        if unknown:
            yield (
                f"{key}: {unknown[0]!r} is not in schema.features.{each.feature}.categories: "
                f"choose of {', '.join(feature.categories)}"
            )


def bound_problem(slices: Sequence[SliceBy], most: int, features: Mapping[str, Any]) -> str:
    """Return that ``monitor.slices`` needs more slices than ``monitor.max_slices``; "" where it does not."""
    needed = sum(each.size(features[each.feature].type) for each in slices)
    if needed <= most:
        return ""
    return (
        f"monitor.slices: needs {needed} slices or more, monitor.max_slices allows {most}: raise it (50 at "
        "most), or list fewer features or values"
    )
