"""The record of each checked window: what it showed, what was decided, and the settings that decided.

    reports/<model>/<window_end>.json

Everything that explains or shows a check reads it from here, without MLflow. Records of release 0.1 have only
the drift report.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from homeostat.config import ModelConfig, format_duration, parse_duration
from homeostat.config.errors import NotFound
from homeostat.core.drift import DriftReport
from homeostat.core.performance import PerformanceReport
from homeostat.core.retention import Retention
from homeostat.core.slices import SlicesReport
from homeostat.core.trigger import TriggerDecision, WindowRecord
from homeostat.ports import Store
from homeostat.storage.latest_check import load_latest_check
from homeostat.storage.parallel_map import parallel_map

#: The settings of model.yaml that decide a check, by their block.
_DECIDING = {
    "monitor": (
        "every",
        "window",
        "min_rows",
        "alpha",
        "min_effect",
        "drifted_share",
        "max_missing",
        "max_unseen",
        "season",
        "slices",
        "max_slices",
    ),
    "trigger": ("consecutive", "cooldown", "decay", "critical_decay", "retrain_cost", "probes"),
    "gate": ("max_regression",),
}


@dataclass(frozen=True, slots=True)
class CheckRecord:
    """One checked window.

    Parameters
    ----------
    record, performance, trigger
        None in records of release 0.1.
    settings
        The settings that decided, by their name in model.yaml, such as ``trigger.decay``; durations as
        people write them (``24h``). Also ``gate.metric``, with the class that it is of.
    labels
        What is known of the ids of the newest labels; {} where nothing is.
    slices
        None without ``monitor.slices``, and in records of release 0.2.
    """

    window_end: datetime
    drift: DriftReport
    record: WindowRecord | None = None
    performance: PerformanceReport | None = None
    trigger: TriggerDecision | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, Any] = field(default_factory=dict)
    slices: SlicesReport | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON; the drift report's own keys are at the top, as in earlier releases."""
        more = {"record": self.record, "performance": self.performance, "trigger": self.trigger}
        return {
            "window_end": self.window_end.isoformat(),
            **self.drift.to_json(),
            **{name: part.to_json() for name, part in more.items() if part is not None},
            "settings": dict(self.settings),
            "labels": dict(self.labels),
            **({"slices": self.slices.to_json()} if self.slices is not None else {}),
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote, now or in an earlier release."""
        record, performance, trigger = (raw.get(name) for name in ("record", "performance", "trigger"))
        return cls(
            datetime.fromisoformat(raw["window_end"]),
            DriftReport.from_json(raw),
            None if record is None else WindowRecord.from_json(record),
            None if performance is None else PerformanceReport.from_json(performance),
            None if trigger is None else TriggerDecision.from_json(trigger),
            raw.get("settings") or {},
            raw.get("labels") or {},
            SlicesReport.from_json(raw["slices"]) if raw.get("slices") else None,
        )


def deciding_settings(config: ModelConfig) -> dict[str, Any]:
    """Return the settings that decide a check, by their name in model.yaml."""
    found: dict[str, Any] = {}
    for block, names in _DECIDING.items():
        section = getattr(config, block)
        found |= {f"{block}.{name}": _plain(getattr(section, name)) for name in names}
    found["schema.label.delay"] = _plain(config.columns.label.delay)
    return found | {"gate.metric": config.served_metric_title}


def save_check(store: Store, model: str, check: CheckRecord) -> None:
    """Store the record of a window; that of an earlier check of the same window is replaced."""
    text = json.dumps(check.to_json(), allow_nan=False)
    store.put(check_key(model, check.window_end), text.encode(), overwrite=True)


def find_check(store: Store, model: str, end: datetime) -> CheckRecord | None:
    """Return the record of the window that ends at this time; None for a window that was not checked."""
    try:
        return _read(store, check_key(model, end))
    except NotFound:
        return None


def newest_check(store: Store, model: str) -> CheckRecord | None:
    """Return the record of the newest window; None before the first one.

    Its name is that of the newest check. All records are listed only where that has none: without a champion,
    and in what release 0.1 wrote.
    """
    latest = load_latest_check(store, model)
    found = find_check(store, model, latest.window_end) if latest is not None else None
    if found is None:
        keys = store.list(f"reports/{model}")
        found = _read(store, keys[-1]) if keys else None
    return found


def checks_before(store: Store, model: str, check: CheckRecord, count: int) -> list[CheckRecord]:
    """Return the last ``count`` windows before this one, oldest first: one ``monitor.every`` after the other.

    They are read by their names, over three times as many periods, since some may be missing. [] for a record
    of release 0.1, which does not say how far windows are apart.
    """
    every = check.settings.get("monitor.every")
    if every is None:
        return []
    ends = [check.window_end - n * parse_duration(every) for n in range(3 * count, 0, -1)]
    found = parallel_map(lambda end: find_check(store, model, end), ends)
    return [each for each in found if each is not None][-count:]


def delete_checks(store: Store, model: str, retention: Retention, limit: int) -> int:
    """Delete the records of old windows, at most ``limit`` of them, the oldest first; return how many."""
    ends = {key: _end_of(key) for key in store.list(f"reports/{model}")}
    old = [key for key, end in ends.items() if end is not None and retention.deletes(end)][:limit]
    parallel_map(store.delete, old)
    return len(old)


def _end_of(key: str) -> datetime | None:
    try:
        return datetime.strptime(key.rpartition("/")[2], "%Y-%m-%dT%H%M%S.json").replace(tzinfo=UTC)
    except ValueError:
        return None  # not ours


def check_key(model: str, end: datetime) -> str:
    """Return the Store key of a window's record."""
    return f"reports/{model}/{end.astimezone(UTC):%Y-%m-%dT%H%M%S}.json"


def _read(store: Store, key: str) -> CheckRecord:
    return CheckRecord.from_json(json.loads(store.get(key)))


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):  # monitor.slices
        return ", ".join(str(each) for each in value) or "none"
    return format_duration(value) if isinstance(value, timedelta) else value
