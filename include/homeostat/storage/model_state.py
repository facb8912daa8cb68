"""What a check needs to know and only Airflow can read, laid down in the Store: published/<model>.json.

The detector reads it where neither model.yaml nor the ledger's database is in reach. It is written by every
run of ``drift_check__<model>`` and by every step of a retrain; what a gateway does by itself, a rollback for
instance, is seen by the check after the next of these.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from homeostat.config import ModelConfig
from homeostat.config.errors import ConfigError, NotFound
from homeostat.config.redaction import without_secrets
from homeostat.core.rollout import Traffic, VersionRef
from homeostat.ports import Event, Ledger, Ports, Store

SCHEMA = 1
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Published:
    """What was published of a model, and when. ``events`` are those at which the champion changed.

    ``holder`` is who was retraining, ``until`` when its right of way runs out at the latest.
    """

    config: ModelConfig
    traffic: Traffic
    events: tuple[Event, ...]
    at: datetime
    holder: str = ""
    until: datetime | None = None


def publish(config: ModelConfig, ports: Ports) -> None:
    """Write ``published/<model>.json`` over the one before.

    Whole but for two things: secrets in ``source.uri`` and ``source.query``, which no check reads, and the
    folder that model.yaml lies in on this machine.
    """
    now = ports.clock.now()
    holder = ports.ledger.holder(config.name, now)
    held = (
        {"by": holder, "until": _until(ports.ledger, config.name, holder, now).isoformat()}
        if holder
        else None
    )
    raw = {
        "schema": SCHEMA,
        "at": now.isoformat(),
        "model": _plain(config),
        "traffic": ports.ledger.read(config.name).to_json(),
        "champions": [_event_json(event) for event in _changes(ports.ledger, config.name)],
        "retrain": held,
    }
    # Infinity may stand in a feature's range; Python's own reader, which is the only one here, knows it.
    ports.store.put(key_of(config.name), json.dumps(raw, indent=1).encode(), overwrite=True)


def load_published(store: Store, model: str) -> Published:
    """Read what :func:`publish` wrote.

    Raises
    ------
    NotFound
        Nothing was published for this model.
    ConfigError
        It cannot be read, or only by another version of Homeostat.
    """
    key = key_of(model)
    cure = f"run drift_check__{model} in Airflow, which publishes it"
    try:
        data = store.get(key)
    except NotFound:
        msg = f"{store.uri(key)} is not there: {cure} for a model with monitor.runs_on: lambda"
        raise NotFound(msg) from None
    try:
        raw = json.loads(data)
        schema = raw["schema"]
        if schema == SCHEMA:
            return _published(raw)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        msg = (
            f"{store.uri(key)}: model.{where}: {first['msg']}: Airflow and the detector seem to be of "
            "different versions; deploy the same one"
        )
        raise ConfigError(msg) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        msg = f"{store.uri(key)} cannot be read ({type(error).__name__}: {error}): {cure} anew"
        raise ConfigError(msg) from None
    msg = (
        f"{store.uri(key)} has schema {schema!r}, not {SCHEMA}: deploy detector and Airflow from one version"
    )
    raise ConfigError(msg)


def key_of(model: str) -> str:
    """Where a model's publication lies."""
    return f"published/{model}.json"


def _plain(config: ModelConfig) -> dict[str, Any]:
    raw = config.model_dump(mode="json", by_alias=True)
    said = ((name, raw["source"][name]) for name in ("uri", "query"))
    return raw | {"source": raw["source"] | {name: text and without_secrets(text) for name, text in said}}


def _changes(ledger: Ledger, model: str) -> list[Event]:
    """The events at which the champion changed: what :func:`homeostat.storage.bundles.champions` reads."""
    found: list[Event] = []
    last: VersionRef | None = None
    for event in ledger.events(model):
        champion = Traffic.from_json(dict(event.traffic)).champion
        if champion is not None and champion != last:
            found.append(event)
            last = champion
    return found


def _until(ledger: Ledger, model: str, holder: str, now: datetime) -> datetime:
    """When the lease runs out, to the minute and no sooner.

    A ledger says who holds it at a time, not until when.
    """
    low, high = timedelta(0), timedelta(hours=1)
    while ledger.holder(model, now + high) == holder and high < timedelta(days=3650):
        low, high = high, 2 * high
    while high - low > _MINUTE:
        middle = (low + high) / 2
        low, high = (middle, high) if ledger.holder(model, now + middle) == holder else (low, middle)
    return now + high


def _event_json(event: Event) -> dict[str, Any]:
    return {
        "revision": event.revision,
        "at": event.at.isoformat(),
        "kind": event.kind,
        "reason": event.reason,
        "by": event.by,
        "traffic": dict(event.traffic),
    }


def _published(raw: dict[str, Any]) -> Published:
    traffic, held = Traffic.from_json(raw["traffic"]), raw["retrain"]
    events = [
        Event(
            model=traffic.model,
            revision=int(each["revision"]),
            at=datetime.fromisoformat(each["at"]),
            kind=each["kind"],
            reason=each["reason"],
            by=each["by"],
            traffic=each["traffic"],
        )
        for each in raw["champions"]
    ]
    return Published(
        config=ModelConfig.model_validate(raw["model"]),
        traffic=traffic,
        events=tuple(events),
        at=datetime.fromisoformat(raw["at"]),
        holder=held["by"] if held else "",
        until=datetime.fromisoformat(held["until"]) if held else None,
    )
