"""The state of a model that the Lambda function needs for a drift check: published/<model>.json in the Store.

The function can read neither model.yaml nor the ledger's database. Every run of ``drift_check__<model>`` and
every step of a retrain writes this file in Airflow. What a gateway does by itself, a rollback for instance,
is in the file after the next of these.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from homeostat.config import ModelConfig
from homeostat.config.errors import ConfigError, NotFound
from homeostat.config.redaction import redact_secrets
from homeostat.core.rollout import Traffic
from homeostat.ports import Event, Ledger, Ports, Store
from homeostat.storage.champion_history import champion_changes

SCHEMA = 1
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class PublishedState:
    """A model's configuration, traffic and champions at time ``at``.

    ``events`` are those at which the champion changed. ``holder`` is the run key of the retrain that held
    the lease ("" for none), ``until`` the latest time at which that lease expires.
    """

    config: ModelConfig
    traffic: Traffic
    events: tuple[Event, ...]
    at: datetime
    holder: str = ""
    until: datetime | None = None


def publish_state(config: ModelConfig, ports: Ports) -> None:
    """Write ``published/<model>.json``, replacing the previous one.

    Left out are secrets in ``source.uri`` and ``source.query``, which no check reads, and the folder of
    model.yaml on this machine.
    """
    now = ports.clock.now()
    holder = ports.ledger.lease_holder(config.name, now)
    lease = (
        {"by": holder, "until": _until(ports.ledger, config.name, holder, now).isoformat()}
        if holder
        else None
    )
    raw = {
        "schema": SCHEMA,
        "at": now.isoformat(),
        "model": _config_json(config),
        "traffic": ports.ledger.read(config.name).to_json(),
        "champions": [_event_json(event) for event, _ in champion_changes(ports.ledger, config.name)],
        "retrain": lease,
    }
    # A feature's range may hold Infinity, which only Python's JSON reader accepts; no other one reads this.
    ports.store.put(state_key(config.name), json.dumps(raw, indent=1).encode(), overwrite=True)


def load_published_state(store: Store, model: str) -> PublishedState:
    """Read what :func:`publish_state` wrote.

    Raises
    ------
    NotFound
        Airflow has not published this model yet.
    ConfigError
        The file is damaged, or another version of Homeostat wrote it.
    """
    key = state_key(model)
    fix = f"run drift_check__{model} in Airflow, which writes it"
    try:
        data = store.get(key)
    except NotFound:
        msg = f"{store.uri(key)} does not exist: {fix} for a model with monitor.runs_on: lambda"
        raise NotFound(msg) from None
    try:
        raw = json.loads(data)
        schema = raw["schema"]
        if schema == SCHEMA:
            return _from_json(raw)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        msg = (
            f"{store.uri(key)}: model.{where}: {first['msg']}: Airflow and the Lambda function seem to run "
            "different versions of Homeostat: deploy the same one"
        )
        raise ConfigError(msg) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        msg = f"{store.uri(key)} cannot be read ({type(error).__name__}: {error}): {fix} again"
        raise ConfigError(msg) from None
    msg = (
        f"{store.uri(key)} has schema {schema!r}, expected {SCHEMA}: deploy the same version of Homeostat to "
        "the Lambda function and to Airflow"
    )
    raise ConfigError(msg)


def state_key(model: str) -> str:
    """Return the Store key of a model's published state."""
    return f"published/{model}.json"


def _config_json(config: ModelConfig) -> dict[str, Any]:
    raw = config.model_dump(mode="json", by_alias=True)
    source = dict(raw["source"])
    for name in ("uri", "query"):
        source[name] = source[name] and redact_secrets(source[name])
    return raw | {"source": source}


def _until(ledger: Ledger, model: str, holder: str, now: datetime) -> datetime:
    """Return when the lease expires, to the minute, rounded up.

    The port only returns the holder at a given time, so search for the time at which it changes.
    """
    low, high = timedelta(0), timedelta(hours=1)
    while ledger.lease_holder(model, now + high) == holder and high < timedelta(days=3650):
        low, high = high, 2 * high
    while high - low > _MINUTE:
        middle = (low + high) / 2
        low, high = (middle, high) if ledger.lease_holder(model, now + middle) == holder else (low, middle)
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


def _from_json(raw: dict[str, Any]) -> PublishedState:
    traffic, lease = Traffic.from_json(raw["traffic"]), raw["retrain"]
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
    return PublishedState(
        config=ModelConfig.model_validate(raw["model"]),
        traffic=traffic,
        events=tuple(events),
        at=datetime.fromisoformat(raw["at"]),
        holder=lease["by"] if lease else "",
        until=datetime.fromisoformat(lease["until"]) if lease else None,
    )
