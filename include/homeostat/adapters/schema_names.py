"""Name the columns of model.yaml that a table lacks, and those that are probably meant."""

from __future__ import annotations

from collections.abc import Sequence

from homeostat.adapters.column_names import row_hint
from homeostat.adapters.source_rows import schema_columns
from homeostat.config import ModelConfig
from homeostat.config.near_name import near_name


def missing_columns(config: ModelConfig, columns: Sequence[str]) -> list[str]:
    """Return the label and the required features that are not among these columns."""
    features = config.columns.features
    needed = [config.columns.label.name, *(name for name, feature in features.items() if feature.required)]
    return [name for name in needed if name not in columns]


def missing_columns_message(
    config: ModelConfig, data: str, columns: Sequence[str], missing: Sequence[str]
) -> str:
    """Return the error on columns that ``data`` lacks: which are probably meant, and what to do."""
    label = config.columns.label.name
    unknown = [name for name in columns if name not in schema_columns(config)]
    names = []
    for name in missing:
        near = near_name(name, unknown)
        role = "the label " if name == label else ""
        names.append(f"{role}'{name}'" + (f" (is it '{near}' here?)" if near else ""))
    shown = [repr(name) if name != name.strip() else name for name in columns[:20]]
    present = ", ".join(shown) + (" ..." if len(columns) > 20 else "")
    optional = (
        ", or write 'required: false' at a feature that may be absent"
        if any(name in config.columns.features for name in missing)
        else ""
    )
    return (
        f"{data}: has no column {', '.join(names)}, which {config.folder / 'model.yaml'} names under schema; "
        f"its columns are: {present}. Rename them in the file, or change schema"
        f"{optional}{row_hint(columns)}"
    )
