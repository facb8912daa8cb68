"""Simulate a fleet of pumps: the same seed and the same hour always give the same rows.

Forty pumps report six times an hour. Each reading is the sum of the pump's properties (type, site, an offset
of its own), the season and the time of day, smooth noise (interpolated between one value per hour) and white
noise. All random numbers of an hour come from generators seeded with ``(seed, hour)``, so any interval can be
computed alone, and ``[a, b)`` with ``[b, c)`` gives ``[a, c)``.

``fault`` is whether the pump fails soon: a logistic rule over the pump's true state, :data:`RULE`. Sensors
only report that state. A covariate change therefore alters readings and not faults; a concept change alters
faults and not readings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from .scenario import SENSORS as NUMBERS
from .scenario import Change, read_changes

PUMPS, PER_HOUR = 40, 6
GAP = timedelta(minutes=60 / PER_HOUR) / PUMPS  # one row somewhere in the fleet every 15 seconds
HOUR = np.timedelta64(1, "h")
TYPES = {"centrifugal": 2900.0, "screw": 2400.0, "piston": 1900.0}  # rated speed
SITES = {"harbour": 2.0, "hill": -3.0, "plant": 1.0, "river": -1.0}  # how much warmer than the region

#: sensor -> (mean, spread of the pumps' own offsets, of the smooth noise, of the white noise)
SENSORS = {
    "ambient": (9.0, 0.5, 2.5, 0.5),
    "load": (60.0, 7.0, 7.0, 3.0),
    "rpm": (0.0, 40.0, 20.0, 20.0),
    "temperature": (65.0, 3.5, 4.5, 2.0),
    "vibration": (2.5, 0.35, 0.6, 0.3),
    "pressure": (6.0, 0.35, 0.5, 0.25),
    "flow": (40.0, 2.5, 4.0, 2.0),
}

#: Log-odds of a fault: bias + sum of coefficient times standardized deviation from USUAL, plus ``heat`` times
#: the standardized temperature while vibration is high.
RULE: Mapping[str, float] = {
    "bias": -4.2,
    "temperature": 3.4,
    "vibration": 3.6,
    "pressure": -1.6,
    "flow": 0.0,
    "load": 0.8,
    "heat": 0.8,
    "piston": 1.0,
}
USUAL = {
    "temperature": (65.0, 6.2),
    "vibration": (2.5, 0.76),
    "pressure": (6.0, 0.66),
    "flow": (40.0, 5.3),
    "load": (60.0, 10.0),
}


def simulate(
    start: datetime | str,
    end: datetime | str,
    scenario: str | Mapping[str, Any] = "quiet",
    *,
    drift_at: datetime | str | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Return rows of the fleet with ``start <= timestamp < end``, sorted by time, about 240 per hour.

    Parameters
    ----------
    start, end
        Any times; without a zone they are in UTC.
    scenario
        A name in scenarios.yaml, or a mapping such as ``{"changes": [{"kind": "covariate", ...}]}``.
    drift_at
        The time from which the scenario's ``after`` counts. None: no drift.
    seed
        Each seed gives another fleet.

    Returns
    -------
    pandas.DataFrame
        Timestamp (UTC), pump, the features of model.yaml, and the label ``fault`` (0 or 1).

    Raises
    ------
    ConfigError
        The scenario is unknown, or one of its changes is not as scenarios.yaml describes.
    """
    first, last = _instant(start), _instant(end)
    changes = read_changes(scenario, None if drift_at is None else _instant(drift_at))
    past = (last + HOUR - np.timedelta64(1, "us")).astype("datetime64[h]")  # the hour after the last one
    hours = range(int(first.astype("datetime64[h]").astype(int)), int(past.astype(int)))
    parts = [_hour(hour, seed, changes) for hour in hours]
    frame = pd.concat(parts, ignore_index=True) if parts else _hour(0, seed, ()).iloc[:0]
    times = frame["timestamp"]
    frame = frame[(times >= _utc(first)) & (times < _utc(last))].reset_index(drop=True)
    changed = (c.what["column"] for c in changes if c.kind in ("retire", "add"))
    empty = [name for name in changed if name in frame and len(frame) and frame[name].isna().all()]
    return frame.drop(columns=empty)


def _hour(hour: int, seed: int, changes: Sequence[Change]) -> pd.DataFrame:
    """Return all rows of one hour since the epoch, sorted by time."""
    fleet = _fleet(seed)
    step = np.tile(np.arange(PER_HOUR), (PUMPS, 1)) / PER_HOUR
    within = step + np.arange(PUMPS)[:, None] * (
        GAP / timedelta(hours=1)
    )  # fraction of the hour: (pump, reading)
    rng = _generator(seed, hour, 1)
    knots = np.stack([_knots(seed, hour), _knots(seed, hour + 1)])
    blend = np.stack([1 - within, within])
    smooth = np.einsum("kp...,ksp->sp...", blend, knots) / np.sqrt((blend**2).sum(axis=0))
    white = rng.standard_normal(smooth.shape)
    state = _state(fleet, hour + within, smooth, white)
    uniform = rng.random(within.shape)

    seconds = np.round(within * 3600).astype("timedelta64[s]")
    times = np.array(hour, dtype="datetime64[h]").astype("datetime64[us]") + seconds
    active = [(change, times >= change.at) for change in changes]
    fault = uniform < 1 / (1 + np.exp(-_log_odds(state, fleet, active)))
    frame = pd.DataFrame(
        {
            "timestamp": pd.to_datetime(times.ravel(), utc=True),
            "pump": np.repeat(fleet["pump"], PER_HOUR),
            **{name: state[name].ravel() for name in NUMBERS},
            "pump_type": np.repeat(fleet["pump_type"], PER_HOUR),
            "site": np.repeat(fleet["site"], PER_HOUR),
            "fault": fault.ravel().astype("int64"),
        }
    )
    for change, since in active:
        _report(frame, change, since.ravel(), rng)
    numbers = frame.select_dtypes("float64").columns
    frame[numbers] = frame[numbers].round(3)
    return frame.sort_values("timestamp", kind="stable", ignore_index=True)


