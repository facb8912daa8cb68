"""Read a scenario (a name in scenarios.yaml, or a mapping of the same form) into validated, timed changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from homeostat.config import parse_duration
from homeostat.config.errors import ConfigError

SENSORS = ("temperature", "vibration", "pressure", "flow", "rpm", "load", "ambient")
COEFFICIENTS = ("bias", "temperature", "vibration", "pressure", "flow", "load", "heat", "piston")


@dataclass(frozen=True, slots=True)
class Change:
    """One timed change of a scenario; ``what`` has the keys of its kind, see scenarios.yaml."""

    kind: str
    at: np.datetime64
    what: Mapping[str, Any]


def scenarios() -> dict[str, Any]:
    """Return every scenario of scenarios.yaml, by name."""
    path = Path(__file__).with_name("scenarios.yaml")
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")))


_NEEDS: Mapping[str, tuple[str, ...]] = {
    "covariate": ("column",),
    "concept": ("coefficients",),
    "retire": ("column",),
    "add": ("column", "mean", "spread"),
    "category": ("column", "value", "share"),
}
_MAY: Mapping[str, tuple[str, ...]] = {"covariate": ("scale", "shift")}
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "covariate": SENSORS,
    "retire": SENSORS,
    "category": ("pump_type", "site"),
}


def read_changes(scenario: str | Mapping[str, Any], drift_at: np.datetime64 | None) -> tuple[Change, ...]:
    """Validate every change and return each with its start; () while ``drift_at`` is None.

    Raises
    ------
    ConfigError
        No such scenario, or a change that is not as scenarios.yaml describes.
    """
    known = scenarios() if isinstance(scenario, str) else {}
    if isinstance(scenario, str) and scenario not in known:
        msg = f"scenarios.yaml has no scenario {scenario!r}; scenarios: {', '.join(known)}"
        raise ConfigError(msg)
    spec = known[scenario] if isinstance(scenario, str) else scenario
    name = scenario if isinstance(scenario, str) else "scenario"
    raw = [_checked(name, i, change) for i, change in enumerate(spec.get("changes", ()))]
    if drift_at is None:
        return ()
    return tuple(
        Change(c["kind"], drift_at + np.timedelta64(parse_duration(c.get("after", "0h"))), c) for c in raw
    )


def _checked(name: str, index: int, change: Mapping[str, Any]) -> Mapping[str, Any]:
    where = f"scenarios.yaml, {name}.changes[{index}]"
    kind = str(change.get("kind"))
    if kind not in _NEEDS:
        msg = f"{where}: kind is {kind!r}, expected one of {', '.join(_NEEDS)}"
        raise ConfigError(msg)
    takes = (*_NEEDS[kind], *_MAY.get(kind, ()), "after")
    missing = [key for key in _NEEDS[kind] if key not in change]
    unknown = set(change) - {"kind", *takes}
    if missing or unknown:
        found = f"lacks {missing[0]!r}" if missing else f"does not know {min(unknown)!r}"
        msg = f"{where}: a change of kind {kind} {found}; its keys: {', '.join(takes)}"
        raise ConfigError(msg)
    columns = _COLUMNS.get(kind)
    if columns and change["column"] not in columns:
        msg = f"{where}: column {change['column']!r} is not one of {', '.join(columns)}"
        raise ConfigError(msg)
    if kind == "concept" and (others := set(change["coefficients"]) - set(COEFFICIENTS)):
        msg = f"{where}: the fault rule has no coefficient {min(others)!r}; it has {', '.join(COEFFICIENTS)}"
        raise ConfigError(msg)
    return change
