"""Full names of types, as people list them: comma-separated, or as a list."""

from __future__ import annotations

import re
from typing import Any

import yaml

_NAME = re.compile(r"[A-Za-z_][\w<>]*(\.[A-Za-z_][\w<>]*)+")


def type_names(value: Any) -> tuple[str, ...]:
    """Return the names in a list, or in a text with commas, line breaks or a list in YAML or JSON.

    Raises
    ------
    ValueError
        A name is not that of a type with its module, such as ``package.module.Type``.
    """
    if isinstance(value, str) and value.strip().startswith("["):
        try:
            value = yaml.safe_load(value)
        except yaml.YAMLError as error:
            msg = f"not a list of types: {' '.join(str(error).split())}"
            raise ValueError(msg) from error
    if isinstance(value, str):
        value = re.split(r"[,\n]", value)
    if not isinstance(value, (list, tuple)):
        msg = f"expected a list of types such as [package.module.Type], found {value!r}"
        raise ValueError(msg)  # noqa: TRY004  # pydantic reports ValueErrors
    names = [each.strip() if isinstance(each, str) else each for each in value]
    for each in names:
        if not isinstance(each, str) or (each and not _NAME.fullmatch(each)):
            msg = f"{each!r} is not the full name of a type, such as package.module.Type"
            raise ValueError(msg)
    return tuple(dict.fromkeys(each for each in names if each))
