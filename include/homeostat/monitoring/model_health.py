"""Read the health of models from the ledger, for pages and APIs: a fixed number of queries each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from homeostat.config import Settings
from homeostat.config.errors import ConfigError
from homeostat.config.redaction import redact_userinfo
from homeostat.core.model_health import (
    DEFAULT_RANGE,
    MAX_WINDOWS,
    RANGES,
    EndedRetrain,
    Links,
    ModelFacts,
    ModelPast,
    RegisteredVersion,
    WindowSummary,
    fleet,
    model_view,
)
from homeostat.core.rollout import Traffic
from homeostat.core.rollout.served import Served, describe_served
from homeostat.ports import FleetEntry, HealthRecord, Ledger, RecordKind

#: The page shows at most so many events, retrains and versions of the range.
_MAX_EVENTS, _MAX_RETRAINS, _MAX_VERSIONS = 300, 200, 60

#: Says what a gateway serves of a model; None where that is not known.
DescribeServed = Callable[[Traffic], Served | None]


def read_fleet(
    ledger: Ledger, names: Iterable[str], now: datetime, describe: DescribeServed = lambda _: None
) -> dict[str, Any]:
    """Return one row per model, the worst first: of the models that are named, and of those in the ledger."""
    entries = ledger.fleet(now)
    known = {name: entries.get(name) or FleetEntry(Traffic(name), {}, None) for name in {*names, *entries}}
    facts = [_facts(name, entry, now, describe) for name, entry in known.items()]
    return {"now": now.isoformat(), "models": fleet(facts)}


def read_model(
    ledger: Ledger,
    name: str,
    now: datetime,
    *,
    range_name: str = DEFAULT_RANGE,
    describe: DescribeServed = lambda _: None,
    links: Links | None = None,
) -> dict[str, Any]:
    """Return everything that the page of a model shows, see :func:`homeostat.core.model_health.model_view`.

    Raises
    ------
    ConfigError
        There is no such range.
    """
    if range_name not in RANGES:
        msg = f"range {range_name!r} is not known: use {', '.join(RANGES)}"
        raise ConfigError(msg)
    span = RANGES[range_name]
    since = None if span is None else now - span
    windows, checked = ledger.records(name, RecordKind.WINDOW, since, MAX_WINDOWS)
    retrains, _ = ledger.records(name, RecordKind.RETRAIN, since, _MAX_RETRAINS)
    versions, _ = ledger.records(name, RecordKind.VERSION, None, _MAX_VERSIONS)
    newest = windows[-1:] or ledger.records(name, RecordKind.WINDOW, None, 1)[0][-1:]
    last = retrains[-1:] or ledger.records(name, RecordKind.RETRAIN, None, 1)[0][-1:]
    found = {record.kind: record for record in (*newest, *last)}
    entry = FleetEntry(ledger.read(name), found, ledger.lease_holder(name, now))
    past = ModelPast(
        windows=[WindowSummary.from_json(record.body) for record in windows],
        checked=checked,
        retrains=[EndedRetrain.from_json(record.body) for record in retrains],
        versions=[RegisteredVersion.from_json(record.body) for record in versions],
        events=ledger.events_between(name, since, _MAX_EVENTS),
    )
    facts = _facts(name, entry, now, describe)
    return model_view(facts, past, links or Links(), range_name=range_name)


def mlflow_address(settings: Settings) -> str:
    """Return MLflow's address for browsers, without a password; "" where it has none."""
    address = settings.mlflow_public_url or redact_userinfo(settings.tracking_uri)
    return address if address.startswith(("http://", "https://")) else ""


def _facts(name: str, entry: FleetEntry, now: datetime, describe: DescribeServed) -> ModelFacts:
    newest: Mapping[RecordKind, HealthRecord] = entry.newest
    window, retrain = newest.get(RecordKind.WINDOW), newest.get(RecordKind.RETRAIN)
    summary = WindowSummary.from_json(window.body) if window else None
    batch = summary is not None and summary.settings.get("serve") == "none"
    not_served = "no gateway serves it (serve: none)"
    return ModelFacts(
        name=name,
        now=now,
        traffic=entry.traffic,
        newest=summary,
        retrain=EndedRetrain.from_json(retrain.body) if retrain else None,
        holder=entry.holder,
        served=describe_served(entry.traffic, not_served) if batch else describe(entry.traffic),
    )
