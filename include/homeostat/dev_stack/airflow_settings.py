"""Read airflow_settings.yaml (the Astro CLI's file) in the format that Airflow imports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from homeostat.config.errors import ConfigError

_CONNECTION_KEYS = ("conn_type", "host", "schema", "login", "password", "port", "extra")


def read_airflow_settings(path: Path) -> dict[str, dict[str, Any]]:
    """Read ``airflow_settings.yaml``.

    Blank entries, as in the file that Astro generates, are ignored.

    Returns
    -------
    dict
        ``{"connections": {id: {...} | uri}, "pools": {name: {...}}, "variables": {name: value}}``, each in
        the format of ``airflow connections|pools|variables import``. All empty when the file does not exist.

    Raises
    ------
    ConfigError
        The file is not YAML, or an entry has no id.
    """
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else None
    except yaml.YAMLError as error:
        msg = f"{path}: not YAML: {error}"
        raise ConfigError(msg) from error
    if found is not None and not isinstance(found, dict):
        msg = f"{path}: found {type(found).__name__}, expected a mapping that starts with 'airflow:'"
        raise ConfigError(msg)
    section = (found or {}).get("airflow") or {}
    return {
        "connections": _entries(path, section, "connections", "conn_id", _connection),
        "pools": _entries(path, section, "pools", "pool_name", _pool),
        "variables": _entries(path, section, "variables", "variable_name", lambda e: e.get("variable_value")),
    }


def _entries(
    path: Path, section: Mapping[str, Any], kind: str, key: str, convert: Callable[[dict[str, Any]], Any]
) -> dict[str, Any]:
    entries = {}
    for entry in section.get(kind) or []:
        filled = {name: value for name, value in (entry or {}).items() if value not in (None, "", {})}
        if not filled:
            continue
        if key not in filled:
            msg = f"{path}: airflow.{kind}: an entry without '{key}': {entry}"
            raise ConfigError(msg)
        entries[str(filled[key])] = convert(filled)
    return entries


def _connection(entry: dict[str, Any]) -> dict[str, Any] | str:
    if "conn_uri" in entry:
        return str(entry["conn_uri"])
    return {
        name: entry[source]
        for name in _CONNECTION_KEYS
        if (source := name if name == "conn_type" else f"conn_{name}") in entry
    }


def _pool(entry: dict[str, Any]) -> dict[str, Any]:
    return {
        "slots": int(entry.get("pool_slot", 1)),
        "description": str(entry.get("pool_description", "")),
        "include_deferred": bool(entry.get("pool_include_deferred", False)),
    }