def _state(
    fleet: Mapping[str, Any], when: np.ndarray, smooth: np.ndarray, white: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the true state of every pump at ``when`` (hours since the epoch; shape (pump, reading))."""
    day, year = 2 * np.pi * when / 24, 2 * np.pi * when / (24 * 365.25)
    raw = {}
    for i, (name, (mean, _, spread, jitter)) in enumerate(SENSORS.items()):
        raw[name] = mean + fleet["offset"][i][:, None] + spread * smooth[i] + jitter * white[i]
    # Coldest in the middle of January and before sunrise; busiest in the early afternoon.
    ambient = raw["ambient"] + fleet["warmer"][:, None] - 7 * np.cos(year - 0.25) - 2.5 * np.cos(day - 0.9)
    load = raw["load"] - 1.5 * np.cos(day - 0.3)
    busy = (load - 60) / 10
    return {
        "ambient": ambient,
        "load": np.clip(load, 0, 110),
        "rpm": raw["rpm"] + fleet["rated"][:, None] + 15 * busy,
        "temperature": raw["temperature"] + 1.2 * busy + 0.1 * (ambient - 9),
        "vibration": np.maximum(raw["vibration"] + 0.1 * busy, 0.05),
        "pressure": np.maximum(raw["pressure"] - 0.05 * busy, 0.1),
        "flow": np.maximum(raw["flow"] + 1.5 * busy, 0.0),
    }


def _log_odds(
    state: Mapping[str, np.ndarray], fleet: Mapping[str, Any], active: Sequence[tuple[Change, np.ndarray]]
) -> np.ndarray:
    rule: dict[str, Any] = dict(RULE)
    for change, since in active:
        if change.kind == "concept":
            rule |= {
                name: np.where(since, value, rule[name])
                for name, value in change.what["coefficients"].items()
            }
    apart = {name: (state[name] - mean) / spread for name, (mean, spread) in USUAL.items()}
    linear = sum(rule[name] * value for name, value in apart.items())
    heat = rule["heat"] * apart["temperature"] * (apart["vibration"] > 0.5)
    piston = rule["piston"] * (fleet["pump_type"] == "piston")[:, None]
    return np.asarray(rule["bias"] + linear + heat + piston)


def _report(frame: pd.DataFrame, change: Change, since: np.ndarray, rng: np.random.Generator) -> None:
    """Apply one change to the readings of an hour, in place."""
    what = change.what
    column = what.get("column", "")
    match change.kind:
        case "covariate":
            moved = frame[column] * what.get("scale", 1.0) + what.get("shift", 0.0)
            frame[column] = moved.where(since, frame[column])
        case "retire":
            frame[column] = frame[column].mask(since)
        case "add":
            values = what["mean"] + what["spread"] * rng.standard_normal(len(frame))
            frame[column] = np.where(since, values, np.nan)
        case "category":
            pumps = frame["pump"].str.removeprefix("pump-").astype(int)
            frame[column] = frame[column].mask(since & (pumps <= what["share"] * PUMPS), what["value"])


@lru_cache(maxsize=8)
def _fleet(seed: int) -> Mapping[str, Any]:
    """Return the constant properties of a seed's pumps: even shares of types and sites, random offsets."""
    rng = _generator(seed, 0, 2)
    types = rng.permutation(np.resize(list(TYPES), PUMPS))
    sites = rng.permutation(np.resize(list(SITES), PUMPS))
    spread = np.array([spread for _, spread, _, _ in SENSORS.values()])
    return {
        "pump": np.array([f"pump-{i + 1:02d}" for i in range(PUMPS)], dtype=object),
        "pump_type": types.astype(object),
        "site": sites.astype(object),
        "rated": np.array([TYPES[name] for name in types]),
        "warmer": np.array([SITES[name] for name in sites]),
        "offset": spread[:, None] * rng.standard_normal((len(SENSORS), PUMPS)),
    }


@lru_cache(maxsize=64)
def _knots(seed: int, hour: int) -> np.ndarray:
    """Return the smooth noise of each (sensor, pump) at the full hour; its mean over the fleet is zero."""
    knots = _generator(seed, hour, 0).standard_normal((len(SENSORS), PUMPS))
    return np.asarray((knots - knots.mean(axis=1, keepdims=True)) / np.sqrt(1 - 1 / PUMPS))


def _generator(seed: int, hour: int, stream: int) -> np.random.Generator:
    """Return the generator of one hour and one purpose, independent of any other call."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, hour, stream])))


def _instant(value: datetime | str) -> np.datetime64:
    stamp = pd.Timestamp(value)
    stamp = stamp.tz_localize("UTC") if stamp.tz is None else stamp.tz_convert("UTC")
    return np.datetime64(stamp.tz_localize(None).to_pydatetime(), "us")


def _utc(value: np.datetime64) -> pd.Timestamp:
    return pd.Timestamp(value).tz_localize("UTC")
